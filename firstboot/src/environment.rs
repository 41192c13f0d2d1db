//! Environment files: `provider.env`, which first boot writes for the daemon, and `vault.env`, which it writes for the
//! root helper.

use secrecy::{ExposeSecret as _, SecretString};

/// The assignments of a file, in their order. A line that is none, as an admin may have added, is passed over.
pub fn read(text: &str) -> Vec<(String, SecretString)> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.split_once('=')?;
            (!name.starts_with('#')).then(|| (name.trim().to_owned(), unquoted(value).into()))
        })
        .collect()
}

/// Takes the quotes and the backslashes away that `sh` and systemd would take away: a word may be made of several parts,
/// such as `'it'\''s'`.
fn unquoted(word: &str) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some('"'), '\\') => match letters.next() {
                Some(escaped) if "\"\\`$".contains(escaped) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            (None, '\'' | '"') => quote = Some(letter),
            (None, '\\') => text.extend(letters.next()),
            (_, other) => text.push(other),
        }
    }
    text
}

/// The text of an environment file that systemd's `EnvironmentFile=` and `sh` read back to the same bytes.
pub fn file(variables: &[(String, SecretString)]) -> SecretString {
    let mut text = String::from(
        "# Written by clawdie-firstboot from setup.txt. Once the host is set up, a later setup.txt only adds what is\n\
         # missing here.\n",
    );
    for (name, value) in variables {
        text.push_str(&assignment(name, value));
    }
    text.into()
}

/// One line of it.
///
/// Both know four characters that a backslash protects inside double quotes (systemd: `SHELL_NEED_ESCAPE` in
/// `src/basic/escape.h`; POSIX shell, 2.2.3): the quote, the backslash, the back quote and the dollar sign.
pub fn assignment(name: &str, value: &SecretString) -> String {
    let mut text = format!("{name}=\"");
    for letter in value.expose_secret().chars() {
        if matches!(letter, '"' | '\\' | '`' | '$') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push_str("\"\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn foreign_lines_are_passed_over_and_bare_values_read() {
        let text =
            "# KEY=\"old\"\n\nexport\nA=1\n  B=\"two \\\"words\\\"\"\nC='a\\b'\nD='it'\\''s'\n";
        let read: Vec<(String, String)> = read(text)
            .into_iter()
            .map(|(name, value)| (name, value.expose_secret().to_owned()))
            .collect();
        let expected = [
            ("A", "1"),
            ("B", "two \"words\""),
            ("C", "a\\b"),
            ("D", "it's"),
        ];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_shell_reads_every_value_back_to_the_byte() {
        let values = [
            "plain",
            "",
            " two  spaces ",
            r#"a"b\c`d$e$(f)"#,
            "it's",
            "# no comment",
            "\u{17e}\u{1f426}",
            r"\",
        ];
        for value in values {
            let text = file(&[("KEY".into(), value.into())]);
            let mut shell = Command::new("sh")
                .args(["-c", ". /dev/stdin; printf %s \"$KEY\""])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a shell");
            std::io::Write::write_all(
                &mut shell.stdin.take().expect("piped"),
                text.expose_secret().as_bytes(),
            )
            .expect("written");
            let output = shell.wait_with_output().expect("ended");
            assert_eq!(String::from_utf8_lossy(&output.stdout), value);
        }
    }

    /// `parse_env_file_internal` of systemd 257 (`src/basic/env-file.c`), the states that our files reach.
    fn as_systemd_reads(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(first) = letters.next() {
            if first == '#' {
                for letter in letters.by_ref() {
                    if letter == '\n' {
                        break;
                    }
                }
                continue;
            }
            let mut name = String::from(first);
            for letter in letters.by_ref() {
                if letter == '=' {
                    break;
                }
                name.push(letter);
            }
            assert_eq!(letters.next(), Some('"'), "every value is quoted");
            let mut value = String::new();
            while let Some(letter) = letters.next() {
                match letter {
                    '"' => break,
                    '\\' => match letters.next() {
                        Some(escaped) if "\"\\`$".contains(escaped) => value.push(escaped),
                        Some(other) => value.extend(['\\', other]),
                        None => value.push('\\'),
                    },
                    other => value.push(other),
                }
            }
            assert_eq!(letters.next(), Some('\n'));
            found.push((name, value));
        }
        found
    }

    #[test]
    fn systemd_reads_every_value_back_to_the_byte() {
        let values = [
            "",
            r#"a"b\c`d$e"#,
            r"\n is two letters",
            "é # x",
            r"\\",
            "'",
        ];
        let variables: Vec<(String, SecretString)> = values
            .iter()
            .enumerate()
            .map(|(at, value)| (format!("K{at}"), (*value).into()))
            .collect();
        let read = as_systemd_reads(file(&variables).expose_secret());
        let wanted: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(at, value)| (format!("K{at}"), (*value).to_owned()))
            .collect();
        assert_eq!(read, wanted);
    }
}
