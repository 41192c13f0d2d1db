//! What the program is told.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use colibri_protocol::TenantId;
use colibri_protocol::place::{JAILS, JAILS_VARIABLE};
use colibri_vault::backup::Recipient;
use colibri_vault::{BOOTSTRAP, Places};

const AFTER: &str = "\
A collection's logins are variables: a login's name is the variable's, its
password the value. A note's text is one too, and so is every custom field.

Environment:
  COLIBRI_JAIL_ROOT_BASE  where the jails are, when --base does not say
  RUST_LOG                what is told on standard error: warn, info, debug
  NO_COLOR                no colours in this help

Examples:
  colibri-vault check
  colibri-vault provision main
  colibri-vault provision anna --collection 'Anna, research'
  colibri-vault rotate main --json
  colibri-vault names main
  colibri-vault backup /root/host.age --recipient age1...

Exit codes:
  0  done, or nothing to do, which is said
  1  somebody must do something; what, is said
  2  the command line makes no sense
  3  the vault cannot be reached, is in use or limits logins: try again";

/// Tenants' secrets: out of the vault into their jails, by `bw`.
#[derive(Debug, Parser)]
#[command(name = "colibri-vault", version, after_help = AFTER, max_term_width = 80)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,

    /// Answer in JSON, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The host's way into the vault
    #[arg(long, global = true, value_name = "FILE", default_value = BOOTSTRAP)]
    pub(crate) bootstrap: PathBuf,

    /// What all jails lie below
    #[arg(long, global = true, value_name = "FOLDER", env = JAILS_VARIABLE, default_value = JAILS)]
    pub(crate) base: PathBuf,

    /// Where bw's own folder and the lock are [default: the host's]
    #[arg(long, global = true, value_name = "FOLDER")]
    state: Option<PathBuf>,

    /// The script of bw [default: the image's]
    #[arg(long, global = true, value_name = "FILE")]
    bw: Option<PathBuf>,

    /// The Node that runs it [default: the host's]
    #[arg(long, global = true, value_name = "FILE")]
    node: Option<PathBuf>,

    /// The certificate of the server's private authority [default: the host's]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Args {
    /// Where things lie.
    pub(crate) fn places(&self) -> Places {
        let mut places = Places::of_host();
        if let Some(state) = &self.state {
            places.appdata = state.join("bw");
            places.lock = state.join("lock");
        }
        if let Some(bw) = &self.bw {
            places.script.clone_from(bw);
        }
        if let Some(node) = &self.node {
            places.node.clone_from(node);
        }
        places.ca = self.ca.clone().or(places.ca);
        places
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Fetch a tenant's secrets into the .env of its jail
    Provision(Fetch),
    /// The same, but ask the server even if it says that nothing changed
    Rotate(Fetch),
    /// Log in, and tell which collections the host's account sees
    Check,
    /// The names, never the values, of what is in a tenant's .env
    Names {
        /// The tenant
        tenant: TenantId,
        /// Its jail's root, when that is not in the usual place
        #[arg(long, value_name = "FOLDER")]
        root: Option<PathBuf>,
    },
    /// Encrypt this host's secrets and its tenants' into a file, with age
    Backup {
        /// The file
        file: PathBuf,
        /// A public key that can read it; may be given again
        #[arg(long = "recipient", value_name = "AGE", required = true)]
        recipients: Vec<Recipient>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// The tenant
    pub(crate) tenant: TenantId,
    /// The collection's exact name [default: the tenant's]
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// Its jail's root, when that is not in the usual place
    #[arg(long, value_name = "FOLDER")]
    pub(crate) root: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_pages_of_the_images_are_fresh() {
        colibri_pages::check(&Args::command(), "8").unwrap();
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        for line in Args::command().render_long_help().to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn a_tenant_and_a_recipient_are_checked_where_they_are_read() {
        let parse = |args: &[&str]| Args::try_parse_from(["colibri-vault"].iter().chain(args));
        assert!(parse(&["provision", "main"]).is_ok());
        assert!(parse(&["provision", "../etc"]).is_err());
        assert!(parse(&["backup", "f", "--recipient", "x"]).is_err());
        assert!(parse(&["backup", "f"]).is_err());
    }
}
