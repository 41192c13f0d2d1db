//! The plug is pulled in the middle of a first boot: the next boot must lead to the state that an undisturbed
//! one leads to.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use crate::scenario::Typed;
use crate::{Built, Disk, Guest};

/// What is typed in.
const SETUP: &str = include_str!("../scenarios/happy/setup.txt");

/// Prints everything that first boot decides on the host. What each machine draws anew is left out: SSH host keys,
/// salts of passwords, the machine's id, times; and the size of the root, which is told apart. The agent's thousands of
/// files are the image's own.
const STATE: &str = r#"
systemctl is-system-running --wait
root 'find /etc /usr/local /home /var/spool/cron -xdev -path /usr/local/lib/node_modules -prune -o -type f \
        ! -path "/etc/ssh/ssh_host_*" ! -name machine-id ! -path "/etc/shadow*" ! -path "/etc/passwd-" \
        ! -path "/etc/group-" ! -path "/etc/gshadow-" ! -path "/etc/sub?id-" ! -path "/etc/motd" \
        ! -path "/etc/.pwd.lock" ! -name "*.bash_history" ! -path "/etc/ld.so.cache" -print0 | sort -z >/run/files
    xargs -0 stat -c "%n %a %U:%G" </run/files
    xargs -0 sha256sum </run/files'
root 'find /etc /usr/local /home -xdev -type l -printf "%p -> %l\n" | sort'
root 'cut -d: -f1 /etc/shadow; cut -d: -f2 /etc/shadow | cut -c1-3'
root 'systemctl list-unit-files --state=enabled --no-legend --no-pager'
root 'sfdisk --dump "$(lsblk -no PKNAME "$(findmnt -no SOURCE /)" | sed s,^,/dev/,)" | grep -o "size=.*"'
df --output=size /
hostname
colibri status --json | grep -o '"journal_mode": *"[a-z]*"'
"#;

/// How first boot's lines on the console begin, though not always at the start of one: the login prompt comes in between.
const LINE: &str = "clawdie: ";

/// How many of them there are at least: the cuts are spread over these.
const LINES: usize = 22;

/// Where in a first boot the plug is pulled.
struct Cut {
    number: usize,
    /// After this many of first boot's lines on the console.
    line: usize,
    /// And this much later.
    delay: Duration,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            line,
            delay,
        } = self;
        write!(f, "cut {number} (line {line}, {delay:?} later)")
    }
}

/// Cuts a first boot `count` times, each time on a fresh stick, spread over its lines on the console and the time
/// between them.
pub fn play(count: usize) {
    let home = Disk::nothing();
    let typed = Typed::new(&home);
    let ends = Mutex::new(Vec::new());
    let cuts = (0..count).map(|number| Cut {
        number: number + 1,
        line: 1 + (2 * number + 1) * LINES / (2 * count),
        delay: Duration::from_millis([0, 150, 400][number % 3]),
    });
    let next = Mutex::new(cuts);
    let cut_all = || {
        loop {
            let Some(cut) = next.lock().unwrap().next() else {
                break;
            };
            let state = cut_and_boot(&cut, &typed);
            ends.lock().unwrap().push((cut, state));
        }
    };
    // Two machines at once, each with one processor; the other one's first boot is the one that nobody disturbs.
    let expected = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let state = boot_undisturbed(&typed);
            cut_all();
            state
        });
        cut_all();
        other.join().unwrap()
    });
    // Every cut that differs is told, because the whole game takes an hour.
    let elsewhere: Vec<String> = ends
        .lock()
        .unwrap()
        .iter()
        .map(|(cut, found)| (cut, differences(&expected, found)))
        .filter(|(_, differences)| !differences.is_empty())
        .map(|(cut, differences)| format!("{cut} leads elsewhere:\n{}", differences.join("\n")))
        .collect();
    assert!(elsewhere.is_empty(), "{}", elsewhere.join("\n"));
}

fn boot_undisturbed(typed: &Typed) -> String {
    let disk = stick(typed);
    let mut guest = boot(&disk, "power-cut-none");
    guest.wait_for_report("READY");
    let expected = state(&mut guest, typed);
    let lines = guest.console_text().matches(LINE).count();
    guest.power_off();
    assert!(lines >= LINES, "first boot shows {lines} lines");
    expected
}

fn cut_and_boot(cut: &Cut, typed: &Typed) -> String {
    let name = format!("power-cut-{}", cut.number);
    let disk = stick(typed);
    let mut guest = boot(&disk, &name);
    for _ in 0..cut.line {
        guest.wait_for_text(LINE);
    }
    std::thread::sleep(cut.delay);
    // Dropping a machine pulls its plug.
    drop(guest);

    let mut guest = boot(&disk, &format!("{name}-again"));
    let found = state(&mut guest, typed);
    guest.power_off();
    disk.assert_sound();
    let result = disk.seed_file("RESULT.txt").unwrap_or_default();
    let result = String::from_utf8_lossy(&result);
    assert!(result.contains("READY"), "{cut}: RESULT.txt: {result}");
    found
}

fn stick(typed: &Typed) -> Disk {
    let disk = Disk::copy_of(&Built::get());
    disk.grow_by(512);
    disk.put_seed("setup.txt", typed.fill(SETUP).as_bytes());
    disk
}

fn boot(disk: &Disk, name: &str) -> Guest {
    Guest::switch_on(&Guest::machine(disk), disk, name)
}

/// The host as first boot left it.
fn state(guest: &mut Guest, typed: &Typed) -> String {
    guest.wait_for_login();
    typed.script(guest, STATE)
}

/// Lines that only one of two texts has.
fn differences(expected: &str, found: &str) -> Vec<String> {
    let only = |sign: &str, here: &str, there: &str| -> Vec<String> {
        let there: BTreeSet<&str> = there.lines().collect();
        here.lines()
            .filter(|line| !there.contains(line))
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    let mut lines = only("-", expected, found);
    lines.extend(only("+", found, expected));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_from_both_sides() {
        assert!(differences("a\nb\n", "a\nb\n").is_empty());
        assert_eq!(differences("a\nb\n", "a\nc\n"), ["- b", "+ c"]);
    }
}
