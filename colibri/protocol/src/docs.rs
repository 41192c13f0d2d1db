//! The text of `docs/protocol.md`, made from the types.

use std::fmt::Write as _;

use jiff::Timestamp;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Check, Command, CostMode, CreateTask, DatabaseStatus, ErrorKind, ListTasks, MAX_LINE, NoFields,
    Reply, Request, RequestId, ServiceCheck, Status, Task, TaskCounts, TaskPage, TaskStatus, place,
};

/// The whole reference page as Markdown. A test keeps the file in step.
pub fn protocol_page() -> String {
    let mut page = String::new();
    page.push_str(&introduction());
    for example in examples() {
        example.write_to(&mut page);
    }
    page.push_str("## Error kinds\n\n| `kind` | when |\n|---|---|\n");
    for (kind, when) in described_variants::<ErrorKind>() {
        let _ = writeln!(page, "| `{kind}` | {when} |");
    }
    page.push_str("\nA client must expect kinds it does not know: later versions may add some.\n");
    page
}

fn introduction() -> String {
    let unknown = Request::parse(br#"{"cmd":"list-task","id":"a-1"}"#);
    let refusal = match unknown {
        Err(refused) => line(&Reply::new(refused.id, Err(refused.error))),
        Ok(request) => line(&request),
    };
    format!(
        "<!-- Made from colibri/protocol; do not edit. \
         Renew: COLIBRI_BLESS=1 cargo nextest run -p colibri-protocol -->\n\n\
         # The Colibri socket protocol\n\n\
         The daemon listens on a Unix stream socket: `/run/colibri/colibri.sock` on Linux,\n\
         `/var/run/colibri/colibri.sock` on FreeBSD, or wherever `{variable}` says. Each\n\
         request is one JSON object on one line; so is each reply. A line has at most\n\
         {MAX_LINE} bytes in either direction. Requests of one connection are answered in\n\
         their order; a client may send the next before it has read the reply to the last.\n\n\
         * `cmd` names the command. Its other fields stand beside it. A field that is not\n\
         \x20 known is refused, never ignored.\n\
         * `id` (a whole number, or a text of at most 128 characters) may be given and comes\n\
         \x20 back with the reply.\n\
         * A good reply is `{{\"ok\":true,\"data\":…}}`; a bad one\n\
         \x20 `{{\"ok\":false,\"error\":{{\"kind\":\"…\",\"message\":\"…\"}}}}`. `kind` is for programs,\n\
         \x20 `message` for people.\n\
         * A line without its newline is no request: nothing is done before the newline came.\n\
         * Who may ask: root, the daemon's own account, and members of the group `{group}`.\n\
         \x20 The kernel vouches for the peer's account. Others get `forbidden`.\n\
         * A connection that stays silent for long, does not finish a line, or does not read\n\
         \x20 its replies is closed.\n\n\
         ```json\n-> {{\"cmd\":\"list-task\",\"id\":\"a-1\"}}\n<- {refusal}\n```\n\n",
        variable = place::SOCKET_VARIABLE,
        group = place::GROUP,
    )
}

struct Example {
    command: Command,
    about: String,
    fields: Value,
    reply: Value,
    data: Value,
}

impl Example {
    fn new<Fields: JsonSchema, Data: JsonSchema + Serialize>(
        command: Command,
        data: &Data,
    ) -> Self {
        let name = command.name();
        let about = described_variants::<Command>()
            .into_iter()
            .find_map(|(known, about)| (known == name).then_some(about))
            .unwrap_or_default();
        Self {
            command,
            about,
            fields: schema::<Fields>(),
            reply: schema::<Data>(),
            data: sorted(json!(data)),
        }
    }

    fn write_to(self, page: &mut String) {
        let name = self.command.name();
        let request = Request {
            id: Some(RequestId::Number(1)),
            command: self.command,
        };
        let reply = Reply::new(request.id.clone(), Ok(self.data));
        let _ = write!(
            page,
            "## `{name}`\n\n{}\n\n```json\n-> {}\n<- {}\n```\n\n",
            self.about,
            line(&request),
            line(&reply),
        );
        for (title, schema) in [("Fields", self.fields), ("`data`", self.reply)] {
            let _ = write!(page, "{title}:\n\n```json\n{schema:#}\n```\n\n");
        }
    }
}

fn examples() -> [Example; 4] {
    let at = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1_780_000_000);
    let task = Task {
        id: Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001),
        title: "Back up the vault".to_owned(),
        description: "To the second disk.".to_owned(),
        status: TaskStatus::Queued,
        created_by: "uid:0".to_owned(),
        created_at: at,
        updated_at: at,
    };
    let status = Status {
        version: "0.1.0".to_owned(),
        host: "atlas".to_owned(),
        pid: 812,
        started_at: at,
        uptime_seconds: 61,
        data_dir: "/var/lib/colibri".into(),
        db_path: "/var/lib/colibri/colibri.sqlite".into(),
        socket: "/run/colibri/colibri.sock".into(),
        cost_mode: CostMode::Smart,
        clients: 1,
        max_clients: 512,
        tasks: TaskCounts {
            queued: 1,
            ..TaskCounts::default()
        },
        database: DatabaseStatus {
            schema_version: 1,
            journal_mode: "wal".to_owned(),
            size_bytes: 4096,
            wal_bytes: 53_592,
        },
    };
    let check = ServiceCheck {
        healthy: true,
        checks: vec![Check {
            name: "wal".to_owned(),
            ok: true,
            detail: "journal mode wal, 53592 bytes to be checkpointed".to_owned(),
        }],
    };
    let page = TaskPage {
        tasks: vec![task.clone()],
        next: Some("1".to_owned()),
    };
    [
        Example::new::<NoFields, _>(Command::Status(NoFields {}), &status),
        Example::new::<CreateTask, _>(
            Command::CreateTask(CreateTask {
                title: task.title.clone(),
                description: Some(task.description.clone()),
            }),
            &task,
        ),
        Example::new::<ListTasks, _>(
            Command::ListTasks(ListTasks {
                status: Some(TaskStatus::Queued),
                limit: Some(1),
                after: None,
            }),
            &page,
        ),
        Example::new::<NoFields, _>(Command::ServiceCheck(NoFields {}), &check),
    ]
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

fn schema<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    sorted(generator.into_root_schema_for::<T>().to_value())
}

/// The same value with the keys of its objects in order: whether `serde_json`
/// keeps them in order by itself depends on what other crates are built along.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.into_iter().collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            fields
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// The name on the wire and the doc comment of each variant of an enum.
fn described_variants<T: JsonSchema>() -> Vec<(String, String)> {
    let schema = schema::<T>();
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    variants
        .iter()
        .filter_map(|variant| {
            let name = variant["const"]
                .as_str()
                .or_else(|| variant["properties"]["cmd"]["const"].as_str())?;
            let about = variant["description"].as_str()?.replace('\n', " ");
            Some((name.to_owned(), about))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
        let made = protocol_page();
        if std::env::var_os("COLIBRI_BLESS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == made,
            "docs/protocol.md is stale; renew it with \
             COLIBRI_BLESS=1 cargo nextest run -p colibri-protocol"
        );
    }

    #[test]
    fn every_command_is_shown_with_its_purpose() {
        let shown = examples();
        let names: Vec<_> = shown.iter().map(|example| example.command.name()).collect();
        assert_eq!(names, Command::NAMES);
        for example in &shown {
            assert!(!example.about.is_empty(), "{}", example.command.name());
        }
        assert_eq!(described_variants::<ErrorKind>().len(), 9);
    }
}
