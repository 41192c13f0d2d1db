//! A guest that runs, and what can be asked of it over ssh.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clawdie_image::qemu::{Accel, Attach, Firmware, Machine, Network, Running, Writes};

use crate::{Disk, Finished, program, run};

/// A key to log in with, made for one test.
pub struct KeyPair {
    private: PathBuf,
    /// The line for `SSH_AUTHORIZED_KEY`.
    pub public: String,
}

impl KeyPair {
    /// Makes a new key in `folder`.
    pub fn generate(folder: &Path) -> Self {
        let private = folder.join("id_ed25519");
        let mut command = program("ssh-keygen", "openssh-client");
        command
            .args([
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "whole-system-test",
                "-f",
            ])
            .arg(&private);
        let done = run(&mut command, b"", Duration::from_secs(30));
        assert!(done.status.success(), "ssh-keygen: {}", done.all());
        let public = fs_err::read_to_string(private.with_extension("pub")).unwrap();
        Self {
            private,
            public: public.trim().to_owned(),
        }
    }
}

/// What the guest answered to one question.
struct Answer {
    /// Output and complaints together, without the last newline.
    text: String,
    /// Exit code.
    code: i32,
}

/// The answers of one session, by the questions' names.
pub struct Answers(BTreeMap<&'static str, Answer>);

impl Answers {
    /// What was answered to the question `name`.
    pub fn text(&self, name: &str) -> &str {
        &self.0[name].text
    }

    /// How the question `name` ended.
    pub fn code(&self, name: &str) -> i32 {
        self.0[name].code
    }
}

/// A machine with our image in it, switched on.
pub struct Guest {
    running: Running,
    log: PathBuf,
    known_hosts: PathBuf,
    sshd_greeted: OnceCell<()>,
}

/// How much longer things take here than with KVM on a quiet machine.
fn patient(seconds: u64) -> Duration {
    Duration::from_secs(seconds) * Accel::probe().unwrap().slowness()
}

impl Guest {
    /// Starts the disk in a machine. The console's log `name` stays after the test.
    pub fn start(disk: &Disk, attach: Attach, firmware: Firmware, name: &str) -> Self {
        let machine = Machine {
            attach,
            firmware,
            ..Self::machine(disk)
        };
        Self::switch_on(&machine, disk, name)
    }

    /// The machine that most tests start a disk in.
    pub fn machine(disk: &Disk) -> Machine {
        Machine {
            writes: Writes::Kept,
            network: Network::Isolated,
            ..Machine::new(disk.path())
        }
    }

    /// Starts a machine. The console's log `name` stays after the test.
    pub fn switch_on(machine: &Machine, disk: &Disk, name: &str) -> Self {
        let logs = crate::built::target().join("consoles");
        fs_err::create_dir_all(&logs).unwrap();
        let log = logs.join(format!("{name}.log"));
        let running = machine.start(&log).unwrap();
        Self {
            running,
            log,
            known_hosts: disk.folder().join("known_hosts"),
            sshd_greeted: OnceCell::new(),
        }
    }

    /// Waits for a login prompt, which comes after good runs and bad ones.
    pub fn wait_for_login(&mut self) {
        let found = self
            .running
            .console()
            .wait_until_said("login: ", patient(60));
        found.unwrap_or_else(|error| panic!("{error}\n(all of it: {})", self.log.display()));
    }

    /// Waits for the report of the first boot, and for its headline to be `expected`.
    pub fn wait_for_report(&mut self, expected: &str) {
        let headlines = ["READY", "SET UP, WITH FAULTS", "NOT SET UP"];
        let lines = headlines.map(|headline| format!("Clawdie first boot: {headline}"));
        let lines = lines.each_ref().map(String::as_str);
        match self.running.console().wait_for_any(&lines, patient(60)) {
            Ok(which) if headlines[which] == expected => {}
            Ok(which) => {
                // Its end tells why.
                let _ = self
                    .running
                    .console()
                    .wait_for("What to do next", patient(2));
                panic!(
                    "{} instead of {expected}: {}",
                    headlines[which],
                    self.running.console().tail()
                );
            }
            Err(error) => panic!("{error}\n(all of it: {})", self.log.display()),
        }
    }

    /// Waits until the console has shown `text`, after what was waited for last.
    pub fn wait_for_text(&mut self, text: &str) {
        let found = self.running.console().wait_for(text, patient(60));
        found.unwrap_or_else(|error| panic!("{error}\n(all of it: {})", self.log.display()));
    }

    /// Leaves the wizard, which a bad seed brings to every console, for the login prompt.
    pub fn leave_wizard(&mut self) {
        self.wait_for_text("Clawdie set-up");
        // Only what differs is drawn: the button does in each of its letters, as it is reversed now.
        for (keys, answer) in [("\u{1b}", ">[ Login prompt ]<"), ("\r", "login: ")] {
            self.running.console().type_text(keys).unwrap();
            self.wait_for_text(answer);
        }
    }

    /// Everything that the console has shown.
    pub fn console_text(&mut self) -> String {
        self.running.console().text()
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.running.process_id()
    }

    /// Waits until sshd greets. The login prompt may come before it: an agent starts at the same time.
    fn wait_for_sshd(&self) {
        let end = Instant::now() + patient(60);
        let greets = || -> io::Result<bool> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.running.ssh_port()))?;
            stream.set_read_timeout(Some(patient(10)))?;
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting)?;
            Ok(greeting == *b"SSH-")
        };
        while !greets().unwrap_or(false) {
            let log = self.log.display();
            assert!(Instant::now() < end, "sshd does not greet (console: {log})");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// `ssh` to the guest, as a machine that has nothing of ours configured would call it.
    fn ssh(&self, options: &[&str], login: &str) -> Command {
        self.sshd_greeted.get_or_init(|| self.wait_for_sshd());
        let mut command = program("ssh", "openssh-client");
        command
            .args([
                "-F",
                "/dev/null",
                "-p",
                &self.running.ssh_port().to_string(),
            ])
            .args([
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=accept-new",
            ])
            .args(["-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "ConnectTimeout=60", "-o", "UpdateHostKeys=no", "-o"])
            .arg(format!("UserKnownHostsFile={}", self.known_hosts.display()))
            .args(options)
            .arg(format!("{login}@127.0.0.1"));
        command
    }

    /// Tries to log in without any key and gives what the server says it would take.
    pub fn offered_methods(&self, login: &str) -> String {
        let mut command = self.ssh(
            &["-o", "PubkeyAuthentication=no", "-o", "LogLevel=DEBUG1"],
            login,
        );
        let done = run(command.arg("true"), b"", patient(30));
        assert!(!done.status.success(), "{login} got in without a key");
        let line = done
            .complaints
            .lines()
            .find_map(|line| line.split_once("Authentications that can continue: "));
        match line {
            Some((_, methods)) => methods.trim().to_owned(),
            None => panic!("the server named no methods: {}", done.complaints),
        }
    }

    /// Tries to log in with a key.
    pub fn try_login(&self, key: &KeyPair, login: &str) -> Finished {
        let mut command = self.ssh(&["-i", &key.private.to_string_lossy()], login);
        run(command.arg("true"), b"", patient(30))
    }

    /// Logs in with `key` and runs every question (a name and a line of shell) in one session.
    /// `secret` is what `sudo -S` reads when a question uses it as `$secret`.
    pub fn ask(
        &self,
        key: &KeyPair,
        login: &str,
        secret: &str,
        questions: &[(&'static str, &str)],
    ) -> Answers {
        let mut script = preamble(secret);
        for (name, line) in questions {
            writeln!(
                script,
                "printf '\\n@@ %s\\n' {name}\n( {line}\n) 2>&1 </dev/null\nprintf '\\n@= %s\\n' $?"
            )
            .unwrap();
        }
        let mut command = self.ssh(&["-i", &key.private.to_string_lossy()], login);
        let done = run(command.arg("sh"), script.as_bytes(), patient(60));
        let answers = parse_answers(&done.text(), questions);
        assert!(
            answers.len() == questions.len(),
            "not every question was answered: {}",
            done.all()
        );
        Answers(answers)
    }

    /// The fingerprint of the key by which the guest identified itself to ssh.
    pub fn host_fingerprint(&self) -> String {
        let mut command = program("ssh-keygen", "openssh-client");
        command.arg("-lf").arg(&self.known_hosts);
        let done = run(&mut command, b"", Duration::from_secs(30));
        // 256 SHA256:... [127.0.0.1]:2222 (ED25519)
        let text = done.text();
        text.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// Logs in with `key` and runs a script; what it said, complaints too. In it `root LINE` runs a line as root.
    pub fn script(&self, key: &KeyPair, login: &str, secret: &str, script: &str) -> String {
        let mut command = self.ssh(&["-i", &key.private.to_string_lossy()], login);
        let whole = format!("exec 2>&1\n{}{script}", preamble(secret));
        let done = run(command.arg("sh"), whole.as_bytes(), patient(60));
        assert!(
            done.status.success(),
            "the script on the guest ended with {}: {}",
            done.status,
            done.all()
        );
        done.text()
    }

    /// Presses the power button and waits for the end.
    pub fn power_off(self) -> Duration {
        let start = Instant::now();
        self.running.power_off(patient(30)).unwrap();
        start.elapsed()
    }
}

/// What a script for the guest begins with: `secret` is what `sudo` reads when the line `root` calls it.
fn preamble(secret: &str) -> String {
    // Through standard input: arguments would show up in the very listings that are searched.
    format!(
        "secret='{secret}'\n\
         root() {{ printf '%s\\n' \"$secret\" | sudo -S -p '' sh -c \"$1\"; }}\n"
    )
}

fn parse_answers(text: &str, questions: &[(&'static str, &str)]) -> BTreeMap<&'static str, Answer> {
    let mut answers = BTreeMap::new();
    for (name, _) in questions {
        let Some((_, rest)) = text.split_once(&format!("\n@@ {name}\n")) else {
            continue;
        };
        let Some((said, rest)) = rest.split_once("\n@= ") else {
            continue;
        };
        let code = rest.lines().next().unwrap_or_default();
        answers.insert(
            *name,
            Answer {
                text: said.trim_end_matches('\n').to_owned(),
                code: code.parse().unwrap(),
            },
        );
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let text = "\n@@ a\none\ntwo\n\n@= 0\n\n@@ b\n\n@= 3\n";
        let answers = parse_answers(text, &[("a", ""), ("b", ""), ("c", "")]);
        assert_eq!(answers.len(), 2);
        assert_eq!(
            (answers["a"].text.as_str(), answers["a"].code),
            ("one\ntwo", 0)
        );
        assert_eq!((answers["b"].text.as_str(), answers["b"].code), ("", 3));
    }
}
