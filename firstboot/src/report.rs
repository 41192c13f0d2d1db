//! What the operator is told, the same on the seed, the console, at login and in the log. No secret is in it.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;

use crate::habits::Habits;
use crate::host::{Access, Address, Host, HostError, Volume};
use crate::journal::{Outcome, Phase};
use crate::seed;
use crate::step::{self, Context, Finished};

/// The report's file on the seed.
pub const FILE: &str = "RESULT.txt";

/// A console shows 80 columns.
const WIDTH: usize = 78;

/// Frames of our part of the message of the day; what an admin wrote around it stays.
const MOTD_BEGIN: &str = "=== Clawdie first boot ===";
const MOTD_END: &str = "=== end of the first boot's report ===";

/// The account of a run.
#[derive(Debug, Clone)]
pub struct Report {
    phase: Phase,
    at: Timestamp,
    agent: &'static str,
    /// Whether there was no good seed.
    refused: bool,
    steps: Vec<Finished>,
    problems: Vec<String>,
    /// Things worth knowing although nothing failed.
    pub warnings: Vec<String>,
    host_name: String,
    addresses: Vec<Address>,
    fingerprints: Vec<String>,
    /// The operator's login and whether keys or a password open it.
    login: Option<Login>,
    has_seed: bool,
    was_set_up: bool,
    habits: Habits,
}

#[derive(Debug, Clone)]
struct Login {
    name: String,
    by_key: bool,
    by_password: bool,
}

impl Report {
    /// Gathers everything after the last step of a phase.
    pub fn gather(
        cx: &Context,
        phase: Phase,
        earlier: Vec<Finished>,
        finished: &[Finished],
    ) -> Self {
        let mut steps = earlier;
        for step in finished {
            // `seed` and the like are taken in both phases: the later word counts, unless the earlier one did the work.
            match steps.iter_mut().find(|known| known.name == step.name) {
                Some(known) if matches!(step.outcome, Outcome::Already(_)) => {
                    if !known.outcome.is_good() {
                        known.outcome = step.outcome.clone();
                    }
                }
                Some(known) => known.outcome = step.outcome.clone(),
                None => steps.push(step.clone()),
            }
        }
        let mut warnings: Vec<String> = cx.warnings.borrow().clone();
        let mut fact = |what: &str, error: &HostError| warnings.push(format!("{what}: {error}"));
        let host_name = cx.host.host_name().unwrap_or_else(|error| {
            fact("the host name cannot be read", &error);
            String::new()
        });
        let addresses = cx.host.addresses().unwrap_or_else(|error| {
            fact("the addresses cannot be read", &error);
            Vec::new()
        });
        let fingerprints = cx.host.ssh_fingerprints().unwrap_or_else(|error| {
            fact("the SSH fingerprints cannot be read", &error);
            Vec::new()
        });
        let setup = cx.intake.setup();
        let login = setup.map(|setup| Login {
            name: setup.operator_user().to_owned(),
            by_key: !setup.ssh_keys().is_empty(),
            by_password: cx.host.has_password(setup.operator_user()).unwrap_or(false),
        });
        Self {
            phase,
            at: cx.host.now(),
            agent: env!("CARGO_PKG_VERSION"),
            refused: setup.is_none(),
            steps,
            problems: cx
                .intake
                .problems()
                .iter()
                .map(ToString::to_string)
                .collect(),
            warnings,
            host_name,
            addresses,
            fingerprints,
            login,
            has_seed: cx.intake.mark().is_some(),
            was_set_up: cx.was_set_up,
            habits: cx.host.habits(),
        }
    }

    fn failed(&self) -> impl Iterator<Item = &Finished> {
        self.steps.iter().filter(|step| !step.outcome.is_good())
    }

    /// Whether the seed has been emptied of secrets.
    fn is_emptied(&self) -> bool {
        self.steps.iter().any(|step| {
            step.name == step::EMPTY_SEED
                && matches!(step.outcome, Outcome::Done(_) | Outcome::Already(_))
        })
    }

    /// The first line: what it comes down to.
    fn headline(&self) -> &'static str {
        if self.refused {
            "NOT SET UP"
        } else if self.failed().next().is_some() {
            "SET UP, WITH FAULTS"
        } else {
            "READY"
        }
    }

    fn next(&self) -> Vec<String> {
        let mut next = Vec::new();
        if self.refused {
            next.push(if self.has_seed {
                "Correct setup.txt on the stick as told above, save it and start this machine again."
                    .into()
            } else {
                "Put a stick with a good setup.txt into this machine and start it again.".into()
            });
            next.push(if self.was_set_up {
                "Until then this machine stays as an earlier seed set it up. Root is locked.".into()
            } else {
                "Until then nothing is provisioned: no account, no key, no agent. Root is locked."
                    .into()
            });
        } else if self.failed().next().is_some() {
            next.push(format!(
                "Read the lines marked FAILED above; the next start tries those steps again. On \
                 this machine: {} clawdie-firstboot status",
                self.habits.become_root
            ));
        }
        if let Some(login) = &self.login {
            let place = self
                .addresses
                .first()
                .map_or("ADDRESS", |address| address.address.as_str());
            if login.by_key {
                next.push(format!("Log in: ssh {}@{place}", login.name));
            }
            if login.by_password {
                next.push(format!(
                    "On the console: log in as `{}` with your password",
                    login.name
                ));
            }
            next.push("Ask Colibri: colibri status".into());
        }
        if self.addresses.is_empty() && self.phase == Phase::Late {
            next.push(format!(
                "No network address yet: plug in a cable and look here again: {}",
                self.habits.show_addresses
            ));
        }
        if self.is_emptied() {
            next.push(
                "The secret lines of the stick's setup.txt are empty now: this machine keeps what it \
                 has. To change one, write the new value into its line and start the machine again."
                    .into(),
            );
        } else if self.has_seed {
            next.push(
                "The stick's setup.txt still holds your keys and passwords in plain text: keep the \
                 stick safe, or, when no other machine needs it, write SEED_SECRETS=blank into it \
                 and start this machine again, which then empties those lines."
                    .into(),
            );
        }
        next
    }

    /// The whole report, with `\n` line ends.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let headline = format!("Clawdie first boot: {}", self.headline());
        let _ = writeln!(text, "{headline}\n{}\n", "=".repeat(headline.len()));
        let _ = writeln!(text, "Host name:     {}", self.host_name);
        for (at, address) in self.addresses.iter().enumerate() {
            let label = if at == 0 { "Addresses:" } else { "" };
            let _ = writeln!(
                text,
                "{label:<14} {} ({})",
                address.address, address.interface
            );
        }
        if self.addresses.is_empty() {
            let _ = writeln!(text, "Addresses:     none yet");
        }
        for (at, fingerprint) in self.fingerprints.iter().enumerate() {
            let label = if at == 0 { "SSH host keys:" } else { "" };
            let _ = writeln!(text, "{label:<14} {fingerprint}");
        }
        let _ = writeln!(
            text,
            "Written:       {:.0} by clawdie-firstboot {}",
            self.at, self.agent
        );
        if !self.problems.is_empty() {
            let _ = writeln!(text, "\nsetup.txt\n---------");
            for problem in &self.problems {
                let _ = writeln!(text, "{problem}\n");
            }
        }
        let _ = writeln!(text, "\nSteps\n-----");
        for step in &self.steps {
            let (word, detail) = (step.outcome.word(), step.outcome.detail());
            let start = format!("{:<22} {word:<14}", step::title(&step.name));
            text.push_str(&wrapped(&start, detail));
        }
        if !self.warnings.is_empty() {
            let _ = writeln!(text, "\nWorth knowing\n-------------");
            for warning in &self.warnings {
                text.push_str(&wrapped("*", warning));
            }
        }
        let _ = writeln!(text, "\nWhat to do next\n---------------");
        for line in self.next() {
            text.push_str(&wrapped("*", &line));
        }
        text
    }

    /// The report for a console.
    pub fn for_console(&self) -> String {
        harmless(&self.text())
    }

    /// The few lines for every login.
    fn motd(&self) -> String {
        let mut text = format!("{MOTD_BEGIN}\n{}. Host {}", self.headline(), self.host_name);
        if let Some(address) = self.addresses.first() {
            let _ = write!(text, ", {}", address.address);
        }
        text.push_str(".\n");
        for step in self.failed() {
            let _ = writeln!(
                text,
                "{}: {} {}",
                step::title(&step.name),
                step.outcome.word(),
                step.outcome.detail()
            );
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "* {warning}");
        }
        let _ = writeln!(
            text,
            "More: {} clawdie-firstboot status, and RESULT.txt on the stick.\n{MOTD_END}",
            self.habits.become_root
        );
        harmless(&text)
    }
}

/// What a line of `setup.txt` holds must not command the terminal that shows it.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() && letter != '\n' {
                '?'
            } else {
                letter
            }
        })
        .collect()
}

/// Words behind a start, in lines that a console shows whole; where the first does not fit, all of them go below.
fn wrapped(start: &str, words: &str) -> String {
    let mut text = String::from(start);
    let mut column = start.chars().count();
    let indent = if column + 1 + words.chars().count() <= WIDTH || column < 4 {
        2
    } else {
        4
    };
    if indent == 4 {
        text = text.trim_end().to_owned();
        text.push_str("\n   ");
        column = 3;
    }
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if column + 1 + length > WIDTH && column > indent {
            text.push('\n');
            text.push_str(&" ".repeat(indent - 1));
            column = indent - 1;
        }
        text.push(' ');
        text.push_str(word);
        column += 1 + length;
    }
    text.push('\n');
    text
}

/// Writes `RESULT.txt`, with the line ends that Notepad likes. The seed is writable for this moment only.
///
/// # Errors
/// The stick is gone, full, or write-protected.
pub fn write_on_seed(
    host: &dyn Host,
    volume: Option<&Volume>,
    report: &Report,
) -> Result<(), HostError> {
    let Some(volume) = volume else { return Ok(()) };
    let text = report.text().replace('\n', "\r\n");
    seed::with_volume(host, volume, Access::ReadWrite, |folder| {
        // The seed is mounted so that every file on it has this mode; FAT knows no other.
        host.write(&folder.join(FILE), text.as_bytes(), 0o700)
    })
}

/// Puts the short report into the message of the day, in place of the one before.
///
/// # Errors
/// The file cannot be read or written.
pub fn write_motd(host: &dyn Host, report: &Report) -> Result<(), HostError> {
    let path = Path::new(host.paths().motd);
    let old = host.read(path)?.unwrap_or_default();
    let old = String::from_utf8_lossy(&old).into_owned();
    let ours = report.motd();
    let new = match (old.find(MOTD_BEGIN), old.find(MOTD_END)) {
        (Some(begin), Some(end)) if begin < end => {
            let after = old[end + MOTD_END.len()..].trim_start_matches('\n');
            format!("{}{ours}{after}", &old[..begin])
        }
        _ if old.is_empty() || old.ends_with('\n') => format!("{old}{ours}"),
        _ => format!("{old}\n{ours}"),
    };
    if new == old {
        Ok(())
    } else {
        host.write(path, new.as_bytes(), 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recording::Recording;
    use crate::intake::Intake;
    use std::time::Duration;

    fn report(host: &Recording) -> Report {
        let mut intake = Intake::take_in(host, "0.1.0", Duration::ZERO);
        intake.judge(host);
        let cx = Context::new(host, &intake);
        cx.warn("mind the \u{1b}[2J gap");
        let failed = Outcome::Failed("a reason that is longer than a line of a console ".repeat(3));
        let finished = [
            Finished {
                name: "root-lock".into(),
                outcome: Outcome::Done("root locked".into()),
            },
            Finished {
                name: "host-name".into(),
                outcome: failed,
            },
        ];
        Report::gather(&cx, Phase::Late, Vec::new(), &finished)
    }

    #[test]
    fn lines_fit_a_console_and_commands_to_it_are_defused() {
        let host = Recording::fresh(Some(include_str!("../tests/setup/good/typical.txt")));
        let text = report(&host).for_console();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(
            text.contains("mind the ?[2J gap") && !text.contains('\u{1b}'),
            "{text}"
        );
        assert!(
            text.contains("Lock root              done           root locked\n"),
            "{text}"
        );
        assert!(
            text.contains("Host name              FAILED\n    a reason that"),
            "{text}"
        );
    }

    #[test]
    fn the_message_of_the_day_is_exchanged_and_what_others_wrote_stays() {
        let host = Recording::fresh(None);
        let path = Path::new(host.paths().motd);
        host.write(path, b"Welcome to Debian\n", 0o644)
            .expect("written");
        let report = report(&host);
        write_motd(&host, &report).expect("written");
        let added = [host.text(path).as_str(), "Call Ada when it breaks\n"].concat();
        host.write(path, added.as_bytes(), 0o644).expect("written");
        write_motd(
            &host,
            &Report {
                host_name: "otter".into(),
                ..report
            },
        )
        .expect("written");
        let text = host.text(path);
        assert!(text.starts_with("Welcome to Debian\n=== Clawdie"), "{text}");
        assert!(
            text.ends_with("=== end of the first boot's report ===\nCall Ada when it breaks\n"),
            "{text}"
        );
        assert_eq!(text.matches(MOTD_BEGIN).count(), 1);
        assert!(text.contains("Host otter"), "{text}");
    }

    #[test]
    fn words_go_below_a_start_that_leaves_no_room() {
        assert_eq!(
            wrapped("Host name   done", "short"),
            "Host name   done short\n"
        );
        assert_eq!(wrapped("*", &"word ".repeat(20)).lines().count(), 2);
        assert!(
            wrapped("*", &"word ".repeat(20))
                .lines()
                .nth(1)
                .expect("a line")
                .starts_with("  word")
        );
    }
}
