//! What the kernel says of processes on a booted machine, judged.

/// Fails unless this, a `/proc/PID/status`, is of a daemon that could do nothing to its host if it were taken over.
pub fn assert_unprivileged(status: &str) {
    if let Some(fault) = privilege(status) {
        panic!("{fault}: {status}");
    }
}

/// What a process has that a daemon without rights has not. 820 is the account `colibri`.
fn privilege(status: &str) -> Option<String> {
    let own = "820\t820\t820\t820";
    let none = "0000000000000000";
    [
        ("Uid", own),
        ("Gid", own),
        ("CapInh", none),
        ("CapPrm", none),
        ("CapEff", none),
        ("CapBnd", none),
        ("CapAmb", none),
        ("NoNewPrivs", "1"),
        // By a filter.
        ("Seccomp", "2"),
    ]
    .into_iter()
    .find_map(|(name, expected)| {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        (value != Some(expected)).then(|| format!("{name} is {value:?}"))
    })
}

/// Fails unless the way into the vault was seen, by `tests/tenants/watch.sh`, in the environment of the one call of `bw`
/// that needs it, below the root helper, and nowhere else.
pub fn assert_only_bw_had_it(seen: &str) {
    println!("who had the way into the vault:\n{seen}");
    assert!(!seen.is_empty(), "the watch saw nobody unlock the vault");
    if let Some(fault) = seen.lines().find_map(stranger) {
        panic!("{fault}");
    }
}

/// Who has what it should not, of a line `COUNT environ|cmdline NAME GROUP COMMAND…`.
fn stranger(line: &str) -> Option<String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, what, name, group, command @ ..] = words.as_slice() else {
        return Some(format!("no line of the watch: {line}"));
    };
    let verb = match *name {
        "password" => "unlock",
        "client-secret" => "login",
        other => return Some(format!("{other}: {line}")),
    };
    let is_bw = command.iter().any(|word| word.ends_with("/bw.js")) && command.contains(&verb);
    match *what {
        "environ" if *group == "-" && command.is_empty() => None, // It had just ended.
        "environ" if is_bw && group.contains("colibri-hostd") => None,
        "environ" => Some(format!("not the one call of bw: {line}")),
        _ => Some(format!("in an argument list: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAEMON: &str = "Name:\tcolibri-daemon\nUid:\t820\t820\t820\t820\nGid:\t820\t820\t820\t820\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn any_right_of_a_daemon_is_seen() {
        assert_eq!(privilege(DAEMON), None);
        for (from, to) in [
            ("Uid:\t820\t820", "Uid:\t820\t0"),
            ("CapBnd:\t0", "CapBnd:\t8"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2\n", ""),
        ] {
            assert!(privilege(&DAEMON.replace(from, to)).is_some(), "{to}");
        }
    }

    #[test]
    fn whoever_else_has_the_way_into_the_vault_is_named() {
        let hostd = "/system.slice/colibri-hostd.service";
        let bw = "/usr/bin/node /usr/local/lib/bw/node_modules/@bitwarden/cli/build/bw.js";
        for good in [
            format!("   7 environ password {hostd} {bw} unlock --raw --passwordenv BW_PASSWORD"),
            format!("   1 environ client-secret {hostd} {bw} login --apikey"),
            "   1 environ password - ".to_owned(),
        ] {
            assert_eq!(stranger(&good), None);
        }
        for bad in [
            format!("1 environ password {hostd} {bw} sync"),
            format!("1 environ client-secret {hostd} {bw} unlock"),
            format!("1 cmdline password {hostd} {bw} unlock"),
            format!("1 environ password {hostd} /usr/local/bin/colibri-hostd"),
            format!("1 environ password /colibri.slice/colibri-jail@ember.service {bw} unlock"),
            "1 cmdline password - ".to_owned(),
            "password".to_owned(),
        ] {
            assert!(stranger(&bad).is_some(), "{bad}");
        }
    }
}
