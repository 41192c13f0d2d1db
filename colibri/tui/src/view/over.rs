//! What lies over a view: help, details, forms and questions.

use clawdie_terminal::{BOLD, Look, REVERSED};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::details::of_selected;
use crate::model::{Field, Form, Model, Question};
use crate::text::{cut, line, width, wrap};

const HELP: &str = "\
Tab, Shift+Tab, 1-6   the next view, the one before, or that one
Arrows, j k, PgUp PgDn, Home g, End G   move
Enter       details of the selected line; Esc goes back
n N         the next pane that needs somebody, or the one before: error,
            blocked, stalled; from any view
R           asks for everything anew
m           sets the cost mode
q, Ctrl+C   leaves; agents go on

Panes       a: only those that need somebody   d: dismiss one that has ended
            r: answer what a blocked one asks
Panes, Agents   s: start an agent   p: ask the selected one   x: stop it
            l: its log, which says why it fails
Tasks       c: new   t: give to an agent   x: call off   r: try again
            f F: the next status or the one before
            /: only with a text   +: more   Esc: all again
Jobs        x: remove            Tenants   p: provision   x: remove

A ! in front of a line says that somebody should look.
Ctrl+L draws the screen anew.";

/// All keys.
pub(super) fn help(frame: &mut Frame<'_>, area: Rect, look: Look) {
    let lines: Vec<_> = HELP.lines().map(Line::raw).collect();
    let block = look.block().title(" Keys ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Everything about the selected line, from this line on.
pub(super) fn details(frame: &mut Frame<'_>, area: Rect, model: &Model, from: usize, look: Look) {
    let columns = usize::from(area.width.saturating_sub(2));
    let rows = usize::from(area.height.saturating_sub(2));
    let (title, lines) = of_selected(model, columns);
    let lowest = lines.len().saturating_sub(rows);
    model.can_move_to(lowest);
    let more = if from < lowest { " (more below)" } else { "" };
    let room = columns.saturating_sub(2 + more.len());
    let title = format!(" {}{more} ", cut(&title, room));
    let shown = lines.into_iter().skip(from.min(lowest)).take(rows);
    let shown: Vec<_> = shown.map(Line::raw).collect();
    let block = look.block().title(title);
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

/// The end of an agent's log, that many lines above its last ones.
pub(super) fn log(
    frame: &mut Frame<'_>,
    area: Rect,
    agent: &str,
    model: &Model,
    up: usize,
    look: Look,
) {
    let columns = usize::from(area.width.saturating_sub(2));
    let rows = usize::from(area.height.saturating_sub(2));
    let (lines, is_cut) = match model.log() {
        None => (vec!["Waiting for the daemon.".to_owned()], false),
        Some(log) if log.lines.is_empty() => {
            let nothing = "It has written nothing to its standard error.";
            (wrap(nothing, columns), false)
        }
        Some(log) => {
            let all = log.lines.iter().flat_map(|text| wrap(&line(text), columns));
            (all.collect(), log.cut)
        }
    };
    let top = lines.len().saturating_sub(rows);
    model.can_move_to(top);
    let up = up.min(top);
    let first = top - up;
    let more = match (first, up) {
        (0, _) if is_cut => " (older lines are not shown)",
        (0, _) => "",
        (_, 0) => " (more above)",
        _ => " (more above and below)",
    };
    let title = cut(&format!("Log of {agent}{more}"), columns.saturating_sub(2));
    let shown = lines.into_iter().skip(first).take(rows);
    let shown: Vec<_> = shown.map(Line::raw).collect();
    let block = look.block().title(format!(" {title} "));
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

/// A form.
pub(super) fn form(frame: &mut Frame<'_>, area: Rect, form: &Form, look: Look) {
    let columns = usize::from(area.width.saturating_sub(2));
    let title = format!(" {} ", cut(&line(&form.title), columns.saturating_sub(2)));
    let longest = form.fields().iter().map(|field| field.label.len()).max();
    let names = longest.unwrap_or_default();
    // The mark, a blank behind the name, and the brackets.
    let room = columns.saturating_sub(names + 5);
    let mut lines = Vec::new();
    if !form.about.is_empty() {
        let about = wrap(&line(&form.about), columns).into_iter();
        lines.extend(about.map(Line::raw));
        lines.push(Line::raw(""));
    }
    for (at, field) in form.fields().iter().enumerate() {
        let is_here = at == form.focus();
        let (mark, style) = if is_here {
            ("> ", BOLD)
        } else {
            ("  ", Style::new())
        };
        let (value, column) = shown(field, room);
        let gap = " ".repeat(room.saturating_sub(width(&value)));
        if let Some(column) = column.filter(|_| is_here && !form.is_sent()) {
            cursor(frame, area, names + 4 + column, lines.len());
        }
        lines.push(Line::from(vec![
            Span::styled(format!("{mark}{:<names$} ", field.label), style),
            Span::raw(format!("[{value}{gap}]")),
        ]));
    }
    lines.push(Line::raw(""));
    let hint = form
        .fields()
        .get(form.focus())
        .map_or("", |field| field.hint);
    let said = match (&form.fault, form.is_sent()) {
        (Some(fault), _) => format!("! {}", line(fault)),
        (None, true) => "Sent; waiting for the daemon.".to_owned(),
        (None, false) => hint.to_owned(),
    };
    let style = if form.fault.is_some() {
        BOLD
    } else {
        Style::new()
    };
    let said = wrap(&said, columns).into_iter();
    lines.extend(said.map(|text| Line::styled(text, style)));
    lines.push(Line::raw(""));
    lines.push(Line::raw(format!("Enter: {}   Esc: leave it", form.deed())));
    let block = look.block().title(title);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Puts the cursor into a frame, where it fits.
fn cursor(frame: &mut Frame<'_>, area: Rect, column: usize, row: usize) {
    let inside = |by: usize, length: u16| u16::try_from(by + 1).ok().filter(|by| *by + 1 < length);
    if let (Some(x), Some(y)) = (inside(column, area.width), inside(row, area.height)) {
        frame.set_cursor_position(Position::new(area.x + x, area.y + y));
    }
}

/// What of a field's text is shown, and the column of the cursor in it, if it has one.
fn shown(field: &Field, room: usize) -> (String, Option<usize>) {
    if field.is_choice() {
        return (cut(&format!("< {} >", line(field.text())), room), None);
    }
    // One character for each, so that the cursor stays where it is.
    let letters: Vec<char> = field
        .text()
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let wide = |at: usize| width(letters[at].encode_utf8(&mut [0; 4]));
    // The cursor stays inside: a text that is too long slides to the left below it.
    let (mut start, mut column) = (field.cursor().min(letters.len()), 0);
    while start > 0 && column + wide(start - 1) < room {
        start -= 1;
        column += wide(start);
    }
    let (mut end, mut used) = (field.cursor().min(letters.len()), column);
    while end < letters.len() && used + wide(end) <= room {
        used += wide(end);
        end += 1;
    }
    (letters[start..end].iter().collect(), Some(column))
}

/// A question in the middle of what it is about.
pub(super) fn question(frame: &mut Frame<'_>, area: Rect, question: &Question, look: Look) {
    let (title, text) = match question {
        Question::Stop(agent) => (
            " Stop an agent ",
            format!(
                "Stop {agent} with everything that it has started? What it was doing is cut off; \
                 its pane stays.\n\ny: stop it   n, Esc: leave it running"
            ),
        ),
        Question::Dismiss(agent) => (
            " Dismiss a pane ",
            format!(
                "Take the pane of {agent} away? What it was and why it ended is forgotten; its \
                 session and its log stay.\n\ny: take it away   n, Esc: leave it"
            ),
        ),
        Question::RemoveJob(name) => (
            " Remove a job ",
            format!(
                "Remove the job {name}? The tasks that it has made stay.\n\ny: remove it   n, Esc: \
                 keep it"
            ),
        ),
        Question::RemoveTenant(id) => (
            " Remove a tenant ",
            format!(
                "Remove the tenant {id} with its agents and its jail? What it has written is put away, \
                 where root alone can read it; `colibri remove-tenant {id} --destroy` leaves nothing.\
                 \n\ny: remove it   n, Esc: keep it"
            ),
        ),
        Question::Retry { title, waits, .. } => {
            let (when, what) = if *waits {
                ("now", "It does not wait for the time of its next attempt.")
            } else {
                (
                    "again",
                    "It goes back into the queue with all its attempts.",
                )
            };
            let title = line(title);
            (
                " Try a task again ",
                format!("Try this task {when}? {title}\n\n{what}\n\ny: try it   n, Esc: leave it"),
            )
        }
    };
    let columns = area.width.min(60);
    let lines = wrap(&text, usize::from(columns.saturating_sub(2)));
    let rows = super::lines(lines.len() + 2).min(area.height);
    let place = Rect::new(
        area.x + (area.width - columns) / 2,
        area.y + (area.height - rows) / 2,
        columns,
        rows,
    );
    let lines: Vec<_> = lines.into_iter().map(Line::raw).collect();
    let block = look.block().title(title);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

/// The line in which a text is searched for.
pub(super) fn search(frame: &mut Frame<'_>, area: Rect, field: &Field) {
    const NAME: &str = "Only with: ";
    const KEYS: &str = "  Enter: keep  Esc: all";
    let room = usize::from(area.width).saturating_sub(NAME.len() + KEYS.len());
    let (text, column) = shown(field, room);
    let at = u16::try_from(NAME.len() + column.unwrap_or_default()).unwrap_or(u16::MAX);
    if at < area.width {
        frame.set_cursor_position(Position::new(area.x + at, area.y));
    }
    let gap = " ".repeat(room.saturating_sub(width(&text)));
    let line = Line::from(vec![
        Span::styled(NAME, BOLD),
        Span::styled(format!("{text}{gap}"), REVERSED),
        Span::raw(KEYS),
    ]);
    frame.render_widget(line, area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawdie_terminal::SIZE;

    #[test]
    fn help_fits_into_its_frame_on_the_small_screen() {
        for text in HELP.lines() {
            assert!(width(text) <= usize::from(SIZE.0) - 2, "{text}");
        }
        // Beside the frame there are the lines above and below it.
        assert!(HELP.lines().count() <= usize::from(SIZE.1) - 4);
    }
}
