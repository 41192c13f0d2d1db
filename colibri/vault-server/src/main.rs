//! `colibri-vault-server`: the test server as a program, for a `bw` that runs elsewhere than the test: in a booted
//! image, or in somebody's terminal.

use std::io;
use std::path::PathBuf;
use std::thread;

use clap::Parser;
use colibri_vault_server::{Server, State};

const EXAMPLES: &str = "\
Examples:
  colibri-vault-server --state vault.json --ca ca.pem
  colibri-vault-server --listen 0.0.0.0:8443 --name 10.0.2.2 \\
    --state vault.json --ca ca.pem
  NODE_EXTRA_CA_CERTS=ca.pem bw config server https://127.0.0.1:PORT

It prints its base URL on one line once it listens. What it holds and how it
misbehaves is the file of --state, which is read before each answer; one that
is not there is made. Faults: down, rate-limited, rotated-key, revoked,
unauthorized, old-revision, empty-vault, cut-short.";

/// A small Vaultwarden for tests: one account, made-up secrets.
#[derive(Debug, Parser)]
#[command(name = "colibri-vault-server", version, after_help = EXAMPLES, max_term_width = 80)]
struct Args {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,

    /// An address or name that the certificate is for; may be given again
    #[arg(long = "name", value_name = "NAME", default_values = ["127.0.0.1", "localhost"])]
    names: Vec<String>,

    /// The account, its collections and the faults, as JSON
    #[arg(long, value_name = "FILE")]
    state: PathBuf,

    /// Where to put the certificate of its authority
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if !args.state.exists() {
        std::fs::write(&args.state, serde_json::to_vec_pretty(&State::default())?)?;
    }
    let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
    let server = Server::start(args.listen.as_str(), &names, State::default())?;
    server.follow(args.state);
    std::fs::write(&args.ca, server.ca())?;
    println!("{}", server.url(&args.names[0]));
    loop {
        thread::park();
    }
}
