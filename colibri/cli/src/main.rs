//! `colibri`: asks the daemon, and shows the answer to a person or to a program.

mod args;
mod backup;
mod join;
mod mother;
mod pages;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use anstream::eprintln;
use clap::Parser;
use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::{AgentLog, Command, LogLines, Request, ServiceCheck};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Args, Verb};

/// From one look at a log that is followed to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The daemon answered with an error, or the service is not healthy.
const REFUSED: u8 = 1;
/// Nobody answered.
const UNREACHABLE: u8 = 3;
/// The account may not ask.
const DENIED: u8 = 4;

fn main() -> ExitCode {
    let args = Args::parse();
    tell_old_spellings(&args);
    let client = args.client();
    let outcome = match (args.verb.command(), &args.verb) {
        (Ok(Some(Command::Subscribe(_))), _) => follow(&args, &client),
        (Ok(Some(Command::AgentLog(log))), verb) if verb.is_endless() => {
            follow_log(&args, &client, log)
        }
        (_, Verb::Backup(target)) => backup::write(&client, &target.file).map(|made| json!(made)),
        (_, Verb::Join(new)) => {
            join::join(&client, new.clone(), args.json).map(|joined| json!(joined))
        }
        (_, Verb::Mother(of)) => mother::rise(&client, of.name.clone()).map(|mother| json!(mother)),
        (Ok(Some(command)), _) => ask(&client, command),
        (Ok(None), verb) => return pages::write(verb),
        (Err(error), _) => Err(ClientError::Refused { error }),
    };
    match outcome {
        Ok(data) => answered(&args, &data),
        Err(error) => failed(&args, &error),
    }
}

/// Says how that is spelt now which was spelt as before.
fn tell_old_spellings(args: &Args) {
    for now in args.verb.old_spellings() {
        let message = format!("old spelling, which works for this release only: {now}");
        if args.json {
            eprintln!("{}", json!({ "warning": { "message": message } }));
        } else {
            eprintln!("colibri: {message}");
        }
    }
}

/// Prints changes as they come. The end is an error like any other, unless it is our own reader's.
fn follow(args: &Args, client: &Client) -> Result<Value, ClientError> {
    client
        .follow(|change| {
            print_now(&if args.json {
                format!("{}\n", json!(change))
            } else {
                show::change(&change)
            })
        })
        .map(|()| Value::Null)
}

/// Prints a log as it grows; its end is that of [`follow`].
fn follow_log(args: &Args, client: &Client, mut log: AgentLog) -> Result<Value, ClientError> {
    loop {
        let found: LogLines = client.ask(Command::AgentLog(log.clone()))?;
        let is_first = log.after.is_none();
        let text = if args.json {
            format!("{}\n", json!(found))
        } else {
            show::log(&found, is_first)
        };
        if (is_first || !found.lines.is_empty()) && !print_now(&text) {
            return Ok(Value::Null);
        }
        log.after = Some(found.next);
        // Nothing between two looks may be left out, and the first may have shown few.
        log.lines = Some(AgentLog::MAX_LINES);
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Prints at once; whether somebody still reads.
fn print_now(text: &str) -> bool {
    use std::io::Write as _;
    let mut out = anstream::stdout();
    write!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// The reply's `data` as it came, so that `--json` loses nothing a newer
/// daemon says.
fn ask(client: &Client, command: Command) -> Result<Value, ClientError> {
    client.ask_raw(&Request::from(command))
}

fn answered(args: &Args, data: &Value) -> ExitCode {
    if args.verb.is_endless() {
        return ExitCode::SUCCESS;
    }
    let healthy = data.get("healthy").and_then(Value::as_bool);
    if args.json {
        print_text(&format!("{data:#}\n"));
    } else {
        match show::answer(&args.verb, data) {
            Ok(text) => print_text(&text),
            Err(error) => {
                eprintln!(
                    "colibri: the answer is not the expected one ({error}); are `colibri` and \
                     `colibri-daemon` of one version? `--json` shows it as it came"
                );
                return ExitCode::from(REFUSED);
            }
        }
    }
    match (&args.verb, healthy) {
        (Verb::ServiceCheck, Some(true)) => ExitCode::SUCCESS,
        (Verb::ServiceCheck, _) => ExitCode::from(REFUSED),
        _ => ExitCode::SUCCESS,
    }
}

fn failed(args: &Args, error: &ClientError) -> ExitCode {
    if matches!(args.verb, Verb::ServiceCheck) {
        // A check that cannot even ask has found something.
        return answered(args, &json!(ServiceCheck::unreachable(error)));
    }
    if args.json {
        eprintln!("{:#}", json!({ "error": machine_readable(error) }));
    } else {
        eprintln!("colibri: {error}");
    }
    ExitCode::from(match error {
        ClientError::Denied { .. } => DENIED,
        ClientError::Refused { error } if error.kind == colibri_protocol::ErrorKind::Forbidden => {
            DENIED
        }
        ClientError::Refused { .. } | ClientError::TooLong { .. } => REFUSED,
        _ => UNREACHABLE,
    })
}

#[derive(Serialize)]
struct MachineReadable {
    kind: String,
    message: String,
}

fn machine_readable(error: &ClientError) -> MachineReadable {
    let kind = match error {
        ClientError::Refused { error } => error.kind.to_string(),
        ClientError::Denied { .. } => "denied".to_owned(),
        ClientError::TooLong { .. } => "too-long".to_owned(),
        _ => "unreachable".to_owned(),
    };
    MachineReadable {
        kind,
        message: error.to_string(),
    }
}

/// Colours go away by themselves when this is no terminal or `NO_COLOR` is set.
fn print_text(text: &str) {
    use std::io::Write as _;
    // A reader that has seen enough (`colibri list-tasks | head -1`) is no error.
    let _ = write!(anstream::stdout(), "{text}");
}
