//! `colibri-tui`: shows what the agents of this host do, and lets an operator step in.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use colibri_protocol::ErrorKind;
use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::place;

const AFTER: &str = "\
Keys: ? shows them all. Tab goes from view to view, the arrows or j and k from
line to line, n to the next agent that needs somebody; q leaves. A click
selects a line or a view, a click on the selected line looks closer.

Environment:
  COLIBRI_DAEMON_SOCKET  the socket, when --socket does not say
  NO_COLOR               no colours when set
  TERM, LANG             plain frames and no colours on vt100 and the like

Examples:
  colibri-tui
  colibri-tui --socket /tmp/try/colibri.sock
  TERM=vt100 colibri-tui        over a serial line
  ssh -t host colibri-tui       another host's

Exit codes:
  0  left
  1  the daemon refused, or the terminal is gone
  2  the command line makes no sense, or this is no terminal
  3  the daemon cannot be reached or does not answer
  4  this account may not use the socket";

/// Colibri in a terminal: panes, tasks, agents, jobs and cost, live.
#[derive(Debug, Parser)]
#[command(name = "colibri-tui", version, after_help = AFTER, max_term_width = 80)]
struct Args {
    /// The daemon's socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Leave the mouse to the terminal, which then marks text without Shift
    #[arg(long)]
    no_mouse: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        let fault = "standard input and output must be a terminal; `colibri status` and \
                     `colibri snapshot` print the same for programs";
        return failed(fault, 2);
    }
    let client = Client::new(place::socket(args.socket));
    // Whoever cannot begin is told so where it can be read and copied. Later the daemon may go away
    // and come back: the screen stays and says so.
    if let Err(error) = client.status() {
        return failed(&error.to_string(), code(&error));
    }
    match colibri_tui::watch(&client, !args.no_mouse) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("the terminal is gone: {error}"), 1),
    }
}

/// The same codes as those of `colibri`.
fn code(error: &ClientError) -> u8 {
    match error {
        ClientError::Denied { .. } => 4,
        ClientError::Refused { error } if error.kind == ErrorKind::Forbidden => 4,
        ClientError::Refused { .. } => 1,
        _ => 3,
    }
}

fn failed(fault: &str, code: u8) -> ExitCode {
    eprintln!("colibri-tui: {fault}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_pages_of_the_images_are_fresh() {
        colibri_pages::check(&Args::command(), "1").unwrap();
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        for line in Args::command().render_long_help().to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
