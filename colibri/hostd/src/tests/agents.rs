//! Agents over connections.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use colibri_host::{
    AgentExit, Client, ClientError, ErrorKind, ExecJail, Reply, Request, Running, answer_from_line,
    passing,
};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::bench::{Bench, about, create, shell, soon};

fn pipe() -> (File, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    (File::from(read), File::from(write))
}

/// Starts an agent, and gives what it prints.
fn begin(client: Client, exec: &ExecJail) -> Result<(Running, File), ClientError> {
    let null = File::open("/dev/null").unwrap();
    let (read, write) = pipe();
    let running = client.exec(exec, [null.as_fd(), write.as_fd(), null.as_fd()])?;
    Ok((running, read))
}

/// The number that it prints.
fn number(from: &mut File) -> i32 {
    let mut text = Vec::new();
    while text.last() != Some(&b'\n') {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        text.extend(byte);
    }
    String::from_utf8(text).unwrap().trim().parse().unwrap()
}

fn is_gone(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_err()
}

#[test]
fn an_agent_has_the_streams_that_were_sent_and_tells_how_it_ends() {
    let bench = Bench::new();
    bench.jail("main");
    let (stdin, mut to_agent) = pipe();
    let (mut from_agent, stdout) = pipe();
    let (mut complaints, stderr) = pipe();
    let script = "read line; echo \"$line $COLIBRI_DAEMON_SOCKET $PROGRAM\"; echo oh >&2; exit 7";
    let exec = shell(
        "main",
        script,
        &[("COLIBRI_DAEMON_SOCKET", "/run/colibri/ada.sock")],
    );
    let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let running = bench.client().exec(&exec, standard).unwrap();
    drop((stdin, stdout, stderr));
    to_agent.write_all(b"hello\n").unwrap();
    let mut said = String::new();
    from_agent.read_to_string(&mut said).unwrap();
    assert_eq!(
        said,
        "hello /run/colibri/ada.sock /usr/local/bin/colibri-test-agent\n"
    );
    said.clear();
    complaints.read_to_string(&mut said).unwrap();
    assert_eq!(said, "oh\n");
    assert_eq!(running.wait().unwrap(), AgentExit { status: 7 });
}

#[test]
fn it_ends_with_its_connection_and_so_does_what_it_has_started() {
    let bench = Bench::new();
    bench.jail("main");
    let script = "sleep 600 & echo $!; echo $$; wait";
    let (running, mut said) = begin(bench.client(), &shell("main", script, &[])).unwrap();
    let (child, agent) = (number(&mut said), number(&mut said));
    assert!(!is_gone(child) && !is_gone(agent));
    drop(running);
    soon("both are gone", || is_gone(child) && is_gone(agent));
    // Nothing of the helper's holds its streams.
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
}

#[test]
fn one_that_runs_takes_no_turn_and_no_clients_seat() {
    let bench = Bench::new();
    bench.jail("main");
    let agents: Vec<_> = (0..bench.service.limits.agents)
        .map(|_| begin(bench.client(), &shell("main", "exec sleep 600", &[])).unwrap())
        .collect();
    bench.ask(&Request::StartJail(about("main"))).unwrap();
    let full = begin(bench.client(), &shell("main", "true", &[])).unwrap_err();
    let ClientError::Refused { error } = full else {
        panic!("{full}");
    };
    assert_eq!(error.kind, ErrorKind::TryAgain);
    assert!(error.message.contains("8 agents run"), "{error}");
    drop(agents);
    soon("there is room again", || {
        begin(bench.client(), &shell("main", "true", &[]))
            .is_ok_and(|(running, _)| running.wait().is_ok())
    });
}

#[test]
fn stopping_ends_agents_and_leaves_jails() {
    let mut bench = Bench::new();
    bench.jail("main");
    let script = "echo $$; exec sleep 600";
    let (running, mut said) = begin(bench.client(), &shell("main", script, &[])).unwrap();
    let pid = number(&mut said);
    let mut idle = bench.client();
    bench.yard.asked();
    bench.stop();
    assert!(is_gone(pid));
    assert_eq!(running.wait().unwrap().status, 128 + 9);
    assert!(!bench.socket().exists());
    assert!(idle.ask(&create("late", 2)).is_err());
    assert_eq!(bench.yard.asked(), [""; 0]);
}

#[test]
fn a_jail_must_be_there_and_run() {
    let bench = Bench::new();
    bench.ask(&create("main", 1)).unwrap();
    for (name, kind) in [
        ("main", ErrorKind::Conflict),
        ("nojail", ErrorKind::NotFound),
    ] {
        let error = begin(bench.client(), &shell(name, "true", &[])).unwrap_err();
        assert!(
            matches!(&error, ClientError::Refused { error } if error.kind == kind),
            "{error}"
        );
    }
}

/// Sends a request's line with as many descriptors, all of them one file.
fn send(stream: &UnixStream, line: &[u8], fd: BorrowedFd<'_>, count: usize) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::io::IoSlice;
    let fds = vec![fd; count];
    let mut space = vec![std::mem::MaybeUninit::uninit(); 4096];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let sent = sendmsg(
        stream,
        &[IoSlice::new(line)],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
    assert_eq!(sent, line.len());
}

#[test]
fn three_descriptors_and_no_others_and_none_stays_open() {
    let bench = Bench::new();
    bench.jail("main");
    let exec = Request::ExecJail(shell("main", "exit 0", &[]));
    let list = Request::StartJail(about("main"));
    for (request, count) in [
        (&exec, 0),
        (&exec, 1),
        (&exec, 2),
        (&exec, 4),
        (&exec, 200),
        (&list, 3),
    ] {
        let mut stream = UnixStream::connect(bench.socket()).unwrap();
        let (mut read, write) = pipe();
        let line = request.to_line().unwrap();
        match count {
            0 => stream.write_all(&line).unwrap(),
            _ => send(&stream, &line, write.as_fd(), count),
        }
        drop(write);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let error = answer_from_line(answer.as_bytes()).unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest, "{count}: {error}");
        assert!(error.message.contains("file descriptors"), "{error}");
        // Ends only when nobody has the other end.
        let mut nothing = Vec::new();
        read.read_to_end(&mut nothing).unwrap();
    }
    assert!(
        !bench
            .yard
            .asked()
            .iter()
            .any(|asked| asked.starts_with("exec"))
    );

    // The line in pieces, the descriptors with the first, as a slow network would have it.
    let (mut stream, null) = (
        UnixStream::connect(bench.socket()).unwrap(),
        OwnedFd::from(File::open("/dev/null").unwrap()),
    );
    let line = exec.to_line().unwrap();
    let fds = [null.as_fd(); 3];
    assert_eq!(passing::send(&stream, &line[..5], &fds).unwrap(), 5);
    stream.write_all(&line[5..]).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let answers: Vec<_> = answers
        .lines()
        .map(|line| answer_from_line(line.as_bytes()).unwrap().unwrap())
        .collect();
    assert_eq!(
        answers,
        [Reply::Started, Reply::Ended(AgentExit { status: 0 })]
    );
}

#[test]
fn who_speaks_while_its_agent_runs_is_hung_up_on() {
    let bench = Bench::new();
    bench.jail("main");
    let mut stream = UnixStream::connect(bench.socket()).unwrap();
    let null = File::open("/dev/null").unwrap();
    let exec = Request::ExecJail(shell("main", "exec sleep 600", &[]));
    passing::send(&stream, &exec.to_line().unwrap(), &[null.as_fd(); 3]).unwrap();
    let mut answer = [0; 64];
    let count = stream.read(&mut answer).unwrap();
    assert_eq!(&answer[..count], b"{\"ok\":true,\"reply\":\"started\"}\n");
    stream.write_all(b"{\"cmd\":\"list-jails\"}\n").unwrap();
    let mut rest = String::new();
    // The rest that the helper has not read may break the connection, which is as good.
    let _ = stream.read_to_string(&mut rest);
    assert!(!rest.contains("jails"), "{rest}");
}
