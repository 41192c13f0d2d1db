//! The whole check: every problem of a `setup.txt` at once.

use std::collections::BTreeMap;
use std::ops::Range;

use super::decode::{self, DecodeError, FILE_LIMIT};
use super::lines::{self, Item, LINE_LIMIT, Line, Pair, VALUE_LIMIT};
use super::problem::{Problem, Severity};
use super::redact;
use super::rules::{RuleError, access, keys};
use super::schema::{Applied, Key, SCHEMA_VERSION};
use super::settings::Setup;
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
    pub(super) fn new(line: Line<'_>, mask: Option<Range<usize>>, caret: Range<usize>) -> Place {
        let (shown, moved) = redact::shown(line.text, mask.as_ref(), &caret);
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
    file: String,
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
        let remedy = error
            .remedy
            .map_or_else(|| row.help.to_owned(), |remedy| remedy.into_owned());
        let rule = (severity == Severity::Error).then(|| row.rule.text().into_owned());
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
pub(super) fn check(input: Input<'_>) -> Verdict {
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
    fn unreadable(&mut self, error: DecodeError) {
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
            if let Item::Pair(pair) = item
                && pair.name == Key::SetupSchemaVersion.name()
                && pair
                    .value
                    .parse::<u32>()
                    .is_ok_and(|version| version > SCHEMA_VERSION)
            {
                let place = Place::new(pair.line, None, pair.value_at.clone());
                if let Err(error) = Key::SetupSchemaVersion.row().rule.check(pair.value) {
                    self.fault(Key::SetupSchemaVersion, Some(place), error);
                    return false;
                }
            }
        }
        true
    }

    fn item(&mut self, item: &Item<'_>) {
        match item {
            Item::Pair(pair) => self.pair(pair),
            Item::PrivateKey { line, key, at } => {
                let place = Place::new(*line, Some(at.clone()), at.clone());
                if let Some(key) = key {
                    self.seen.entry(*key).or_insert(Seen {
                        place: place.clone(),
                        filled: true,
                    });
                }
                self.say(Some(place), private_key(*key));
            }
            Item::BarePublicKey(line) => self.say(
                Some(Place::new(*line, None, line.all())),
                Say {
                    severity: Severity::Error,
                    code: "no-key",
                    key: Some(Key::SshAuthorizedKey),
                    title: "an SSH public key stands here without its setting".to_owned(),
                    rule: Some("KEY=value, one on each line".to_owned()),
                    remedy: "Write SSH_AUTHORIZED_KEY= before it, on the same line.".to_owned(),
                },
            ),
            Item::NoEquals { line, key, word_at } => self.no_equals(*line, *key, word_at),
            Item::TooManyLines(line) => self.say(
                Some(Place::new(*line, Some(line.all()), 0..1)),
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

    fn no_equals(&mut self, line: Line<'_>, key: Option<Key>, word_at: &Range<usize>) {
        let (title, remedy, mask, caret) = match key {
            Some(key) => {
                let place = Place::new(line, Some(word_at.end..line.all().end), word_at.clone());
                self.seen.entry(key).or_insert(Seen { place, filled: true });
                (
                    format!("there is no `=` behind `{}`", key.name()),
                    format!("Write {}= and the value behind it.", key.name()),
                    word_at.end..line.all().end,
                    word_at.end..word_at.end + 1,
                )
            }
            None => (
                "this line is neither a setting nor a comment".to_owned(),
                "If it belongs to the line above, join the two. If it is a remark, put a # before it.".to_owned(),
                line.all(),
                line.all(),
            ),
        };
        self.say(
            Some(Place::new(line, Some(mask), caret)),
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
        let stray = keys::owner(pair.value).is_some_and(Key::is_secret)
            || keys::stranger(pair.value).is_some();
        let mask = (key.is_secret() || stray).then(|| pair.rest_at.clone());
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
            let first = first.place.line;
            let error = RuleError::new(
                "duplicate",
                format!(
                    "stands in line {first} and again in line {}",
                    pair.line.number
                ),
            )
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
            let error = row.rule.check(pair.value).err();
            return match error {
                Some(error) => self.fault(key, Some(place_of(pair.name_at.clone())), error),
                None => (),
            };
        }
        if pair.value.len() > VALUE_LIMIT {
            let error = RuleError::new("value-too-long", "is too long").remedy(format!(
                "A value has at most {} KiB; most have less than 100 characters. Paste it again.",
                VALUE_LIMIT / 1024
            ));
            return self.fault(key, Some(place), error);
        }
        if placeholder(key, pair.value).is_some() {
            self.placeholders.push((key, place));
            return;
        }
        let within = |span: Range<usize>| {
            let start = pair.value_at.start;
            start + span.start..start + span.end
        };
        if let Err(error) = look(key, pair) {
            let caret = error.span.clone().map_or(pair.value_at.clone(), within);
            return self.fault(key, Some(place_of(caret)), error);
        }
        if let Err(error) = row.rule.check(pair.value) {
            let caret = error.span.clone().map_or(pair.value_at.clone(), within);
            return self.fault(key, Some(place_of(caret)), error);
        }
        if let Some(advice) = row.rule.advice(pair.value) {
            self.warn(key, Some(place), advice);
        }
        let value = row.rule.normalise(pair.value);
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
                Some(Place::new(pair.line, Some(everything), at..at + 1)),
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
        let place = Place::new(pair.line, Some(mask), pair.name_at.clone());
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

    fn authorized_keys(&mut self, bytes: &[u8]) {
        self.file = "authorized_keys".to_owned();
        let text = match decode::decode(bytes) {
            Ok(text) => text,
            Err(error) => return self.unreadable(error),
        };
        let mut in_private_key = false;
        for (index, text) in decode::lines(&text).enumerate() {
            let line = Line {
                number: index + 1,
                text,
            };
            if index >= LINE_LIMIT {
                return self.item(&Item::TooManyLines(line));
            }
            if in_private_key {
                in_private_key = !text.contains("-----END") && !text.contains("Private-MAC:");
                continue;
            }
            if lines::is_silent(text) {
                continue;
            }
            if access::starts_private_key(text) {
                in_private_key = !text.contains("-----END");
                let place = Place::new(line, Some(line.all()), line.all());
                self.say(Some(place), private_key(None));
                continue;
            }
            match access::ssh_public_key(text.trim()) {
                Ok(key) => self.setup.put_ssh_key(key),
                Err(error) => {
                    let place = Place::new(line, Some(line.all()), line.all());
                    let say = Say {
                        severity: Severity::Error,
                        code: error.code,
                        key: Some(Key::SshAuthorizedKey),
                        title: format!("this line {}", error.fault),
                        rule: Some(Key::SshAuthorizedKey.row().rule.text().into_owned()),
                        remedy: error.remedy.unwrap_or_default().into_owned(),
                    };
                    self.say(Some(place), say);
                }
            }
        }
    }
}

fn private_key(key: Option<Key>) -> Say {
    Say {
        severity: Severity::Error,
        code: "private-key",
        key,
        title: "DANGER: this is a PRIVATE SSH key, which must never leave your own computer".to_owned(),
        rule: Some(Key::SshAuthorizedKey.row().rule.text().into_owned()),
        remedy: "Delete it from this file and treat it as no longer secret: make a new key pair. Then paste only the one line of the file that ends in .pub.".to_owned(),
    }
}

/// What the eye should have seen: marks from word processors, remarks behind a value, and values
/// that belong to another setting.
fn look(key: Key, pair: &Pair<'_>) -> Result<(), RuleError> {
    let rule = key.row().rule;
    let value = pair.value;
    if pair.open_quote {
        return Err(
            RuleError::new("quote", "begins with a quote that does not end")
                .at(0..1)
                .remedy("Remove the quote, or put the same one behind the value."),
        );
    }
    marks(rule.any_script(), value)?;
    if rule.is_free_text() {
        return Ok(());
    }
    if access::starts_like_public_key(value) && key == Key::SshAuthorizedKey {
        return Ok(());
    }
    if let Some(owner) = keys::owner(value)
        && owner != key
        && rule != super::rules::Rule::Information
    {
        let fault = format!("holds a value that belongs to `{}`", owner.name());
        let remedy = format!("Put this value behind {}= instead.", owner.name());
        return Err(RuleError::new("other-key", fault).remedy(remedy));
    }
    if key.is_secret()
        && let Some(service) = keys::stranger(value)
    {
        return Err(RuleError::new("other-service", format!("holds a key of {service}"))
            .remedy("That service is not among the providers; bring a key of OpenRouter, DeepSeek, Anthropic, OpenAI or Google Gemini."));
    }
    let remark = value.find(" #").filter(|_| !rule.any_script());
    if let Some(at) = remark {
        let start = value[..at].chars().count() + 1;
        return Err(RuleError::new("remark", "has a remark behind its value")
            .at(start..value.chars().count())
            .remedy("Put the remark on a line of its own, with the # first."));
    }
    Ok(())
}

fn marks(any_script: bool, value: &str) -> Result<(), RuleError> {
    let curly = |c: char| {
        "\u{201c}\u{201d}\u{201e}\u{201f}\u{2018}\u{2019}\u{201a}\u{201b}\u{ab}\u{bb}".contains(c)
    };
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let here = at..at + 1;
        if redact::is_hard_space(c) {
            return Err(RuleError::new("non-breaking-space", "has a non-breaking space in it")
                .at(here)
                .remedy("It looks like a space but is none; it comes from copying out of a web page. Delete it and type the value again."));
        }
        if redact::is_invisible(c) || c.is_control() {
            return Err(RuleError::new("invisible", "has an invisible character in it")
                .at(here)
                .remedy("It comes from copying out of a web page. Delete the value and type it again."));
        }
        if c == '\u{fffd}' {
            return Err(RuleError::new("not-utf8", "has a character in it that could not be read")
                .at(here)
                .remedy("In Notepad choose File > Save as, Encoding UTF-8, and write the character again."));
        }
        // An apostrophe inside a name is fine; a quote around the value never is.
        if curly(c) && (!any_script || at == 0 || (at == last && value.starts_with(curly))) {
            return Err(RuleError::new("curly-quotes", "has curly quotes in it")
                .at(here)
                .remedy("Remove them, or use straight quotes (\"). Word processors and phones make them curly by themselves."));
        }
        if !any_script && !c.is_ascii() {
            return Err(RuleError::new(
                "non-ascii",
                "has a letter or sign in it that is not allowed here",
            )
            .at(here)
            .remedy(
                "Use plain letters (a to z, without accents), digits and common punctuation.",
            ));
        }
    }
    Ok(())
}
