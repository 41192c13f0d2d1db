//! Reads the environment files that first boot writes for the daemon (`step/provider_env.rs`).

use secrecy::SecretString;

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

/// Takes the quotes and the backslashes away that `sh` and systemd would take away.
fn unquoted(value: &str) -> String {
    if let Some(inner) = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        return inner.to_owned();
    }
    let Some(inner) = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped) if "\"\\`$".contains(escaped) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn foreign_lines_are_passed_over_and_bare_values_read() {
        let text = "# KEY=\"old\"\n\nexport\nA=1\n  B=\"two \\\"words\\\"\"\nC='a\\b'\n";
        let read: Vec<(String, String)> = read(text)
            .into_iter()
            .map(|(name, value)| (name, value.expose_secret().to_owned()))
            .collect();
        let expected = [("A", "1"), ("B", "two \"words\""), ("C", "a\\b")];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
