use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::progress::Silent;

/// What a mirror answers to a request for what follows a byte: the raw bytes, then it hangs up.
pub(crate) type Answer = Box<dyn Fn(&str, Option<u64>) -> Vec<u8> + Send>;

/// A mirror on this machine that gives its answers in turn, the last one again and again.
pub(crate) struct Mirror {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Mirror {
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut range, mut path) = (None, String::new());
                for line in BufReader::new(&stream).lines() {
                    let line = line.unwrap().to_ascii_lowercase();
                    if let Some(start) = line.strip_prefix("range: bytes=") {
                        range = Some(start.trim_end_matches('-').parse().unwrap());
                    }
                    if let Some(rest) = line.strip_prefix("get ") {
                        path = rest.split(' ').next().unwrap().to_owned();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(range);
                    log.len() - 1
                };
                let answer = &answers[number.min(answers.len() - 1)];
                // Whoever is refused half-way hangs up first.
                let _ = stream.write_all(&answer(&path, range));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Option<u64>> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// A whole file, whatever part was asked for.
fn whole(bytes: &'static [u8]) -> Answer {
    Box::new(move |_, _| {
        let length = format!("Content-Length: {}\r\n", bytes.len());
        answer("200 OK", &length, bytes)
    })
}

/// What was asked for, as good mirrors do, but at most `most` bytes of it before the line breaks.
pub(crate) fn part(bytes: Vec<u8>, most: usize) -> Answer {
    Box::new(move |_, range| {
        let start = range.unwrap_or(0) as usize;
        if start >= bytes.len() {
            return answer("416 Range Not Satisfiable", "Content-Length: 0\r\n", b"");
        }
        let rest = &bytes[start..];
        let mut headers = format!("Content-Length: {}\r\n", rest.len());
        let status = if range.is_some() {
            let (last, total) = (bytes.len() - 1, bytes.len());
            headers += &format!("Content-Range: bytes {start}-{last}/{total}\r\n");
            "206 Partial Content"
        } else {
            "200 OK"
        };
        answer(status, &headers, &rest[..rest.len().min(most)])
    })
}

fn status(line: &'static str) -> Answer {
    Box::new(move |_, _| answer(line, "Content-Length: 0\r\n", b""))
}

/// The address of a port where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

const FILE: &[u8] = include_bytes!("../download.rs");

struct Try {
    dir: tempfile::TempDir,
    most: u64,
}

impl Try {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            most: 1 << 20,
        }
    }

    fn left_behind(self, bytes: &[u8]) -> Self {
        std::fs::write(self.dir.path().join("set.part"), bytes).unwrap();
        self
    }

    fn run(&self, urls: &[&str]) -> Result<Vec<u8>> {
        let to = self.dir.path().join("set");
        let wanted = Wanted {
            what: "the set".into(),
            urls: urls.iter().map(|url| format!("{url}/set")).collect(),
            to: &to,
            sha256: Some(sha2::Sha256::digest(FILE).into()),
            most: self.most,
        };
        let done = download(&wanted, &Silent);
        assert_eq!(to.exists(), done.is_ok(), "complete or absent");
        done.map(|()| {
            assert!(!self.dir.path().join("set.part").exists());
            std::fs::read(to).unwrap()
        })
    }
}

fn told(error: &Error) -> String {
    format!("{error}\n{}", std::error::Error::source(error).unwrap())
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let bytes = || FILE.to_vec();
    let mirror = Mirror::new(vec![
        part(bytes(), 1000),
        part(bytes(), 500),
        part(bytes(), usize::MAX),
    ]);
    assert_eq!(Try::new().run(&[&mirror.url]).unwrap(), FILE);
    assert_eq!(mirror.asked(), [None, Some(1000), Some(1500)]);
}

#[test]
fn what_a_killed_build_left_behind_is_taken_up() {
    let mirror = Mirror::new(vec![part(FILE.to_vec(), usize::MAX)]);
    let left = Try::new().left_behind(&FILE[..777]);
    assert_eq!(left.run(&[&mirror.url]).unwrap(), FILE);
    assert_eq!(mirror.asked(), [Some(777)]);
}

#[test]
fn a_mirror_that_breaks_off_hands_over_to_the_next() {
    let first = Mirror::new(vec![part(FILE.to_vec(), 900), part(FILE.to_vec(), 0)]);
    let second = Mirror::new(vec![part(FILE.to_vec(), usize::MAX)]);
    assert_eq!(Try::new().run(&[&first.url, &second.url]).unwrap(), FILE);
    assert_eq!(first.asked(), [None, Some(900)]);
    assert_eq!(second.asked(), [Some(900)]);
}

#[test]
fn a_mirror_that_knows_no_parts_sends_all_again() {
    let mirror = Mirror::new(vec![part(FILE.to_vec(), 1000), whole(FILE)]);
    assert_eq!(Try::new().run(&[&mirror.url]).unwrap(), FILE);
    assert_eq!(mirror.asked(), [None, Some(1000)]);
}

#[test]
fn a_bad_beginning_is_thrown_away() {
    let mirror = Mirror::new(vec![part(FILE.to_vec(), usize::MAX)]);
    let left = Try::new().left_behind(&[7; 600]);
    assert_eq!(left.run(&[&mirror.url]).unwrap(), FILE);
    assert_eq!(mirror.asked(), [Some(600), None]);
    // Longer than the file: the mirror has nothing to add to it.
    let mirror = Mirror::new(vec![part(FILE.to_vec(), usize::MAX)]);
    let left = Try::new().left_behind(&vec![7; FILE.len() + 1]);
    assert_eq!(left.run(&[&mirror.url]).unwrap(), FILE);
    // All of it came, and then the build was killed.
    let mirror = Mirror::new(vec![part(FILE.to_vec(), usize::MAX)]);
    let left = Try::new().left_behind(FILE);
    assert_eq!(left.run(&[&mirror.url]).unwrap(), FILE);
    assert_eq!(mirror.asked(), [Some(FILE.len() as u64)]);
}

#[test]
fn wrong_bytes_are_refused_and_the_next_mirror_asked() {
    let wrong = Mirror::new(vec![whole(b"another file")]);
    let right = Mirror::new(vec![whole(FILE)]);
    assert_eq!(Try::new().run(&[&wrong.url, &right.url]).unwrap(), FILE);
    assert_eq!(right.asked(), [None], "nothing of the wrong file is kept");
    let error = Try::new().run(&[&wrong.url, &wrong.url]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    let told = told(&error);
    assert!(told.contains("no mirror has the right one"), "{told}");
    assert!(
        told.contains(&hex(sha2::Sha256::digest(b"another file"))),
        "{told}"
    );
}

#[test]
fn a_mirror_without_the_file_is_passed_over() {
    let empty = Mirror::new(vec![status("404 Not Found")]);
    let busy = Mirror::new(vec![status("503 Service Unavailable")]);
    let right = Mirror::new(vec![whole(FILE)]);
    let urls = [empty.url.as_str(), &busy.url, &right.url];
    assert_eq!(Try::new().run(&urls).unwrap(), FILE);
    let error = Try::new().run(&urls[..2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let told = told(&error);
    for part in ["the set", &empty.url, "404", &busy.url, "503"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn what_is_too_long_is_not_taken_in() {
    let mut small = Try::new();
    small.most = 1000;
    // Said beforehand.
    let said = Mirror::new(vec![whole(FILE)]);
    let error = small.run(&[&said.url]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(
        told(&error).contains("no such file has more than 1000"),
        "{}",
        told(&error)
    );
    // Never said: it just goes on.
    let endless = Mirror::new(vec![Box::new(|_, _| {
        let chunk = [b"2000\r\n".as_slice(), &[1; 0x2000], b"\r\n"].concat();
        answer(
            "200 OK",
            "Transfer-Encoding: chunked\r\n",
            &chunk.repeat(20),
        )
    })]);
    let error = small.run(&[&endless.url]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert_eq!(
        std::fs::metadata(small.dir.path().join("set.part"))
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn without_a_network_every_mirror_is_named() {
    let (one, two) = (nobody(), nobody());
    let error = Try::new().run(&[&one, &two]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let told = told(&error);
    assert!(told.contains(&one) && told.contains(&two), "{told}");
}

#[test]
fn a_mirror_that_only_hangs_up_is_not_asked_for_ever() {
    let mirror = Mirror::new(vec![part(FILE.to_vec(), 0)]);
    assert_eq!(
        Try::new().run(&[&mirror.url]).unwrap_err().kind(),
        ErrorKind::Missing
    );
    assert_eq!(mirror.asked(), [None]);
    // A byte a time is something, but not without end.
    let mirror = Mirror::new(vec![part(FILE.to_vec(), 1)]);
    assert_eq!(
        Try::new().run(&[&mirror.url]).unwrap_err().kind(),
        ErrorKind::Missing
    );
    assert_eq!(mirror.asked().len(), TRIES as usize);
}

#[test]
fn what_a_mirror_says_of_its_part_is_checked() {
    let liar = Mirror::new(vec![Box::new(|_, _| {
        answer(
            "206 Partial Content",
            "Content-Range: bytes 3-4/5\r\nContent-Length: 2\r\n",
            b"xx",
        )
    })]);
    let left = Try::new().left_behind(&FILE[..777]);
    let error = left.run(&[&liar.url]).unwrap_err();
    assert!(
        told(&error).contains("follows byte 777, it sends from byte 3"),
        "{}",
        told(&error)
    );
    // What had come is still there for the next try.
    let right = Mirror::new(vec![part(FILE.to_vec(), usize::MAX)]);
    assert_eq!(left.run(&[&right.url]).unwrap(), FILE);
    assert_eq!(right.asked(), [Some(777)]);
}
