//! The guest's serial line: everything it says, kept; and a keyboard.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fs_err::File;

use crate::{Error, Result};

/// What a guest says when nothing more will come.
const DEAD: &str = "Kernel panic - not syncing";

/// Lines of the console that go into a failure's message.
const TAIL_LINES: usize = 40;

/// The serial line of a machine whose output is captured.
///
/// It is read as bytes, not by line: `login:` ends without a newline.
pub struct Console {
    said: Arc<Said>,
    keyboard: Box<dyn Write + Send>,
    /// Up to where [`Console::wait_for`] has matched.
    seen: usize,
}

#[derive(Default)]
struct Said {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// Reads `output` to its end on a thread of its own, into memory and into the file `log`.
    pub(super) fn new(
        output: impl Read + Send + 'static,
        keyboard: impl Write + Send + 'static,
        log: &Path,
    ) -> Result<Self> {
        let log = File::create(log)?;
        let said = Arc::new(Said::default());
        let writer = Arc::clone(&said);
        std::thread::spawn(move || collect(output, log, &writer));
        Ok(Self {
            said,
            keyboard: Box::new(keyboard),
            seen: 0,
        })
    }

    /// Waits until the guest has said `pattern`, after the last match.
    ///
    /// # Errors
    /// It did not within `limit`, its kernel panicked, or the machine stopped; the message ends
    /// with the last lines of the console.
    pub fn wait_for(&mut self, pattern: &str, limit: Duration) -> Result<()> {
        self.wait_for_any(&[pattern], limit).map(|_| ())
    }

    /// Waits for the first of several patterns; gives its place in the list.
    ///
    /// # Errors
    /// As [`Console::wait_for`].
    pub fn wait_for_any(&mut self, patterns: &[&str], limit: Duration) -> Result<usize> {
        let (at, which) = self.first_after(self.seen, patterns, limit)?;
        self.seen = at + patterns[which].len();
        Ok(which)
    }

    /// Waits until the guest has said `pattern` at any time, before the last match too: for two
    /// things that may come in either order.
    ///
    /// # Errors
    /// As [`Console::wait_for`].
    pub fn wait_until_said(&self, pattern: &str, limit: Duration) -> Result<()> {
        self.first_after(0, &[pattern], limit).map(|_| ())
    }

    /// Where the first of the patterns is, and which one it is.
    fn first_after(
        &self,
        start: usize,
        patterns: &[&str],
        limit: Duration,
    ) -> Result<(usize, usize)> {
        let end = Instant::now() + limit;
        let mut state = self.said.lock();
        loop {
            let fresh = &state.bytes[start..];
            let first = patterns
                .iter()
                .enumerate()
                .filter_map(|(which, pattern)| Some((find(fresh, pattern.as_bytes())?, which)))
                .min();
            if let Some((at, which)) = first {
                return Ok((start + at, which));
            }
            let now = Instant::now();
            let why = if find(fresh, DEAD.as_bytes()).is_some() {
                "its kernel panicked".to_owned()
            } else if state.ended {
                "the machine stopped".to_owned()
            } else if now >= end {
                format!("{} s passed", limit.as_secs())
            } else {
                state = self
                    .said
                    .more
                    .wait_timeout(state, end - now)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            };
            return Err(Error::failed(format!(
                "waited for `{}` on the console, but {why}; its last lines:\n{}",
                patterns.join("` or `"),
                tail(&state.bytes)
            )));
        }
    }

    /// Types `text` as a person would; end it with `\n` for the Enter key.
    ///
    /// # Errors
    /// The machine is off.
    pub fn type_text(&mut self, text: &str) -> io::Result<()> {
        self.keyboard.write_all(text.as_bytes())?;
        self.keyboard.flush()
    }

    /// Everything said so far; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().bytes).into_owned()
    }

    /// The last lines said, for messages.
    pub fn tail(&self) -> String {
        tail(&self.said.lock().bytes)
    }
}

fn collect(mut output: impl Read, mut log: File, said: &Said) {
    let mut chunk = [0; 4096];
    loop {
        let read = match output.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        said.lock().bytes.extend_from_slice(&chunk[..read]);
        said.more.notify_all();
        // The copy in memory decides; a full disk must not stop the guest.
        if let Err(error) = log.write_all(&chunk[..read]) {
            tracing::warn!(%error, "the console's log is not complete");
        }
    }
    said.lock().ended = true;
    said.more.notify_all();
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    hay.windows(needle.len()).position(|part| part == needle)
}

/// The last lines, without what only a terminal understands.
fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(output: impl Read + Send + 'static) -> (tempfile::TempDir, Console) {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(output, io::sink(), &folder.path().join("log")).unwrap();
        (folder, console)
    }

    const SHORT: Duration = Duration::from_millis(200);

    #[test]
    fn finds_a_prompt_without_a_newline_while_the_line_stays_open() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (_folder, mut console) = console(reader);
        writer.write_all(b"Debian\r\nhost lo").unwrap();
        writer.write_all(b"gin: ").unwrap();
        console.wait_for("login:", Duration::from_secs(5)).unwrap();
        drop(writer);
    }

    #[test]
    fn matches_only_what_came_after_the_last_match() {
        let (_folder, mut console) = console(&b"one two one"[..]);
        console.wait_for("one", SHORT).unwrap();
        console.wait_for("one", SHORT).unwrap();
        let error = console.wait_for("two", SHORT).unwrap_err();
        assert!(error.to_string().contains("the machine stopped"));
    }

    #[test]
    fn finds_what_came_in_the_other_order() {
        let (_folder, mut console) = console(&b"login: report"[..]);
        console.wait_for("report", SHORT).unwrap();
        console.wait_until_said("login:", SHORT).unwrap();
        assert!(console.wait_until_said("more", SHORT).is_err());
    }

    #[test]
    fn gives_the_pattern_that_came_first() {
        let (_folder, mut console) = console(&b"good then bad"[..]);
        assert_eq!(console.wait_for_any(&["bad", "good"], SHORT).unwrap(), 1);
        assert_eq!(console.wait_for_any(&["bad", "good"], SHORT).unwrap(), 0);
    }

    #[test]
    fn ends_at_a_panic_and_shows_it() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (_folder, mut console) = console(reader);
        writer
            .write_all(b"[1.0] Kernel panic - not syncing: no init\n")
            .unwrap();
        let error = console
            .wait_for("login:", Duration::from_secs(20))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("its kernel panicked") && error.contains("no init"),
            "{error}"
        );
    }

    #[test]
    fn keeps_a_log() {
        let (folder, mut console) = console(&b"all of it"[..]);
        console.wait_for("it", SHORT).unwrap();
        let _ = console.wait_for("more", SHORT);
        let log = fs_err::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log, "all of it");
        assert_eq!(console.text(), log);
    }
}
