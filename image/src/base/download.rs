//! One file from the first mirror that has it: continued where it was cut, hashed as it comes.
//!
//! What has come lies beside its place as `<name>.part` and survives a cut line, a killed build and a
//! change of mirror. It gets its name only when its bytes are the ones that were asked for.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clawdie_tree::{Sha256, hex};
use fs_err as fs;
use sha2::Digest;
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use crate::cache::sync_dir;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::progress::{Progress, Task};

/// How often one mirror is asked again while each time something more comes.
const TRIES: u32 = 8;
/// Until a mirror has taken the connection, and until it answers.
const PATIENCE: Duration = Duration::from_secs(20);
/// Until one answer has come in whole; then the rest is asked for anew.
const ONE_ANSWER: Duration = Duration::from_secs(15 * 60);

/// What is to be downloaded.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// What it is, for messages.
    pub(crate) what: String,
    /// Where it may be had, in this order.
    pub(crate) urls: Vec<String>,
    /// Its place; the folder must exist, and nobody else may be writing to it.
    pub(crate) to: &'a Path,
    /// What it must hash to, where that is known.
    pub(crate) sha256: Option<Sha256>,
    /// Bytes beyond which it cannot be the right file.
    pub(crate) most: u64,
}

/// Downloads a file.
///
/// # Errors
/// `BadInput` when mirrors have something else under that name, `Missing` when none can be reached or
/// none has it; each is told with what went wrong there.
pub(crate) fn download(wanted: &Wanted<'_>, progress: &dyn Progress) -> Result<()> {
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(PATIENCE))
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_recv_body(Some(ONE_ANSWER))
        .user_agent(concat!("clawdie-iso/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let mut part = Part::open(wanted.to)?;
    let mut faults = Vec::new();
    let mut wrong = false;
    for url in &wanted.urls {
        match from_mirror(&agent, url, wanted, &mut part, progress) {
            Ok(()) => return part.finish(wanted.to),
            Err(Fault::Ours(error)) => return Err(error),
            Err(Fault::Wrong(what)) => {
                wrong = true;
                part.clear()?;
                faults.push(format!("{url}: {what}"));
            }
            Err(Fault::Line(what) | Fault::Absent(what)) => faults.push(format!("{url}: {what}")),
        }
        tracing::info!("{}", faults.last().map(String::as_str).unwrap_or_default());
    }
    let (kind, end) = if wrong {
        (ErrorKind::BadInput, "no mirror has the right one")
    } else {
        (ErrorKind::Missing, "no mirror could be used")
    };
    Err(
        Error::new(kind, format!("{} cannot be downloaded: {end}", wanted.what))
            .caused_by(faults.join("\n")),
    )
}

/// Why a mirror did not do.
#[derive(Debug)]
enum Fault {
    /// The line: worth another try while something comes.
    Line(String),
    /// It does not have the file.
    Absent(String),
    /// It has another file under that name.
    Wrong(String),
    /// Our own disk.
    Ours(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// One mirror, until the file is whole or nothing more comes.
fn from_mirror(
    agent: &Agent,
    url: &str,
    wanted: &Wanted<'_>,
    part: &mut Part,
    progress: &dyn Progress,
) -> Result<(), Fault> {
    let mut tries = 1;
    loop {
        let (before, own) = (part.len, part.len == 0);
        match ask(agent, url, wanted, part, progress) {
            Ok(()) => match wanted.sha256.filter(|sha256| *sha256 != part.digest()) {
                None => return Ok(()),
                // What was there before may be to blame, whoever it came from.
                Some(_) if !own && tries < TRIES => part.clear()?,
                Some(sha256) => {
                    return Err(Fault::Wrong(format!(
                        "its SHA-256 is {}, not {}",
                        hex(part.digest()),
                        hex(sha256)
                    )));
                }
            },
            Err(Fault::Line(_)) if part.len != before && tries < TRIES => {}
            Err(fault) => return Err(fault),
        }
        tries += 1;
    }
}

/// Asks for what is still missing, and takes it in.
fn ask(
    agent: &Agent,
    url: &str,
    wanted: &Wanted<'_>,
    part: &mut Part,
    progress: &dyn Progress,
) -> Result<(), Fault> {
    let mut request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    if part.len > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", part.len));
    }
    let mut response = request
        .call()
        .map_err(|error| Fault::Line(error.to_string()))?;
    let total = match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let (start, total) = content_range(&response)
                .ok_or_else(|| Fault::Line("it does not say which part it sends".into()))?;
            if start != part.len {
                return Err(Fault::Line(format!(
                    "asked for what follows byte {}, it sends from byte {start}",
                    part.len
                )));
            }
            total
        }
        StatusCode::OK => {
            // It knows nothing of parts, or sends the first.
            part.clear()?;
            content_length(&response)
        }
        StatusCode::RANGE_NOT_SATISFIABLE if part.len > 0 => {
            if wanted.sha256.is_some_and(|sha256| sha256 == part.digest()) {
                return Ok(());
            }
            part.clear()?;
            return Err(Fault::Line("what was there is longer than its file".into()));
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(Fault::Absent(format!(
                "{}: it is not there",
                response.status()
            )));
        }
        status => return Err(Fault::Line(format!("it answers {status}"))),
    };
    too_long(total.unwrap_or(0), wanted)?;
    let task = progress.begin("download", total);
    task.note(&wanted.what);
    task.advance(part.len);
    take(response.body_mut().as_reader(), total, wanted, part, &*task)
}

fn take(
    mut body: impl Read,
    total: Option<u64>,
    wanted: &Wanted<'_>,
    part: &mut Part,
    task: &dyn Task,
) -> Result<(), Fault> {
    let mut buf = vec![0; 128 << 10];
    loop {
        let got = match body.read(&mut buf) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let what = format!("the line broke after {} bytes: {error}", part.len);
                return Err(Fault::Line(what));
            }
        };
        too_long(part.len + got as u64, wanted)?;
        part.take(&buf[..got])?;
        task.advance(got as u64);
    }
    match total {
        Some(total) if part.len < total => Err(Fault::Line(format!(
            "the line broke after {} of {total} bytes",
            part.len
        ))),
        Some(total) if part.len > total => Err(Fault::Wrong(format!(
            "it sends more than the {total} bytes that it announced"
        ))),
        _ => Ok(()),
    }
}

fn too_long(len: u64, wanted: &Wanted<'_>) -> Result<(), Fault> {
    if len > wanted.most {
        return Err(Fault::Wrong(format!(
            "it sends {len} bytes or more, and no such file has more than {}",
            wanted.most
        )));
    }
    Ok(())
}

fn content_length<B>(response: &Response<B>) -> Option<u64> {
    let value = response.headers().get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// First byte and length of the whole file, of `bytes 5-9/10`.
fn content_range<B>(response: &Response<B>) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get(header::CONTENT_RANGE)?;
    let (range, total) = value
        .to_str()
        .ok()?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

/// What has come so far.
struct Part {
    path: PathBuf,
    file: fs::File,
    len: u64,
    hasher: sha2::Sha256,
}

impl Part {
    /// Takes up what an earlier download left behind.
    fn open(to: &Path) -> Result<Self> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = to.with_file_name(name);
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        let mut part = Self {
            path,
            file,
            len: 0,
            hasher: sha2::Sha256::new(),
        };
        let mut buf = vec![0; 128 << 10];
        loop {
            match part.file.read(&mut buf)? {
                0 => return Ok(part),
                got => {
                    part.hasher.update(&buf[..got]);
                    part.len += got as u64;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).or_error(ErrorKind::Failed, || {
            format!("`{}` cannot be written", self.path.display())
        })?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = sha2::Sha256::new();
        self.len = 0;
        Ok(())
    }

    fn digest(&self) -> Sha256 {
        self.hasher.clone().finalize().into()
    }

    /// Gives it its name, so that it is there after a power cut.
    fn finish(self, to: &Path) -> Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, to)?;
        sync_dir(to.parent().unwrap_or(Path::new(".")))
    }
}

#[cfg(test)]
pub(crate) mod tests;
