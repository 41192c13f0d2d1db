//! A small OpenAI-compatible server, so that tests run real agents without a
//! provider.
//!
//! It answers `POST …/chat/completions`, streamed or not, with always the same:
//! first a call of the tool that is asked for, where the request offers it, then,
//! once the tool has run, a text; both with what they used up. Only tests use it:
//! one thread a connection, no encryption, and requests are kept in memory.
//!
//! ```no_run
//! use colibri_model_server::{Script, Server};
//!
//! let server = Server::start("127.0.0.1:0", Script::default())?;
//! println!("base URL for an agent: {}", server.base_url());
//! # std::io::Result::Ok(())
//! ```

mod http;
pub mod npm;
pub mod pi;
mod reply;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// What the server answers.
#[derive(Debug, Clone)]
pub struct Script {
    /// The name of the tool to call, where a request offers it.
    pub tool: String,
    /// The arguments of the call.
    pub arguments: Value,
    /// What it says after the tool has run, or at once without one.
    pub text: String,
    /// How many requests are refused with status 503 before one is answered.
    pub fail_first: usize,
    /// The key that a request must bring; any when there is none.
    pub key: Option<String>,
    /// The pause before each piece of an answer.
    pub pause: Duration,
}

impl Default for Script {
    /// Reads `note.txt` and says that it did.
    fn default() -> Self {
        Self {
            tool: "read".to_owned(),
            arguments: serde_json::json!({"path": "note.txt"}),
            text: "The note is read.".to_owned(),
            fail_first: 0,
            key: None,
            pause: Duration::ZERO,
        }
    }
}

/// Tokens of each answer, as OpenAI counts them: cached ones are part of `prompt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Read by the model.
    pub prompt: u64,
    /// Of these, out of the cache.
    pub cached: u64,
    /// Written by it.
    pub completion: u64,
}

/// What an answer with a call of a tool uses up.
pub const CALL: Tokens = Tokens {
    prompt: 100,
    cached: 40,
    completion: 20,
};

/// What an answer in words uses up.
pub const WORDS: Tokens = Tokens {
    prompt: 150,
    cached: 100,
    completion: 10,
};

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path, such as `/v1/chat/completions`.
    pub path: String,
    /// The key in its `Authorization` header.
    pub key: Option<String>,
    /// Its body.
    pub body: Value,
    /// The status it was answered with.
    pub status: u16,
}

/// A running server. It runs as long as the process does.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Listens on an address such as `127.0.0.1:0`, where 0 is any free port.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(address: impl ToSocketAddrs, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let server = Self {
            address: listener.local_addr()?,
            asked: Arc::default(),
        };
        let asked = Arc::clone(&server.asked);
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
                thread::spawn(move || serve(stream, &script, &asked));
            }
        });
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an agent is given as its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far, in the order in which they were answered.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Answers one connection's one request.
fn serve(mut stream: TcpStream, script: &Script, asked: &Mutex<Vec<Asked>>) {
    // A client that hangs must not keep its thread for ever.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let Ok(Some(request)) = http::read(&stream) else {
        return;
    };
    let reply = {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = reply::to(&request, script, asked.len());
        asked.push(Asked {
            path: request.path,
            key: request.key,
            body: request.body,
            status: reply.status,
        });
        reply
    };
    // Whoever has seen enough hangs up.
    let _ = http::write(&mut stream, &reply, script.pause);
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use serde_json::json;

    use super::*;

    fn ask(server: &Server, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(
            stream,
            "{head}\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    const POST: &str = "POST /v1/chat/completions HTTP/1.1";

    fn request(stream: bool, role: &str) -> String {
        json!({
            "model": "m",
            "stream": stream,
            "messages": [{"role": "user", "content": "hello"}, {"role": role, "content": "x"}],
            "tools": [{"type": "function", "function": {"name": "read"}}],
        })
        .to_string()
    }

    #[test]
    fn a_tool_is_called_and_then_a_text_is_said() {
        let server = Server::start("127.0.0.1:0", Script::default()).unwrap();
        let call = ask(&server, POST, &request(true, "user"));
        assert!(call.starts_with("HTTP/1.1 200 "), "{call}");
        assert!(call.contains(r#""name":"read""#), "{call}");
        assert!(call.contains(r#""cached_tokens":40"#), "{call}");
        assert!(call.ends_with("data: [DONE]\n\n"), "{call}");

        let words = ask(&server, POST, &request(true, "tool"));
        assert!(!words.contains("tool_calls"), "{words}");
        let whole = ask(&server, POST, &request(false, "tool"));
        assert!(whole.contains("The note is read."), "{whole}");
        assert_eq!(server.asked().len(), 3);
    }

    #[test]
    fn a_wrong_key_is_refused_and_so_are_the_first() {
        let script = Script {
            key: Some("right".into()),
            fail_first: 1,
            ..Script::default()
        };
        let server = Server::start("127.0.0.1:0", script).unwrap();
        let with = |key: &str| format!("{POST}\r\nauthorization: Bearer {key}");
        let body = request(true, "user");
        assert!(ask(&server, &with("right"), &body).contains(" 503 "));
        assert!(ask(&server, &with("wrong"), &body).contains(" 401 "));
        assert!(ask(&server, &with("right"), &body).contains(" 200 "));
        let asked = server.asked();
        assert_eq!(asked[1].key.as_deref(), Some("wrong"));
        let statuses: Vec<u16> = asked.iter().map(|asked| asked.status).collect();
        assert_eq!(statuses, [503, 401, 200]);
    }

    #[test]
    fn what_it_does_not_know_it_says_so() {
        let server = Server::start("127.0.0.1:0", Script::default()).unwrap();
        assert!(ask(&server, "GET /v1/models HTTP/1.1", "").contains("test-model"));
        assert!(ask(&server, "GET /other HTTP/1.1", "").contains(" 404 "));
        assert!(ask(&server, POST, "{").contains(" 400 "));
    }
}
