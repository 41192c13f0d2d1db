//! Draws the screen. What a state is, is said in words and marks; colour only repeats it.

mod details;
mod over;
mod table;

use clawdie_terminal::{BOLD, Look, REVERSED};
use colibri_protocol::{AgentStatus, PaneSnapshot, PaneState, TaskStatus, TenantStatus, Usage};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::model::{Link, Model, Over, Question, Targets, View};
use crate::text::{age, ahead, cut, line, tame, tokens, width, wrap};
use table::{Column, Table};

/// From this width on, lists and what is said of their selected line stand side by side.
const WIDE: u16 = 110;

/// Most lines for what is to be said below.
const NOTE_LINES: usize = 4;

/// Draws the model's state.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: Look) {
    let area = frame.area();
    let notes = notes(model, usize::from(area.width));
    let [head, body, foot, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(lines(notes.len())),
        Constraint::Length(1),
    ])
    .areas(area);
    let mut targets = Targets {
        tabs: draw_head(frame, head, model),
        ..Targets::default()
    };
    match model.over() {
        Over::Help => over::help(frame, body, look),
        Over::Details(from) => over::details(frame, body, model, *from, look),
        Over::Log { agent, up } => {
            over::log(frame, body, agent.as_str(), model, *up, look);
        }
        Over::Form(form) => over::form(frame, body, form, look),
        Over::Question(question) => {
            draw_view(frame, body, model, look);
            over::question(frame, body, question, look);
        }
        Over::Nothing | Over::Search => {
            (targets.lines, targets.first) = draw_view(frame, body, model, look);
        }
    }
    model.can_be_clicked(targets);
    let notes: Vec<_> = notes
        .into_iter()
        .map(|note| Line::styled(note, BOLD))
        .collect();
    frame.render_widget(Paragraph::new(notes), foot);
    if matches!(model.over(), Over::Search) {
        over::search(frame, keys, model.search());
    } else {
        frame.render_widget(Line::raw(hint(model)), keys);
    }
}

/// A count of lines as terminals count.
fn lines(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// What was last said, else why there is no connection.
fn notes(model: &Model, columns: usize) -> Vec<String> {
    let text = match (model.note(), model.link()) {
        (Some(note), _) => note.to_owned(),
        (None, Link::Lost { why, again }) => {
            let left = again.as_second() - model.now().as_second();
            format!("No connection: {why}. Trying again in {} s.", left.max(0))
        }
        (None, Link::Connecting) => "Connecting.".to_owned(),
        (None, Link::Live) => return Vec::new(),
    };
    let mut lines = wrap(&line(&text), columns);
    lines.truncate(NOTE_LINES);
    lines
}

/// What the program is called.
const NAME: &str = " Colibri ";

/// Draws the line at the top, and says where in it each view's name stands.
fn draw_head(frame: &mut Frame<'_>, area: Rect, model: &Model) -> [Rect; View::ALL.len()] {
    let mode = model
        .status()
        .map_or("", |status| status.cost_mode.as_str());
    let link = match model.link() {
        Link::Live => "live",
        Link::Connecting => "...",
        Link::Lost { .. } => "LOST",
    };
    let right = format!("{mode} {link} ");
    let host = line(model.status().map_or("", |status| status.host.as_str()));
    let columns = usize::from(area.width);
    // Whether there is a connection must be seen. Where there is no room for everything, the counts go, and
    // the host's name stands for the program's.
    let labels = |is_short: bool| View::ALL.map(|view| tab(model, view, is_short));
    // A number, blanks and brackets around each.
    let taken = |labels: &[String]| {
        let labels: usize = labels.iter().map(|label| width(label) + 4).sum();
        labels + width(&right)
    };
    let (labels, name) = match labels(false) {
        all if NAME.len() + 2 + taken(&all) <= columns => (all, NAME),
        _ => (labels(true), if host.is_empty() { NAME } else { " " }),
    };
    let tabs: Vec<_> = labels
        .iter()
        .zip(View::ALL)
        .enumerate()
        .map(|(number, (label, view))| {
            if view == model.view() {
                Span::styled(format!("[{} {label}]", number + 1), REVERSED)
            } else {
                Span::raw(format!(" {} {label} ", number + 1))
            }
        })
        .collect();
    let room = columns.saturating_sub(name.len() + taken(&labels));
    let name = Span::styled(name, BOLD);
    let host = cut(&host, room.saturating_sub(1).min(20));
    let gap = " ".repeat(room.saturating_sub(width(&host) + 1));
    let mut spans = vec![name, Span::raw(format!("{host} "))];
    let mut places = [Rect::default(); View::ALL.len()];
    let mut column = spans.iter().map(Span::width).sum::<usize>();
    for (place, tab) in places.iter_mut().zip(&tabs) {
        *place = Rect::new(lines(column), area.y, lines(tab.width()), 1).intersection(area);
        column += tab.width();
    }
    spans.extend(tabs);
    spans.push(Span::raw(format!("{gap}{right}")));
    frame.render_widget(Line::from(spans), area);
    places
}

/// What a view is called, and how much there is to see; in short only what somebody should look at.
fn tab(model: &Model, view: View, is_short: bool) -> String {
    let failed = model
        .tenants()
        .iter()
        .filter(|tenant| tenant.reason.is_some());
    let (name, all, attention) = match view {
        View::Panes => {
            let (all, attention) = model.pane_counts();
            ("Panes", Some(all), attention)
        }
        View::Tasks => {
            let all = model.status().map(|status| status.tasks.total());
            ("Tasks", all.and_then(|all| usize::try_from(all).ok()), 0)
        }
        View::Agents => ("Agents", Some(model.agents().len()), 0),
        View::Jobs => ("Jobs", None, 0),
        View::Cost => ("Cost", None, 0),
        View::Tenants => ("Tenants", None, failed.count()),
    };
    let mut label = name.to_owned();
    if let Some(all) = all.filter(|_| !is_short) {
        label.push_str(&format!(" {all}"));
    }
    if attention > 0 {
        label.push_str(&format!(" !{attention}"));
    }
    label
}

/// The keys that matter here.
fn hint(model: &Model) -> &'static str {
    let asks = model.pane().is_some_and(|pane| pane.question.is_some());
    match (model.over(), model.view()) {
        (Over::Help, _) => "Any key: back",
        (Over::Details(_), View::Panes) if asks => {
            "Arrows, PgUp, PgDn: move  r: answer  Enter, Esc: back  ?: all keys"
        }
        (Over::Details(_), View::Tasks) if model.retriable().is_some() => {
            "Arrows, PgUp, PgDn: move  r: try again  Enter, Esc: back  ?: all keys"
        }
        (Over::Details(_), _) => "Arrows, PgUp, PgDn: move  Enter, Esc: back  ?: all keys",
        (Over::Log { up: 0, .. }, _) => {
            "Following.  Arrows, PgUp, Home: read up  Enter, Esc: back  ?: all keys"
        }
        (Over::Log { .. }, _) => {
            "Arrows, PgUp, PgDn: move  End: follow  Enter, Esc: back  ?: all keys"
        }
        (Over::Form(form), _) if form.is_sent() => "Sent; waiting for the daemon.  Esc: leave",
        (Over::Form(_), _) => {
            "Tab, arrows: move  ^U: empty line  Enter: do it  Esc: leave, nothing is done"
        }
        (Over::Question(Question::Stop(_)), _) => "y: stop it  n, Esc: leave it running",
        (Over::Question(Question::RemoveJob(_)), _) => "y: remove it  n, Esc: keep it",
        (Over::Question(Question::RemoveTenant(_)), _) => "y: remove it  n, Esc: keep it",
        (Over::Question(Question::Dismiss(_)), _) => "y: take it away  n, Esc: leave it",
        (Over::Question(Question::Retry { .. }), _) => "y: try it  n, Esc: leave it",
        (_, View::Panes) if asks => {
            "Enter: details  n: next !  r: answer  p: ask  x: stop  l: log  ?: keys  q: quit"
        }
        (_, View::Panes) => {
            "Enter: details  n: next !  s: start  p: ask  x: stop  l: log  ?: keys  q: quit"
        }
        (_, View::Tasks) if model.retriable().is_some() => {
            "Enter: details  c: new  r: try again  x: call off  f /: filter  ?: keys  q: quit"
        }
        (_, View::Tasks) => {
            "Enter: details  c: new  t: give  x: call off  f /: filter  ?: keys  q: quit"
        }
        (_, View::Agents) => {
            "Enter: details  s: start  p: ask  x: stop  l: log  ?: all keys  q: quit"
        }
        (_, View::Jobs) => "Enter: details  x: remove  Tab: next view  ?: all keys  q: quit",
        (_, View::Tenants) => {
            "Enter: details  p: provision  x: remove  Tab: next view  ?: all keys  q: quit"
        }
        (_, View::Cost) => "Tab: next view  m: cost mode  ?: all keys  q: quit",
    }
}

/// Draws what is looked at, and says where the lines of its list stand and which is the first.
fn draw_view(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) -> (Rect, usize) {
    let list = match model.view() {
        View::Panes => panes(model, look),
        View::Tasks => tasks(model, look),
        View::Agents => agents(model),
        View::Jobs => jobs(model, look),
        View::Tenants => tenants(model, look),
        View::Cost => return draw_cost(frame, area, model, look),
    };
    if list.rows.is_empty() {
        let text = if model.is_loaded() {
            nothing_here(model)
        } else {
            "Waiting for the daemon."
        };
        let block = look.block().title(list.title);
        frame.render_widget(Paragraph::new(text).block(block), area);
        return (Rect::default(), 0);
    }
    let (list_area, beside) = if area.width >= WIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(60), Constraint::Min(1)]).areas(area);
        (left, right)
    } else {
        // Frame and heading take three lines.
        let wanted = lines(list.rows.len().saturating_add(3));
        let [top, below] = Layout::vertical([
            Constraint::Length(wanted.min(area.height / 2 + 2)),
            Constraint::Min(1),
        ])
        .areas(area);
        (top, below)
    };
    let drawn = list.draw(frame, list_area, look);
    draw_beside(frame, beside, model, look);
    drawn
}

fn nothing_here(model: &Model) -> &'static str {
    match model.view() {
        View::Panes if model.shows_only_attention() => "No pane needs attention. Esc shows all.",
        View::Panes => "The daemon runs no agent. s starts one.",
        View::Tasks if model.task_status().is_some() || !model.search().text().is_empty() => {
            "No task is like that. Esc shows all."
        }
        View::Tasks => "The board is empty. c puts a task on it.",
        View::Jobs => "There is no job. `colibri create-job` makes one.",
        View::Tenants => "There is no tenant. `colibri join` makes one.",
        View::Agents | View::Cost => "Nobody has registered. s starts an agent.",
    }
}

/// What is said of the selected line: of a pane the end of its text, of others their start.
fn draw_beside(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let columns = usize::from(area.width.saturating_sub(2));
    let rows = usize::from(area.height.saturating_sub(2));
    let (title, lines) = match (model.view(), model.pane()) {
        (View::Panes, Some(pane)) => (pane_title(pane, model), tail(pane, columns, rows)),
        (View::Panes, None) => return,
        _ => details::of_selected(model, columns),
    };
    let title = format!(" {} ", cut(&title, columns.saturating_sub(2)));
    let lines: Vec<Line<'_>> = lines.into_iter().take(rows).map(Line::raw).collect();
    let block = look.block().title(title);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn pane_title(pane: &PaneSnapshot, model: &Model) -> String {
    let stalled = if pane.stalled { ", stalled" } else { "" };
    let key = if pane.question.is_some() {
        "; r answers it"
    } else {
        ""
    };
    format!(
        "{}: {} for {}{stalled}{key}",
        line(&pane.agent),
        pane.state,
        age(pane.since, model.now())
    )
}

/// Why a pane stands as it does, and below the end of what its agent said.
fn tail(pane: &PaneSnapshot, columns: usize, rows: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = pane.told_reason() {
        let all = wrap(&line(&reason), columns);
        // The text below must not vanish behind a long reason; Enter shows all of it.
        lines.extend(all.into_iter().take((rows / 2).max(1)));
        lines.push(String::new());
    }
    let text = wrap(tame(&pane.text).trim_end(), columns);
    let room = rows.saturating_sub(lines.len());
    lines.extend(text.iter().skip(text.len().saturating_sub(room)).cloned());
    lines
}

/// The mark that says that somebody should look.
fn mark(needs_attention: bool) -> &'static str {
    if needs_attention { "!" } else { " " }
}

fn state_word(pane: &PaneSnapshot) -> &'static str {
    if pane.stalled {
        "stalled"
    } else {
        pane.state.as_str()
    }
}

fn state_colour(pane: &PaneSnapshot, look: Look) -> Style {
    match pane.state {
        PaneState::Error => look.painted(Color::Red),
        _ if pane.stalled => look.painted(Color::Yellow),
        PaneState::Blocked => look.painted(Color::Yellow),
        PaneState::Working => look.painted(Color::Cyan),
        PaneState::Done => look.painted(Color::Green),
        PaneState::Idle => Style::new(),
    }
}

fn panes(model: &Model, look: Look) -> Table {
    let columns = vec![
        Column::left("", 1),
        Column::left("STATE", 8),
        Column::rest("AGENT"),
        Column::left("FOR", 11),
        Column::left("TOOL", 12),
        Column::right("TURNS", 6),
        Column::right("COST", 9),
    ];
    let rows = model.panes().into_iter().map(|pane| {
        let cells = vec![
            mark(pane.needs_attention()).to_owned(),
            state_word(pane).to_owned(),
            line(&pane.agent),
            age(pane.since, model.now()),
            pane.tool.as_deref().map(line).unwrap_or_default(),
            pane.turns.to_string(),
            pane.usage.cost_usd.to_string(),
        ];
        (cells, state_colour(pane, look))
    });
    let title = if model.shows_only_attention() {
        " Panes that need attention "
    } else {
        " Panes "
    };
    Table {
        title: title.to_owned(),
        columns,
        rows: rows.collect(),
        total: None,
        selected: model.selected(),
    }
}

/// The colour of where a task stands.
fn status_colour(status: TaskStatus, look: Look) -> Style {
    match status {
        TaskStatus::Failed => look.painted(Color::Red),
        TaskStatus::Done => look.painted(Color::Green),
        TaskStatus::Claimed | TaskStatus::Started => look.painted(Color::Cyan),
        TaskStatus::Queued | TaskStatus::Cancelled => Style::new(),
    }
}

fn tasks(model: &Model, look: Look) -> Table {
    let columns = vec![
        Column::left("", 1),
        Column::left("STATUS", 9),
        Column::left("CHANGED", 11),
        Column::left("AGENT/NEXT TRY", 14),
        Column::rest("TITLE"),
    ];
    let rows: Vec<_> = model
        .tasks()
        .into_iter()
        .map(|task| {
            // What is tried again by itself needs nobody.
            let is_parked = task.parked.is_some() && task.not_before.is_none();
            let is_stuck = task.status == TaskStatus::Failed || is_parked;
            let next = task.not_before.map(|at| ahead(at, model.now()));
            let agent = task.agent_id.map(|id| model.agent_name(id));
            let cells = vec![
                mark(is_stuck).to_owned(),
                task.status.to_string(),
                age(task.updated_at, model.now()),
                next.or(agent).unwrap_or_default(),
                line(&task.title),
            ];
            (cells, status_colour(task.status, look))
        })
        .collect();
    let mut title = " Tasks".to_owned();
    if let Some(status) = model.task_status() {
        title.push_str(&format!(", {status}"));
    }
    let search = line(model.search().text());
    if !search.is_empty() {
        title.push_str(&format!(", with \"{}\"", cut(&search, 30)));
    }
    if model.has_more_tasks() {
        title.push_str(": only the newest; + shows more");
    }
    title.push(' ');
    Table {
        title,
        columns,
        rows,
        total: None,
        selected: model.selected(),
    }
}

fn agents(model: &Model) -> Table {
    let columns = vec![
        Column::left("", 1),
        Column::left("STATUS", 8),
        Column::left("NAME", 20),
        Column::left("HOLDS", 8),
        Column::left("SEEN", 11),
        Column::rest("CAN DO"),
    ];
    let rows = model.agents().iter().map(|agent| {
        let can: Vec<_> = agent.capabilities.iter().map(|can| can.as_str()).collect();
        // Who is gone and holds something will lose it.
        let is_lost = agent.status == AgentStatus::Offline && agent.holds > 0;
        let cells = vec![
            mark(is_lost).to_owned(),
            agent.status.to_string(),
            agent.name.to_string(),
            format!("{} of {}", agent.holds, agent.slots),
            age(agent.last_seen, model.now()),
            can.join(" "),
        ];
        (cells, Style::new())
    });
    Table {
        title: " Agents ".to_owned(),
        columns,
        rows: rows.collect(),
        total: None,
        selected: model.selected(),
    }
}

fn jobs(model: &Model, look: Look) -> Table {
    let columns = vec![
        Column::left("", 1),
        Column::left("NEXT", 14),
        Column::left("LAST", 11),
        Column::left("RESULT", 9),
        Column::right("RUNS", 6),
        Column::rest("NAME"),
    ];
    let now = model.now();
    let rows = model.jobs().iter().map(|job| {
        let status = model.newest_of(job).map(|task| task.status);
        let cells = vec![
            mark(status == Some(TaskStatus::Failed)).to_owned(),
            job.next_at.map_or("never".to_owned(), |at| ahead(at, now)),
            job.last_at.map_or(String::new(), |at| age(at, now)),
            status.map_or(String::new(), |status| status.to_string()),
            job.runs.to_string(),
            job.name.to_string(),
        ];
        let colour = status.map_or(Style::new(), |status| status_colour(status, look));
        (cells, colour)
    });
    Table {
        title: " Jobs ".to_owned(),
        columns,
        rows: rows.collect(),
        total: None,
        selected: model.selected(),
    }
}

fn tenants(model: &Model, look: Look) -> Table {
    let columns = vec![
        Column::left("", 1),
        Column::left("STATUS", 12),
        Column::left("TENANT", 15),
        Column::left("AGE", 11),
        Column::left("ENDS", 14),
        Column::rest("AGENTS/REASON"),
    ];
    let now = model.now();
    let rows = model.tenants().iter().map(|tenant| {
        let agents: Vec<_> = tenant.agents.iter().map(|name| name.as_str()).collect();
        let cells = vec![
            mark(tenant.reason.is_some()).to_owned(),
            tenant.status.to_string(),
            tenant.tenant_id.to_string(),
            age(tenant.created_at, now),
            tenant
                .expires_at
                .map_or("never".to_owned(), |at| ahead(at, now)),
            tenant
                .reason
                .as_deref()
                .map_or_else(|| agents.join(" "), line),
        ];
        let colour = match tenant.status {
            TenantStatus::Failed => look.painted(Color::Red),
            TenantStatus::Provisioning | TenantStatus::Removing => look.painted(Color::Yellow),
            TenantStatus::Active => look.painted(Color::Green),
            TenantStatus::Registered | TenantStatus::Provisioned | TenantStatus::Stopped => {
                Style::new()
            }
        };
        (cells, colour)
    });
    Table {
        title: " Tenants ".to_owned(),
        columns,
        rows: rows.collect(),
        total: None,
        selected: model.selected(),
    }
}

/// What the numbers of the cost view count.
const COST_NOTE: &str = "The tokens and COST are those of each agent's pane. TASKS is what was \
     booked on the tasks that the board shows; the same tokens may stand in both.";

fn draw_cost(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) -> (Rect, usize) {
    let columns = vec![
        Column::rest("AGENT"),
        Column::right("INPUT", 9),
        Column::right("OUTPUT", 9),
        Column::right("FROM CACHE", 10),
        Column::right("INTO CACHE", 10),
        Column::right("COST", 10),
        Column::right("TASKS", 10),
    ];
    let costs = model.costs();
    let (mut panes, mut tasks) = (Usage::default(), Usage::default());
    for cost in &costs {
        panes += cost.pane;
        tasks += cost.tasks;
    }
    let cells = |name: &str, pane: Usage, tasks: Usage| {
        vec![
            line(name),
            tokens(pane.input),
            tokens(pane.output),
            tokens(pane.cache_read),
            tokens(pane.cache_write),
            pane.cost_usd.to_string(),
            tasks.cost_usd.to_string(),
        ]
    };
    let rows = costs
        .iter()
        .map(|cost| (cells(&cost.agent, cost.pane, cost.tasks), Style::new()));
    let table = Table {
        title: " Cost ".to_owned(),
        columns,
        rows: rows.collect(),
        total: Some(cells("Total", panes, tasks)),
        selected: model.selected(),
    };
    let note = wrap(COST_NOTE, usize::from(area.width));
    let [list, below] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(lines(note.len()))]).areas(area);
    let drawn = table.draw(frame, list, look);
    let note: Vec<_> = note.into_iter().map(Line::raw).collect();
    frame.render_widget(Paragraph::new(note), below);
    drawn
}
