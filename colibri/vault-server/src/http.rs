//! As much of HTTP/1.1 as `bw` needs: one request a connection.

use std::io::{self, BufRead as _, BufReader, Read, Write};

use serde_json::Value;

/// Longest head, and longest body.
const MOST: u64 = 1 << 20;

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) has_token: bool,
    body: String,
}

impl Request {
    /// Reads one; `None` when the client hangs up before its end.
    pub(crate) fn read(stream: impl Read) -> io::Result<Option<Self>> {
        let mut reader = BufReader::new(stream).take(MOST);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut words = first.split_whitespace();
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Ok(None);
        };
        let (mut length, mut has_token) = (0, false);
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
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => has_token = value.trim().starts_with("Bearer "),
                _ => {}
            }
        }
        reader.set_limit(MOST.min(length));
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        Ok(Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            has_token,
            body: String::from_utf8_lossy(&body).into_owned(),
        }))
    }

    /// A field of a form.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let mut fields = self.body.split('&').filter_map(|one| one.split_once('='));
        let (_, value) = fields.find(|(known, _)| *known == name)?;
        Some(decoded(value))
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let hex = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                rest = &rest[2..];
                byte
            }
            (b'+', _) => b' ',
            _ => first,
        };
        bytes.push(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    body: String,
    /// How much of the body is sent.
    sent: usize,
}

impl Reply {
    pub(crate) fn ok(body: &Value) -> Self {
        Self::of(200, body)
    }

    pub(crate) fn of(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        Self {
            status,
            sent: body.len(),
            body,
        }
    }

    /// The same, but the connection breaks off in the middle.
    pub(crate) fn cut_short(self) -> Self {
        Self {
            sent: self.body.len() / 2,
            ..self
        }
    }

    pub(crate) fn write(&self, mut stream: impl Write) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            429 => "Too Many Requests",
            _ => "Internal Server Error",
        };
        write!(
            stream,
            "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.status,
            self.body.len()
        )?;
        stream.write_all(&self.body.as_bytes()[..self.sent])?;
        stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_meant() {
        let text = "POST /identity/connect/token HTTP/1.1\r\nContent-Length: 29\r\n\r\na=1&client_secret=%2B+b%C3%A9&c";
        let request = Request::read(text.as_bytes()).unwrap().unwrap();
        assert_eq!(request.form("client_secret").as_deref(), Some("+ b\u{e9}"));
        assert_eq!(request.form("c"), None);
        assert!(!request.has_token);
        assert!(Request::read(&b"GET"[..]).unwrap().is_none());
    }
}
