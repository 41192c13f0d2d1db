//! Screens held against files, for tests: drawn to memory, kept as text beside the test, and shown on a page of the
//! documentation.
//!
//! `UPDATE_EXPECT=1` writes the files anew: read the difference before committing it.

use std::path::Path;

use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::{Frame, Terminal};

/// What `draw` leaves on a screen of so many columns and rows.
///
/// # Panics
/// Memory is no screen, which does not happen.
pub fn drawn(size: (u16, u16), draw: impl FnOnce(&mut Frame<'_>)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a screen in memory");
    terminal.draw(draw).expect("drawn");
    terminal.backend().buffer().clone()
}

/// A screen as lines without the blanks at their ends.
pub fn text(screen: &Buffer) -> String {
    let area = screen.area;
    let mut text = String::new();
    for row in 0..area.height {
        let line: String = (0..area.width)
            .map(|column| screen[(column, row)].symbol())
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Holds a file against what it should be, or writes it.
///
/// # Panics
/// The file has something else.
#[track_caller]
pub fn compare(path: &Path, expected: &str) {
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        std::fs::write(path, expected).expect("written");
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == expected,
        "{} is out of date (UPDATE_EXPECT=1 writes it anew). It should be:\n{expected}",
        path.display()
    );
}

/// Holds the blocks below `<!-- screen: NAME -->` of a page in Markdown against the screens of those names, and says
/// how many there are.
///
/// # Panics
/// A block is out of date, or stands for no screen.
#[track_caller]
pub fn compare_page(path: &Path, screen: impl Fn(&str) -> Option<String>) -> usize {
    let page = std::fs::read_to_string(path).expect("a page");
    let mut fresh = String::new();
    let mut rest = page.as_str();
    let mut shown = 0;
    while let Some((before, behind)) = rest.split_once("<!-- screen: ") {
        let (name, behind) = behind.split_once(" -->\n").expect("a name");
        let (_, behind) = behind.split_once("```text\n").expect("a block");
        let (_, behind) = behind.split_once("```\n").expect("its end");
        let screen = screen(name).unwrap_or_else(|| panic!("no screen {name}"));
        fresh.push_str(&format!(
            "{before}<!-- screen: {name} -->\n```text\n{screen}```\n"
        ));
        rest = behind;
        shown += 1;
    }
    fresh.push_str(rest);
    compare(path, &fresh);
    shown
}
