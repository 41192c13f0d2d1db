//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  colibri-test-agent --step-ms 50 --hold-secs 0
      works once, without waiting, and ends
  colibri-test-agent --rpc --emit-usage
      waits for prompts; ends when its standard input does
  echo '{\"id\":\"1\",\"type\":\"prompt\",\"message\":\"Hi\"}' |
      colibri-test-agent --rpc --step-ms 0
  colibri-test-agent --children 3 --ignore-term
      what only SIGKILL to the whole process group ends

Commands on standard input, one JSON object a line:
  {\"id\":\"1\",\"type\":\"prompt\",\"message\":\"…\"}   works once more
  {\"id\":\"2\",\"type\":\"abort\"}                  ends the work
  {\"id\":\"q-1\",\"type\":\"extension_ui_response\",\"value\":\"…\"}
                                             answers what --block asks

What it prints, colibri-glasspane reads as runtime `local`.";

/// An agent without a model: says the same every time, and fails on demand.
#[derive(Debug, Parser)]
#[command(name = "colibri-test-agent", version, after_help = EXAMPLES, max_term_width = 80,
          args_override_self = true)]
pub(crate) struct Args {
    /// The session's id, printed in the first line
    #[arg(long, value_name = "ID", default_value = "test-session")]
    pub(crate) session_id: String,

    /// The folder it claims to work in [default: the current one]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// Milliseconds between two events
    #[arg(long, value_name = "MS", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(..=86_400_000))]
    pub(crate) step_ms: u64,

    /// Seconds to stay after the work is done
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(..=31_536_000))]
    pub(crate) hold_secs: u64,

    /// Say what was used up
    #[arg(long)]
    pub(crate) emit_usage: bool,

    /// Wait for prompts instead of working at once; end with standard input
    #[arg(long)]
    pub(crate) rpc: bool,

    /// Read standard input to its end before anything else, as some agents do
    #[arg(long)]
    pub(crate) until_eof: bool,

    /// Say so many bytes instead of the usual sentence
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) say_bytes: Option<u32>,

    /// Let the tool answer so many bytes
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) result_bytes: u32,

    /// Fail at the work
    #[arg(long)]
    pub(crate) fail: bool,

    /// Fail at the first N runs for want of a model, which may pass
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) outages: u32,

    /// Ask something in the middle, and wait for the answer
    #[arg(long)]
    pub(crate) block: bool,

    /// Begin the work and say nothing more
    #[arg(long)]
    pub(crate) hang: bool,

    /// End in the middle of the work, with the exit code of --exit-code or 1
    #[arg(long)]
    pub(crate) crash: bool,

    /// Print lines that are no events, one of them of two MiB
    #[arg(long)]
    pub(crate) garbage: bool,

    /// Refuse every prompt
    #[arg(long)]
    pub(crate) refuse: bool,

    /// Let SIGTERM pass
    #[arg(long)]
    pub(crate) ignore_term: bool,

    /// Start so many processes that wait, and leave them behind
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(..=100))]
    pub(crate) children: u32,

    /// The exit code at the end
    #[arg(long, value_name = "CODE", default_value_t = 0)]
    pub(crate) exit_code: u8,

    /// Only wait: one of --children
    #[arg(long, hide = true)]
    pub(crate) child: bool,
}

impl Args {
    /// The folder it claims to work in.
    pub(crate) fn cwd(&self) -> String {
        match &self.cwd {
            Some(path) => path.display().to_string(),
            None => std::env::current_dir()
                .map_or_else(|_| "/".to_owned(), |path| path.display().to_string()),
        }
    }

    pub(crate) fn step(&self) -> Duration {
        Duration::from_millis(self.step_ms)
    }

    pub(crate) fn hold(&self) -> Duration {
        Duration::from_secs(self.hold_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let args = Args::parse_from(["colibri-test-agent"]);
        assert_eq!((args.step_ms, args.hold_secs), (1000, 30));
    }
}
