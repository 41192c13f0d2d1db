//! Clients that mean harm, or do not know better.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use colibri_host::{ErrorKind, HostError, MAX_LINE, NoFields, Request, answer_from_line};

use super::bench::{Bench, LIMITS, Vault, soon};
use crate::config::Limits;

fn last_error(stream: &mut UnixStream) -> HostError {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = answer.lines().last().unwrap_or_default();
    answer_from_line(line.as_bytes()).unwrap().unwrap_err()
}

fn is_served(bench: &Bench) -> bool {
    bench.ask(&Request::ListJails(NoFields {})).is_ok()
}

#[test]
fn what_is_no_request_is_answered_and_ends_the_connection() {
    let bench = Bench::new();
    let deep = "[".repeat(100_000) + "\n";
    let tagged = r#"{"cmd":"start-jail","tenant":"main","x":"#.to_owned() + &deep;
    for line in [
        "\u{0}\n",
        "{}\n",
        "GET / HTTP/1.1\r\n",
        "{\"cmd\":\"x\"}\n",
        &deep,
        &tagged,
    ] {
        let mut stream = UnixStream::connect(bench.socket()).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        assert_eq!(last_error(&mut stream).kind, ErrorKind::BadRequest);
    }
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    stream.write_all(b"{\"cmd\":\"list-jails\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(
        last_error(&mut stream)
            .message
            .contains("without its newline")
    );
    assert!(is_served(&bench));
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    let bench = Bench::new();
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let piece = vec![b'x'; 64 * 1024];
        // More than is ever read; it breaks before.
        (0..64)
            .take_while(|_| sender.write_all(&piece).is_ok())
            .count()
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let error = answer_from_line(&answer).unwrap().unwrap_err();
    assert!(error.message.contains(&MAX_LINE.to_string()), "{error}");
    assert!(sending.join().unwrap() < 64, "all of it was read");
}

#[test]
fn silence_and_a_byte_at_a_time_have_an_end() {
    let limits = Limits {
        idle: Duration::from_millis(60),
        line: Duration::from_millis(150),
        ..LIMITS
    };
    let bench = Bench::with(limits, "nobody", Vault(None));
    let mut silent = UnixStream::connect(bench.socket()).unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "nobody asked");

    let mut dripping = UnixStream::connect(bench.socket()).unwrap();
    let mut drops = dripping.try_clone().unwrap();
    let begun = Instant::now();
    std::thread::spawn(move || {
        while drops.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut answer = Vec::new();
    let _ = dripping.read_to_end(&mut answer);
    let error = answer_from_line(&answer).unwrap().unwrap_err();
    assert!(error.message.contains("did not end"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_blank_line_in_pieces_takes_no_time_from_the_next() {
    let limits = Limits {
        line: Duration::from_secs(1),
        ..LIMITS
    };
    let bench = Bench::with(limits, "nobody", Vault(None));
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    let pause = Duration::from_millis(100);
    for (piece, pause) in [
        (" ", pause),
        ("\n", limits.line),
        ("{\"cmd\":", pause),
        ("\"list-jails\"}\n", Duration::ZERO),
    ] {
        stream.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(pause);
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let answer = answer_from_line(answer.as_bytes()).unwrap();
    assert!(answer.is_ok(), "{answer:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn one_account_can_fill_its_own_seats_and_no_others() {
    use super::bench::as_nobody;
    if !nix::unistd::geteuid().is_root() {
        return println!("NOT TESTED: only root can be two accounts");
    }
    let limits = Limits {
        idle: Duration::from_millis(1500),
        ..LIMITS
    };
    let bench = Bench::with(limits, "nobody", Vault(None));
    let connect = || as_nobody(|| UnixStream::connect(bench.socket()).unwrap());
    let taken: Vec<_> = (0..limits.clients).map(|_| connect()).collect();
    let mut more = connect();
    let error = last_error(&mut more);
    assert_eq!(error.kind, ErrorKind::TryAgain);
    assert!(error.message.contains("4 clients"), "{error}");
    assert!(is_served(&bench), "root has seats of its own");
    soon("silent clients have lost their seats", || {
        as_nobody(|| is_served(&bench))
    });
    drop(taken);
}

#[cfg(target_os = "linux")]
#[test]
fn any_other_account_is_refused() {
    use super::bench::as_nobody;
    if !nix::unistd::geteuid().is_root() {
        return println!("NOT TESTED: only root can be another account");
    }
    let bench = Bench::with(LIMITS, "daemon", Vault(None));
    let mut stream = as_nobody(|| UnixStream::connect(bench.socket()).unwrap());
    let error = last_error(&mut stream);
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(error.message.contains("uid 65534"), "{error}");
}
