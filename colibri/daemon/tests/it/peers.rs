//! Who may ask. Another account is needed for that, so these run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use colibri_protocol::client::{Client, ClientError};
use nix::sys::signal::Signal;

use crate::harness::{Home, set_mode};

/// Names the socket to the copy of this program that runs as another account.
const ASK: &str = "COLIBRI_TEST_ASK";

/// An account and a group that nothing belongs to, and a group that exists on
/// every system (`daemon`).
pub(crate) const NOBODY: u32 = 65_534;
pub(crate) const DAEMON_GID: u32 = 1;

/// Runs the test of this name again in another account, where it only asks
/// once on this socket and prints what came.
pub(crate) fn ask_as(test: &str, home: &Home, socket: &Path, uid: u32, gid: u32) -> String {
    // The other account may not be able to reach this program where it lies.
    let copy = home.path("asker");
    if !copy.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        set_mode(&copy, 0o755);
    }
    let output = Command::new(&copy)
        .args(["--exact", test, "--nocapture"])
        .env_clear()
        .env(ASK, socket)
        .current_dir("/")
        .uid(uid)
        .gid(gid)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether this is the copy; it has asked, then.
pub(crate) fn asked() -> bool {
    let Some(socket) = std::env::var_os(ASK) else {
        return false;
    };
    match Client::new(Path::new(&socket)).status() {
        Ok(status) => println!("answered by {}", status.pid),
        Err(ClientError::Refused { error }) => println!("kind {}: {}", error.kind, error.message),
        Err(ClientError::Denied { .. }) => println!("denied by the system"),
        Err(error) => println!("{error}"),
    }
    true
}

pub(crate) fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("NOT CHECKED: only root can ask as another account");
    }
    root
}

fn everybody_may_connect(home: &Home) {
    set_mode(&home.path(""), 0o755);
    set_mode(&home.socket(), 0o666);
}

#[test]
fn a_stranger_is_refused_by_us_even_when_the_modes_let_it_in() {
    const NAME: &str = "peers::a_stranger_is_refused_by_us_even_when_the_modes_let_it_in";
    if asked() || !root() {
        return;
    }
    let home = Home::new();
    let daemon = home.start(&["--group", "daemon"]);
    set_mode(&home.path(""), 0o755);
    let words = ask_as(NAME, &home, &home.socket(), NOBODY, NOBODY);
    assert!(words.contains("denied by the system"), "{words}");

    everybody_may_connect(&home);
    let words = ask_as(NAME, &home, &home.socket(), NOBODY, NOBODY);
    assert!(words.contains("kind forbidden"), "{words}");
    assert!(
        words.contains("uid 65534") && words.contains("group `daemon`"),
        "{words}"
    );
    assert!(home.log().contains("refused a client"), "{}", home.log());
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn a_member_of_the_group_is_served_and_acts_under_its_own_name() {
    const NAME: &str = "peers::a_member_of_the_group_is_served_and_acts_under_its_own_name";
    if asked() || !root() {
        return;
    }
    let home = Home::new();
    let daemon = home.start(&["--group", "daemon"]);
    set_mode(&home.path(""), 0o755);
    let words = ask_as(NAME, &home, &home.socket(), NOBODY, DAEMON_GID);
    assert!(
        words.contains(&format!("answered by {}", daemon.pid())),
        "{words}"
    );
    daemon.stop(Signal::SIGTERM);
}

#[test]
fn the_daemons_own_account_is_served_when_that_is_not_root() {
    const NAME: &str = "peers::the_daemons_own_account_is_served_when_that_is_not_root";
    if asked() || !root() {
        return;
    }
    let home = Home::new();
    set_mode(&home.path(""), 0o777);
    let program = home.path("colibri-daemon");
    std::fs::copy(env!("CARGO_BIN_EXE_colibri-daemon"), &program).unwrap();
    let plain = home.command(&[]);
    let mut command = Command::new(program);
    command
        .args(plain.get_args())
        .env_clear()
        .uid(NOBODY)
        .gid(NOBODY);
    let daemon = home.start_command(&mut command);
    let words = ask_as(NAME, &home, &home.socket(), NOBODY, NOBODY);
    assert!(
        words.contains(&format!("answered by {}", daemon.pid())),
        "{words}"
    );
    // Root was served by it too, or `start_command` would not have returned.
    daemon.stop(Signal::SIGTERM);
}
