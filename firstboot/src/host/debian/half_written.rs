//! Account tables that a power cut left half written.
//!
//! `groupadd`, `useradd` and `usermod` write `/etc/passwd` and `/etc/group` first and each of the other tables after
//! it, file by file, so a cut in between leaves an account without its lines there. Called again, the tools take the
//! account for finished and write none of them; so the lines are written here, as the tools would have written them.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use super::accounts::{COLIBRI_GROUP, entry, with_fields};
use super::{Debian, HostError, Processes};
use crate::host::authorized_keys::Login;

/// What `lckpwdf(3)` locks: whoever changes a table holds this while it makes the table's own lock.
const ALL_TABLES: &str = "/etc/.pwd.lock";

/// The tables in `/etc` that the tools change.
const TABLES: [&str; 6] = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];

/// Whether a tool that was ended in the middle leaves a file of this name in `/etc`: a table's lock, which holds the
/// number of the process, the name `TABLE.NUMBER` that the lock has at first, or the table's next version (shadow,
/// `lib/commonio.c`).
fn is_left_behind(name: &str) -> bool {
    let rest_is = |rest: &str| match rest.strip_prefix('.') {
        Some("lock") => true,
        Some(number) => !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()),
        None => rest == "+",
    };
    let rests = TABLES.iter().map(|table| name.strip_prefix(table));
    rests.flatten().any(rest_is)
}

/// The first number given away for containers, and how many each account gets (login.defs(5), SUB_UID_MIN and
/// SUB_UID_COUNT, which Debian leaves at their defaults).
const FIRST_SUBORDINATE: u64 = 100_000;
const SUBORDINATES: u64 = 65_536;

/// Days since 1970, as `/etc/shadow` counts them.
fn today() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / (24 * 60 * 60))
}

/// `table` with one more line.
fn with_line(table: &str, line: &str) -> String {
    let end = if table.is_empty() || table.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{table}{end}{line}\n")
}

/// `/etc/shadow` with a line for `login`, which no password opens.
fn whole_shadow(shadow: &str, login: &str) -> String {
    if entry(shadow, login).is_some() {
        return shadow.to_owned();
    }
    with_line(shadow, &format!("{login}:!:{}:0:99999:7:::", today()))
}

/// `/etc/gshadow` with the members of `group` as `/etc/group` has them.
fn whole_gshadow<'a>(gshadow: &'a str, group: &[&'a str]) -> String {
    let (name, members) = (group[0], group.get(3).copied().unwrap_or_default());
    if entry(gshadow, name).is_none() {
        return with_line(gshadow, &format!("{name}:!::{members}"));
    }
    with_fields(gshadow, name, |fields| {
        fields.resize(4, "");
        fields[3] = members;
    })
}

/// `/etc/subuid` or `/etc/subgid` with a range for `login`, behind all others.
fn whole_subordinates(table: &str, login: &str) -> String {
    if entry(table, login).is_some() {
        return table.to_owned();
    }
    let end_of = |line: &str| {
        let mut fields = line.split(':').skip(1).map(str::parse::<u64>);
        match (fields.next(), fields.next()) {
            (Some(Ok(first)), Some(Ok(count))) => Some(first.saturating_add(count)),
            _ => None,
        }
    };
    let taken = table.lines().filter_map(end_of).max().unwrap_or(0);
    let first = taken.max(FIRST_SUBORDINATE);
    with_line(table, &format!("{login}:{first}:{SUBORDINATES}"))
}

impl<P: Processes> Debian<P> {
    /// The tables that lack something of `login`, each as it should be. One that does not exist is not used here, and
    /// lacks nothing; but for `/etc/shadow`, without which nobody gets in.
    pub(super) fn half_written(
        &self,
        login: &str,
        human: &Login,
    ) -> Result<Vec<(&'static str, String)>, HostError> {
        let groups = self.table("/etc/group")?;
        let of_account = |fields: &Vec<&str>| {
            fields[0] == COLIBRI_GROUP || fields.get(2) == Some(&human.gid.to_string().as_str())
        };
        let mut half_written = Vec::new();
        for path in ["/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"] {
            if path != "/etc/shadow" && !self.machine.at(path).exists() {
                continue;
            }
            let is = self.table(path)?;
            let should = match path {
                "/etc/shadow" => whole_shadow(&is, login),
                "/etc/gshadow" => groups
                    .lines()
                    .map(|line| line.split(':').collect())
                    .filter(of_account)
                    .fold(is.clone(), |text, group| whole_gshadow(&text, &group)),
                _ => whole_subordinates(&is, login),
            };
            if is != should {
                half_written.push((path, should));
            }
        }
        Ok(half_written)
    }

    /// Removes what tools that a cut ended left in `/etc`. A lock holds the number of its process, which after a boot
    /// may well be another's: to the tools that lock then looks alive, and they give up. Whoever has [`ALL_TABLES`]
    /// knows that no tool is at work. (Debian has a tmpfiles.d rule for the locks, but that acts later in the boot
    /// than we do.)
    pub(super) fn remove_left_behind(&self) -> Result<(), HostError> {
        let etc = Path::new("/etc");
        let mut names = self.machine.list(etc)?;
        names.retain(|name| is_left_behind(name));
        if names.is_empty() {
            return Ok(());
        }
        let doing = || HostError::io(format!("locking {ALL_TABLES}"));
        let all = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.machine.at(ALL_TABLES))
            .map_err(doing())?;
        match fcntl_lock(&all, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // A tool is at work, so nothing is known to be left behind; ours waits for it as long as it usually does.
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(doing()(error.into())),
        }
        for name in names {
            let path = etc.join(name);
            match fs::remove_file(self.machine.at(&path)) {
                // The tool that it belonged to has ended well meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(HostError::io(format!("removing {}", path.display())))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_line_is_written_as_the_tools_write_it() {
        let line = format!("ada:!:{}:0:99999:7:::\n", today());
        assert_eq!(
            whole_shadow("root:*:1::::::", "ada"),
            format!("root:*:1::::::\n{line}")
        );
        assert_eq!(
            whole_gshadow("root:*::\n", &["ada", "x", "1000", ""]),
            "root:*::\nada:!::\n"
        );
        assert_eq!(whole_subordinates("", "ada"), "ada:100000:65536\n");
    }

    #[test]
    fn only_what_a_tool_left_behind_is_taken_for_it() {
        for left in ["gshadow.306", "passwd.lock", "subuid.lock", "shadow+"] {
            assert!(is_left_behind(left), "{left}");
        }
        for other in [
            "gshadow",
            "gshadow-",
            "passwd.org",
            "passwd.",
            "group.1a",
            "shadow.306.lock",
            "hosts.306",
        ] {
            assert!(!is_left_behind(other), "{other}");
        }
    }

    #[test]
    fn members_follow_the_group_table_and_the_rest_of_a_line_stays() {
        let group = ["colibri", "x", "820", "bob,ada"];
        assert_eq!(
            whole_gshadow("root:*::\ncolibri:!:bob:bob\nada:!::\n", &group),
            "root:*::\ncolibri:!:bob:bob,ada\nada:!::\n"
        );
    }

    #[test]
    fn a_range_begins_behind_all_others() {
        let table = "bob:100000:65536\nnonsense\neve:300000:10\n";
        assert_eq!(
            whole_subordinates(table, "ada"),
            format!("{table}ada:300010:65536\n")
        );
    }

    #[test]
    fn whole_tables_stay_as_they_are() {
        let shadow = "ada:$y$hash:1::::::";
        assert_eq!(whole_shadow(shadow, "ada"), shadow);
        assert_eq!(whole_subordinates("ada:5:1", "ada"), "ada:5:1");
        let gshadow = "ada:!::\n";
        assert_eq!(whole_gshadow(gshadow, &["ada", "x", "1000", ""]), gshadow);
    }
}
