//! What each screen shows, as text, small and large: `tests/screens/*.txt` and the screens in
//! `docs/tui.md`. `UPDATE_EXPECT=1` writes both anew: read the difference before committing it.

use std::collections::BTreeMap;
use std::path::Path;

use clawdie_terminal::{Look, SIZE, pictures};
use colibri_tui::model::{Heard, Model, Over, Press};
use colibri_tui::view;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use crate::board::{empty, full, grant, lose, press};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/screens");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tui.md");
const LARGE: (u16, u16) = (120, 40);
const LINES: Look = Look {
    lines: true,
    colour: false,
};

pub(crate) fn buffer(model: &Model, size: (u16, u16), look: Look) -> Buffer {
    pictures::drawn(size, |frame| view::draw(frame, model, look))
}

fn text(model: &Model, size: (u16, u16), look: Look) -> String {
    pictures::text(&buffer(model, size, look))
}

/// Every screen, by name.
fn screens() -> BTreeMap<&'static str, Model> {
    let after = |keys: &str| {
        let mut model = full();
        press(&mut model, keys);
        model
    };
    let mut screens = BTreeMap::new();
    screens.insert("connecting", empty());
    screens.insert("panes", full());
    screens.insert("panes-next", after("n"));
    screens.insert("panes-only-attention", after("ann"));
    screens.insert("pane-details", after("n<enter>"));
    screens.insert("asks", after("nn"));
    screens.insert("asks-details", after("nn<enter>"));
    screens.insert("answer", after("nnr<right>"));
    screens.insert("log", after("nl"));
    screens.insert("log-above", after("nl<up><up>"));
    screens.insert("tasks", after("<tab>"));
    screens.insert("tasks-filtered", after("2fff/vault"));
    screens.insert("task-details", after("2jj<enter>"));
    screens.insert("task-waits", after("2<end>"));
    screens.insert("retry", after("2jjjjr"));
    screens.insert("retry-now", after("2<end>r"));
    screens.insert("agents", after("3"));
    screens.insert("jobs", after("4j"));
    screens.insert("job-remove", after("4jx"));
    screens.insert("cost", after("5"));
    screens.insert("tenants", after("6j"));
    screens.insert("tenant-details", after("6jj<enter>"));
    screens.insert("tenant-remove", after("6jx"));
    screens.insert("help", after("?"));
    screens.insert("stop", after("x"));
    screens.insert("dismiss", after("nd"));
    screens.insert("claim", after("2jt<right>"));
    screens.insert("cancel", after("2jjx"));
    screens.insert("cost-mode", after("m<right>"));

    let spawn = "sfelix<tab><right><tab>colibri-test-agent<enter>";
    screens.insert("spawn-wrong", after(spawn));

    let mut refused = after("pAnd the second disk?<enter>");
    refused.hear(Heard::Done {
        ticket: 1,
        outcome: Err("ada is not running; start it first".to_owned()),
    });
    screens.insert("prompt-refused", refused);

    let mut lost = full();
    lose(&mut lost);
    screens.insert("lost", lost);
    screens
}

#[test]
fn screens_are_as_they_were() {
    for (name, model) in screens() {
        let small = text(&model, SIZE, Look::PLAIN);
        pictures::compare(&Path::new(FOLDER).join(format!("{name}.txt")), &small);
        let large = text(&model, LARGE, LINES);
        pictures::compare(&Path::new(FOLDER).join(format!("{name}.large.txt")), &large);
    }
}

#[test]
fn the_page_shows_the_screens_as_they_are() {
    let shown = pictures::compare_page(Path::new(PAGE), |name| {
        let model = screens().remove(name)?;
        Some(text(&model, SIZE, Look::PLAIN))
    });
    assert!(shown > 4, "only {shown} screens are shown");
}

#[test]
fn every_line_of_keys_and_hints_fits_the_small_screen() {
    let typed_into = |model: &Model| matches!(model.over(), Over::Search);
    for (name, model) in screens() {
        if typed_into(&model) {
            // That line is as wide as the screen.
            continue;
        }
        let wide = text(&model, (400, 60), Look::PLAIN);
        let last = wide.lines().last().expect("a line");
        assert!(last.chars().count() <= 80, "{name}: {last}");
    }
    let help = text(&screens()["help"], SIZE, Look::PLAIN);
    assert!(help.contains("Ctrl+L draws"), "{help}");
}

#[test]
fn a_plain_terminal_gets_letters_alone_and_no_colour() {
    for (name, model) in screens() {
        let shown = buffer(&model, SIZE, Look::PLAIN);
        for cell in shown.content() {
            assert!(cell.symbol().is_ascii(), "{name}: {:?}", cell.symbol());
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}");
        }
    }
}

#[test]
fn colour_says_nothing_that_words_do_not() {
    let colourful = Look {
        lines: false,
        colour: true,
    };
    for (name, model) in screens() {
        let with = text(&model, SIZE, colourful);
        assert_eq!(with, text(&model, SIZE, Look::PLAIN), "{name}");
    }
    let painted = buffer(&full(), SIZE, colourful);
    assert!(painted.content().iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn what_others_wrote_cannot_command_the_terminal() {
    for (name, model) in screens() {
        let shown = text(&model, LARGE, LINES);
        assert!(!shown.contains('\u{1b}'), "{name}");
    }
}

#[test]
fn details_scroll_to_their_end_and_back_at_once() {
    let mut model = full();
    press(&mut model, "2jj<enter>");
    let size = (80, 12);
    let top = text(&model, size, Look::PLAIN);
    assert!(top.contains("(more below)"), "{top}");
    model.press(Press::End);
    let end = text(&model, size, Look::PLAIN);
    assert!(end.contains("task-started by agent:ada"), "{end}");
    // Pressed further, it does not have to be pressed back as often.
    let wishes = model.press(Press::PageDown);
    grant(&mut model, wishes);
    model.press(Press::Up);
    assert_ne!(text(&model, size, Look::PLAIN), end);
}
