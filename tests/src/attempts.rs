//! What an agent tries from inside its jail, and what became of each attempt: `tests/tenants/attempts.sh`.

use std::fmt::Write as _;

/// The list, a script for a shell in the jail.
const LIST: &str = include_str!("../tenants/attempts.sh");

/// The least number of attempts: a list that ends early proves nothing.
const LEAST: usize = 60;

/// What the list needs to know of the machine, as it is from outside of the jail.
#[derive(Debug, Clone)]
pub struct Aims {
    /// Address and port of the test's server, which must answer.
    pub server: String,
    /// The other tenant.
    pub other: String,
    /// Its address.
    pub other_address: String,
    /// The port of a listener in there.
    pub other_port: u16,
    /// Every address of the host, but those of its loopback.
    pub host_addresses: Vec<String>,
    /// The port of a listener on all of these and on the loopback.
    pub host_port: u16,
    /// The port of a listener of the host for AF_VSOCK.
    pub vsock_port: u32,
    /// The daemon's process on the host.
    pub daemon: String,
    /// The operator's login.
    pub login: String,
}

/// How who tries came into the jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// As agents do: started by the root helper.
    Helper,
    /// Put there by the test, from outside: without the filter that holds for all others in there.
    Test,
}

impl Aims {
    /// The list with all of this filled in.
    pub fn script(&self, entry: Entry) -> String {
        let started_by = match entry {
            Entry::Helper => "helper",
            Entry::Test => "test",
        };
        let mut script = String::from("#!/bin/sh\n");
        for (name, value) in [
            ("SERVER", self.server.clone()),
            ("OTHER_NAME", self.other.clone()),
            ("OTHER", self.other_address.clone()),
            ("OTHER_PORT", self.other_port.to_string()),
            ("HOST_ADDRESSES", self.host_addresses.join(" ")),
            ("HOST_PORT", self.host_port.to_string()),
            ("VSOCK_PORT", self.vsock_port.to_string()),
            ("DAEMON", self.daemon.clone()),
            ("LOGIN", self.login.clone()),
            ("STARTED_BY", started_by.to_owned()),
        ] {
            assert!(
                !value.is_empty() && !value.contains(['\'', '\n']),
                "{name} is `{value}`"
            );
            writeln!(script, "{name}='{value}'").unwrap();
        }
        script + LIST
    }
}

/// What is wrong with a list's report; each of its attempts is printed, under `who`.
fn faults(who: &str, report: &str) -> Vec<String> {
    let mut tried = 0;
    let mut faults = Vec::new();
    for line in report.lines().filter(|line| !line.is_empty()) {
        println!("{who}: {line}");
        match line.split_once(' ') {
            Some(("held", _)) => tried += 1,
            Some(("works", _)) => {}
            _ => faults.push(format!("{who}: {line}")),
        }
    }
    for works in ["works the test's server answers", "works the whole list"] {
        if !report.lines().any(|line| line == works) {
            faults.push(format!("{who}: no line `{works}`"));
        }
    }
    if tried < LEAST {
        faults.push(format!("{who}: only {tried} attempts"));
    }
    faults
}

/// Fails when in one of the reports (who tried, and what the list said) an attempt went through, could not be made,
/// or is missing; all that is wrong with all of them is named.
pub fn assert_held(reports: &[(&str, &str)]) {
    let faults: Vec<_> = reports
        .iter()
        .flat_map(|(who, report)| faults(who, report))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let mut report = String::from("works the test's server answers\n");
        for number in 0..LEAST {
            writeln!(report, "held attempt {number}").unwrap();
        }
        report + "works the whole list\n"
    }

    #[test]
    fn what_got_through_could_not_be_tried_or_is_missing_is_a_fault() {
        assert_held(&[("agent", &good())]);
        for (line, fault) in [
            ("OPEN the host's /etc: x", "agent: OPEN the host's /etc: x"),
            (
                "BROKEN the clock: no date",
                "agent: BROKEN the clock: no date",
            ),
            ("sh: syntax error", "agent: sh: syntax error"),
        ] {
            assert_eq!(faults("agent", &(good() + line + "\n")), [fault]);
        }
        let cut = good().replace("works the whole list\n", "");
        assert_eq!(
            faults("root", &cut),
            ["root: no line `works the whole list`"]
        );
        assert!(
            faults("root", "")
                .iter()
                .any(|fault| fault.contains("only 0"))
        );
    }

    /// On the machine of the test itself they would be deeds. Only the list's beginning is run here.
    #[test]
    fn the_list_does_nothing_outside_of_a_jail() {
        let map = fs_err::read_to_string("/proc/self/uid_map").unwrap();
        if map.split_whitespace().nth(1) != Some("0") {
            println!("not tried: this machine's accounts are mapped, as a jail's are");
            return;
        }
        let (guard, rest) = LIST.split_once("\nfi\n").unwrap();
        assert!(!guard.contains("refused") && rest.contains("refused"));
        let done = crate::run(
            &mut std::process::Command::new("sh"),
            format!("{guard}\nfi\necho it went on").as_bytes(),
            std::time::Duration::from_secs(30),
        );
        assert!(!done.status.success());
        assert_eq!(done.text().lines().count(), 1, "{}", done.all());
        assert!(done.text().starts_with("BROKEN this is no jail"));
    }

    #[test]
    fn the_list_is_told_the_machine() {
        let aims = Aims {
            server: "192.0.2.1:1".into(),
            other: "other".into(),
            other_address: "192.0.2.2".into(),
            other_port: 7,
            host_addresses: vec!["192.0.2.3".into(), "fe80::1".into()],
            host_port: 1,
            vsock_port: 1,
            daemon: "1".into(),
            login: "ada".into(),
        };
        let script = aims.script(Entry::Test);
        assert!(script.contains("\nHOST_ADDRESSES='192.0.2.3 fe80::1'\n"));
        let (told, _) = script.split_once("set -u").unwrap();
        for used in LIST.split('$').filter_map(|rest| {
            let name: String = rest
                .trim_start_matches('{')
                .chars()
                .take_while(|letter| letter.is_ascii_uppercase() || *letter == '_')
                .collect();
            (name.len() > 1).then_some(name)
        }) {
            assert!(
                used == "ARGV" || told.contains(&format!("\n{used}=")),
                "the list uses {used}, which nobody fills in"
            );
        }
    }
}
