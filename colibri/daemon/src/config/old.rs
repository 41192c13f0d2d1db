//! The variables of the Colibri before this one: which of them are read under another name now, and
//! why the others have no effect.
//!
//! The old names work for one release. Each of these variables is told of by its name, and never by
//! its value.

use std::ffi::OsString;

use colibri_protocol::variable::RENAMED;

/// Those that have no effect, with what there is in their place.
const GONE: [(&str, &str); 14] = [
    (
        "COLIBRI_AGENT_BINARY",
        "tasks go to agents that run already; `COLIBRI_AUTOSPAWN_BINARY` names the one that starts \
         with the daemon",
    ),
    (
        "COLIBRI_JAIL_PRIV_MODE",
        "what takes root is done by colibri-hostd, in one way",
    ),
    (
        "COLIBRI_JAIL_ROOT_BASE",
        "jails are made by colibri-hostd; set it for that program",
    ),
    (
        "COLIBRI_JAIL_STAGE_DIR",
        "nothing is laid into a jail to start an agent there",
    ),
    ("COLIBRI_MCP_SOCKET", MCP),
    ("COLIBRI_MCP_WRITE", MCP),
    (
        "COLIBRI_MCP_EXTERNAL_CALL",
        "the daemon calls no MCP servers; agents have their own",
    ),
    (
        "COLIBRI_BRIDGE_LISTEN_ADDR",
        "there is no bridge; another host's Colibri is asked over SSH, such as with \
         `ssh HOST colibri-mcp`",
    ),
    ("COLIBRI_HEADROOM_ENABLED", HEADROOM),
    ("COLIBRI_HEADROOM_SOCKET", HEADROOM),
    ("COLIBRI_TERMINAL_CAPTURE", TERMINAL),
    ("COLIBRI_TERMINAL_WATCH", TERMINAL),
    ("COLIBRI_WATCHDOG_SOCKET", WATCHDOG),
    ("COLIBRI_SERVICE_NAME", WATCHDOG),
];

const MCP: &str = "it is colibri-mcp's; set it where that program is started";
const HEADROOM: &str =
    "no other program makes sessions smaller; the cost mode says how long they get";
const TERMINAL: &str = "agents are known by their own events, not by what a terminal shows";
const WATCHDOG: &str = "no watchdog is asked; `colibri service-check` looks at the service";

/// Gives what has an old name its new one, takes out what has no effect, and tells of each.
pub(super) fn renew(variables: &mut Vec<(String, OsString)>) -> Vec<String> {
    let mut told = Vec::new();
    for (old, now) in RENAMED {
        let Some(value) = take(variables, old) else {
            continue;
        };
        if variables.iter().any(|(name, _)| name == now) {
            told.push(format!(
                "`{old}` is ignored: it is called `{now}` now, which is set too; remove the old one"
            ));
        } else {
            variables.push((now.to_owned(), value));
            told.push(format!(
                "`{old}` is called `{now}` now; the old name works for this release only"
            ));
        }
    }
    for (old, instead) in GONE {
        if take(variables, old).is_some() {
            told.push(format!("`{old}` has no effect on the daemon: {instead}"));
        }
    }
    told
}

fn take(variables: &mut Vec<(String, OsString)>, name: &str) -> Option<OsString> {
    let at = variables.iter().position(|(known, _)| known == name)?;
    Some(variables.swap_remove(at).1)
}

#[cfg(test)]
mod tests {
    use super::super::known;
    use super::*;

    #[test]
    fn each_is_told_of_by_name_and_none_is_a_name_of_now() {
        let renamed = RENAMED.map(|(old, now)| (old, Some(now)));
        let gone = GONE.map(|(old, _)| (old, None));
        for (old, now) in renamed.into_iter().chain(gone) {
            let mut variables = vec![(old.to_owned(), OsString::from("s3cret"))];
            let told = renew(&mut variables);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(&format!("`{old}`")), "{told:?}");
            assert!(!told[0].contains("s3cret"), "{told:?}");
            let left: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(left, Vec::from_iter(now), "{old}");
            assert!(!known().any(|name| name == old), "{old} is read as it is");
            assert!(now.is_none_or(|now| known().any(|name| name == now)));
        }
    }

    #[test]
    fn the_new_name_wins_over_the_old_one() {
        let mut variables = [
            ("COLIBRI_PI_BINARY", "/old"),
            ("COLIBRI_AUTOSPAWN_BINARY", "/new"),
        ]
        .map(|(name, value)| (name.to_owned(), OsString::from(value)))
        .to_vec();
        let told = renew(&mut variables);
        assert_eq!(variables.len(), 1);
        assert_eq!(variables[0].1, "/new");
        assert!(told[0].contains("remove the old one"), "{told:?}");
    }
}
