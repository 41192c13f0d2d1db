//! Host name, time zone, locale and keyboard.

use std::fs;
use std::io;

use super::{Command, Freebsd, HostError, Processes, files};

/// FreeBSD answers on this loopback address alone, so the machine's own name stands beside `localhost`.
const OWN_ADDRESS: &str = "127.0.0.1";

/// Tells our line of the hosts table from the admin's.
const OWN_MARK: &str = "# this machine";

/// The first lines of a hosts table when the image has none.
const HOSTS: &str = "::1\t\t\tlocalhost\n127.0.0.1\t\tlocalhost\n";

/// Locales that the C library has built in.
const BUILT_IN: [&str; 2] = ["C", "POSIX"];

const LOGIN_CONF: &str = "/etc/login.conf";

/// Where the console driver looks for layouts.
const KEYMAPS: &str = "/usr/share/vt/keymaps";

/// The lines of a record of login.conf(5): from `name:` or `name|` to the last that a backslash continues.
fn record(lines: &[&str], name: &str) -> Option<(usize, usize)> {
    let first = lines.iter().position(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([':', '|']))
    })?;
    let count = lines[first..]
        .iter()
        .take_while(|line| line.trim_end().ends_with('\\'))
        .count();
    Some((first, (first + count).min(lines.len() - 1)))
}

/// The value of `:lang=…:` in a line of a record.
fn lang(line: &str) -> Option<&str> {
    line.split(':')
        .find_map(|field| field.trim().strip_prefix("lang="))
}

/// The locale of everybody's logins.
fn default_lang(text: &str) -> Option<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = record(&lines, "default")?;
    lines[first..=last].iter().find_map(|line| lang(line))
}

/// The text with that locale exchanged or added; `None` when there is no record to put it into.
fn with_default_lang(text: &str, locale: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let (first, last) = record(&lines, "default")?;
    let line;
    match (first..=last).find(|at| lang(lines[*at]).is_some()) {
        Some(at) => {
            let old = format!("lang={}", lang(lines[at]).unwrap_or_default());
            line = lines[at].replacen(&old, &format!("lang={locale}"), 1);
            lines[at] = &line;
        }
        None => {
            // Behind the record's first line: every line but the last of a record ends in a backslash.
            if first == last {
                return None;
            }
            line = format!("\t:lang={locale}:\\");
            lines.insert(first + 1, &line);
        }
    }
    Some(lines.join("\n") + "\n")
}

/// Whether a line of the hosts table is the one that we wrote (with this name, if one is asked for).
fn is_own_line(line: &str, name: Option<&str>) -> bool {
    let Some((names, _)) = line.split_once(OWN_MARK) else {
        return false;
    };
    let mut words = names.split_whitespace();
    words.next() == Some(OWN_ADDRESS) && name.is_none_or(|name| words.any(|word| word == name))
}

impl<P: Processes> Freebsd<P> {
    /// The kernel's; by its full path, because a shell may have an idea of its own.
    pub(super) fn running_host_name(&self) -> Result<String, HostError> {
        let output = self
            .machine
            .processes
            .demand(&Command::new(["/bin/hostname"]))?;
        Ok(output.stdout.trim().to_owned())
    }

    pub(super) fn is_host_name(&self, name: &str) -> Result<bool, HostError> {
        let hosts = self.machine.text_at("/etc/hosts")?.unwrap_or_default();
        Ok(hosts.lines().any(|line| is_own_line(line, Some(name)))
            && self.knob("hostname")?.as_deref() == Some(name)
            && self.running_host_name()? == name)
    }

    pub(super) fn set_host_name(&self, name: &str) -> Result<(), HostError> {
        let old = self
            .machine
            .text_at("/etc/hosts")?
            .unwrap_or_else(|| HOSTS.to_owned());
        let own = format!("{OWN_ADDRESS}\t\t{name} {OWN_MARK}");
        let mut lines: Vec<&str> = old.lines().collect();
        match lines.iter().position(|line| is_own_line(line, None)) {
            Some(at) => lines[at] = &own,
            None => lines.push(&own),
        }
        self.machine
            .write_at("/etc/hosts", &(lines.join("\n") + "\n"), 0o644)?;
        if self.knob("hostname")?.as_deref() != Some(name) {
            self.set_knob("hostname", name)?;
        }
        self.machine
            .processes
            .demand(&Command::new(["/bin/hostname", name]))?;
        Ok(())
    }

    /// tzsetup links `/etc/localtime` and notes the name for its own next time; a cut between the two leaves UTC, or
    /// the right time without the note, and is seen by the check.
    pub(super) fn set_time_zone(&self, zone: &str) -> Result<(), HostError> {
        self.machine.has_zone(zone, "`tzsetup`")?;
        self.machine
            .processes
            .demand(&Command::new(["tzsetup", "-s", zone]))?;
        Ok(())
    }

    pub(super) fn is_locale(&self, locale: &str) -> Result<bool, HostError> {
        let text = self.machine.text_at(LOGIN_CONF)?.unwrap_or_default();
        Ok(default_lang(&text) == Some(locale))
    }

    pub(super) fn set_locale(&self, locale: &str) -> Result<(), HostError> {
        let data = self
            .machine
            .at(format!("/usr/share/locale/{locale}/LC_CTYPE"));
        if !BUILT_IN.contains(&locale) && (locale.contains('/') || !data.exists()) {
            return Err(HostError::NotOnImage {
                what: format!("the locale `{locale}`"),
                remedy:
                    "use `LOCALE=C.UTF-8` in setup.txt, or one of those that `locale -a` prints"
                        .into(),
            });
        }
        let text = self.machine.text_at(LOGIN_CONF)?.unwrap_or_default();
        let new = with_default_lang(&text, locale).ok_or_else(|| HostError::Unexpected {
            what: LOGIN_CONF.into(),
            detail: "it has no record `default` of several lines".into(),
        })?;
        // Where there is a database made from the text, only that counts. cap_mkdb writes it in place, so a cut could
        // leave half of one; without it the text itself is read, and that is exchanged as a whole.
        let database = self.machine.at(format!("{LOGIN_CONF}.db"));
        let removed = match fs::remove_file(&database) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => files::sync_folder(&database),
        };
        removed.map_err(HostError::io(format!("removing {LOGIN_CONF}.db")))?;
        self.machine.write_at(LOGIN_CONF, &new, 0o644)
    }

    /// `us` is what the kernel itself starts with.
    pub(super) fn is_keymap(&self, keymap: &str) -> Result<bool, HostError> {
        Ok(match self.knob("keymap")?.as_deref() {
            None | Some("NO") => keymap == "us",
            Some(set) => set == keymap,
        })
    }

    /// `rc.d/syscons` loads it into the console, later in this very boot.
    pub(super) fn set_keymap(&self, keymap: &str) -> Result<(), HostError> {
        let data = self.machine.at(format!("{KEYMAPS}/{keymap}.kbd"));
        if keymap.contains('/') || !data.is_file() {
            return Err(HostError::NotOnImage {
                what: format!("the console keyboard layout `{keymap}`"),
                remedy: format!(
                    "remove `KEYMAP` from setup.txt, or use a layout of {KEYMAPS}, such as `de`, `uk` or `fr`"
                ),
            });
        }
        self.set_knob("keymap", keymap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# users\n\ndefault:\\\n\t:umask=022:\\\n\t:charset=UTF-8:\\\n\t:lang=C.UTF-8:\n\n\
                        russian|Russian Users Accounts:\\\n\t:lang=ru_RU.UTF-8:\\\n\t:tc=default:\n";

    #[test]
    fn the_locale_of_all_is_exchanged_and_that_of_a_class_stays() {
        assert_eq!(default_lang(TEXT), Some("C.UTF-8"));
        let new = with_default_lang(TEXT, "sl_SI.UTF-8").expect("a record");
        assert_eq!(new, TEXT.replace("C.UTF-8", "sl_SI.UTF-8"));
        assert_eq!(default_lang(&new), Some("sl_SI.UTF-8"));
    }

    #[test]
    fn a_record_without_a_locale_gets_one() {
        let bare = "default:\\\n\t:umask=022:\nroot:\\\n\t:tc=default:\n";
        assert_eq!(default_lang(bare), None);
        assert_eq!(
            with_default_lang(bare, "C").expect("a record"),
            "default:\\\n\t:lang=C:\\\n\t:umask=022:\nroot:\\\n\t:tc=default:\n"
        );
        assert_eq!(with_default_lang("defaults:\\\n\t:x:\n", "C"), None);
        assert_eq!(with_default_lang("default:umask=022:\n", "C"), None);
        assert_eq!(with_default_lang("", "C"), None);
    }
}
