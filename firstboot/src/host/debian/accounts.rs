//! Root's lock, the operator's account, its password, keys and sudo rule.
//!
//! Our program is static, so the account files are read as text: no NSS.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use secrecy::{ExposeSecret as _, SecretString};

use super::{Command, Debian, HostError, Processes};
use crate::host::authorized_keys::Login;
use crate::host::files;

/// Colibri's group: its members may talk to the daemon's socket.
pub(super) const COLIBRI_GROUP: &str = "colibri";

/// First number of people's accounts (`/etc/login.defs`, UID_MIN); what lies below belongs to the system.
const FIRST_HUMAN: u32 = 1000;

/// `*` can match no password and `!` marks it as locked for `passwd -S`.
const LOCKED: &str = "!*";

/// The fields of the line that starts with `name:`.
pub(super) fn entry<'a>(table: &'a str, name: &str) -> Option<Vec<&'a str>> {
    table
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name)
}

/// The table with the fields of each line of `name` changed; each line ends with a newline then.
pub(super) fn with_fields<'a>(
    table: &'a str,
    name: &str,
    change: impl Fn(&mut Vec<&'a str>),
) -> String {
    let mut text = String::with_capacity(table.len());
    for line in table.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        if fields[0] == name {
            change(&mut fields);
        }
        text += &fields.join(":");
        text.push('\n');
    }
    text
}

/// A shadow field that some password opens: not `!`, `*` or `x`, and no locked hash; the shortest there is, DES, has
/// 13 characters (crypt(5)).
fn opens(hash: &str) -> bool {
    hash.len() >= 13 && !hash.starts_with(['!', '*'])
}

impl<P: Processes> Debian<P> {
    pub(super) fn table(&self, path: &str) -> Result<String, HostError> {
        let bytes = self.machine.read_at(path)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn login(&self, login: &str) -> Result<Option<Login>, HostError> {
        let table = self.table("/etc/passwd")?;
        let Some(fields) = entry(&table, login) else {
            return Ok(None);
        };
        let unexpected = |detail: &str| HostError::Unexpected {
            what: format!("the line of `{login}` in /etc/passwd"),
            detail: detail.into(),
        };
        let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        let (Some(uid), Some(gid), Some(home)) = (number(2), number(3), fields.get(5)) else {
            return Err(unexpected("it has too few fields"));
        };
        if !home.starts_with('/') {
            return Err(unexpected("the home folder is not absolute"));
        }
        Ok(Some(Login {
            uid,
            gid,
            home: (*home).to_owned(),
        }))
    }

    /// The operator's account; one of the system's own is refused, whatever `setup.txt` says.
    fn human(&self, login: &str) -> Result<Option<Login>, HostError> {
        match self.login(login)? {
            Some(found) if found.uid < FIRST_HUMAN => Err(HostError::Refused(format!(
                "`{login}` is an account of the system (number {}); choose another `OPERATOR_USER`",
                found.uid
            ))),
            found => Ok(found),
        }
    }

    fn present_human(&self, login: &str) -> Result<Login, HostError> {
        self.human(login)?
            .ok_or_else(|| HostError::Refused(format!("there is no account `{login}`")))
    }

    /// Whether root has neither a password nor the lack of one.
    pub(super) fn root_is_locked(&self) -> Result<bool, HostError> {
        let passwd = self.table("/etc/passwd")?;
        let shadow = self.table("/etc/shadow")?;
        // An `x` sends login to the shadow file; anything else there is a password, or none at all.
        let sent_to_shadow =
            entry(&passwd, "root").is_some_and(|fields| fields.get(1) == Some(&"x"));
        let locked = entry(&shadow, "root").is_some_and(|fields| fields.get(1) == Some(&LOCKED));
        Ok(sent_to_shadow && locked)
    }

    /// Writes the lock itself: it must hold even where `usermod` is missing or unhappy.
    pub(super) fn lock_root(&self) -> Result<(), HostError> {
        for (path, field) in [("/etc/shadow", LOCKED), ("/etc/passwd", "x")] {
            let table = self.table(path)?;
            let has_root = entry(&table, "root").is_some_and(|fields| fields.len() > 1);
            let mut text = with_fields(&table, "root", |fields| {
                if let Some(hash) = fields.get_mut(1) {
                    *hash = field;
                }
            });
            if !has_root && path == "/etc/shadow" {
                text.insert_str(0, &format!("root:{LOCKED}:19000:0:99999:7:::\n"));
            }
            if text != table {
                self.replace_keeping_owner(path, text.as_bytes(), 0o640)?;
            }
        }
        Ok(())
    }

    fn replace_keeping_owner(
        &self,
        path: &str,
        content: &[u8],
        mode_if_new: u32,
    ) -> Result<(), HostError> {
        let at = self.machine.at(path);
        let (mode, owner) = fs::metadata(&at).map_or((mode_if_new, None), |meta| {
            (
                meta.permissions().mode() & 0o7777,
                Some((meta.uid(), meta.gid())),
            )
        });
        files::replace(&at, content, mode, owner).map_err(HostError::io(format!("writing {path}")))
    }

    pub(super) fn account_is_there(&self, login: &str) -> Result<bool, HostError> {
        let Some(human) = self.human(login)? else {
            return Ok(false);
        };
        let group = self.table("/etc/group")?;
        Ok(self.half_written(login, &human)?.is_empty()
            && group
                .lines()
                .any(|line| line.split(':').nth(2) == Some(&human.gid.to_string()))
            && entry(&group, COLIBRI_GROUP).is_some_and(|fields| is_member(&fields, login))
            && self.machine.has_home(&human))
    }

    /// Each part is made only when it is missing, because a cut may fall between any two files of the account tables.
    pub(super) fn make_account(&self, login: &str) -> Result<(), HostError> {
        self.remove_left_behind()?;
        if entry(&self.table("/etc/group")?, login).is_none() {
            self.machine
                .processes
                .demand(&Command::new(["groupadd", login]))?;
        }
        if self.human(login)?.is_none() {
            // `--gid` and not `--user-group`: that one fails when the group is there already, as after a cut.
            self.machine.processes.demand(&Command::new([
                "useradd",
                "--create-home",
                "--gid",
                login,
                "--shell",
                "/bin/bash",
                "--comment",
                "Operator",
                login,
            ]))?;
        }
        let group = self.table("/etc/group")?;
        let colibri = entry(&group, COLIBRI_GROUP).ok_or_else(|| HostError::NotOnImage {
            what: format!("the group `{COLIBRI_GROUP}`"),
            remedy: "build the image with `cargo xtask iso` or stage Colibri's files first".into(),
        })?;
        if !is_member(&colibri, login) {
            self.machine.processes.demand(&Command::new([
                "usermod",
                "--append",
                "--groups",
                COLIBRI_GROUP,
                login,
            ]))?;
        }
        let human = self.present_human(login)?;
        for (path, whole) in self.half_written(login, &human)? {
            self.replace_keeping_owner(path, whole.as_bytes(), 0o640)?;
        }
        self.machine.make_home(login, &human)
    }

    pub(super) fn password_opens(&self, login: &str) -> Result<bool, HostError> {
        let shadow = self.table("/etc/shadow")?;
        Ok(entry(&shadow, login)
            .is_some_and(|fields| fields.get(1).is_some_and(|hash| opens(hash))))
    }

    /// `chpasswd` hashes with the system's own method (yescrypt) and reads the password from standard input, where no
    /// process list shows it.
    pub(super) fn set_password(
        &self,
        login: &str,
        password: &SecretString,
    ) -> Result<(), HostError> {
        self.present_human(login)?;
        self.remove_left_behind()?;
        let line = format!("{login}:{}\n", password.expose_secret());
        self.machine
            .processes
            .demand(&Command::new(["chpasswd"]).with_input(line.into()))?;
        Ok(())
    }

    pub(super) fn keys_are_there(&self, login: &str, keys: &[String]) -> Result<bool, HostError> {
        match self.human(login)? {
            Some(human) => self.machine.keys_are_there(&human, keys),
            None => Ok(false),
        }
    }

    pub(super) fn install_keys(&self, login: &str, keys: &[String]) -> Result<(), HostError> {
        let human = self.present_human(login)?;
        self.machine.install_keys(&human, keys)
    }

    pub(super) fn sudo_rule_is(&self, login: &str, ask_password: bool) -> Result<bool, HostError> {
        let at = self.machine.at(SUDO_RULE);
        let is = self.machine.read_at(SUDO_RULE)?;
        Ok(
            is.is_some_and(|is| is == sudo_rule(login, ask_password).as_bytes())
                && fs::metadata(at).is_ok_and(|meta| meta.permissions().mode() & 0o7777 == 0o440),
        )
    }

    /// A broken rule would lock everybody out of root, so `visudo` reads it before it counts.
    pub(super) fn write_sudo_rule(&self, login: &str, ask_password: bool) -> Result<(), HostError> {
        let doing = || HostError::io(format!("writing {SUDO_RULE}"));
        let at = self.machine.at(SUDO_RULE);
        let temporary = files::temporary_name(&at).map_err(doing())?;
        files::write_new(
            &temporary,
            sudo_rule(login, ask_password).as_bytes(),
            0o440,
            None,
        )
        .map_err(doing())?;
        let check = Command::new([
            "visudo",
            "--check",
            "--quiet",
            "--file",
            &temporary.display().to_string(),
        ]);
        if let Err(error) = self.machine.processes.demand(&check) {
            // Best effort: what stays behind is a name that sudo does not read.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        files::rename(&temporary, &at).map_err(doing())
    }
}

/// Where the rule lives; sudo skips names with a dot, so none here.
const SUDO_RULE: &str = "/etc/sudoers.d/clawdie-operator";

/// Root is locked, so sudo is the only way to become root. Without a password of its own the account could never
/// answer sudo's question; its SSH key is then the whole proof.
fn sudo_rule(login: &str, ask_password: bool) -> String {
    let tag = if ask_password { "" } else { "NOPASSWD: " };
    format!("# Written by clawdie-firstboot from setup.txt.\n{login} ALL=(ALL:ALL) {tag}ALL\n")
}

fn is_member(group: &[&str], login: &str) -> bool {
    group
        .get(3)
        .is_some_and(|members| members.split(',').any(|member| member.trim() == login))
}
