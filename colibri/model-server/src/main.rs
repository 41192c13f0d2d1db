//! `colibri-model-server`: the test server as a program, for agents that run
//! elsewhere than the test: in a booted image, or in somebody's terminal.

use std::io;
use std::thread;
use std::time::Duration;

use clap::Parser;
use colibri_model_server::{Script, Server};

const EXAMPLES: &str = "\
Examples:
  colibri-model-server --listen 127.0.0.1:8080
  colibri-model-server --text 'All is well.' --key sk-test --fail-first 2
  curl http://127.0.0.1:8080/v1/chat/completions \\
    -d '{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'

It prints its base URL on one line once it listens.";

/// An OpenAI-compatible server for tests: always the same answers, no provider.
#[derive(Debug, Parser)]
#[command(name = "colibri-model-server", version, after_help = EXAMPLES, max_term_width = 80)]
struct Args {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,

    /// What to say at the end
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,

    /// The tool to call first, where a request offers it
    #[arg(long, value_name = "NAME", default_value = "read")]
    tool: String,

    /// The arguments of that call
    #[arg(long, value_name = "JSON", default_value = r#"{"path":"note.txt"}"#)]
    arguments: serde_json::Value,

    /// Refuse requests without this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Refuse so many requests first, as an overloaded provider does
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_first: usize,

    /// Milliseconds before each piece of an answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause_ms: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let script = Script {
        tool: args.tool,
        arguments: args.arguments,
        text: args.text.unwrap_or_else(|| Script::default().text),
        fail_first: args.fail_first,
        key: args.key,
        pause: Duration::from_millis(args.pause_ms),
    };
    let server = Server::start(args.listen.as_str(), script)?;
    println!("{}", server.base_url());
    loop {
        thread::park();
    }
}
