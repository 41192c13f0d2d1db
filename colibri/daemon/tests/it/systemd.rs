//! The unit that starts the daemon on Debian.

use std::process::Command;

const UNIT: &str =
    include_str!("../../../../overlays/debian/etc/systemd/system/colibri-daemon.service");

/// The values of a setting, in the unit's order.
fn values(key: &str) -> Vec<&'static str> {
    UNIT.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[test]
fn the_unit_and_the_program_agree() {
    use colibri_protocol::place;
    assert_eq!(values("Type"), ["notify"]);
    assert_eq!(
        (values("User"), values("Group")),
        (vec!["colibri"], vec![place::GROUP])
    );
    assert_eq!(values("EnvironmentFile"), ["-/etc/colibri/provider.env"]);
    assert_eq!(values("RestartPreventExitStatus"), ["2 3 4"]);
    // What SIGHUP does, a test of its life says.
    assert_eq!(values("ExecReload"), ["/usr/bin/kill -HUP $MAINPID"]);
    if cfg!(target_os = "linux") {
        let run = format!("/run/{}/colibri.sock", values("RuntimeDirectory")[0]);
        let state = format!("/var/lib/{}", values("StateDirectory")[0]);
        assert_eq!(
            (run.as_str(), state.as_str()),
            (place::SOCKET, place::DATA_DIR)
        );
    }
}

#[test]
fn systemd_finds_nothing_to_complain_about() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("colibri-daemon.service");
    // The program lies elsewhere in a test.
    let text = UNIT.replace(
        "/usr/local/bin/colibri-daemon",
        env!("CARGO_BIN_EXE_colibri-daemon"),
    );
    std::fs::write(&unit, text).unwrap();
    match Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output()
    {
        Ok(checked) => {
            let words = String::from_utf8_lossy(&checked.stderr);
            // It loads other units of this machine too; theirs are not ours.
            let ours: Vec<_> = words
                .lines()
                .filter(|line| line.contains("colibri-daemon.service"))
                .collect();
            assert!(ours.is_empty(), "{words}");
        }
        Err(error) => println!("NOT CHECKED: systemd-analyze does not run here: {error}"),
    }
}
