//! What the program is told: flags first, then the environment, then defaults.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use colibri_protocol::{place, switch};

const AFTER: &str = "\
Tools that only look are always there; those that change something only with
--write. Their names are the daemon's commands: `create-task` is the tool
`colibri_create_task`.

Environment (a flag wins; an empty value counts as unset):
  COLIBRI_MCP_SOCKET     the socket
  COLIBRI_DAEMON_SOCKET  the same, for all of Colibri's programs
  COLIBRI_MCP_WRITE      1 is --write; 1/0, yes/no, true/false or on/off

Examples:
  colibri-mcp
      looks only; what to put into a client's list of servers
  colibri-mcp --write
      may also create tasks, start agents and so on
  ssh host colibri-mcp
      another host's Colibri

Exit codes:
  0  the client has ended the conversation
  1  the conversation did not begin, or broke off
  2  a flag or a variable makes no sense";

/// The variable that names the socket for this program alone.
const SOCKET: &str = "COLIBRI_MCP_SOCKET";
/// The variable that allows tools which change something.
const WRITE: &str = "COLIBRI_MCP_WRITE";

/// A variable of the Colibri before this one, which let models call other MCP servers.
const EXTERNAL: &str = "COLIBRI_MCP_EXTERNAL_CALL";

/// Colibri's commands as tools for a model: an MCP server over stdin and stdout.
#[derive(Debug, Default, Parser)]
#[command(name = "colibri-mcp", version, after_help = AFTER, max_term_width = 80)]
pub(crate) struct Flags {
    /// The daemon's socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Offer the tools that change something, too
    #[arg(long)]
    write: bool,
}

/// What the program runs with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) socket: PathBuf,
    pub(crate) write: bool,
    /// What was set and has no effect.
    pub(crate) warning: Option<String>,
}

impl Config {
    /// Puts flags, environment and defaults together.
    ///
    /// # Errors
    /// A text that names the variable and the rule: a switch that nobody can read must not be taken
    /// for either of its positions.
    pub(crate) fn resolve(
        flags: Flags,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, String> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let write = match variable(WRITE) {
            Some(text) => switch(&text.to_string_lossy())
                .map_err(|rule| format!("the environment's {WRITE} {rule}"))?,
            None => false,
        };
        Ok(Self {
            socket: place::socket(flags.socket.or_else(|| variable(SOCKET).map(PathBuf::from))),
            write: write || flags.write,
            warning: variable(EXTERNAL).map(|_| {
                format!(
                    "the environment's {EXTERNAL} has no effect: this program calls no other MCP \
                     servers; add them to your client's own list"
                )
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn resolve(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
        let flags = ["colibri-mcp"].iter().chain(flags);
        Config::resolve(Flags::try_parse_from(flags).unwrap(), |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn writing_must_be_asked_for_and_never_guessed() {
        assert!(!resolve(&[], &[]).unwrap().write);
        assert!(resolve(&["--write"], &[]).unwrap().write);
        for (text, write) in [("1", true), ("On", true), ("no", false), ("", false)] {
            assert_eq!(resolve(&[], &[(WRITE, text)]).unwrap().write, write);
        }
        let error = resolve(&[], &[(WRITE, "maybe")]).unwrap_err();
        assert!(
            error.contains("COLIBRI_MCP_WRITE must be 1 or 0"),
            "{error}"
        );
        // Even where the flag has decided: the variable is still a mistake.
        assert!(resolve(&["--write"], &[(WRITE, "maybe")]).is_err());
    }

    #[test]
    fn what_has_no_effect_is_told() {
        assert_eq!(resolve(&[], &[]).unwrap().warning, None);
        let old = resolve(&[], &[(EXTERNAL, "1")]).unwrap().warning.unwrap();
        assert!(
            old.contains("COLIBRI_MCP_EXTERNAL_CALL has no effect"),
            "{old}"
        );
    }

    #[test]
    fn the_socket_s_flag_wins_over_its_variable() {
        let both = resolve(&["--socket", "/flag"], &[(SOCKET, "/variable")]);
        assert_eq!(both.unwrap().socket, PathBuf::from("/flag"));
        let variable = resolve(&[], &[(SOCKET, "/variable")]);
        assert_eq!(variable.unwrap().socket, PathBuf::from("/variable"));
    }

    #[test]
    fn the_pages_of_the_images_are_fresh() {
        colibri_pages::check(&Flags::command(), "1").unwrap();
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        for line in Flags::command().render_long_help().to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
