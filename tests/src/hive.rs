//! A booted host whose first tenant's secrets come from a vault, and what root sees and does on it.

use std::fmt::Write as _;

use clawdie_image::qemu::{Machine, Network};
use colibri_vault_server::{Collection, Item, Server as Vault, State};

use crate::{Answers, Built, Canary, Disk, Guest, KeyPair};

/// What every script of root's can call.
pub const LIBRARY: &str = include_str!("../tenants/jail.sh");

/// By which the guest reaches the loopback of the machine that runs the test.
const HOST_OF_GUEST: &str = "10.0.2.2";

/// Where root of the host names a private authority for the vault.
const AUTHORITY: &str = "/etc/colibri/vault-ca.pem";

/// The operator's login; without a password, so that `sudo` asks for none.
pub const LOGIN: &str = "ada";

/// The tenant that `setup.txt` names.
pub const FIRST: &str = "ember";

/// The one that is registered later.
pub const SECOND: &str = "flint";

/// The variable of each tenant's one secret.
pub const VARIABLE: &str = "OPENROUTER_API_KEY";

/// What is typed in, and what lies in the vault.
pub struct Seed {
    /// The secret of the API key of the host's account.
    pub client_secret: Canary,
    /// The master password of that account.
    pub password: Canary,
    /// The first tenant's secret.
    pub first: Canary,
    /// The second one's.
    pub second: Canary,
    key: KeyPair,
    client_id: String,
}

/// How a first boot finds its vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it should.
    Open,
    /// The master password of `setup.txt` is not the account's.
    WrongPassword,
    /// Nobody listens at the address.
    Unreachable,
}

impl Seed {
    /// New secrets and a new key, which lies beside `disk`.
    fn new(disk: &Disk) -> Self {
        Self {
            client_secret: Canary::new("API key of the vault", "", 30),
            password: Canary::new("master password", "Mp", 30),
            first: Canary::new("first tenant's key", "sk-or-v1-", 64),
            second: Canary::new("second tenant's key", "sk-or-v1-", 64),
            key: KeyPair::generate(disk.folder()),
            client_id: State::default().client_id,
        }
    }

    /// The secrets that never leave the host's own places.
    pub fn bootstrap(&self) -> [&Canary; 2] {
        [&self.client_secret, &self.password]
    }

    /// No secret in a text that anybody may come to read.
    pub fn assert_none_in(&self, text: &str, place: &str) {
        for secret in self.all() {
            secret.assert_not_in(text.as_bytes(), place);
        }
    }

    /// All of them.
    pub fn all(&self) -> [&Canary; 4] {
        [
            &self.client_secret,
            &self.password,
            &self.first,
            &self.second,
        ]
    }

    /// The vault of this seed: a collection for each tenant, and `more` with the second one's secret.
    fn vault(&self, more: &[String]) -> Vault {
        let collection = |name: &str, secret: &Canary| {
            Collection::new(name, [Item::login(VARIABLE, &secret.value)])
        };
        let mut collections = vec![
            collection(FIRST, &self.first),
            collection(SECOND, &self.second),
        ];
        collections.extend(more.iter().map(|name| collection(name, &self.second)));
        let state = State {
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.value.clone(),
            password: self.password.value.clone(),
            collections,
            ..State::default()
        };
        Vault::start("127.0.0.1:0", &[HOST_OF_GUEST], state).unwrap()
    }

    fn setup(&self, server: &str, way: Way) -> String {
        let password = match way {
            // The canary is still what must not be found.
            Way::WrongPassword => format!("{}x", self.password.value),
            Way::Open | Way::Unreachable => self.password.value.clone(),
        };
        format!(
            "TELEGRAM=none\nASSISTANT_NAME=Ember\nHOSTNAME=hive-tenants\nOPERATOR_USER={LOGIN}\n\
             SSH_AUTHORIZED_KEY={}\nTENANT_ID={FIRST}\nVAULT_SERVER={server}\nBW_CLIENTID={}\n\
             BW_CLIENTSECRET={}\nBW_PASSWORD={password}\n",
            self.key.public, self.client_id, self.client_secret.value
        )
    }
}

/// The host, booted for the first time, with its report out.
pub struct Hive {
    /// Its disk.
    pub disk: Disk,
    /// What was typed in.
    pub seed: Seed,
    /// The vault; it runs as long as this.
    pub vault: Vault,
    guest: Guest,
}

impl Hive {
    /// Boots the image from a seed with a vault, and waits for a report with this headline. The console's log is `name`;
    /// `more` collections are in the vault.
    pub fn boot(name: &str, way: Way, headline: &str, more: &[String]) -> Self {
        let disk = Disk::copy_of(&Built::get());
        disk.grow_by(1024);
        let seed = Seed::new(&disk);
        let vault = seed.vault(more);
        if way == Way::Unreachable {
            vault.stop();
        }
        disk.put_root(AUTHORITY, vault.ca().as_bytes());
        let setup = seed.setup(&vault.url(HOST_OF_GUEST), way);
        disk.put_seed("setup.txt", setup.as_bytes());
        let machine = Machine {
            network: Network::Outside,
            // Two agents, and somebody who takes all that he gets.
            memory: 1536,
            ..Guest::machine(&disk)
        };
        let mut guest = Guest::switch_on(&machine, &disk, name);
        // The vault's client takes a dozen starts of Node, of up to ten seconds each where they are translated.
        guest.wait_for_report_within(headline, 150);
        guest.wait_for_login();
        Self {
            disk,
            seed,
            vault,
            guest,
        }
    }

    /// The address of a server on this machine's loopback, as the guest reaches it.
    pub fn from_guest(port: u16) -> String {
        format!("{HOST_OF_GUEST}:{port}")
    }

    /// Root answers, in one session and within so many `seconds` (of a machine with KVM).
    pub fn root_within(&self, seconds: u64, questions: &[(&'static str, &str)]) -> Answers {
        self.guest
            .ask_root(&self.seed.key, LOGIN, LIBRARY, seconds, questions)
    }

    /// As [`Hive::root_within`], for what is done soon.
    pub fn root(&self, questions: &[(&'static str, &str)]) -> Answers {
        self.root_within(60, questions)
    }

    /// Root runs one script, which must end well; what it said.
    pub fn run(&self, script: &str) -> String {
        let answers = self.root_within(120, &[("script", script)]);
        assert_eq!(
            answers.code("script"),
            0,
            "{script}\n{}",
            answers.text("script")
        );
        answers.text("script").to_owned()
    }

    /// Puts a text into a file of root's on the host; through standard input, so that no list of processes shows it.
    pub fn put(&self, path: &str, text: &str) {
        self.run(&put(path, text));
    }

    /// Switches it off; the console must not have shown a secret.
    pub fn power_off(self) -> (Disk, Seed) {
        let Self {
            disk,
            seed,
            mut guest,
            ..
        } = self;
        seed.assert_none_in(&guest.console_text(), "what the console shows");
        guest.power_off();
        disk.assert_sound();
        (disk, seed)
    }
}

/// Lines of shell that write a text, whatever it is, into a file that only root can read.
pub fn put(path: &str, text: &str) -> String {
    const END: &str = "-- end of the file --";
    assert!(!text.lines().any(|line| line == END));
    let mut script = format!("umask 077; cat >'{path}' <<'{END}'\n");
    writeln!(script, "{}\n{END}", text.trim_end_matches('\n')).unwrap();
    script
}

/// The least time within which so many of a hundred calls were done, of what `milliseconds` in `jail.sh` printed.
///
/// # Errors
/// The line of a call that failed.
pub fn percentile(of: usize, printed: &str) -> Result<u64, String> {
    let mut times = printed
        .lines()
        .map(|line| line.parse::<u64>().map_err(|_| line.to_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    let last = times.len().checked_sub(1).ok_or("nothing was measured")?;
    Ok(times[(times.len() * of / 100).min(last)])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_percentile_is_of_calls_that_went_well() {
        let hundred: String = (1..=100).rev().map(|time| format!("{time}\n")).collect();
        assert_eq!(percentile(99, &hundred), Ok(100));
        assert_eq!(percentile(50, &hundred), Ok(51));
        assert_eq!(percentile(99, "7"), Ok(7));
        assert_eq!(
            percentile(99, "7\nfailed: colibri"),
            Err("failed: colibri".into())
        );
        assert!(percentile(99, "").is_err());
    }

    #[test]
    fn a_file_is_put_to_the_byte_but_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let text = "it's $HOME `x` \\n\n\n  end";
        let script = put(path.to_str().unwrap(), text);
        let done = crate::run(
            &mut std::process::Command::new("sh"),
            script.as_bytes(),
            Duration::from_secs(30),
        );
        assert!(done.status.success(), "{}", done.all());
        assert_eq!(fs_err::read_to_string(path).unwrap(), format!("{text}\n"));
    }

    #[test]
    fn the_library_is_clean_shell_and_measures() {
        let script = format!("{LIBRARY}\nmilliseconds 2 true; milliseconds 1 false");
        let done = crate::run(
            &mut std::process::Command::new("sh"),
            script.as_bytes(),
            Duration::from_secs(30),
        );
        let text = done.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{}", done.all());
        assert_eq!(lines[2], "failed: false");
        assert!(percentile(99, &lines[..2].join("\n")).is_ok());
    }
}
