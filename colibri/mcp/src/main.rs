//! `colibri-mcp`: lets a model that speaks the Model Context Protocol look at this host's Colibri
//! and, when it is told to, give it work.
//!
//! Standard input and output carry the protocol, so everything for people goes to standard error.

mod config;
mod server;
mod tools;

use std::process::ExitCode;

use clap::Parser as _;
use colibri_protocol::client::Client;
use rmcp::ServiceExt as _;
use rmcp::transport::stdio;

use crate::config::{Config, Flags};
use crate::server::Server;

/// The conversation could not begin, or was cut off.
const BROKEN: u8 = 1;
/// A flag or a variable makes no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let config = match Config::resolve(Flags::parse(), |name| std::env::var_os(name)) {
        Ok(config) => config,
        Err(fault) => return failed(&fault, USAGE),
    };
    if let Some(warning) = &config.warning {
        eprintln!("warning: {warning}");
    }
    // One client, and answers that take as long as the daemon does: one thread is enough, and those
    // that wait for the daemon are threads of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the system gives no threads: {error}"), BROKEN),
    };
    match runtime.block_on(converse(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => failed(&fault, BROKEN),
    }
}

/// Answers until standard input ends.
async fn converse(config: Config) -> Result<(), String> {
    let server = Server::new(Client::new(config.socket), config.write);
    let running = server.serve(stdio()).await.map_err(|error| {
        format!(
            "the conversation did not begin: {error}. This program is started by a client of the \
             Model Context Protocol; `colibri` is the one for people"
        )
    })?;
    running
        .waiting()
        .await
        .map(|_| ())
        .map_err(|error| format!("the conversation broke off: {error}"))
}

fn failed(fault: &str, code: u8) -> ExitCode {
    eprintln!("colibri-mcp: {fault}");
    ExitCode::from(code)
}
