//! What the helper is told: flags, and nothing else that concerns who may do what.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use colibri_host::{ACCOUNT, SOCKET};
use colibri_jail::Places;
use colibri_vault::{BOOTSTRAP, Bootstrap};

use crate::failure::Failure;

const EXAMPLES: &str = "\
Environment:
  COLIBRI_JAIL_ROOT_BASE   where the roots of jails lie, if not where this
                           system has them
  RUST_LOG                 error, warn, info (default), debug or trace

Files:
  vault.env                how the host gets into its vault: VAULT_SERVER,
                           BW_CLIENTID, BW_CLIENTSECRET, BW_PASSWORD. Root's,
                           mode 0600; without it no tenant has a bucket

Each request is a line of the log: who asked, what, about which tenant, how
it ended and how long it took. Root asks, and the account of the daemon.

Examples:
  colibri-hostd
      with every default, as the service does
  colibri-hostd --check-config
      whether jails can be made here and the vault's file can be read; it
      starts nothing

Exit codes:
  0  stopped by SIGTERM or SIGINT, or nothing to complain about
  1  the system refused something
  2  a flag makes no sense, or --check-config found a fault
  3  another helper is alive on this socket
  4  the socket's path is not ours, or this is not root";

/// The root helper of Colibri: makes, enters and removes the jails of tenants, and fetches their secrets.
#[derive(Debug, Clone, Parser)]
#[command(name = "colibri-hostd", version, after_long_help = EXAMPLES, max_term_width = 80)]
pub(crate) struct Flags {
    // Both paths differ between the systems, and the manual page is one for both.
    /// The socket to listen on
    #[arg(long, value_name = "PATH", default_value = SOCKET, hide_default_value = true)]
    pub(crate) socket: PathBuf,

    /// The account that may ask besides root
    #[arg(long, value_name = "NAME", default_value = ACCOUNT)]
    pub(crate) account: String,

    /// The group that the socket is opened to; its members who are not that
    /// account are refused
    #[arg(long, value_name = "NAME", default_value = ACCOUNT)]
    pub(crate) group: String,

    /// How the host gets into its vault
    #[arg(long, value_name = "FILE", default_value = BOOTSTRAP, hide_default_value = true)]
    pub(crate) vault_env: PathBuf,

    /// Most clients of that account at once, not counting those whose agent
    /// runs; root has seats of its own
    #[arg(long, value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    max_clients: u32,

    /// Most agents at once
    #[arg(long, value_name = "N", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_agents: u32,

    /// Seconds a client may stay silent between requests
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle_timeout: u64,

    /// Say whether the host and vault.env are as they must be, and end
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// How much, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Clients at once that are neither root's nor have an agent.
    pub(crate) clients: u32,
    /// Agents at once.
    pub(crate) agents: u32,
    /// Between two requests.
    pub(crate) idle: Duration,
    /// From a line's first byte to its newline.
    pub(crate) line: Duration,
    /// For an answer to be taken.
    pub(crate) write: Duration,
    /// For others that ask about the same tenant, or use the vault.
    pub(crate) turn: Duration,
    /// For what is under way when the helper is stopped.
    pub(crate) grace: Duration,
}

impl Flags {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            clients: self.max_clients,
            agents: self.max_agents,
            idle: Duration::from_secs(self.idle_timeout),
            line: Duration::from_secs(10),
            write: Duration::from_secs(10),
            turn: Duration::from_secs(90),
            // Below the service manager's own patience.
            grace: Duration::from_secs(20),
        }
    }
}

/// Says what a start would find.
///
/// # Errors
/// [`Failure::Config`] with every fault.
pub(crate) fn check(flags: &Flags) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let places = Places::of_this_system();
    println!("socket   {}", flags.socket.display());
    println!("jails    {}", places.base.display());
    match colibri_jail::of_this_system(places).can() {
        Ok(()) => println!("         can be made"),
        Err(why) => faults.push(format!("jails cannot be made: {why}")),
    }
    match Bootstrap::read(&flags.vault_env) {
        Ok(Some(bootstrap)) => println!("vault    {}", bootstrap.server),
        Ok(None) => println!("vault    none: there is no {}", flags.vault_env.display()),
        Err(error) => faults.push(format!("{error}; {}", error.remedy())),
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::Config { faults })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn defaults_are_the_flavours() {
        let flags = Flags::parse_from(["colibri-hostd"]);
        assert_eq!(flags.socket, PathBuf::from(SOCKET));
        assert_eq!(flags.account, "colibri");
        assert_eq!((flags.limits().clients, flags.limits().agents), (128, 1024));
        for wrong in [
            ["--max-clients", "0"],
            ["--idle-timeout", "0"],
            ["--vault", "x"],
        ] {
            let words = std::iter::once("colibri-hostd").chain(wrong);
            assert!(Flags::try_parse_from(words).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_pages_of_the_images_are_fresh() {
        colibri_pages::check(&Flags::command(), "8").unwrap();
    }

    #[test]
    fn the_help_fits_a_terminal_of_80_columns() {
        let help = Flags::command().render_long_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            // It is the same on both systems.
            assert!(
                !line.contains(SOCKET) && !line.contains(BOOTSTRAP),
                "{line}"
            );
        }
    }
}
