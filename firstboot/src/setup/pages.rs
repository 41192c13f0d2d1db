//! The pages people read: the template and read-me on the seed, and the reference.
//!
//! All are made from the table, so that none can say something the parser does not do.

use std::collections::BTreeSet;

use colibri_protocol::RESERVED;
use secrecy::SecretString;

use super::decode::FILE_LIMIT;
use super::lines::{LINE_LIMIT, VALUE_LIMIT};
use super::rules::Rule;
use super::schema::{Applied, Key, OnAdopt, Row, TABLE, Tier};

/// Windows line endings: Notepad is the editor this file is most often opened in.
fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn help_comment(row: &Row) -> String {
    let text = row.help.replace('*', "");
    wrap(&text, 74)
        .iter()
        .map(|line| format!("# {line}\n"))
        .collect()
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

/// The `setup.txt` that the image carries: what has to be filled in on top, the rest commented
/// out below. CRLF.
pub fn template(release: &str, commit: &str) -> String {
    page(&[
        (Key::OpenrouterApiKey, "<paste your OpenRouter key here>"),
        (Key::TelegramBotToken, "<paste your bot's token here>"),
        (Key::TelegramAdminId, "<paste your Telegram id here>"),
        (Key::Profile, "balanced"),
        (Key::IsoRelease, &one_line(release)),
        (Key::IsoGitCommit, &one_line(commit)),
    ])
}

/// The template with these values in their places, written so that the check reads back each of
/// them to the byte. Values are of one line; a key that may repeat may be there several times. CRLF.
pub fn filled(values: &[(Key, &str)]) -> SecretString {
    page(values).into()
}

/// The remarks that such a page may have: none of them is the operator's own.
pub(super) fn remarks() -> BTreeSet<String> {
    let all: Vec<_> = TABLE.iter().map(|row| (row.key, row.example)).collect();
    let pages = [page(&[]), page(&all)];
    let lines = pages.iter().flat_map(|page| page.lines());
    lines
        .filter(|line| line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn page(values: &[(Key, &str)]) -> String {
    // In one piece: a text that grows leaves copies of its secrets behind.
    let mut text = String::with_capacity(FILE_LIMIT);
    text.push_str(
        "# Fill in the lines below, save the file, eject the stick, boot from it.\n\
         # Lines that begin with # are remarks. README.txt says more.\n\n",
    );
    for key in TOP {
        setting(&mut text, key.row(), values, &format!("{}=\n", key.name()));
    }
    text.push_str(
        "\n# ---------------------------------------------------------------------------\n\
         # Nothing below has to be touched. To use a line, remove the # before it.\n\n",
    );
    // Choosing single models or machines is for the few who have read the reference.
    let special = |rule| {
        matches!(
            rule,
            Rule::Provider | Rule::Model | Rule::Seconds { .. } | Rule::Fingerprint
        )
    };
    let below = |row: &&Row| !TOP.contains(&row.key) && row.key != Key::Profile;
    for row in [Key::Profile.row()]
        .into_iter()
        .chain(TABLE.iter().filter(below))
    {
        let example = format!("#{}={}\n", row.name, row.example);
        let is_given = values.iter().any(|(key, _)| *key == row.key);
        let is_shown = match row.tier {
            Tier::Header | Tier::Gone => false,
            _ => is_given || !(special(row.rule) || row.applied == Applied::NotYet),
        };
        if is_shown {
            setting(&mut text, row, values, &example);
        }
    }
    text.push_str("# There are more settings: see docs/setup-reference.md of the project.\n\n");
    text.push_str("# Written by the build; leave these as they are.\n");
    text.push_str(&format!(
        "{}={}\n",
        Key::SetupSchemaVersion.name(),
        super::schema::SCHEMA_VERSION,
    ));
    for key in [Key::IsoRelease, Key::IsoGitCommit] {
        lines_of(&mut text, key, values);
    }
    crlf(&text)
}

/// What is filled in on top.
const TOP: [Key; 5] = [
    Key::OpenrouterApiKey,
    Key::TelegramBotToken,
    Key::TelegramAdminId,
    Key::AssistantName,
    Key::SshAuthorizedKey,
];

/// A setting with its help: the lines of its values, or another line when it has none.
fn setting(text: &mut String, row: &Row, values: &[(Key, &str)], otherwise: &str) {
    text.push_str(&help_comment(row));
    if !lines_of(text, row.key, values) {
        text.push_str(otherwise);
    }
    text.push('\n');
}

/// Whether there was a value to write.
fn lines_of(text: &mut String, key: Key, values: &[(Key, &str)]) -> bool {
    let mut written = false;
    for (_, value) in values.iter().filter(|(held, _)| *held == key) {
        for part in [key.name(), "=", quote(value), value, quote(value), "\n"] {
            text.push_str(part);
        }
        written = true;
    }
    written
}

/// The quote that a value needs on either side. The reader takes off blanks, and then one pair of
/// quotes: a value that has either at its ends gets a pair that may be taken.
fn quote(value: &str) -> &'static str {
    let at_risk = [' ', '\t', '"', '\''];
    if value.starts_with(at_risk) || value.ends_with([' ', '\t']) {
        "\""
    } else {
        ""
    }
}

/// A build's own words on one line, whatever they are.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The `README.txt` beside it. CRLF.
pub fn readme() -> String {
    crlf(
        "Clawdie: paste one key, boot, and talk to your own assistant\n\
         =============================================================\n\
         \n\
         1. Open setup.txt (a double click does) and replace the three texts in <>:\n\
         \n\
            OPENROUTER_API_KEY   your key from https://openrouter.ai/keys\n\
            TELEGRAM_BOT_TOKEN   write /newbot to @BotFather in Telegram\n\
            TELEGRAM_ADMIN_ID    write to @userinfobot in Telegram\n\
         \n\
            Give your assistant a name behind ASSISTANT_NAME= if you like.\n\
            To log in to the machine yourself, put your SSH public key behind\n\
            SSH_AUTHORIZED_KEY=, or copy your authorized_keys file next to it.\n\
         \n\
         2. Save it as plain text, eject the stick, put it into the machine, and\n\
            boot from it. The first boot takes a few minutes.\n\
         \n\
         3. Your assistant greets you in Telegram. If it does not, put the stick\n\
            back into your computer: RESULT.txt says what happened, and for every\n\
            mistake in setup.txt the line, what is wrong and what to write instead.\n\
            Correct it and boot again. Nothing is lost.\n\
         \n\
         Good to know\n\
         ------------\n\
         * No Telegram? Write TELEGRAM=none.\n\
         * Another provider than OpenRouter? Use DEEPSEEK_API_KEY,\n\
           ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY instead.\n\
         * setup.txt holds your keys as plain text: keep the stick safe.\n\
         * There is no default password. root is locked; over the network only\n\
           your SSH key gets in.\n\
         * Notepad and TextEdit are fine. Word is not: it changes the quotes.\n",
    )
}

/// The reference page `docs/setup-reference.md`.
pub fn reference() -> String {
    let mut text = format!(
        "# `setup.txt`: every setting\n\n\
         <!-- Made from the table in firstboot/src/setup/schema.rs; do not edit by hand.\n     \
         UPDATE_EXPECT=1 cargo nextest run -p clawdie-firstboot writes it anew. -->\n\n\
         One `KEY=value` on each line. Lines that begin with `#` are remarks; blank lines are fine. Any text\n\
         editor will do (Notepad, TextEdit in plain text mode): Windows, Mac and Unix line endings, UTF-8 and\n\
         UTF-16 with a byte order mark, spaces around `=`, matching straight quotes around a value and a leading\n\
         `export` are all accepted, and so are the file names `setup.txt`, `setup.txt.txt` and `setup` in any case.\n\
         An empty value means the same as no line at all.\n\n\
         Limits: {} KiB, {LINE_LIMIT} lines, {} KiB a value. Nothing is ever ignored in silence: a line that is not\n\
         used gets a warning, and all problems are reported at once. Check a file before you boot with\n\
         `cargo xtask seed check setup.txt`.\n\n\
         Reserved, and refused as `TENANT_ID` or `HOSTNAME`: {}.\n\n",
        FILE_LIMIT / 1024,
        VALUE_LIMIT / 1024,
        RESERVED
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    );
    let sections = [
        (
            Tier::Required,
            "Required",
            "One provider key (or the four vault settings) and the two Telegram settings (or `TELEGRAM=none`). With several provider keys and no `PI_PROVIDER`, the first in this order is used for chat.",
        ),
        (Tier::Recommended, "Recommended", ""),
        (Tier::Prefilled, "Prefilled", ""),
        (Tier::Optional, "Optional", ""),
        (Tier::Header, "Written by the build", ""),
        (Tier::Gone, "No longer accepted", ""),
    ];
    for (tier, title, note) in sections {
        text.push_str(&format!("## {title}\n\n"));
        if !note.is_empty() {
            text.push_str(&format!("{note}\n\n"));
        }
        for row in TABLE.iter().filter(|row| row.tier == tier) {
            text.push_str(&format!("### `{}`\n\n{}\n\n", row.name, row.help));
            if row.applied != Applied::Never {
                text.push_str(&format!("* must be: {}\n", row.rule.text()));
                text.push_str(&format!("* example: `{}`\n", row.example));
            }
            text.push_str(&format!("* kind: {}\n", row.class.word()));
            if row.applied != Applied::Never {
                text.push_str(&format!("* on a later edit: {}\n", row.on_adopt.word()));
            }
            match row.applied {
                Applied::Since(version) => text.push_str(&format!("* since: {version}\n")),
                Applied::NotYet => text.push_str(
                    "* **not applied yet**: it is checked, and the report says that nothing acts on it\n",
                ),
                Applied::Never => {}
            }
            text.push('\n');
        }
    }
    text.push_str(&adoption_table());
    text
}

/// What each setting may change on a host that has been set up.
fn adoption_table() -> String {
    let mut text = String::from(
        "## Later edits, and hosts that exist already\n\n\
         Once everything in `setup.txt` has been applied, this machine is somebody's. A later edit of the file fills\n\
         blanks, and so does `INSTALL_MODE=adopt` on a host that somebody else has set up: what the host has stays, and\n\
         `RESULT.txt` says where it differs from `setup.txt`. Passwords, keys and certificates that were made on the\n\
         machine are never made again.\n\n\
         | word | what happens |\n|---|---|\n",
    );
    for kind in OnAdopt::ALL {
        text.push_str(&format!("| {} | {} |\n", kind.word(), kind.text()));
    }
    text.push_str("\n| setting | on a later edit, or `INSTALL_MODE=adopt` |\n|---|---|\n");
    for kind in OnAdopt::ALL {
        let rows = TABLE
            .iter()
            .filter(|row| row.applied != Applied::Never && row.on_adopt == kind);
        for row in rows {
            text.push_str(&format!("| `{}` | {} |\n", row.name, kind.word()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Input, check};

    #[test]
    fn the_unedited_template_fails_briefly_and_clearly() {
        let text = template("0.1.0", "0123456789ab");
        assert!(text.lines().count() > 20 && !text.replace("\r\n", "").contains(['\r', '\n']));
        let verdict = check(Input {
            name: "setup.txt",
            setup: text.as_bytes(),
            authorized_keys: None,
        });
        let codes = verdict
            .problems
            .iter()
            .map(|problem| problem.code)
            .collect::<Vec<_>>();
        assert_eq!(
            codes,
            ["placeholder", "placeholder", "placeholder", "no-login"]
        );
        assert!(verdict.setup.is_none());
    }

    #[test]
    fn the_pages_on_the_seed_are_ascii_with_windows_line_endings() {
        for page in [template("0.1.0", "0123456789ab"), readme()] {
            assert!(page.is_ascii() && page.ends_with("\r\n"));
            assert!(!page.replace("\r\n", "").contains(['\r', '\n']));
            assert!(
                page.lines().all(|line| line.len() <= 80),
                "a line is too wide for Notepad"
            );
        }
    }

    #[test]
    fn every_setting_has_its_entry_in_the_reference() {
        let text = reference();
        for row in TABLE {
            assert!(
                text.contains(&format!("### `{}`", row.name)),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn what_is_commented_out_in_the_template_can_be_used_as_it_stands_if_it_is_plain() {
        let text = template("0.1.0", "0123456789ab");
        for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let Some(key) = Key::from_name(name) else {
                continue;
            };
            if key.class() == crate::setup::Class::Plain {
                assert!(key.row().rule.check(value).is_ok(), "{line}");
            }
        }
    }
}
