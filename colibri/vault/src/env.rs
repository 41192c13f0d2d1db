//! The `.env` file: what it may hold, how it is written and how it is read. The one place that knows.
//!
//! ```text
//! file  = *line, each ended by LF
//! line  = nothing | "#" and anything | NAME "=" value
//! NAME  = [A-Z_][A-Z0-9_]*, each once
//! value = 'anything but a single quote and NUL'
//!       | "anything but NUL; \ before each \ " $ and backquote"
//!       | letters, digits and _ @ % + = : , . / -
//! ```
//!
//! A value may have lines, and every byte of it survives. `sh` reads the same with `set -a; . ./.env`. The writer quotes
//! always, with single quotes where that is possible; bare values are for files that people write.

use std::collections::BTreeSet;
use std::str::FromStr;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

/// Longest value, in bytes: Linux starts no program with a variable of more than 128 KiB.
pub const MAX_VALUE: usize = 64 * 1024;

/// Longest file, in bytes: FreeBSD starts no program with more than 512 KiB of arguments and variables.
pub const MAX_FILE: usize = 256 * 1024;

/// Longest name, in bytes.
pub const MAX_NAME: usize = 128;

/// Names of which a shell, a loader, an interpreter or this platform makes more than a value. None of them comes out of
/// a vault: who may write into a collection gives an agent secrets, and does not say what is run.
const REFUSED: [&str; 53] = [
    "ALL_PROXY",
    "BASHOPTS",
    "BASH_ENV",
    "BROWSER",
    "CDPATH",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_TEMPLATE_DIR",
    "GLIBC_TUNABLES",
    "GLOBIGNORE",
    "HOME",
    "HOSTALIASES",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IFS",
    "LANG",
    "LOCALDOMAIN",
    "LOCPATH",
    "LOGNAME",
    "MAIL",
    "MANPAGER",
    "NLSPATH",
    "OLDPWD",
    "PAGER",
    "PATH",
    "PROMPT_COMMAND",
    "PS1",
    "PS4",
    "PWD",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TERMINFO",
    "TMPDIR",
    "TZ",
    "TZDIR",
    "USER",
    "VISUAL",
    "ZDOTDIR",
    "_",
];

/// Beginnings of such names.
const REFUSED_FAMILIES: [&str; 17] = [
    "BASH_FUNC",
    "BW_",
    "COLIBRI_",
    "DYLD_",
    "GIT_CONFIG",
    "GIT_SSH",
    "LC_",
    "LD_",
    "MALLOC_",
    "NODE_",
    "NPM_CONFIG_",
    "OPENSSL_",
    "PERL5",
    "PYTHON",
    "RUBY",
    "SUDO_",
    "XDG_",
];

/// The name of a secret: `[A-Z_][A-Z0-9_]*`, at most 128 bytes, and none that a shell, a loader or this platform acts on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        is_name(name)?;
        if REFUSED.contains(&name)
            || REFUSED_FAMILIES
                .iter()
                .any(|family| name.starts_with(family))
        {
            return Err(format!(
                "has the name `{name}`, which programs act on: no secret may be called so"
            ));
        }
        Ok(Self(name.to_owned()))
    }
}

impl std::fmt::Display for SecretName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// What is wrong with a file, and where. Nothing of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

fn is_name(name: &str) -> Result<(), String> {
    let mut letters = name.bytes();
    let starts = letters
        .next()
        .is_some_and(|first| first.is_ascii_uppercase() || first == b'_');
    let is_right = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if starts && letters.all(is_right) && name.len() <= MAX_NAME {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(format!(
        "has the name {shown:?}, which is none of a variable: capitals, digits and `_`, no digit first, at most {MAX_NAME}"
    ))
}

/// Whether an `.env` can hold a value.
///
/// # Errors
/// The rule that it breaks; nothing of the value.
pub fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("has an empty value".to_owned());
    }
    if value.contains('\0') {
        return Err("has a value with a NUL byte in it, which no variable can hold".to_owned());
    }
    if value.len() > MAX_VALUE {
        return Err(format!(
            "has a value of {} bytes, and {MAX_VALUE} are the most",
            value.len()
        ));
    }
    Ok(())
}

/// The file. Values must have been checked.
pub fn write<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a SecretString)>) -> SecretString {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in secrets {
        let value = value.expose_secret();
        text.push_str(name);
        if value.contains('\'') {
            text.push_str("=\"");
            for letter in value.chars() {
                if matches!(letter, '\\' | '"' | '$' | '`') {
                    text.push('\\');
                }
                text.push(letter);
            }
            text.push_str("\"\n");
        } else {
            text.push_str("='");
            text.push_str(value);
            text.push_str("'\n");
        }
    }
    text.as_str().into()
}

/// The secrets of a file, in its order.
///
/// # Errors
/// The first line that breaks a rule.
pub fn read(text: &str) -> Result<Vec<(SecretName, SecretString)>, Fault> {
    assignments(text)?
        .into_iter()
        .map(|(line, name, value)| {
            let name = name.parse().map_err(|why| Fault { line, why })?;
            Ok((name, value))
        })
        .collect()
}

/// Line, name and value of each assignment, whatever the names mean.
pub(crate) fn assignments(text: &str) -> Result<Vec<(usize, String, SecretString)>, Fault> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let (mut rest, mut line) = (text, 1);
    if text.len() > MAX_FILE {
        let why = format!("the file has more than {MAX_FILE} bytes");
        return Err(Fault { line, why });
    }
    while !rest.is_empty() {
        let first = rest.split('\n').next().unwrap_or_default();
        if first.trim().is_empty() || first.starts_with('#') {
            rest = rest[first.len()..].strip_prefix('\n').unwrap_or_default();
            line += 1;
            continue;
        }
        let fault = |why: &str| Fault {
            line,
            why: why.to_owned(),
        };
        let (name, _) = first
            .split_once('=')
            .ok_or_else(|| fault("is no assignment, NAME='value'"))?;
        is_name(name).map_err(|why| Fault { line, why })?;
        let (value, len) = value(&rest[name.len() + 1..]).map_err(fault)?;
        check_value(&value).map_err(|why| Fault {
            line,
            why: format!("`{name}` {why}"),
        })?;
        if !seen.insert(name.to_owned()) {
            return Err(fault(&format!("`{name}` stands there for the second time")));
        }
        let taken = &rest[..name.len() + 1 + len];
        found.push((line, name.to_owned(), value.as_str().into()));
        rest = &rest[taken.len()..];
        rest = match rest.strip_prefix('\n') {
            None if !rest.is_empty() => return Err(fault("goes on after its value")),
            after => after.unwrap_or_default(),
        };
        line += taken.matches('\n').count() + 1;
    }
    Ok(found)
}

/// A value and how many bytes it takes, quotes included.
fn value(text: &str) -> Result<(Zeroizing<String>, usize), &'static str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let end = quoted.find('\'').ok_or("opens a quote that never ends")?;
        return Ok((Zeroizing::new(quoted[..end].to_owned()), end + 2));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        // As long as the longest, so that no half of a secret is left behind by growing.
        let mut value = Zeroizing::new(String::with_capacity(quoted.len().min(MAX_VALUE)));
        let mut letters = quoted.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => return Ok((value, at + 2)),
                '\\' => match letters.next() {
                    Some((_, escaped @ ('\\' | '"' | '$' | '`'))) => value.push(escaped),
                    _ => return Err("has a backslash before something else than \\ \" $ or `"),
                },
                '$' | '`' => return Err("has a $ or ` in double quotes that sh would act on"),
                other => value.push(other),
            }
        }
        return Err("opens a quote that never ends");
    }
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    let end = text.find(|c| !is_bare(c)).unwrap_or(text.len());
    Ok((Zeroizing::new(text[..end].to_owned()), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn shown(read: Vec<(SecretName, SecretString)>) -> Vec<(String, String)> {
        read.into_iter()
            .map(|(name, value)| (name.0, value.expose_secret().to_owned()))
            .collect()
    }

    fn why(text: &str) -> (usize, String) {
        let fault = read(text).unwrap_err();
        (fault.line, fault.why)
    }

    fn a_name() -> impl Strategy<Value = String> {
        "[A-Z_][A-Z0-9_]{0,20}".prop_filter("refused", |name| name.parse::<SecretName>().is_ok())
    }

    fn a_value() -> impl Strategy<Value = String> {
        prop_oneof!["[^\0]{1,60}", "['\"\\\\$`!#\n\r\t =a]{1,20}"]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_byte_by_byte(
            secrets in prop::collection::btree_map(a_name(), a_value(), 0..6),
        ) {
            let secrets: Vec<(String, SecretString)> =
                secrets.into_iter().map(|(name, value)| (name, value.into())).collect();
            let text = write(secrets.iter().map(|(name, value)| (name.as_str(), value)));
            let expected: Vec<_> = secrets
                .iter()
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect();
            prop_assert_eq!(shown(read(text.expose_secret()).unwrap()), expected);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[A-Z='\"\\\\$\n# a]{0,40}") {
            let _ = read(&text);
        }
    }

    proptest! {
        // Each is a shell that is started.
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_shell_reads_the_same(value in a_value()) {
            let folder = tempfile::tempdir().unwrap();
            let secret: SecretString = value.clone().into();
            let text = write([("SECRET_OF_IT", &secret)]);
            std::fs::write(folder.path().join(".env"), text.expose_secret()).unwrap();
            let output = Command::new("sh")
                .args(["-c", "set -a; . ./.env; exec printenv SECRET_OF_IT"])
                .current_dir(folder.path())
                .output()
                .unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}\n"));
        }
    }

    #[test]
    fn people_s_files_are_read_and_others_named_by_line() {
        let text = "# by hand\n\nA=https://x/?a=1,2\nB='it is\ntwo lines'\nC=\"\\$5 it's\"";
        let expected = [
            ("A", "https://x/?a=1,2"),
            ("B", "it is\ntwo lines"),
            ("C", "$5 it's"),
        ];
        // A question mark is none of the bare ones.
        assert_eq!(why(text).0, 3);
        let text = text.replace("/?a=1,2", "/a=1,2");
        let expected = expected.map(|(name, value)| (name.to_owned(), value.replace('?', "")));
        assert_eq!(shown(read(&text).unwrap()), expected);

        assert_eq!(why("A='1\n2'\nB=$(id)\n").0, 3);
        for (text, rule) in [
            ("A='open\n", "never ends"),
            ("A=\"$HOME\"\n", "sh would act on"),
            ("A=\"\\n\"\n", "a backslash"),
            ("A='1'2\n", "goes on after"),
            ("export A=1\n", "none of a variable"),
            ("a=1\n", "none of a variable"),
            ("nothing\n", "no assignment"),
            ("A=\n", "`A` has an empty value"),
            ("A=1\nA=2\n", "for the second time"),
            ("A='\0'\n", "NUL"),
        ] {
            let (_, why) = why(text);
            assert!(why.contains(rule), "{text:?}: {why}");
        }
    }

    #[test]
    fn names_that_programs_act_on_are_no_secrets() {
        for name in [
            "PATH",
            "HOME",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "NODE_OPTIONS",
            "BASH_ENV",
            "COLIBRI_DAEMON_SOCKET",
            "BW_PASSWORD",
            "IFS",
            "PYTHONPATH",
        ] {
            let why = name.parse::<SecretName>().unwrap_err();
            assert!(why.contains("programs act on"), "{why}");
            assert!(read(&format!("{name}=1\n")).is_err());
        }
        for name in ["", "1A", "a", "A-B", "A=B", "Ž", &"A".repeat(129)] {
            let why = name.parse::<SecretName>().unwrap_err();
            assert!(why.contains("none of a variable"), "{why}");
        }
        for name in [
            "A",
            "_A1",
            "OPENAI_API_KEY",
            "GITHUB_TOKEN",
            &"A".repeat(128),
        ] {
            assert_eq!(name.parse::<SecretName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn no_fault_shows_a_value() {
        for text in [
            "A='hunter2\n",
            "A=hunter2 x\n",
            "A=\"hunter2$\"\n",
            "A='hunter2'hunter2\n",
        ] {
            assert!(!why(text).1.contains("hunter2"), "{text}");
        }
    }
}
