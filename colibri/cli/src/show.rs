//! Answers as a person likes to read them.

use std::fmt::{Display, Write as _};

use colibri_protocol::{ServiceCheck, Status, Task, TaskPage, TaskStatus};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use owo_colors::{OwoColorize, Style};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::Verb;

/// Characters of a title that a table shows.
const TITLE_WIDTH: usize = 60;

/// The whole answer as text, with colours that the caller may strip.
///
/// # Errors
/// When the data are not what this version expects.
pub(crate) fn answer(verb: &Verb, data: &Value) -> serde_json::Result<String> {
    Ok(match verb {
        Verb::Status => status(&read(data)?),
        Verb::CreateTask(_) => created(&read(data)?),
        Verb::ListTasks(_) => tasks(&read(data)?, &TimeZone::system()),
        Verb::ServiceCheck => checks(&read(data)?),
    })
}

fn read<T: DeserializeOwned>(data: &Value) -> serde_json::Result<T> {
    T::deserialize(data)
}

fn status(status: &Status) -> String {
    let tasks: Vec<String> = TaskStatus::ALL
        .into_iter()
        .map(|which| format!("{} {which}", status.tasks.of(which)))
        .collect();
    let database = &status.database;
    let rows: [(&str, String); 10] = [
        (
            "Version",
            format!("{} (pid {})", status.version, status.pid),
        ),
        ("Host", status.host.clone()),
        (
            "Up",
            format!(
                "{}, since {:.0}",
                span(status.uptime_seconds),
                status.started_at
            ),
        ),
        ("Cost mode", status.cost_mode.as_str().to_owned()),
        (
            "Clients",
            format!("{} of {}", status.clients, status.max_clients),
        ),
        ("Tasks", tasks.join(", ")),
        ("Socket", status.socket.display().to_string()),
        ("Data", status.data_dir.display().to_string()),
        ("Database", status.db_path.display().to_string()),
        (
            "",
            format!(
                "schema {}, journal mode {}, {} bytes and a log of {} bytes",
                database.schema_version,
                database.journal_mode,
                database.size_bytes,
                database.wal_bytes
            ),
        ),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(
            text,
            "{} {}",
            format_args!("{name:<10}").bold(),
            tame(&value)
        );
    }
    text
}

fn created(task: &Task) -> String {
    format!("{} {}\n", task.id, tame(&task.title))
}

fn tasks(page: &TaskPage, zone: &TimeZone) -> String {
    if page.tasks.is_empty() {
        return "No tasks.\n".to_owned();
    }
    let mut text = String::new();
    let heading = format!("{:<36}  {:<9}  {:<16}  TITLE", "ID", "STATUS", "CREATED");
    let _ = writeln!(text, "{}", heading.bold());
    for task in &page.tasks {
        let _ = writeln!(
            text,
            "{}  {}  {}  {}",
            task.id,
            painted(task.status),
            local(task.created_at, zone),
            shortened(&tame(&task.title))
        );
    }
    if let Some(next) = &page.next {
        let _ = writeln!(
            text,
            "There are more: `--after {}` shows the next page.",
            tame(next)
        );
    }
    text
}

fn checks(check: &ServiceCheck) -> String {
    let mut text = String::new();
    for check in &check.checks {
        let (word, style) = if check.ok {
            ("ok", Style::new().green())
        } else {
            ("FAIL", Style::new().red().bold())
        };
        let word = format!("{word:<4}");
        let _ = writeln!(
            text,
            "{} {:<9} {}",
            word.style(style),
            tame(&check.name),
            tame(&check.detail)
        );
    }
    text
}

fn painted(status: TaskStatus) -> impl Display {
    let style = match status {
        TaskStatus::Queued | TaskStatus::Cancelled => Style::new(),
        TaskStatus::Claimed | TaskStatus::Started => Style::new().cyan(),
        TaskStatus::Done => Style::new().green(),
        TaskStatus::Failed => Style::new().red(),
    };
    format!("{status:<9}").style(style).to_string()
}

/// The clock on the wall, to the minute.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TITLE_WIDTH {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(TITLE_WIDTH - 1).collect();
    short.push('…');
    short
}

/// Without control characters, which could repaint the terminal: what others
/// wrote on the board is not to be trusted with it.
fn tame(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || is_bidi(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Characters that make text read in another order than it is written.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use colibri_protocol::Check;
    use serde_json::json;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn page(titles: &[&str]) -> TaskPage {
        let tasks: Vec<Value> = titles
            .iter()
            .map(|title| {
                json!({"id": "0198a000-0000-7000-8000-000000000001", "title": title,
                    "description": "", "status": "queued", "created_by": "uid:0",
                    "created_at": "2026-11-21T15:00:00Z", "updated_at": "2026-11-21T15:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({"tasks": tasks, "next": "7"})).unwrap()
    }

    #[test]
    fn a_table_lines_up_and_says_that_there_is_more() {
        let text = plain(&tasks(&page(&["Back up", &"x".repeat(61)]), &TimeZone::UTC));
        let expected = format!(
            "{:<36}  STATUS     CREATED           TITLE\n\
             0198a000-0000-7000-8000-000000000001  queued     2026-11-21 15:00  Back up\n\
             0198a000-0000-7000-8000-000000000001  queued     2026-11-21 15:00  {}…\n\
             There are more: `--after 7` shows the next page.\n",
            "ID",
            "x".repeat(59)
        );
        assert_eq!(text, expected);
        let empty = TaskPage {
            tasks: Vec::new(),
            next: None,
        };
        assert_eq!(tasks(&empty, &TimeZone::UTC), "No tasks.\n");
    }

    #[test]
    fn what_others_wrote_cannot_repaint_the_terminal() {
        let text = tasks(&page(&["\u{1b}[2Jgone\u{202e}"]), &TimeZone::UTC);
        assert!(text.contains("\u{fffd}[2Jgone\u{fffd}"), "{text:?}");
    }

    #[test]
    fn a_check_is_one_line_each() {
        let check = |name: &str, ok| Check {
            name: name.into(),
            ok,
            detail: "a\nb".into(),
        };
        let all = ServiceCheck {
            healthy: false,
            checks: vec![check("wal", true), check("disk", false)],
        };
        assert_eq!(
            plain(&checks(&all)),
            "ok   wal       a\u{fffd}b\nFAIL disk      a\u{fffd}b\n"
        );
    }

    #[test]
    fn spans_are_short() {
        let spans = [
            (5, "5 s"),
            (61, "1 min"),
            (3700, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn an_answer_of_another_version_is_an_error_not_a_panic() {
        assert!(answer(&Verb::Status, &json!({"version": 1})).is_err());
    }
}
