//! The whole check: every problem of a `setup.txt` at once.

use std::collections::BTreeMap;
use std::ops::Range;

use super::authorized::private_key;
use super::decode::{self, DecodeError, FILE_LIMIT};
use super::lines::{self, Item, LINE_LIMIT, Line, Pair, VALUE_LIMIT};
use super::marks;
use super::problem::{Problem, Severity};
use super::redact::{self, Mask};
use super::rules::{RuleError, keys};
use super::schema::{Applied, Class, Key};
use super::settings::{Kept, Setup};
use super::verify;
use super::{Input, Verdict, placeholder};

/// Where a problem is, and what of its line may be shown.
#[derive(Clone)]
pub(super) struct Place {
    line: usize,
    column: usize,
    shown: String,
    caret: Range<usize>,
}

impl Place {
    /// A place in a line; `mask` is never shown.
    pub(super) fn new(line: Line<'_>, mask: Mask, caret: Range<usize>) -> Place {
        let (shown, moved) = redact::shown(line.text, &mask, &caret);
        Place {
            line: line.number,
            column: caret.start + 1,
            shown,
            caret: moved,
        }
    }
}

/// What is known of a key while checking.
#[derive(Clone)]
pub(super) struct Seen {
    /// Where its value (or its empty line) is.
    pub(super) place: Place,
    /// Whether there was anything behind the `=`.
    pub(super) filled: bool,
}

/// The state of one check.
pub(super) struct Checker {
    pub(super) file: String,
    pub(super) problems: Vec<Problem>,
    pub(super) setup: Setup,
    pub(super) seen: BTreeMap<Key, Seen>,
    /// Settings that still hold the template's text, judged once everything else is known.
    pub(super) placeholders: Vec<(Key, Place)>,
}

/// What to say about a problem.
pub(super) struct Say {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    pub(super) key: Option<Key>,
    pub(super) title: String,
    pub(super) rule: Option<String>,
    pub(super) remedy: String,
}

impl Checker {
    fn new(file: &str) -> Checker {
        Checker {
            file: file.to_owned(),
            problems: Vec::new(),
            setup: Setup::default(),
            seen: BTreeMap::new(),
            placeholders: Vec::new(),
        }
    }

    /// Records a problem.
    pub(super) fn say(&mut self, place: Option<Place>, say: Say) {
        let (line, column, source_line, caret) = match place {
            Some(place) => (
                Some(place.line),
                Some(place.column),
                Some(place.shown),
                place.caret,
            ),
            None => (None, None, None, 0..0),
        };
        self.problems.push(Problem {
            severity: say.severity,
            code: say.code,
            file: self.file.clone(),
            line,
            column,
            key: say.key,
            title: say.title,
            source_line,
            caret,
            rule: say.rule,
            remedy: say.remedy,
        });
    }

    /// Records an error of one setting, with its rule.
    pub(super) fn fault(&mut self, key: Key, place: Option<Place>, error: RuleError) {
        self.note(Severity::Error, key, place, error);
    }

    /// Records a warning about one setting.
    pub(super) fn warn(&mut self, key: Key, place: Option<Place>, error: RuleError) {
        self.note(Severity::Warning, key, place, error);
    }

    fn note(&mut self, severity: Severity, key: Key, place: Option<Place>, error: RuleError) {
        let row = key.row();
        let remedy = error.remedy.map_or_else(
            || match row.class {
                Class::Plain => format!("Write for example {}={}", row.name, row.example),
                _ => row.help.to_owned(),
            },
            |remedy| remedy.into_owned(),
        );
        let rule = match (severity, error.rule) {
            (_, Some(rule)) => Some(rule.into_owned()),
            (Severity::Error, None) => Some(row.rule.text().into_owned()),
            (Severity::Warning, None) => None,
        };
        let title = format!("`{}` {}", row.name, error.fault);
        self.say(
            place,
            Say {
                severity,
                code: error.code,
                key: Some(key),
                title,
                rule,
                remedy,
            },
        );
    }

    /// Whether a key holds something, good or bad.
    pub(super) fn filled(&self, key: Key) -> bool {
        self.seen.get(&key).is_some_and(|seen| seen.filled)
    }

    /// The place of a key, if it stands in the file at all.
    pub(super) fn place(&self, key: Key) -> Option<Place> {
        self.seen.get(&key).map(|seen| seen.place.clone())
    }
}

/// Checks a `setup.txt` and the `authorized_keys` beside it.
pub(super) fn check(input: Input<'_>, kept: &Kept) -> Verdict {
    let mut checker = Checker::new(input.name);
    match decode::decode(input.setup) {
        Err(error) => checker.unreadable(error),
        Ok(text) if text.trim().is_empty() => checker.say(
            None,
            Say {
                severity: Severity::Error,
                code: "empty",
                key: None,
                title: "the file is empty".to_owned(),
                rule: None,
                remedy: "Copy the original setup.txt back from the image, or write the lines of README.txt into it.".to_owned(),
            },
        ),
        Ok(text) => {
            let items = lines::items(&text);
            if checker.version(&items) {
                for item in &items {
                    checker.item(item);
                }
                checker.keep(kept);
                verify::verify(&mut checker, input.authorized_keys.is_some());
            }
        }
    }
    checker
        .problems
        .sort_by_key(|problem| (problem.line.unwrap_or(usize::MAX), problem.column));
    if let Some(bytes) = input.authorized_keys {
        checker.authorized_keys(bytes);
    }
    let good = !checker.problems.iter().any(Problem::is_error);
    Verdict {
        setup: good.then_some(checker.setup),
        problems: checker.problems,
    }
}

impl Checker {
    pub(super) fn unreadable(&mut self, error: DecodeError) {
        let rule = match error {
            DecodeError::TooLarge => format!("at most {} KiB", FILE_LIMIT / 1024),
            _ => "plain text".to_owned(),
        };
        let remedy = match error {
            DecodeError::TooLarge => {
                "The file needs a few lines only: start again from the original setup.txt."
            }
            DecodeError::Document(_) => {
                "Open it in Notepad (Windows) or in TextEdit with Format > Make Plain Text (Mac), and save it as plain text."
            }
            DecodeError::Utf16WithoutMark => {
                "In Notepad choose File > Save as, Encoding UTF-8, and save it again."
            }
            DecodeError::Binary => {
                "Something other than the text was saved under this name, or the stick is damaged: copy the original setup.txt to the stick again."
            }
        };
        self.say(
            None,
            Say {
                severity: Severity::Error,
                code: error.code(),
                key: None,
                title: format!("the file {error}"),
                rule: Some(rule),
                remedy: remedy.to_owned(),
            },
        );
    }

    /// A file of a newer format cannot be judged line by line: says so and nothing else.
    fn version(&mut self, items: &[Item<'_>]) -> bool {
        for item in items {
            let key = Key::SetupSchemaVersion;
            if let Item::Pair(pair) = item
                && pair.name == key.name()
                && let Err(error) = key.row().rule.check(pair.value)
                && error.code == "newer"
            {
                let place = Place::new(pair.line, Mask::None, pair.value_at.clone());
                self.fault(key, Some(place), error);
                return false;
            }
        }
        true
    }

    pub(super) fn item(&mut self, item: &Item<'_>) {
        match item {
            Item::Pair(pair) => self.pair(pair),
            Item::PrivateKey { line, key, at } => {
                let place = Place::new(*line, Mask::Fixed(at.clone()), at.clone());
                self.meant(key.unwrap_or(Key::SshAuthorizedKey), &place);
                self.say(Some(place), private_key(*key));
            }
            Item::BarePublicKey(line) => {
                let place = Place::new(*line, Mask::None, line.all());
                self.meant(Key::SshAuthorizedKey, &place);
                self.say(
                    Some(place),
                    Say {
                        severity: Severity::Error,
                        code: "no-key",
                        key: Some(Key::SshAuthorizedKey),
                        title: "an SSH public key stands here without its setting".to_owned(),
                        rule: Some("KEY=value, one on each line".to_owned()),
                        remedy: "Write SSH_AUTHORIZED_KEY= before it, on the same line.".to_owned(),
                    },
                );
            }
            Item::NoEquals { line, key, word_at } => self.no_equals(*line, *key, word_at),
            Item::TooManyLines(line) => self.say(
                Some(Place::new(*line, Mask::Fixed(line.all()), 0..1)),
                Say {
                    severity: Severity::Error,
                    code: "too-many-lines",
                    key: None,
                    title: format!("the file has more than {LINE_LIMIT} lines"),
                    rule: Some(format!("at most {LINE_LIMIT} lines")),
                    remedy: "Nothing below this line was read. Remove what is not needed."
                        .to_owned(),
                },
            ),
        }
    }

    /// An empty line of a secret that this host holds is as good as a filled one.
    fn keep(&mut self, kept: &Kept) {
        for (key, value) in kept {
            // Whoever switches Telegram off wants its token no longer.
            if *key == Key::TelegramBotToken && self.setup.telegram_off() {
                continue;
            }
            if let Some(seen) = self.seen.get_mut(key).filter(|seen| !seen.filled) {
                seen.filled = true;
                self.setup.keep(*key, value.clone());
            }
        }
    }

    /// Notes that a setting was meant, so that it is not called missing as well.
    fn meant(&mut self, key: Key, place: &Place) {
        let seen = Seen {
            place: place.clone(),
            filled: true,
        };
        self.seen.entry(key).or_insert(seen);
    }

    fn no_equals(&mut self, line: Line<'_>, key: Option<Key>, word_at: &Range<usize>) {
        let all = line.all();
        let (title, remedy, mask, caret) = match key {
            Some(key) => {
                // A colon or a blank may be shown; anything else could be part of a secret.
                let sign = line.text.chars().nth(word_at.end).is_some_and(|c| ": \t".contains(c));
                let from = word_at.end + usize::from(sign);
                let open = !key.is_secret() && !keys::holds_secret(line.text);
                let mask = if open { Mask::None } else { Mask::Fixed(from..all.end) };
                self.meant(key, &Place::new(line, mask.clone(), word_at.clone()));
                (
                    format!("there is no `=` behind `{}`", key.name()),
                    format!("Write {}= and the value behind it.", key.name()),
                    mask,
                    word_at.end..word_at.end + 1,
                )
            }
            None => (
                "this line is neither a setting nor a comment".to_owned(),
                "If it belongs to the line above, join the two. If it is a remark, put a # before it.".to_owned(),
                Mask::Fixed(all.clone()),
                all,
            ),
        };
        self.say(
            Some(Place::new(line, mask, caret)),
            Say {
                severity: Severity::Error,
                code: "no-equals",
                key,
                title,
                rule: Some("KEY=value, one on each line".to_owned()),
                remedy,
            },
        );
    }

    fn pair(&mut self, pair: &Pair<'_>) {
        let Some(key) = Key::from_name(pair.name) else {
            return self.unknown(pair);
        };
        let row = key.row();
        let rule = row.rule;
        let pair = &if rule.is_free_text() {
            pair.clone()
        } else {
            pair.trimmed()
        };
        let mask = mask(key, pair);
        let place_of = |caret: Range<usize>| Place::new(pair.line, mask.clone(), caret);
        let place = place_of(pair.value_at.clone());

        if pair.value.is_empty() {
            // A line left blank means the default; it matters only if the setting is required.
            self.seen.entry(key).or_insert(Seen {
                place,
                filled: false,
            });
            return;
        }
        if let Some(first) = self
            .seen
            .get(&key)
            .filter(|seen| seen.filled && !key.may_repeat())
        {
            let (first, again) = (first.place.line, pair.line.number);
            let fault = format!("stands in line {first} and again in line {again}");
            let error = RuleError::new("duplicate", fault)
                .rule("each setting once")
                .remedy("Keep the line you mean and remove the other.");
            return self.fault(key, Some(place_of(pair.name_at.clone())), error);
        }
        self.seen.insert(
            key,
            Seen {
                place: place.clone(),
                filled: true,
            },
        );

        if row.applied == Applied::Never {
            let error = RuleError::new("refused", "is no longer accepted").remedy(row.help);
            return self.fault(key, Some(place_of(pair.name_at.clone())), error);
        }
        if pair.value.len() > VALUE_LIMIT {
            let error = RuleError::new("value-too-long", "is too long")
                .rule(format!("at most {} KiB", VALUE_LIMIT / 1024))
                .remedy("Most values have less than 100 characters. Paste it again.");
            return self.fault(key, Some(place), error);
        }
        if placeholder(key, pair.value).is_some() {
            self.placeholders.push((key, place));
            return;
        }
        if let Err(error) = marks::look(key, pair).and_then(|()| rule.check(pair.value)) {
            let start = pair.value_at.start;
            let within = |span: Range<usize>| start + span.start..start + span.end;
            let caret = error.span.clone().map_or(pair.value_at.clone(), within);
            return self.fault(key, Some(place_of(caret)), error);
        }
        if let Some(advice) = rule.advice(pair.value) {
            self.warn(key, Some(place), advice);
        }
        let value = rule.normalise(pair.value);
        if key.may_repeat() {
            self.setup.put_ssh_key(value);
        } else {
            self.setup.put(key, value);
        }
    }

    fn unknown(&mut self, pair: &Pair<'_>) {
        let hidden = pair
            .name
            .chars()
            .position(|c| redact::is_invisible(c) || c == '\u{fffd}');
        if let Some(at) = hidden {
            let at = pair.name_at.start + at;
            let everything = pair.line.all();
            return self.say(
                Some(Place::new(pair.line, Mask::Aligned(everything), at..at + 1)),
                Say {
                    severity: Severity::Error,
                    code: "non-breaking-space",
                    key: None,
                    title: "there is an invisible character in the name of this setting".to_owned(),
                    rule: Some("names have capital letters, digits and `_` only".to_owned()),
                    remedy: "Delete the line and type it again; such characters come from copying out of a web page.".to_owned(),
                },
            );
        }
        // A secret can stand before the `=` by mistake: show nothing that is not a name.
        let named = redact::is_name(pair.name);
        let mask = if named {
            pair.rest_at.clone()
        } else {
            pair.line.all()
        };
        let place = Place::new(pair.line, Mask::Fixed(mask), pair.name_at.clone());
        let near = if named { Key::nearest(pair.name) } else { None };
        let (title, remedy) = match (named, near) {
            (true, Some(key)) => (
                format!("`{}` is not a setting", pair.name),
                format!("The line is not used. Did you mean `{}`?", key.name()),
            ),
            (true, None) => (
                format!("`{}` is not a setting", pair.name),
                "The line is not used. Remove it, or look the name up in the reference.".to_owned(),
            ),
            (false, _) => (
                "what stands before the `=` is not the name of a setting".to_owned(),
                "The line is not used. Write KEY=value, with a key from the reference.".to_owned(),
            ),
        };
        let severity = Severity::Warning;
        self.say(
            Some(place),
            Say {
                severity,
                code: "unknown-key",
                key: None,
                title,
                rule: None,
                remedy,
            },
        );
    }
}

/// What of a setting's line may not be shown.
fn mask(key: Key, pair: &Pair<'_>) -> Mask {
    let rest = pair.rest_at.clone();
    // The template's own words are no secret, and seeing them is what explains the problem.
    let template = pair.value.starts_with("<paste your ") && placeholder(key, pair.value).is_some();
    if template && !keys::holds_secret(pair.value) {
        Mask::None
    } else if key.is_secret() && key.row().rule.is_free_text() {
        Mask::Fixed(rest)
    } else if key.is_secret() || keys::holds_secret(pair.value) {
        Mask::Aligned(rest)
    } else {
        Mask::None
    }
}
