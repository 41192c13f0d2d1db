//! What the wizard shows, as text: `tests/wizard/*.txt` and the screens in `docs/wizard.md`. `UPDATE_EXPECT=1` writes
//! both anew: read the difference before committing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clawdie_firstboot::setup::{self, Key};
use clawdie_firstboot::wizard::model::{Answer, Button, Origin, Press, Purpose, Stop, Wizard};
use clawdie_firstboot::wizard::view;
use clawdie_terminal::{Look, SIZE, pictures};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wizard");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wizard.md");
const TOKEN: &str = "7712345678:AACANARYx9Y8z7W6v5x9Y8z7W6v5abcdefg";

fn begin(old: Option<&[u8]>, purpose: Purpose) -> Wizard {
    let origin = Origin {
        name: "setup.txt".into(),
        place: "setup.txt on /dev/sda1 (CLAWDIESEED)".into(),
        authorized_keys: None,
        purpose,
    };
    Wizard::new(origin, old)
}

const ASCII: Look = Look::PLAIN;
const LINES: Look = Look {
    lines: true,
    colour: false,
};

fn drawn(size: (u16, u16), draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> String {
    pictures::text(&pictures::drawn(size, draw))
}

fn screen(wizard: &Wizard, look: Look) -> String {
    drawn((80, 25), |frame| view::draw(frame, wizard, look))
}

fn go(wizard: &mut Wizard, key: Key) {
    for _ in 0..60 {
        if matches!(wizard.focus(), Stop::Field(at) if wizard.fields()[at].key == key) {
            return;
        }
        wizard.press(&Press::Next);
    }
    panic!("no {key:?} on this page");
}

fn push(wizard: &mut Wizard, button: Button) -> Answer {
    while wizard.focus() != Stop::Button(button) {
        wizard.press(&Press::Next);
    }
    wizard.press(&Press::Enter)
}

fn fill(wizard: &mut Wizard, key: Key, text: &str) {
    go(wizard, key);
    wizard.press(&Press::Clear);
    for letter in text.chars() {
        wizard.press(&Press::Char(letter));
    }
}

/// Every screen of the documentation, by name.
fn screens() -> BTreeMap<&'static str, String> {
    let bad = include_bytes!("setup/bad/many-faults-at-once.txt");
    let mut screens = BTreeMap::new();

    let missing = begin(None, Purpose::SetUp);
    screens.insert("missing", screen(&missing, LINES));

    let mut wizard = begin(Some(bad), Purpose::SetUp);
    screens.insert("wrong", screen(&wizard, ASCII));
    assert_eq!(push(&mut wizard, Button::Save), Answer::Stay);
    fill(
        &mut wizard,
        Key::OpenrouterApiKey,
        "sk-or-v1-CANARY0123456789abcdef0123456789abcdef",
    );
    fill(&mut wizard, Key::TelegramBotToken, &TOKEN[..30]);
    screens.insert("wrong-token", screen(&wizard, ASCII));
    fill(&mut wizard, Key::TelegramBotToken, TOKEN);
    fill(&mut wizard, Key::TelegramAdminId, "123456789");
    screens.insert("right-token", screen(&wizard, ASCII));
    assert_eq!(push(&mut wizard, Button::Save), Answer::Stay);
    screens.insert("second-page", screen(&wizard, ASCII));
    fill(&mut wizard, Key::Hostname, "my-host");
    assert_eq!(push(&mut wizard, Button::Save), Answer::Save);

    let text = "no seed found: no FAT volume is called CLAWDIESEED or CLAWDIE, and no partition CLAWDIE-SEED. \
                Plug in the stick with setup.txt and start the machine again.\n\nOr put that right now, and look again.";
    let notice = drawn((80, 25), |frame| {
        view::draw_notice(frame, text, false, ASCII)
    });
    screens.insert("no-seed", notice);
    screens
}

#[test]
fn screens_are_as_they_were() {
    for (name, screen) in screens() {
        pictures::compare(&Path::new(FOLDER).join(format!("{name}.txt")), &screen);
    }
}

#[test]
fn the_page_shows_the_screens_as_they_are() {
    let shown = pictures::compare_page(Path::new(PAGE), |name| screens().remove(name));
    assert_eq!(shown, screens().len(), "each screen is shown once");
}

fn fixtures() -> Vec<PathBuf> {
    let folders = ["good", "bad"].map(|kind| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/setup")
            .join(kind)
    });
    let entries = folders
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("fixtures"));
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect()
}

/// Text without line breaks, frames and repeated blanks.
fn flat(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter == '|');
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn every_fault_of_every_file_is_told_whole_and_in_the_words_of_the_check() {
    let mut told = 0;
    for path in fixtures() {
        let bytes = std::fs::read(&path).expect("a fixture");
        let mut wizard = begin(Some(&bytes), Purpose::SetUp);
        push(&mut wizard, Button::Save);
        for page in 0..2 {
            for stop in wizard.stops() {
                while wizard.focus() != stop {
                    wizard.press(&Press::Next);
                }
                let Stop::Field(at) = stop else { continue };
                let Some(problem) = wizard.problem(at) else {
                    continue;
                };
                let shown = drawn(SIZE, |frame| view::draw(frame, &wizard, ASCII));
                let rule = problem.rule.as_deref();
                let rule = rule.map_or(String::new(), |rule| format!(" rule: {rule}"));
                let words = format!(
                    "{}: {}{rule} remedy: {}",
                    problem.severity, problem.title, problem.remedy
                );
                assert!(
                    flat(&shown).contains(&flat(&words)),
                    "{}: {words}\n{shown}",
                    path.display()
                );
                told += 1;
            }
            if page == 0 {
                push(&mut wizard, Button::Page);
            }
        }
    }
    assert!(told > 60, "{told} faults");
}

#[test]
fn help_of_every_setting_is_shown_whole() {
    let mut wizard = begin(Some(b"TELEGRAM_BOT_TOKEN=1\n"), Purpose::SetUp);
    for page in 0..2 {
        for stop in wizard.stops() {
            while wizard.focus() != stop {
                wizard.press(&Press::Next);
            }
            let Stop::Field(at) = stop else { continue };
            if wizard.problem(at).is_none() {
                let shown = drawn(SIZE, |frame| view::draw(frame, &wizard, ASCII));
                let row = wizard.fields()[at].key.row();
                let words = format!("{} must be: {}", row.help.replace('*', ""), row.rule.text());
                assert!(flat(&shown).contains(&flat(&words)), "{words}\n{shown}");
            }
        }
        if page == 0 {
            push(&mut wizard, Button::Page);
        }
    }
}

#[test]
fn no_secret_is_shown_unless_it_is_asked_for() {
    // High enough for a whole page.
    let high = |wizard: &Wizard| drawn((80, 70), |frame| view::draw(frame, wizard, ASCII));
    let mut revealed = 0;
    for path in fixtures() {
        let bytes = std::fs::read(&path).expect("a fixture");
        let mut wizard = begin(Some(&bytes), Purpose::SetUp);
        push(&mut wizard, Button::Save);
        for _ in 0..2 {
            let (shown, debug) = (high(&wizard), format!("{wizard:?}"));
            for canary in ["CANARY", "canary", "c0ffee0c0ffee0"] {
                assert!(!shown.contains(canary), "{}\n{shown}", path.display());
                assert!(!debug.contains(canary), "{debug}");
            }
            wizard.press(&Press::Reveal);
            revealed += usize::from(high(&wizard).contains("CANARY"));
            wizard.press(&Press::Reveal);
            push(&mut wizard, Button::Page);
        }
    }
    assert!(revealed > 5, "the key that shows them does");
}

#[test]
fn what_is_pasted_is_one_line_and_what_is_too_long_is_cut() {
    let mut wizard = begin(None, Purpose::File);
    go(&mut wizard, Key::SshAuthorizedKey);
    wizard.press(&Press::Paste(
        "\nssh-ed25519 AAAA ada\nHOSTNAME=other\n".into(),
    ));
    let Stop::Field(at) = wizard.focus() else {
        panic!("a field")
    };
    assert_eq!(wizard.fields()[at].text(), "ssh-ed25519 AAAA ada");
    wizard.press(&Press::Clear);
    wizard.press(&Press::Paste("é".repeat(setup::VALUE_LIMIT).into()));
    assert_eq!(wizard.fields()[at].text().len(), setup::VALUE_LIMIT);
    // The cursor moves and removes by characters.
    for press in [
        Press::Left,
        Press::Backspace,
        Press::Delete,
        Press::Char('x'),
    ] {
        wizard.press(&press);
    }
    let text = wizard.fields()[at].text();
    assert!(text.ends_with("éx"), "{}", &text[text.len() - 8..]);
    assert_eq!(text.chars().count(), setup::VALUE_LIMIT / 2 - 1);
}

#[test]
fn without_telegram_nobody_is_asked_for_a_bot_and_what_was_typed_comes_back() {
    let mut wizard = begin(None, Purpose::File);
    fill(
        &mut wizard,
        Key::OpenrouterApiKey,
        "sk-or-v1-CANARY0123456789abcdef0123456789abcdef",
    );
    fill(&mut wizard, Key::TelegramBotToken, "half");
    go(&mut wizard, Key::Telegram);
    wizard.press(&Press::Right);
    assert_eq!(
        wizard.status(),
        "Everything that is needed is there; 1 warning."
    );
    assert!(!screen(&wizard, ASCII).contains("TELEGRAM_BOT_TOKEN"));
    wizard.press(&Press::Left);
    assert!(screen(&wizard, ASCII).contains("TELEGRAM_BOT_TOKEN [****"));
}

#[test]
fn any_provider_s_key_is_enough_and_a_bad_one_of_another_is_gone_to() {
    let mut wizard = begin(None, Purpose::File);
    wizard.press(&Press::Right);
    fill(&mut wizard, Key::DeepseekApiKey, "wrong");
    go(&mut wizard, Key::Telegram);
    wizard.press(&Press::Right);
    assert_eq!(push(&mut wizard, Button::Save), Answer::Stay);
    let Stop::Field(at) = wizard.focus() else {
        panic!("a field")
    };
    assert_eq!(wizard.fields()[at].key, Key::DeepseekApiKey);
    fill(
        &mut wizard,
        Key::DeepseekApiKey,
        "sk-0123456789abcdef0123456789abcdef",
    );
    assert_eq!(push(&mut wizard, Button::Save), Answer::Save);
}
