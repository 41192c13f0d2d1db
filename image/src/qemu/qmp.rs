//! The few words that are spoken with QEMU's control socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::{Error, ErrorKind, Result, ResultExt as _};

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Sends one command that takes no arguments, such as `system_powerdown` or `quit`.
///
/// Each call is a conversation of its own: greeting, capabilities, command.
pub(super) fn command(socket: &Path, name: &str) -> Result<()> {
    let failed = || format!("QEMU did not take the command `{name}`");
    let stream = UnixStream::connect(socket).or_error(ErrorKind::Failed, failed)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .or_error(ErrorKind::Failed, failed)?;
    for command in ["qmp_capabilities", name] {
        writer
            .write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes())
            .or_error(ErrorKind::Failed, failed)?;
        answer(&mut reader, command)?;
    }
    Ok(())
}

/// Reads up to the answer, past the events that may come before it.
fn answer(reader: &mut impl std::io::BufRead, command: &str) -> Result<()> {
    loop {
        let mut line = String::new();
        let read = reader
            .read_line(&mut line)
            .or_error(ErrorKind::Failed, || {
                format!("QEMU did not answer the command `{command}`")
            })?;
        let value: serde_json::Value = if read == 0 {
            // Gone before it could answer: what `quit` may look like.
            return Ok(());
        } else {
            serde_json::from_str(&line).or_error(ErrorKind::Failed, || {
                format!("QEMU answered the command `{command}` with something else than JSON")
            })?
        };
        if value.get("return").is_some() {
            return Ok(());
        }
        if let Some(error) = value.get("error") {
            return Err(Error::failed(format!(
                "QEMU refused the command `{command}`: {error}"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_over_events() {
        let mut lines: &[u8] = b"{\"event\":\"RESUME\"}\n{\"return\":{}}\n";
        answer(&mut lines, "quit").unwrap();
    }

    #[test]
    fn tells_a_refusal() {
        let mut lines: &[u8] = b"{\"error\":{\"desc\":\"no such command\"}}\n";
        let error = answer(&mut lines, "dance").unwrap_err();
        assert!(error.to_string().contains("no such command"));
    }
}
