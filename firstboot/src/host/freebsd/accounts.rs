//! Root's lock, Colibri's service account, the operator's account, its password, keys and way to root: pw(8).
//!
//! Login reads a database (`pwd.db`, `spwd.db`) that pw and pwd_mkdb make from `master.passwd`, so what pw shows is what
//! counts. A cut may leave text and database apart; then the database is made anew before anything else is done.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Command, Freebsd, HostError, Processes};
use crate::host::authorized_keys::Login;

/// Colibri's user and group: members of the group may talk to the daemon's socket.
const COLIBRI: &str = "colibri";

/// Number of Colibri's user and group, as in `image/freebsd.toml`: the image's files belong to it before it exists.
const COLIBRI_ID: &str = "820";

/// Members of `wheel` may become root by mdo(1): the image's sysctl.conf says so.
const ROOTS_GROUP: &str = "wheel";

/// The rule of mac_do(4) for it; `wheel` is group 0.
const MDO_RULE: &str = "gid=0>uid=0";

/// First number of people's accounts (`pw.conf(5)`, `minuid`); what lies below belongs to the system.
const FIRST_HUMAN: u32 = 1000;

/// `nobody`, the one account of the system with a high number.
const NOBODY: u32 = 65534;

/// pw(8), EXIT STATUS: `EX_NOUSER`.
const NO_SUCH_USER: i32 = 67;

/// What `pw lock` puts in front of a password; sshd refuses even keys then.
const LOCKED: &str = "*LOCKED*";

/// A line of master.passwd, ten fields: name, password, numbers, class, two times, full name, home and shell.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    password: String,
    login: Login,
}

impl Account {
    /// A password that somebody could type, or none at all.
    fn opens(&self) -> bool {
        !self.password.starts_with('*')
    }
}

fn parse(line: &str) -> Result<Account, HostError> {
    let fields: Vec<&str> = line.trim_end().split(':').collect();
    let unexpected = |detail: &str| HostError::Unexpected {
        what: format!("the line of `{}` in /etc/master.passwd", fields[0]),
        detail: detail.into(),
    };
    let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
    let (Some(password), Some(uid), Some(gid), Some(home)) =
        (fields.get(1), number(2), number(3), fields.get(8))
    else {
        return Err(unexpected("it has too few fields"));
    };
    if !home.starts_with('/') {
        return Err(unexpected("the home folder is not absolute"));
    }
    Ok(Account {
        password: (*password).to_owned(),
        login: Login {
            uid,
            gid,
            home: (*home).to_owned(),
        },
    })
}

impl<P: Processes> Freebsd<P> {
    fn run(&self, command: &[&str]) -> Result<(), HostError> {
        self.machine
            .processes
            .demand(&Command::new(command.iter().copied()))?;
        Ok(())
    }

    /// The account as login sees it.
    fn account(&self, name: &str) -> Result<Option<Account>, HostError> {
        let command = Command::new(["pw", "usershow", "-n", name]);
        let output = self
            .machine
            .processes
            .run(&command)
            .map_err(HostError::io(format!("running `{}`", command.line())))?;
        match output.status {
            Some(0) => parse(&output.stdout).map(Some),
            Some(NO_SUCH_USER) => Ok(None),
            status => Err(HostError::Command {
                command: command.line(),
                status: status.map_or("killed by a signal".into(), |code| format!("exit {code}")),
                output: output.stderr.trim().to_owned(),
            }),
        }
    }

    /// The account as the text has it, from which the database is made.
    fn written(&self, name: &str) -> Result<Option<Account>, HostError> {
        let text = self
            .machine
            .text_at("/etc/master.passwd")?
            .unwrap_or_default();
        text.lines()
            .find(|line| line.split(':').next() == Some(name))
            .map(parse)
            .transpose()
    }

    /// Makes the database anew where it differs from the text; the account as both have it then.
    fn agreed(&self, name: &str) -> Result<Option<Account>, HostError> {
        let written = self.written(name)?;
        if self.account(name)? == written {
            return Ok(written);
        }
        self.run(&["pwd_mkdb", "-p", "/etc/master.passwd"])?;
        self.account(name)
    }

    /// Members of a group; `None` when there is no such group.
    fn members(&self, group: &str) -> Result<Option<Vec<String>>, HostError> {
        let text = self.machine.text_at("/etc/group")?.unwrap_or_default();
        Ok(text
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == group)
            .map(|fields| {
                let members = fields.get(3).copied().unwrap_or_default();
                members
                    .split(',')
                    .map(|member| member.trim().to_owned())
                    .collect()
            }))
    }

    fn is_member(&self, login: &str, group: &str) -> Result<bool, HostError> {
        Ok(self
            .members(group)?
            .is_some_and(|members| members.iter().any(|member| member == login)))
    }

    /// The operator's account; one of the system's own is refused, whatever `setup.txt` says.
    fn human(account: Option<Account>, login: &str) -> Result<Option<Account>, HostError> {
        match account {
            Some(found) if found.login.uid < FIRST_HUMAN || found.login.uid == NOBODY => {
                Err(HostError::Refused(format!(
                    "`{login}` is an account of the system (number {}); choose another `OPERATOR_USER`",
                    found.login.uid
                )))
            }
            found => Ok(found),
        }
    }

    fn present_human(&self, login: &str) -> Result<Account, HostError> {
        Self::human(self.account(login)?, login)?
            .ok_or_else(|| HostError::Refused(format!("there is no account `{login}`")))
    }

    /// Whether root's password is locked, in the text and for login.
    pub(super) fn root_is_locked(&self) -> Result<bool, HostError> {
        let locked = |account: &Option<Account>| {
            account
                .as_ref()
                .is_some_and(|root| root.password.starts_with(LOCKED))
        };
        Ok(locked(&self.written("root")?) && locked(&self.account("root")?))
    }

    pub(super) fn lock_root(&self) -> Result<(), HostError> {
        let Some(root) = self.agreed("root")? else {
            return Err(HostError::Unexpected {
                what: "/etc/master.passwd".into(),
                detail: "it has no root".into(),
            });
        };
        // pw calls it an error when the account is locked already, as it may be once text and database agree.
        if !root.password.starts_with(LOCKED) {
            // A lock stands in front of what was there, and the base's root has nothing: whoever takes the lock away
            // some day must not open root to everybody.
            if root.password.is_empty() {
                self.run(&["pw", "usermod", "-n", "root", "-h", "-"])?;
            }
            self.run(&["pw", "lock", "root"])?;
        }
        Ok(())
    }

    pub(super) fn account_is_there(&self, login: &str) -> Result<bool, HostError> {
        let account = Self::human(self.account(login)?, login)?;
        let Some(account) = account.filter(|account| self.machine.has_home(&account.login)) else {
            return Ok(false);
        };
        Ok(self.written(login)? == Some(account)
            && self.members(login)?.is_some()
            && self.is_member(login, COLIBRI)?
            && self.account(COLIBRI)?.is_some())
    }

    /// Each part is made only when it is missing, because a cut may fall between any two of them. Colibri's own
    /// account belongs to it: an image cannot bring one, for nobody but FreeBSD writes its account database.
    pub(super) fn make_account(&self, login: &str) -> Result<(), HostError> {
        self.make_service_account()?;
        let found = self.agreed(login)?;
        if self.members(login)?.is_none() {
            self.run(&["pw", "groupadd", "-n", login])?;
        }
        if Self::human(found, login)?.is_none() {
            self.run(&[
                "pw", "useradd", "-n", login, "-c", "Operator", "-g", login, "-G", COLIBRI, "-m",
                "-M", "0700", "-s", "/bin/sh", "-w", "no",
            ])?;
        }
        if !self.is_member(login, COLIBRI)? {
            self.run(&["pw", "groupmod", "-n", COLIBRI, "-m", login])?;
        }
        let human = self.present_human(login)?;
        self.machine.make_home(login, &human.login)
    }

    fn make_service_account(&self) -> Result<(), HostError> {
        if self.members(COLIBRI)?.is_none() {
            self.run(&["pw", "groupadd", "-n", COLIBRI, "-g", COLIBRI_ID])?;
        }
        if self.agreed(COLIBRI)?.is_none() {
            self.run(&[
                "pw",
                "useradd",
                "-n",
                COLIBRI,
                "-u",
                COLIBRI_ID,
                "-c",
                "Colibri control plane",
                "-g",
                COLIBRI,
                "-d",
                "/var/db/colibri",
                "-s",
                "/usr/sbin/nologin",
                "-w",
                "no",
            ])?;
        }
        Ok(())
    }

    pub(super) fn password_opens(&self, login: &str) -> Result<bool, HostError> {
        Ok(self.account(login)?.is_some_and(|account| account.opens()))
    }

    /// pw hashes with the system's own method (`passwd_format` of login.conf, SHA-512) and reads the password from
    /// standard input, where no process list shows it.
    pub(super) fn set_password(
        &self,
        login: &str,
        password: &SecretString,
    ) -> Result<(), HostError> {
        self.present_human(login)?;
        let line = format!("{}\n", password.expose_secret());
        let command = Command::new(["pw", "usermod", "-n", login, "-h", "0"]);
        self.machine
            .processes
            .demand(&command.with_input(line.into()))?;
        Ok(())
    }

    pub(super) fn keys_are_there(&self, login: &str, keys: &[String]) -> Result<bool, HostError> {
        match Self::human(self.account(login)?, login)? {
            Some(human) => self.machine.keys_are_there(&human.login, keys),
            None => Ok(false),
        }
    }

    pub(super) fn install_keys(&self, login: &str, keys: &[String]) -> Result<(), HostError> {
        let human = self.present_human(login)?;
        self.machine.install_keys(&human.login, keys)
    }

    /// Whether the kernel lets `wheel` become root. A kernel without mac_do(4) does not know the question.
    fn wheel_may_become_root(&self) -> Result<bool, HostError> {
        let command = Command::new(["sysctl", "-n", "security.mac.do.rules"]);
        let output = self
            .machine
            .processes
            .run(&command)
            .map_err(HostError::io(format!("running `{}`", command.line())))?;
        Ok(output.status == Some(0)
            && output
                .stdout
                .split(';')
                .any(|rule| rule.trim().starts_with(MDO_RULE)))
    }

    pub(super) fn may_become_root(&self, login: &str) -> Result<bool, HostError> {
        Ok(self.is_member(login, ROOTS_GROUP)? && self.wheel_may_become_root()?)
    }

    pub(super) fn let_become_root(&self, login: &str) -> Result<(), HostError> {
        if !self.is_member(login, ROOTS_GROUP)? {
            self.run(&["pw", "groupmod", "-n", ROOTS_GROUP, "-m", login])?;
        }
        if !self.wheel_may_become_root()? {
            return Err(HostError::NotOnImage {
                what: format!("mdo(1) for the group `{ROOTS_GROUP}`"),
                remedy: "put `mac_do_load=\"YES\"` into /boot/loader.conf and \
                         `security.mac.do.rules=gid=0>uid=0,gid=*,+gid=*` into /etc/sysctl.conf, as this image had \
                         them, and start the machine again"
                    .into(),
            });
        }
        Ok(())
    }
}
