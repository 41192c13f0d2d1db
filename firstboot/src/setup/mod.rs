//! `setup.txt`: from the bytes on the stick to settings that can be trusted, or to everything that
//! is wrong with them.
//!
//! [`check`] is pure: bytes in, [`Verdict`] out, no files touched. The way through it:
//!
//! ```text
//! bytes --decode--> text --lines--> key/value pairs with places --check--> per-key rules
//!       --verify--> what settings mean together --> Setup, or Problems
//! ```
//!
//! All of it reads one table, [`schema::TABLE`].

mod authorized;
mod blank;
mod check;
mod decode;
mod lines;
mod marks;
mod pages;
mod problem;
mod provider;
mod redact;
pub mod rules;
mod salvage;
pub mod schema;
mod settings;
mod verify;

pub use blank::{Blanked, blank};
pub use decode::FILE_LIMIT;
pub use lines::{LINE_LIMIT, VALUE_LIMIT};
pub use pages::{filled, readme, reference, template};
pub use problem::{Problem, Severity};
pub use provider::Provider;
pub use redact::{hidden_values, hide, show};
pub use salvage::{Salvage, salvage};
pub use schema::{Class, Key};
pub use settings::{Kept, Setup};

/// What is to be checked.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The name of the file, as it should appear in messages.
    pub name: &'a str,
    /// The bytes of `setup.txt`.
    pub setup: &'a [u8],
    /// The bytes of the file `authorized_keys` beside it, if there is one.
    pub authorized_keys: Option<&'a [u8]>,
}

/// What came of a check.
#[derive(Debug)]
pub struct Verdict {
    /// The settings; `None` when there is any error.
    pub setup: Option<Setup>,
    /// Everything there is to say, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Verdict {
    /// The problems that stop the set-up.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.is_error())
    }

    /// The problems that do not.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.is_error())
    }

    /// Every problem as text, a blank line between two, and a last line that counts them. Ends in
    /// a newline.
    pub fn report(&self) -> String {
        let count = |number: usize, word: &str| match number {
            1 => format!("1 {word}"),
            _ => format!("{number} {word}s"),
        };
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&format!("{problem}\n\n"));
        }
        let (errors, warnings) = (self.errors().count(), self.warnings().count());
        text.push_str(&match (errors, warnings) {
            (0, 0) => "all good\n".to_owned(),
            (0, _) => format!("all good, {}\n", count(warnings, "warning")),
            (_, 0) => format!("{}\n", count(errors, "error")),
            _ => format!(
                "{}, {}\n",
                count(errors, "error"),
                count(warnings, "warning")
            ),
        });
        text
    }
}

/// Checks a `setup.txt`, and reports every problem at once.
pub fn check(input: Input<'_>) -> Verdict {
    check::check(input, &Kept::default())
}

/// The same for a host that was set up before and whose seed was emptied of secrets since: a line of theirs that is
/// left empty means that the host's own stays.
pub fn check_emptied(input: Input<'_>, kept: &Kept) -> Verdict {
    check::check(input, kept)
}

/// Whether a file of this name is taken for `setup.txt`: editors add endings, and change case.
pub fn is_setup_name(name: &str) -> bool {
    ["setup.txt", "setup.txt.txt", "setup"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a value is the text that the template or the documentation puts in its place.
pub(crate) fn placeholder(key: Key, value: &str) -> Option<()> {
    let row = key.row();
    // In a password or a network's name anything may be meant: only plain wording counts.
    let any_text = row.rule.is_free_text() || row.rule == rules::Rule::WifiSsid;
    let lower = value.to_lowercase();
    let begins = |text: &str| {
        ["paste ", "paste-", "paste_", "your ", "your-", "your_"]
            .iter()
            .any(|start| text.starts_with(start))
    };
    let bracketed = inside_brackets(&lower).is_some_and(|inner| !any_text || begins(inner));
    let words = [
        "changeme",
        "change-me",
        "change_me",
        "replace-me",
        "replace_me",
    ];
    let unfilled = !any_text
        && (lower == "todo"
            || (lower.len() >= 3 && lower.chars().all(|c| c == 'x'))
            || (row.class != Class::Plain && value.ends_with("...")));
    let found = (bracketed && !is_kept_in_brackets(key, value))
        || words.contains(&lower.as_str())
        || (begins(&lower) && !row.rule.any_script())
        || unfilled
        // A plain or personal example can be somebody's real value.
        || (row.class == Class::Secret && value == row.example);
    found.then_some(())
}

/// What stands between pointed or square brackets that enclose the whole value.
fn inside_brackets(value: &str) -> Option<&str> {
    let pointed = value
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    pointed.or_else(|| {
        value
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
    })
}

/// Whether a bracketed value is a real one that was typed between the brackets of the placeholder.
pub(crate) fn is_kept_in_brackets(key: Key, value: &str) -> bool {
    let rule = key.row().rule;
    inside_brackets(value).is_some_and(|inner| {
        !rule.any_script()
            && !rule.is_free_text()
            && (rule.check(inner).is_ok() || rules::keys::owner(inner).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_editors_make_are_accepted() {
        for good in ["setup.txt", "SETUP.TXT", "Setup.txt.txt", "setup"] {
            assert!(is_setup_name(good), "{good}");
        }
        for bad in ["setup.doc", "setup.txt.bak", "setup2.txt", "._setup.txt"] {
            assert!(!is_setup_name(bad), "{bad}");
        }
    }

    #[test]
    fn placeholders_are_told_from_values() {
        assert!(placeholder(Key::OpenrouterApiKey, "<paste your key here>").is_some());
        assert!(placeholder(Key::OpenrouterApiKey, "sk-or-v1-...").is_some());
        assert!(placeholder(Key::ClawdieUserPassword, "changeme").is_some());
        assert!(placeholder(Key::TelegramAdminId, "<your id>").is_some());
        assert!(placeholder(Key::TelegramAdminId, "<123456789>").is_none());
        assert!(placeholder(Key::TelegramAdminId, "123456789").is_none());
        assert!(placeholder(Key::ClawdieUserPassword, "<your password>").is_some());
        for password in ["<correct horse>", "xxxxxxxxxx", "and so on...", "[Paste]"] {
            assert!(
                placeholder(Key::ClawdieUserPassword, password).is_none(),
                "{password}"
            );
        }
        assert!(placeholder(Key::WifiSsid, "[home]").is_none());
        assert!(placeholder(Key::AssistantName, "Ada").is_none());
        assert!(placeholder(Key::Profile, "balanced").is_none());
    }
}
