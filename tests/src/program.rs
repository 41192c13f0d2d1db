//! Other people's programs, called with a deadline.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clawdie_image::tool::Tool;

/// A command for `program`, which comes with the Debian package `package`.
pub fn program(program: &'static str, package: &'static str) -> Command {
    let tool = Tool {
        program,
        package,
        why: "a whole-system test reads the image with it",
    };
    tool.command().unwrap_or_else(|error| {
        panic!("{error}; {}", error.remedy().unwrap_or_default());
    })
}

/// What a program did.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: Vec<u8>,
    /// Its standard error.
    pub complaints: String,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// Everything it said, for messages.
    pub fn all(&self) -> String {
        format!("{}{}", self.text(), self.complaints)
    }
}

/// Runs `command` to its end with `input` as its standard input; it is killed after `limit`.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Finished {
    // Files, not pipes: nothing can fill up while we wait.
    let [mut stdin, mut output, mut complaints] =
        std::array::from_fn(|_| tempfile::tempfile().unwrap());
    stdin.write_all(input).unwrap();
    stdin.rewind().unwrap();
    let name = format!("{:?}", command.get_program());
    let mut child = command
        .stdin(Stdio::from(stdin))
        .stdout(output.try_clone().unwrap())
        .stderr(complaints.try_clone().unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() >= end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!(
                "{name} was not done after {} s; it said: {}{}",
                limit.as_secs(),
                String::from_utf8_lossy(&contents(&mut output)),
                String::from_utf8_lossy(&contents(&mut complaints)),
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Finished {
        status,
        output: contents(&mut output),
        complaints: String::from_utf8_lossy(&contents(&mut complaints)).into_owned(),
    }
}

fn contents(file: &mut File) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}
