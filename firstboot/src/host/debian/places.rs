//! Host name, time zone, locale, keyboard and addresses.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use super::{Command, Debian, HostError, Processes, files};
use crate::host::zone::ZONES;

/// Writing here is `sethostname(2)`, which no daemon has to be up for.
pub(super) const KERNEL_HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// By this address Debian's hosts table finds the machine's own name without any network.
const OWN_ADDRESS: &str = "127.0.1.1";

/// The first lines of a hosts table when the image has none.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Locales that the C library has built in.
const BUILT_IN: [&str; 4] = ["C", "POSIX", "C.UTF-8", "C.utf8"];

/// `en_US.UTF-8` and `en_US.utf8` are one; `locale -a` prints the second.
fn normal(locale: &str) -> String {
    match locale.split_once('.') {
        Some((name, codeset)) => {
            format!("{name}.{}", codeset.to_ascii_lowercase().replace('-', ""))
        }
        None => locale.to_owned(),
    }
}

/// The value of `NAME=value` or `NAME="value"` in a file of assignments.
pub(super) fn assigned<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches('"'))
}

/// The text with one assignment exchanged or added.
fn assign(text: &str, name: &str, value: &str) -> String {
    let line = format!("{name}={value}");
    let mut lines: Vec<&str> = text.lines().collect();
    let is_ours = |line: &&str| {
        line.trim()
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('='))
    };
    match lines.iter().position(is_ours) {
        Some(at) => lines[at] = &line,
        None => lines.push(&line),
    }
    lines.join("\n") + "\n"
}

impl<P: Processes> Debian<P> {
    pub(super) fn is_host_name(&self, name: &str) -> Result<bool, HostError> {
        let disk = self.machine.text_at("/etc/hostname")?;
        let running = self.machine.text_at(KERNEL_HOST_NAME)?;
        let hosts = self.machine.text_at("/etc/hosts")?.unwrap_or_default();
        let is = |text: Option<String>| text.is_some_and(|text| text.trim() == name);
        Ok(is(disk) && is(running) && hosts.lines().any(|line| is_own_line(line, Some(name))))
    }

    pub(super) fn set_host_name(&self, name: &str) -> Result<(), HostError> {
        let old = self
            .machine
            .text_at("/etc/hosts")?
            .unwrap_or_else(|| HOSTS.to_owned());
        let own = format!("{OWN_ADDRESS}\t{name}");
        let mut lines: Vec<&str> = old.lines().collect();
        match lines.iter().position(|line| is_own_line(line, None)) {
            Some(at) => lines[at] = &own,
            None => lines.push(&own),
        }
        self.machine
            .write_at("/etc/hosts", &(lines.join("\n") + "\n"), 0o644)?;
        self.machine
            .write_at("/etc/hostname", &format!("{name}\n"), 0o644)?;
        fs::write(self.machine.at(KERNEL_HOST_NAME), name)
            .map_err(HostError::io("telling the kernel its host name"))
    }

    pub(super) fn set_time_zone(&self, zone: &str) -> Result<(), HostError> {
        self.machine
            .has_zone(zone, "`timedatectl list-timezones`")?;
        let data = format!("{ZONES}/{zone}");
        let link = self.machine.at("/etc/localtime");
        let write = || {
            let temporary = files::temporary_name(&link)?;
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            symlink(&data, &temporary)?;
            fs::rename(&temporary, &link)?;
            files::sync_folder(&link)
        };
        write().map_err(HostError::io("linking /etc/localtime"))?;
        // Trixie ships no /etc/timezone any more; where an upgraded host has one it must not contradict the link.
        if self.machine.text_at("/etc/timezone")?.is_some() {
            self.machine
                .write_at("/etc/timezone", &format!("{zone}\n"), 0o644)?;
        }
        Ok(())
    }

    pub(super) fn is_locale(&self, locale: &str) -> Result<bool, HostError> {
        let text = self
            .machine
            .text_at("/etc/locale.conf")?
            .unwrap_or_default();
        Ok(assigned(&text, "LANG") == Some(locale) && self.locale_exists(locale)?)
    }

    fn locale_exists(&self, locale: &str) -> Result<bool, HostError> {
        if BUILT_IN.contains(&locale) {
            return Ok(true);
        }
        let known = self
            .machine
            .processes
            .demand(&Command::new(["locale", "-a"]))?;
        Ok(known
            .stdout
            .lines()
            .any(|line| normal(line.trim()) == normal(locale)))
    }

    pub(super) fn set_locale(&self, locale: &str) -> Result<(), HostError> {
        if !self.locale_exists(locale)? {
            self.generate_locale(locale)?;
        }
        let text = self
            .machine
            .text_at("/etc/locale.conf")?
            .unwrap_or_default();
        self.machine
            .write_at("/etc/locale.conf", &assign(&text, "LANG", locale), 0o644)?;
        // Logins read the name of old (pam_env); trixie makes it a link to the new one, older hosts have a file.
        let old = self.machine.at("/etc/default/locale");
        if fs::symlink_metadata(&old).is_err() {
            symlink("../locale.conf", &old).map_err(HostError::io("linking /etc/default/locale"))
        } else if fs::symlink_metadata(&old).is_ok_and(|meta| meta.is_file()) {
            let text = self
                .machine
                .text_at("/etc/default/locale")?
                .unwrap_or_default();
            self.machine
                .write_at("/etc/default/locale", &assign(&text, "LANG", locale), 0o644)
        } else {
            Ok(())
        }
    }

    /// Works where the image carries the package `locales`; else the operator is told.
    fn generate_locale(&self, locale: &str) -> Result<(), HostError> {
        let missing = || HostError::NotOnImage {
            what: format!("the locale `{locale}`"),
            remedy: "use `LOCALE=C.UTF-8` in setup.txt, or install the package `locales`".into(),
        };
        let supported = self
            .machine
            .text_at("/usr/share/i18n/SUPPORTED")?
            .ok_or_else(missing)?;
        let line = supported
            .lines()
            .find(|line| {
                line.split_whitespace()
                    .next()
                    .is_some_and(|name| normal(name) == normal(locale))
            })
            .ok_or_else(missing)?;
        let wanted = self.machine.text_at("/etc/locale.gen")?.unwrap_or_default();
        if !wanted.lines().any(|present| present.trim() == line.trim()) {
            let text = format!("{}\n{}\n", wanted.trim_end(), line.trim());
            self.machine
                .write_at("/etc/locale.gen", text.trim_start(), 0o644)?;
        }
        self.machine
            .processes
            .demand(&Command::new(["locale-gen"]))?;
        Ok(())
    }

    /// `us` is what the kernel itself starts with, so an image without any keyboard data has it.
    pub(super) fn is_keymap(&self, keymap: &str) -> Result<bool, HostError> {
        match self.machine.text_at("/etc/default/keyboard")? {
            Some(text) => Ok(assigned(&text, "XKBLAYOUT") == Some(keymap)),
            None => Ok(keymap == "us"),
        }
    }

    pub(super) fn set_keymap(&self, keymap: &str) -> Result<(), HostError> {
        let on_image = !keymap.contains('/')
            && self.machine.at("/usr/bin/setupcon").exists()
            && self
                .machine
                .at("/usr/share/X11/xkb/symbols")
                .join(keymap)
                .is_file();
        if !on_image && keymap != "us" {
            return Err(HostError::NotOnImage {
                what: format!("the console keyboard layout `{keymap}`"),
                remedy: "remove `KEYMAP` from setup.txt, or install the package `console-setup` and use one of its \
                         layouts, such as `de`"
                    .into(),
            });
        }
        let text = self
            .machine
            .text_at("/etc/default/keyboard")?
            .unwrap_or_else(|| {
                "XKBMODEL=\"pc105\"\nXKBVARIANT=\"\"\nXKBOPTIONS=\"\"\nBACKSPACE=\"guess\"\n"
                    .to_owned()
            });
        self.machine.write_at(
            "/etc/default/keyboard",
            &assign(&text, "XKBLAYOUT", &format!("\"{keymap}\"")),
            0o644,
        )?;
        if self.machine.at("/usr/bin/setupcon").exists() {
            // `--save` keeps the compiled layout for the next early boot; a machine without a screen has no console to
            // set and that is fine.
            self.machine.processes.demand(&Command::new([
                "setupcon",
                "--keyboard-only",
                "--save",
                "--force",
            ]))?;
        }
        Ok(())
    }
}

/// Whether a line of the hosts table gives our own name (this one, if one is asked for).
fn is_own_line(line: &str, name: Option<&str>) -> bool {
    let mut words = line
        .split('#')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    words.next() == Some(OWN_ADDRESS) && name.is_none_or(|name| words.any(|word| word == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_found_exchanged_and_added() {
        let text = "# keyboard\nXKBLAYOUT=\"us\"\nXKBMODEL=pc105\n";
        assert_eq!(assigned(text, "XKBLAYOUT"), Some("us"));
        assert_eq!(assigned(text, "XKB"), None);
        assert_eq!(
            assign(text, "XKBLAYOUT", "\"de\""),
            "# keyboard\nXKBLAYOUT=\"de\"\nXKBMODEL=pc105\n"
        );
        assert_eq!(assign("", "LANG", "C.UTF-8"), "LANG=C.UTF-8\n");
    }

    #[test]
    fn spellings_of_one_locale_are_equal() {
        assert_eq!(normal("en_US.UTF-8"), normal("en_US.utf8"));
        assert_ne!(normal("en_US.UTF-8"), normal("en_GB.UTF-8"));
    }
}
