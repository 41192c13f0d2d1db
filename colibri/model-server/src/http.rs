//! As much of HTTP/1.1 as a client on loopback needs.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Longest head, and longest body: agents send their whole conversation.
const MOST_HEAD: u64 = 64 * 1024;
const MOST_BODY: u64 = 64 * 1024 * 1024;

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    /// `Null` when it is no JSON.
    pub(crate) body: Value,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// The body, in the pieces in which it is sent.
    pub(crate) pieces: Vec<String>,
}

/// Reads a request; `None` when the client hangs up before its end.
pub(crate) fn read(stream: &TcpStream) -> io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream).take(MOST_HEAD);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let (mut length, mut key, mut goes_on) = (0, None, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => key = value.strip_prefix("Bearer ").map(str::to_owned),
            "expect" => goes_on = true,
            _ => {}
        }
    }
    if goes_on {
        (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    reader.set_limit(MOST_BODY.min(length));
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        key,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }))
}

/// Writes a reply. Its end is the connection's, so no length is needed.
pub(crate) fn write(stream: &mut TcpStream, reply: &Reply, pause: Duration) -> io::Result<()> {
    let reason = match reply.status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        _ => "Service Unavailable",
    };
    write!(
        stream,
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nConnection: close\r\n\r\n",
        reply.status, reply.content_type
    )?;
    for piece in &reply.pieces {
        thread::sleep(pause);
        stream.write_all(piece.as_bytes())?;
        stream.flush()?;
    }
    Ok(())
}
