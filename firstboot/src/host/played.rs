//! Plays transcripts of programs: each command that is run must be the next one, and gets its recorded answer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

use secrecy::ExposeSecret as _;

use super::{Command, Output, Processes};

/// What the program does to the machine while it runs.
type Effect = Box<dyn Fn()>;

struct Line {
    command: String,
    status: i32,
    stdout: String,
    effect: Option<Effect>,
}

#[derive(Default)]
pub(super) struct Played {
    expected: RefCell<VecDeque<Line>>,
    inputs: RefCell<Vec<String>>,
}

impl Played {
    /// Commands with exit status and output.
    pub(super) fn new(transcript: &[(&str, i32, &str)]) -> Self {
        let played = Self::default();
        for (command, status, stdout) in transcript {
            played.then(command, *status, stdout);
        }
        played
    }

    /// One more command.
    pub(super) fn then(&self, command: &str, status: i32, stdout: &str) {
        self.push(command, status, stdout, None);
    }

    /// One more command, which ends well and changes the machine.
    pub(super) fn does(&self, command: &str, effect: impl Fn() + 'static) {
        self.push(command, 0, "", Some(Box::new(effect)));
    }

    fn push(&self, command: &str, status: i32, stdout: &str, effect: Option<Effect>) {
        self.expected.borrow_mut().push_back(Line {
            command: command.into(),
            status,
            stdout: stdout.into(),
            effect,
        });
    }

    /// What went to standard inputs so far.
    pub(super) fn inputs(&self) -> Vec<String> {
        self.inputs.borrow().clone()
    }

    /// Every command of the transcript was run.
    #[track_caller]
    pub(super) fn done(&self) {
        let left: Vec<String> = self
            .expected
            .borrow()
            .iter()
            .map(|line| line.command.clone())
            .collect();
        assert!(left.is_empty(), "never run: {left:?}");
    }
}

impl Processes for Played {
    fn run(&self, command: &Command) -> io::Result<Output> {
        let next = self.expected.borrow_mut().pop_front();
        let line = next
            .unwrap_or_else(|| panic!("nothing more was expected, but ran: {}", command.line()));
        assert_eq!(command.line(), line.command);
        if let Some(input) = &command.input {
            self.inputs
                .borrow_mut()
                .push(input.expose_secret().to_owned());
        }
        if let Some(effect) = line.effect {
            effect();
        }
        Ok(Output {
            status: Some(line.status),
            stdout: line.stdout,
            stderr: String::new(),
        })
    }
}
