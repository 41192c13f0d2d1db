//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use colibri_protocol::{CreateTask, ListTasks, TaskStatus, place};

const AFTER: &str = "\
Examples:
  colibri status
  colibri create-task --title 'Back up the vault'
  colibri list-tasks --status queued
  colibri list-tasks --json --limit 500 | jq '.tasks[].title'
  colibri service-check

Environment:
  COLIBRI_DAEMON_SOCKET  the socket, when --socket does not say
  NO_COLOR               no colours when set

Exit codes:
  0  done
  1  the daemon refused, or service-check found something
  2  the command line makes no sense
  3  the daemon cannot be reached or does not answer
  4  this account may not use the socket";

/// Asks the Colibri daemon of this host, or tells it what to do.
#[derive(Debug, Parser)]
#[command(name = "colibri", version, after_help = AFTER, max_term_width = 80)]
pub(crate) struct Args {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Print the answer as JSON, for programs; errors too, on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Seconds to wait for the answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to ask. The names are those of the protocol.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what the daemon is, where its things lie, and what it holds
    Status,
    /// Put a task on the board; it is on disk when this returns
    CreateTask(NewTask),
    /// Show tasks, newest first
    ListTasks(Listing),
    /// Look at every part of the service; exit code 0 when all is well, else 1
    ServiceCheck,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NewTask {
    /// One line, at most 200 characters
    #[arg(long, value_name = "TEXT")]
    title: String,

    /// What is to be done, at most 64 KiB
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl NewTask {
    pub(crate) fn into_request(self) -> CreateTask {
        CreateTask {
            title: self.title,
            description: self.description,
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Listing {
    /// Only these: queued, claimed, started, done, failed or cancelled
    #[arg(long, value_name = "STATUS")]
    status: Option<TaskStatus>,

    /// Most tasks to show, 1 to 500 [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: Option<u32>,

    /// Continue after an earlier page, with the `next` it ended on
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

impl Listing {
    pub(crate) fn into_request(self) -> ListTasks {
        ListTasks {
            status: self.status,
            limit: self.limit,
            after: self.after,
        }
    }
}

impl Args {
    /// The flag, then the environment, then the flavour's own place.
    pub(crate) fn socket(&self) -> PathBuf {
        place::socket(self.socket.clone())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_help_fits_a_terminal_of_80_columns() {
        let mut top = Args::command();
        top.build();
        let mut seen = 0;
        for command in std::iter::once(&top).chain(top.get_subcommands()) {
            for help in [
                command.clone().render_help(),
                command.clone().render_long_help(),
            ] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "only {seen} lines of help");
        top.debug_assert();
    }

    #[test]
    fn verbs_are_the_commands_of_the_protocol() {
        let command = Args::command();
        let verbs: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(verbs, colibri_protocol::Command::NAMES);
    }

    #[test]
    fn a_wrong_status_lists_the_right_ones() {
        let error = Args::try_parse_from(["colibri", "list-tasks", "--status", "open"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("queued, claimed, started"), "{error}");
    }
}
