//! What an agent prints, on its way out of its jail.
//!
//! Whoever had it started keeps it on the host, in sessions, logs and results of tasks, and does not know the
//! secrets of its tenant. They are known here, so here they are taken out.

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

use colibri_service::blank::{Blanker, Keys};

use crate::server;

/// What is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// Gives what an agent is to print to, in place of `to`, and the thread that hands on to `to` what comes there, without
/// these keys. It ends when nobody can print there any more, or nobody wants to read it.
///
/// # Errors
/// When the system has no pipe or no thread to give.
pub(crate) fn without(keys: &Keys, to: OwnedFd) -> io::Result<(OwnedFd, JoinHandle<()>)> {
    let (from, prints) = io::pipe()?;
    let blanker = Blanker::new(keys.clone());
    let copies = server::thread("output", move || {
        // Who does not read any more has ended, and the agent ends with it.
        let _ = copy(from, File::from(to), blanker);
    })?;
    Ok((prints.into(), copies))
}

fn copy(mut from: PipeReader, mut to: File, mut blanker: Blanker) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return to.write_all(&blanker.rest()),
            Ok(count) => to.write_all(&blanker.pass(&chunk[..count]))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    #[test]
    fn all_of_it_comes_but_the_keys_and_the_end_comes_too() {
        let keys = Keys::new([SecretString::from("sk-or-v1-canary")]);
        let (mut read, write) = io::pipe().unwrap();
        let (prints, copies) = without(&keys, write.into()).unwrap();
        let said = "the key is sk-or-v1-canary!\n".repeat(9_000) + "sk-or";
        let agent = std::thread::spawn({
            let said = said.clone();
            move || File::from(prints).write_all(said.as_bytes())
        });
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        agent.join().unwrap().unwrap();
        copies.join().unwrap();
        assert_eq!(text, said.replace("sk-or-v1-canary", "(secret)"));
    }

    #[test]
    fn an_agent_that_nobody_reads_is_told() {
        let keys = Keys::new([SecretString::from("sk-or-v1-canary")]);
        let (read, write) = io::pipe().unwrap();
        let (prints, copies) = without(&keys, write.into()).unwrap();
        drop(read);
        let mut prints = File::from(prints);
        while prints.write_all(b"more\n").is_ok() {}
        copies.join().unwrap();
    }
}
