//! What the dialogue holds and how a key press changes it. No terminal, no disk.
//!
//! What may be written is not decided here: after every press the answers are written out as a `setup.txt` and
//! checked as any other one is, and what the check says is shown beside the setting it names.

use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};

use crate::seed::OLD_SETUP;
use crate::setup::rules::{Rule, keys};
use crate::setup::schema::{Row, TABLE, Tier};
use crate::setup::{self, Input, Key, Problem, Provider, VALUE_LIMIT};

/// What the operator did. No `Debug`: what is typed may be a secret.
pub enum Press {
    /// Typed a character.
    Char(char),
    /// Pasted a text.
    Paste(SecretString),
    /// On to the next place, or push the button.
    Enter,
    /// To the place below.
    Next,
    /// To the place above.
    Previous,
    /// Within a text or a row of buttons; the choice before.
    Left,
    /// Within a text or a row of buttons; the choice behind.
    Right,
    /// To the start of a text.
    Home,
    /// To its end.
    End,
    /// Remove the character before the cursor.
    Backspace,
    /// Remove the one under it.
    Delete,
    /// Empty the field.
    Clear,
    /// Show or mask secrets.
    Reveal,
    /// Towards the way out.
    Escape,
}

/// What a press asks of whoever runs the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: go on.
    Stay,
    /// The answers are good: save them.
    Save,
    /// End without saving.
    Leave,
}

/// What saving leads to; the words on the buttons tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A file is written, and that is all.
    File,
    /// The machine is set up from it, and then has a login prompt here.
    SetUp,
}

/// Where the cursor can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The choice whose key the next field is for.
    Provider,
    /// A field, by its number.
    Field(usize),
    /// A button below.
    Button(Button),
}

/// The buttons, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Button {
    /// To the other page.
    Page,
    /// Show or mask secrets.
    Reveal,
    /// Save and go on.
    Save,
    /// End without saving.
    Leave,
}

impl Button {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Page, Self::Reveal, Self::Save, Self::Leave];
}

/// One setting's text. `Debug` shows no value, of whatever class.
#[derive(Debug)]
pub struct Field {
    /// Which setting.
    pub key: Key,
    text: SecretBox<String>,
    /// In characters.
    cursor: usize,
    /// The operator has been here, or the old file had something here: faults may be shown.
    touched: bool,
}

impl Field {
    fn new(key: Key, text: &str) -> Self {
        // As long as it may get, from the start: a text that grows leaves copies of itself behind.
        let mut held = String::with_capacity(VALUE_LIMIT);
        held.push_str(text);
        Self {
            key,
            cursor: text.chars().count(),
            touched: !text.is_empty(),
            text: SecretBox::new(Box::new(held)),
        }
    }

    /// What stands in it, secret or not.
    pub fn text(&self) -> &str {
        self.text.expose_secret()
    }

    /// Where the cursor is, in characters.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// What can be chosen, where the rule leaves a few words only; the empty one is the default.
    pub fn choices(&self) -> Option<Vec<&'static str>> {
        let words = match self.key.row().rule {
            Rule::TelegramSwitch => vec!["none"],
            Rule::OneOf(words) => words.to_vec(),
            Rule::YesNo => vec!["yes", "no"],
            Rule::Provider => Provider::ALL.iter().map(|provider| provider.id()).collect(),
            _ => return None,
        };
        Some([""].into_iter().chain(words).collect())
    }

    /// Whether it is shown as stars: a secret, or what looks like one in the wrong place.
    pub fn is_masked(&self) -> bool {
        self.key.is_secret() || keys::holds_secret(self.text())
    }

    /// The value as it is written; empty when there is none.
    fn value(&self) -> &str {
        if self.key.row().rule.is_free_text() {
            self.text()
        } else {
            self.text().trim_matches([' ', '\t'])
        }
    }

    /// Where the cursor is, in bytes.
    fn byte(&self, at: usize) -> usize {
        let text = self.text();
        text.char_indices()
            .nth(at)
            .map_or(text.len(), |(byte, _)| byte)
    }

    fn insert(&mut self, letter: char) {
        if letter.is_control() || self.text().len() + letter.len_utf8() > VALUE_LIMIT {
            return;
        }
        let byte = self.byte(self.cursor);
        self.text.expose_secret_mut().insert(byte, letter);
        self.cursor += 1;
    }

    fn remove(&mut self, at: usize) {
        let byte = self.byte(at);
        if byte < self.text().len() {
            self.text.expose_secret_mut().remove(byte);
            self.cursor = at;
        }
    }

    fn clear(&mut self) {
        self.text.expose_secret_mut().clear();
        self.cursor = 0;
    }

    /// The choice `by` places further.
    fn turn(&mut self, choices: &[&str], by: isize) {
        let now = choices
            .iter()
            .position(|choice| choice.eq_ignore_ascii_case(self.value()));
        let next = choices[wrapped(now.unwrap_or(0), by, choices.len())];
        self.clear();
        self.text.expose_secret_mut().push_str(next);
    }

    fn press(&mut self, press: &Press) {
        if let Some(choices) = self.choices() {
            match press {
                Press::Left => self.turn(&choices, -1),
                Press::Right | Press::Char(' ') => self.turn(&choices, 1),
                Press::Clear | Press::Backspace | Press::Delete => self.clear(),
                _ => {}
            }
            return;
        }
        match press {
            Press::Char(letter) => self.insert(*letter),
            Press::Paste(text) => {
                let line = text
                    .expose_secret()
                    .lines()
                    .find(|line| !line.trim().is_empty());
                line.unwrap_or_default()
                    .chars()
                    .for_each(|letter| self.insert(letter));
            }
            Press::Left => self.cursor = self.cursor.saturating_sub(1),
            Press::Right => self.cursor = (self.cursor + 1).min(self.text().chars().count()),
            Press::Home => self.cursor = 0,
            Press::End => self.cursor = self.text().chars().count(),
            Press::Backspace if self.cursor > 0 => self.remove(self.cursor - 1),
            Press::Delete => self.remove(self.cursor),
            Press::Clear => self.clear(),
            _ => {}
        }
    }
}

/// Something that the check said, and where it is shown.
#[derive(Debug)]
struct Fault {
    /// `None`: it concerns none of the fields.
    field: Option<usize>,
    problem: Problem,
}

/// What the answers are for.
#[derive(Debug)]
pub struct Origin {
    /// The file's name, as messages have it.
    pub name: String,
    /// The file and where it lies, for people.
    pub place: String,
    /// The bytes of `authorized_keys` beside it: the check asks for them.
    pub authorized_keys: Option<Vec<u8>>,
    /// What comes after saving.
    pub purpose: Purpose,
}

/// The state of the dialogue.
#[derive(Debug)]
pub struct Wizard {
    origin: Origin,
    /// What the build wrote into the old file.
    build: Vec<(Key, SecretString)>,
    fields: Vec<Field>,
    provider: Provider,
    more: bool,
    focus: Stop,
    reveal: bool,
    /// Saving was tried: every fault is shown.
    tried: bool,
    faults: Vec<Fault>,
    note: Option<String>,
}

/// The settings of the first page, below the key of the chosen provider.
const FIRST_PAGE: [Key; 5] = [
    Key::Telegram,
    Key::TelegramBotToken,
    Key::TelegramAdminId,
    Key::AssistantName,
    Key::SshAuthorizedKey,
];

fn is_provider_key(key: Key) -> bool {
    Provider::ALL.iter().any(|provider| provider.key() == key)
}

fn is_field(row: &Row) -> bool {
    !matches!(row.tier, Tier::Header | Tier::Gone)
}

fn wrapped(at: usize, by: isize, length: usize) -> usize {
    (at as isize + by).rem_euclid(length as isize) as usize
}

fn count(number: usize, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}

impl Wizard {
    /// A dialogue with what could be read of the old file filled in.
    pub fn new(origin: Origin, old: Option<&[u8]>) -> Self {
        let salvage = old.map(setup::salvage).unwrap_or_default();
        let values = &salvage.values;
        let held = |key: Key| {
            values
                .iter()
                .filter(move |(found, _)| *found == key)
                .map(|(_, value)| value)
        };
        let mut fields = Vec::new();
        for row in TABLE.iter().filter(|row| is_field(row)) {
            let before = fields.len();
            fields.extend(held(row.key).map(|value| Field::new(row.key, value.expose_secret())));
            if fields.len() == before {
                fields.push(Field::new(row.key, ""));
            }
        }
        let build = [Key::IsoRelease, Key::IsoGitCommit]
            .into_iter()
            .flat_map(|key| held(key).map(move |value| (key, value.clone())))
            .collect();
        let provider = Provider::ALL
            .iter()
            .find(|provider| held(provider.key()).next().is_some());
        let mut wizard = Self {
            origin,
            build,
            fields,
            provider: provider.copied().unwrap_or(Provider::OpenRouter),
            more: false,
            focus: Stop::Provider,
            reveal: false,
            tried: false,
            faults: Vec::new(),
            note: None,
        };
        wizard.check();
        wizard.say(match old {
            None => format!(
                "There is no {} yet. Fill in the lines above; it is written when you save.",
                wizard.origin.place
            ),
            Some(old) => wizard.greeting(old, salvage.leftovers),
        });
        wizard
    }

    fn greeting(&self, old: &[u8], leftovers: bool) -> String {
        let verdict = setup::check(Input {
            name: &self.origin.name,
            setup: old,
            authorized_keys: self.origin.authorized_keys.as_deref(),
        });
        let faults = match verdict.errors().count() {
            0 => "no fault".to_owned(),
            number => count(number, "fault"),
        };
        let mut text = format!(
            "{} has {faults}. What could be read of it is filled in above, and a fault is told below its setting.",
            self.origin.name
        );
        if leftovers {
            text.push_str(&format!(
                " What is no setting (a remark, a line that makes no sense) stays in {OLD_SETUP} beside it."
            ));
        }
        text
    }

    /// Something to say until the next press.
    pub fn say(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
    }

    /// What was last said, if no press came since.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// What the answers are for.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The fields, by their number.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whose key is asked for.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Whether the second page is shown.
    pub fn is_on_second_page(&self) -> bool {
        self.more
    }

    /// Where the cursor is.
    pub fn focus(&self) -> Stop {
        self.focus
    }

    /// Whether secrets are shown.
    pub fn reveals(&self) -> bool {
        self.reveal
    }

    /// The places of this page, from top to bottom.
    pub fn stops(&self) -> Vec<Stop> {
        let mut stops = Vec::new();
        let numbers = |wanted: &dyn Fn(Key) -> bool| -> Vec<Stop> {
            let fields = self.fields.iter().enumerate();
            fields
                .filter(|(_, field)| wanted(field.key))
                .map(|(number, _)| Stop::Field(number))
                .collect()
        };
        if self.more {
            stops.extend(numbers(&|key| {
                !is_provider_key(key) && !FIRST_PAGE.contains(&key)
            }));
        } else {
            stops.push(Stop::Provider);
            stops.extend(numbers(&|key| key == self.provider.key()));
            for key in FIRST_PAGE.into_iter().filter(|key| self.is_asked(*key)) {
                stops.extend(numbers(&|held| held == key));
            }
        }
        stops.extend(Button::ALL.map(Stop::Button));
        stops
    }

    /// Without Telegram nobody is asked for a bot; what was typed stays, should it come back.
    fn is_asked(&self, key: Key) -> bool {
        let is_off = self
            .fields
            .iter()
            .any(|field| field.key == Key::Telegram && field.value().eq_ignore_ascii_case("none"));
        !(is_off && [Key::TelegramBotToken, Key::TelegramAdminId].contains(&key))
    }

    /// The answers as a `setup.txt`, good or bad.
    pub fn text(&self) -> SecretString {
        let build = self.build.iter();
        let build = build.map(|(key, value)| (*key, value.expose_secret()));
        let fields = self.fields.iter();
        let answers = fields
            .filter(|field| self.is_asked(field.key) && !field.value().is_empty())
            .map(|field| (field.key, field.value()));
        setup::filled(&build.chain(answers).collect::<Vec<_>>())
    }

    fn check(&mut self) {
        let text = self.text();
        let verdict = setup::check(Input {
            name: &self.origin.name,
            setup: text.expose_secret().as_bytes(),
            authorized_keys: self.origin.authorized_keys.as_deref(),
        });
        let faults = verdict.problems.into_iter();
        self.faults = faults
            .map(|problem| Fault {
                field: self.field_of(&problem, text.expose_secret()),
                problem,
            })
            .collect();
    }

    /// The field that a problem is about.
    fn field_of(&self, problem: &Problem, text: &str) -> Option<usize> {
        let key = problem.key.filter(|_| problem.file == self.origin.name)?;
        let is = |key: Key| {
            let fields = self.fields.iter().enumerate();
            fields
                .filter(move |(_, field)| field.key == key)
                .map(|(number, _)| number)
        };
        // That no provider has a key is said of the first one; here it is the chosen one that lacks it.
        let is_lacking = is(key).any(|number| self.fields[number].value().is_empty());
        if is_provider_key(key) && is_lacking {
            return is(self.provider.key()).next();
        }
        // Of several lines with one key, the file has those that are not empty, in the order of the fields.
        let start = format!("{}=", key.name());
        let before = text
            .lines()
            .take(problem.line.unwrap_or(0).saturating_sub(1))
            .filter(|line| line.starts_with(&start))
            .count();
        let filled = is(key).filter(|number| !self.fields[*number].value().is_empty());
        filled.skip(before).chain(is(key)).next()
    }

    /// What is to be shown of a field's faults: errors before warnings.
    pub fn problem(&self, field: usize) -> Option<&Problem> {
        let is_shown = self.tried || self.fields[field].touched;
        let of_field = self
            .faults
            .iter()
            .filter(|fault| fault.field == Some(field));
        of_field
            .map(|fault| &fault.problem)
            .min_by_key(|problem| problem.severity)
            .filter(|_| is_shown)
    }

    /// Errors that concern no field: of `authorized_keys`, or of the file as a whole.
    fn elsewhere(&self) -> impl Iterator<Item = &Problem> {
        self.errors()
            .filter(|fault| fault.field.is_none())
            .map(|fault| &fault.problem)
    }

    fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.problem.is_error())
    }

    /// One line on how far it is.
    pub fn status(&self) -> String {
        let warnings = self.faults.len() - self.errors().count();
        match (self.elsewhere().next(), self.errors().count(), warnings) {
            (Some(problem), ..) => format!("{}: {}", problem.file, problem.title),
            (None, 0, 0) => "Everything that is needed is there, and without a fault.".into(),
            (None, 0, warnings) => format!(
                "Everything that is needed is there; {}.",
                count(warnings, "warning")
            ),
            (None, errors, _) => format!("To fill in or correct: {}.", count(errors, "setting")),
        }
    }

    /// Takes a press.
    pub fn press(&mut self, press: &Press) -> Answer {
        self.note = None;
        match press {
            Press::Next => self.walk(1),
            Press::Previous => self.walk(-1),
            Press::Reveal => self.reveal = !self.reveal,
            Press::Escape => {
                self.go(Stop::Button(Button::Leave));
                self.say(
                    "Nothing is saved yet. Enter leaves all the same; the arrow keys go back.",
                );
            }
            press => match self.focus {
                Stop::Button(button) => match press {
                    Press::Enter => return self.push(button),
                    Press::Left => self.walk(-1),
                    Press::Right => self.walk(1),
                    _ => {}
                },
                _ if matches!(press, Press::Enter) => self.walk(1),
                Stop::Provider => match press {
                    Press::Left => self.turn_provider(-1),
                    Press::Right | Press::Char(' ') => self.turn_provider(1),
                    _ => {}
                },
                Stop::Field(number) => {
                    self.fields[number].press(press);
                    self.check();
                }
            },
        }
        Answer::Stay
    }

    fn push(&mut self, button: Button) -> Answer {
        match button {
            Button::Page => {
                self.more = !self.more;
                self.go(self.stops()[0]);
            }
            Button::Reveal => self.reveal = !self.reveal,
            Button::Leave => return Answer::Leave,
            Button::Save => {
                self.tried = true;
                let Some(first) = self.errors().next() else {
                    return Answer::Save;
                };
                match first.field {
                    Some(field) => self.show(field),
                    None => self.say(first.problem.to_string()),
                }
            }
        }
        Answer::Stay
    }

    /// Goes to a field, wherever it is.
    fn show(&mut self, field: usize) {
        let key = self.fields[field].key;
        let own = Provider::ALL.iter().find(|provider| provider.key() == key);
        self.provider = own.copied().unwrap_or(self.provider);
        self.more = own.is_none() && !FIRST_PAGE.contains(&key);
        self.go(Stop::Field(field));
    }

    fn turn_provider(&mut self, by: isize) {
        let all = Provider::ALL;
        let now = all.iter().position(|provider| *provider == self.provider);
        self.provider = all[wrapped(now.unwrap_or(0), by, all.len())];
        // That a key is missing is now said of another field.
        self.check();
    }

    fn walk(&mut self, by: isize) {
        let stops = self.stops();
        let now = stops.iter().position(|stop| *stop == self.focus);
        self.go(stops[wrapped(now.unwrap_or(0), by, stops.len())]);
    }

    fn go(&mut self, stop: Stop) {
        if let Stop::Field(left) = self.focus {
            self.fields[left].touched = true;
        }
        self.focus = stop;
    }
}
