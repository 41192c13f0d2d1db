//! The unit that starts the daemon on Debian.

use colibri_service::testing::systemd_accepts;

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
    // The program lies elsewhere in a test.
    let text = UNIT.replace(
        "/usr/local/bin/colibri-daemon",
        env!("CARGO_BIN_EXE_colibri-daemon"),
    );
    systemd_accepts("colibri-daemon.service", &text);
}
