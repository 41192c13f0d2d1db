//! The program: what it says, and how it ends.

use std::path::Path;
use std::process::Command;

use colibri_vault_server::{Fault, Item, State};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::home::Home;

pub(crate) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn bare(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colibri-vault"));
    command
        .arg("--bootstrap")
        .arg(home.join("vault.env"))
        .arg("--base")
        .arg(home.join("jails"));
    command
}

/// The program with everything of a home.
pub(crate) fn command(home: &Home) -> Command {
    let places = home.places();
    let mut command = bare(&home.path(""));
    command
        .arg("--bw")
        .arg(places.script)
        .arg("--node")
        .arg(places.node)
        .arg("--state")
        .arg(home.path("state"))
        .arg("--ca")
        .arg(home.path("ca.pem"));
    command
}

/// Exit status and what it printed as JSON, wherever.
fn run(command: &mut Command) -> (i32, Value) {
    let output = command.arg("--json").output().unwrap();
    let said = if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    };
    let text = String::from_utf8_lossy(said);
    let json = serde_json::from_slice(said).unwrap_or_else(|_| panic!("{text}"));
    (output.status.code().unwrap(), json)
}

#[test]
fn a_host_without_a_vault_and_a_tenant_without_a_jail_are_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = run(bare(dir.path()).args(["provision", "main"]));
    assert_eq!((code, said), (0, json!({"done": false, "why": "no-vault"})));
    let (code, said) = run(bare(dir.path()).arg("check"));
    assert_eq!((code, &said["why"]), (0, &json!("no-vault")));
    let (code, said) = run(bare(dir.path()).args(["names", "main"]));
    assert_eq!((code, &said["why"]), (0, &json!("no-tenant")));

    std::fs::write(dir.path().join("vault.env"), "VAULT_SERVER=x\n").unwrap();
    private(&dir.path().join("vault.env"));
    let (code, said) = run(bare(dir.path()).args(["provision", "main"]));
    assert_eq!((code, &said["error"]["kind"]), (1, &json!("bootstrap")));
    assert!(
        said["error"]["remedy"]
            .as_str()
            .unwrap()
            .contains("BW_PASSWORD")
    );
    let wrong = bare(dir.path())
        .args(["provision", "../etc"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
#[ignore = "five runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_behind_the_program() {
    let Some(home) = Home::new(State::default()) else {
        return;
    };
    let text = home.bootstrap.to_env().unwrap();
    std::fs::write(home.path("vault.env"), text.expose_secret()).unwrap();
    private(&home.path("vault.env"));
    let (code, said) = run(command(&home).arg("check"));
    assert_eq!((code, &said["collections"]), (0, &json!(["main"])));
    let (code, said) = run(command(&home).args(["provision", "main"]));
    assert_eq!((code, &said["added"]), (0, &json!(["OPENAI_API_KEY"])));
    home.server.change(|state| {
        let items = &mut state.collections[0].items;
        items[0].password = Some("sk-new".to_owned());
        items.push(Item::note("MORE", "x"));
    });
    let (code, said) = run(command(&home).args(["rotate", "main"]));
    assert_eq!(code, 0);
    assert_eq!(said["added"], json!(["MORE"]));
    assert_eq!(said["renewed"], json!(["OPENAI_API_KEY"]));
    assert!(!said.to_string().contains("sk-new"));
    let names = command(&home).args(["names", "main"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&names.stdout),
        "MORE\nOPENAI_API_KEY\n"
    );
    home.server.change(|state| state.faults = vec![Fault::Down]);
    let (code, said) = run(command(&home).args(["provision", "main"]));
    assert_eq!((code, &said["error"]["kind"]), (3, &json!("unreachable")));
}
