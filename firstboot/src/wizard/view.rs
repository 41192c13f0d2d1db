//! Draws the dialogue. Bold and reversed text only: that works on every console, and asks for no colour.

use clawdie_terminal::{BOLD, Look, REVERSED};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::model::{Button, Field, Purpose, Stop, Wizard};
use crate::setup::{Key, Problem};

/// Lines for help or a fault, inside their frame.
const HELP_LINES: u16 = 6;

/// Draws the dialogue's state.
pub fn draw(frame: &mut Frame<'_>, wizard: &Wizard, look: Look) {
    let [title, status, fields, help, buttons, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(HELP_LINES + 2),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, &wizard.origin().place);
    frame.render_widget(Line::styled(harmless(&wizard.status()), BOLD), status);
    draw_fields(frame, fields, wizard);
    draw_help(frame, help, wizard, look);
    draw_buttons(frame, buttons, &labels(wizard), wizard.focus());
    let hint = "Tab, arrows: move  Enter: next  ^R: show secrets  ^U: empty line  Esc: leave";
    frame.render_widget(Line::raw(hint), keys);
}

/// Draws a page that only says something, with two ways to go on.
pub fn draw_notice(frame: &mut Frame<'_>, text: &str, leaving: bool, look: Look) {
    let [title, page, buttons] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, "");
    let words = Paragraph::new(harmless(text)).wrap(Wrap { trim: true });
    frame.render_widget(words.block(look.block().title(" No seed ")), page);
    let labels = [
        (Button::Save, "Look again"),
        (Button::Leave, leave_label(Purpose::SetUp)),
    ];
    let focus = if leaving { Button::Leave } else { Button::Save };
    draw_buttons(frame, buttons, &labels, Stop::Button(focus));
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, place: &str) {
    let name = " Clawdie set-up";
    let width = usize::from(area.width).saturating_sub(name.len() + 2);
    let place = cut(&harmless(place), width);
    frame.render_widget(
        Line::styled(format!("{name} {place:>width$} "), REVERSED),
        area,
    );
}

fn leave_label(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::File => "Leave",
        Purpose::SetUp => "Login prompt",
    }
}

fn labels(wizard: &Wizard) -> [(Button, &'static str); 4] {
    let purpose = wizard.origin().purpose;
    Button::ALL.map(|button| {
        let label = match button {
            Button::Page if wizard.is_on_second_page() => "First page",
            Button::Page => "More settings",
            Button::Reveal if wizard.reveals() => "Hide secrets",
            Button::Reveal => "Show secrets",
            Button::Save if purpose == Purpose::File => "Save",
            Button::Save => "Save and set up",
            Button::Leave => leave_label(purpose),
        };
        (button, label)
    })
}

fn draw_buttons(frame: &mut Frame<'_>, area: Rect, labels: &[(Button, &'static str)], focus: Stop) {
    let mut spans = Vec::new();
    for (button, label) in labels {
        let (text, style) = if focus == Stop::Button(*button) {
            (format!(">[ {label} ]<"), REVERSED)
        } else {
            (format!(" [ {label} ] "), Style::new())
        };
        spans.extend([Span::styled(text, style), Span::raw(" ")]);
    }
    frame.render_widget(Line::from(spans), area);
}

fn label_of(wizard: &Wizard, stop: Stop) -> &'static str {
    match stop {
        Stop::Field(number) => wizard.fields()[number].key.name(),
        _ => "Model provider",
    }
}

fn draw_fields(frame: &mut Frame<'_>, area: Rect, wizard: &Wizard) {
    let stops = wizard.stops();
    let places = || {
        let is_button = |stop: &&Stop| matches!(stop, Stop::Button(_));
        stops.iter().filter(move |stop| !is_button(stop))
    };
    let longest = places().map(|stop| label_of(wizard, *stop).len()).max();
    let label_width = longest.unwrap_or_default();
    // The mark, a blank behind the label, and the brackets.
    let value_width = usize::from(area.width).saturating_sub(label_width + 5);

    let mut lines = Vec::new();
    let mut cursor = None;
    // The first line below what belongs to the place of the cursor.
    let mut focus_end = 0;
    for stop in places() {
        let is_here = *stop == wizard.focus();
        let (mark, style) = if is_here {
            ("> ", BOLD)
        } else {
            ("  ", Style::new())
        };
        let (value, column) = match stop {
            Stop::Field(number) => {
                let field = &wizard.fields()[*number];
                shown(field, wizard.reveals(), value_width)
            }
            _ => (choice(wizard.provider().title()), None),
        };
        if let Some(column) = column.filter(|_| is_here) {
            cursor = Some((label_width + 4 + column, lines.len()));
        }
        let padding = value_width.saturating_sub(Span::raw(&value).width());
        lines.push(Line::from(vec![
            Span::styled(
                format!("{mark}{:<label_width$} ", label_of(wizard, *stop)),
                style,
            ),
            Span::raw(format!("[{value}{}]", " ".repeat(padding))),
        ]));
        if let Stop::Field(number) = stop
            && let Some(problem) = wizard.problem(*number)
        {
            let sign = if problem.is_error() { '!' } else { '*' };
            let line = format!("    {sign} {}", harmless(&problem.title));
            lines.push(Line::styled(cut(&line, usize::from(area.width)), BOLD));
        }
        if is_here {
            focus_end = lines.len();
        }
    }
    if focus_end == 0 {
        // On a button: the end of the list is next to it.
        focus_end = lines.len();
    }
    let hidden = focus_end.saturating_sub(usize::from(area.height));
    if let Some((column, line)) = cursor {
        let at =
            |origin: u16, by: usize| origin.saturating_add(u16::try_from(by).unwrap_or(u16::MAX));
        frame.set_cursor_position(Position::new(
            at(area.x, column),
            at(area.y, line.saturating_sub(hidden)),
        ));
    }
    let lines: Vec<Line<'_>> = lines.into_iter().skip(hidden).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// What of a field's text is shown, and the column of the cursor in it, if it has one.
fn shown(field: &Field, reveal: bool, width: usize) -> (String, Option<usize>) {
    let is_masked = field.is_masked() && !reveal;
    let text = if is_masked {
        "*".repeat(field.text().chars().count())
    } else {
        harmless(field.text())
    };
    if field.choices().is_some() {
        let word = match (text.as_str(), field.key) {
            ("", Key::Telegram) => "a bot of your own",
            ("", _) => "as usual",
            (text, _) => text,
        };
        return (choice(word), None);
    }
    let letters: Vec<char> = text.chars().collect();
    let wide = |at: usize| Span::raw(letters[at].to_string()).width();
    // The cursor stays inside: a text that is too long slides to the left below it.
    let (mut start, mut column) = (field.cursor(), 0);
    while start > 0 && column + wide(start - 1) < width {
        start -= 1;
        column += wide(start);
    }
    let (mut end, mut used) = (field.cursor(), column);
    while end < letters.len() && used + wide(end) <= width {
        used += wide(end);
        end += 1;
    }
    (letters[start..end].iter().collect(), Some(column))
}

fn choice(word: &str) -> String {
    format!("< {word} >")
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, wizard: &Wizard, look: Look) {
    let (title, text) = help(wizard);
    let words = Paragraph::new(harmless(&text)).wrap(Wrap { trim: true });
    frame.render_widget(words.block(look.block().title(format!(" {title} "))), area);
}

/// The title and the text of the lower part: what was last said, the fault of the field, or help.
fn help(wizard: &Wizard) -> (&'static str, String) {
    if let Some(note) = wizard.note() {
        return ("Note", note.to_owned());
    }
    match wizard.focus() {
        Stop::Provider => (
            "Model provider",
            "Whose models the assistant talks with; the left and right arrow keys change it. \
             One key is enough. A key that is filled in for another provider stays."
                .to_owned(),
        ),
        Stop::Field(number) => {
            let row = wizard.fields()[number].key.row();
            let text = wizard.problem(number).map_or_else(
                || {
                    format!(
                        "{}\nmust be: {}",
                        row.help.replace('*', ""),
                        row.rule.text()
                    )
                },
                words_of,
            );
            (row.name, text)
        }
        Stop::Button(button) => {
            let text = match (button, wizard.origin().purpose) {
                (Button::Page, _) => "Two pages: what is needed, and everything else.",
                (Button::Reveal, _) => {
                    "Keys, tokens and passwords are masked until you ask for them here or with ^R."
                }
                (Button::Save, Purpose::File) => "Writes the file, if it has no fault.",
                (Button::Save, Purpose::SetUp) => {
                    "Writes setup.txt on the stick, if it has no fault, and sets this machine up from it."
                }
                (Button::Leave, Purpose::File) => "Ends without saving.",
                (Button::Leave, Purpose::SetUp) => {
                    "Ends without saving, and gives this console back to the login prompt. The next start of the machine comes back here."
                }
            };
            (labels(wizard)[button as usize].1, text.to_owned())
        }
    }
}

/// The words of `check` without the place in the file: here it is the field.
fn words_of(problem: &Problem) -> String {
    let rule = problem.rule.as_deref();
    let rule = rule.map_or(String::new(), |rule| format!("\nrule: {rule}"));
    format!(
        "{}: {}{rule}\nremedy: {}",
        problem.severity, problem.title, problem.remedy
    )
}

/// What a file holds must not command the terminal that shows it.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\n' => letter,
            _ if letter.is_control() => '?',
            _ => letter,
        })
        .collect()
}

/// The start of a text, with dots where it goes on.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width.saturating_sub(3)).collect();
    format!("{start}...")
}
