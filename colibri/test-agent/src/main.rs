//! `colibri-test-agent`: an agent without a model, for tests and diagnosis.
//!
//! It prints the events of the local dialect (see `colibri-glasspane`), the same
//! ones every time, and takes the commands of a real agent on its standard input.
//! Its faults are flags: what a supervisor must bear, this program does on demand.

mod args;
mod script;

use std::io::{self, BufRead as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser as _;
use serde_json::{Value, json};
use signal_hook::consts::SIGTERM;

use crate::args::Args;
use crate::script::Script;

fn main() -> ExitCode {
    let args = Args::parse();
    if args.ignore_term {
        // A flag that nobody looks at: the signal does nothing.
        if let Err(error) = signal_hook::flag::register(SIGTERM, Arc::new(AtomicBool::new(false))) {
            eprintln!("colibri-test-agent: SIGTERM cannot be ignored: {error}");
            return ExitCode::FAILURE;
        }
    }
    if args.child {
        thread::sleep(args.hold());
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => ExitCode::from(args.exit_code),
        // Nobody listens any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("colibri-test-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let _children = children(args)?;
    let commands = commands();
    if args.until_eof {
        while commands.recv().is_ok() {}
    }
    let script = Script::new(args);
    script.say(&json!({
        "type": "session",
        "id": args.session_id,
        "cwd": args.cwd(),
    }))?;
    if !args.rpc {
        work(&script, &commands)?;
    }
    let mut end = Instant::now() + args.hold();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let command = if args.rpc {
            commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            commands.recv_timeout(left)
        };
        match command {
            Ok(command) => {
                if answer(&script, &command)? {
                    work(&script, &commands)?;
                    end = Instant::now() + args.hold();
                }
            }
            // Closed: the supervisor of an rpc agent is gone.
            Err(RecvTimeoutError::Disconnected) if args.rpc => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(left);
                return Ok(());
            }
            Err(RecvTimeoutError::Timeout) => return Ok(()),
        }
    }
}

/// Plays the script once, and again for each prompt that came meanwhile.
fn work(script: &Script<'_>, commands: &Receiver<Value>) -> io::Result<()> {
    let mut waiting = 1;
    while waiting > 0 {
        waiting -= 1;
        waiting += script.play(commands)?;
    }
    Ok(())
}

/// Answers a command that came while there is no work: whether there is now.
fn answer(script: &Script<'_>, command: &Value) -> io::Result<bool> {
    let taken = script.respond(command)?;
    Ok(taken && command["type"] == "prompt")
}

/// What comes on standard input, line by line; other lines than JSON are `Null`.
fn commands() -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if line.trim().is_empty() {
                continue;
            }
            let command = serde_json::from_str(&line).unwrap_or_default();
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Processes of the same group that only wait. They are not stopped at the end:
/// that is the supervisor's to do, and what a test wants to see.
fn children(args: &Args) -> io::Result<Vec<Child>> {
    let program = std::env::current_exe()?;
    (0..args.children)
        .map(|_| {
            let mut command = Command::new(&program);
            command
                .arg("--child")
                .args(["--hold-secs", &args.hold_secs.to_string()])
                .stdin(Stdio::null());
            if args.ignore_term {
                command.arg("--ignore-term");
            }
            command.spawn()
        })
        .collect()
}

/// Waits, unless something comes first.
fn wait(commands: &Receiver<Value>, long: Duration) -> Option<Value> {
    match commands.recv_timeout(long) {
        Ok(command) => Some(command),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            thread::sleep(long);
            None
        }
    }
}
