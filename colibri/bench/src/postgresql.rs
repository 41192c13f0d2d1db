//! PostgreSQL with the statements of a queue: `FOR UPDATE SKIP LOCKED`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use miette::{IntoDiagnostic as _, Result, miette};
use postgres::{Client, Config, NoTls};

use crate::work::{CLIENTS, EACH, at_once};

/// Who owns the server: neither root nor anybody with a password.
const USER: &str = "bench";

/// The account that Debian's and FreeBSD's packages bring; the server does not run as root.
const ACCOUNT: &str = "postgres";

/// The board as the daemon's schema has it, as far as a queue needs it.
const SCHEMA: &str = "
    CREATE TABLE tasks (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        title text NOT NULL, status text NOT NULL, agent text, lease_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX tasks_waiting ON tasks (seq) WHERE status = 'queued';
    CREATE TABLE events (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
        actor text NOT NULL, kind text NOT NULL, task bigint REFERENCES tasks, detail jsonb NOT NULL);
    CREATE INDEX events_by_task ON events (task, seq);";

const CREATE: &str = "
    WITH made AS (INSERT INTO tasks (title, status) VALUES ('bench', 'queued') RETURNING seq)
    INSERT INTO events (actor, kind, task, detail)
    SELECT 'bench', 'task-created', seq, '{\"title\":\"bench\"}' FROM made";

const CLAIM: &str = "
    WITH taken AS (
        UPDATE tasks SET status = 'claimed', agent = $1, updated_at = now(),
            lease_until = now() + interval '1 hour'
        WHERE seq = (SELECT seq FROM tasks WHERE status = 'queued' ORDER BY seq LIMIT 1
                     FOR UPDATE SKIP LOCKED)
        RETURNING seq)
    INSERT INTO events (actor, kind, task, detail)
    SELECT $1, 'task-claimed', seq, '{\"from\":\"queued\",\"to\":\"claimed\"}' FROM taken
    RETURNING task";

const START: &str = "
    WITH moved AS (
        UPDATE tasks SET status = 'started', updated_at = now(),
            lease_until = now() + interval '1 hour'
        WHERE seq = $2 AND agent = $1 AND status = 'claimed' RETURNING seq)
    INSERT INTO events (actor, kind, task, detail)
    SELECT $1, 'task-started', seq, '{\"from\":\"claimed\",\"to\":\"started\"}' FROM moved";

const FINISH: &str = "
    WITH moved AS (
        UPDATE tasks SET status = 'done', updated_at = now(), lease_until = NULL
        WHERE seq = $2 AND agent = $1 AND status = 'started' RETURNING seq)
    INSERT INTO events (actor, kind, task, detail)
    SELECT $1, 'task-done', seq, '{\"from\":\"started\",\"to\":\"done\"}' FROM moved";

/// A private server on a Unix socket; stopped and removed when dropped.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
}

impl Server {
    /// Makes a database in a folder of its own below `parent`, and starts it. The inner error says why there is
    /// none, and how to get it.
    pub(crate) fn start(parent: &Path) -> Result<Result<Self, String>> {
        let Some(programs) = programs() else {
            return Ok(Err("PostgreSQL is not installed; Debian: \
                           `apt install postgresql`, FreeBSD: `pkg install postgresql17-server`"
                .to_owned()));
        };
        let made = output(
            as_account("mktemp")
                .arg("-d")
                .arg(parent.join("bench-pg-XXXXXX")),
        )?;
        let server = Self {
            programs,
            folder: made.trim_end().into(),
        };
        output(
            as_account(server.programs.join("initdb"))
                .args(["--auth=trust", "--encoding=UTF8", "--locale=C"])
                .args(["--username", USER, "--pgdata"])
                .arg(server.data()),
        )?;
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c max_connections=200",
            server.folder.display()
        );
        output(
            server
                .control("start")
                .args(["--log"])
                .arg(server.folder.join("log"))
                .args(["--options", &options]),
        )?;
        server.client()?.batch_execute(SCHEMA).into_diagnostic()?;
        Ok(Ok(server))
    }

    /// Tasks a second that [`CLIENTS`] see through, each over a connection of its own, each step a
    /// transaction of its own. The server syncs several together, by itself.
    pub(crate) fn lives(&self) -> Result<f64> {
        let workers = (0..CLIENTS)
            .map(|number| {
                let mut client = self.client()?;
                let steps = [CREATE, CLAIM, START, FINISH].map(|sql| client.prepare(sql));
                let [create, claim, start, finish] = steps;
                let steps = (
                    create.into_diagnostic()?,
                    claim.into_diagnostic()?,
                    start.into_diagnostic()?,
                    finish.into_diagnostic()?,
                );
                Ok((client, steps, format!("agent:a{number}")))
            })
            .collect::<Result<Vec<_>>>()?;
        at_once(
            workers,
            |(client, (create, claim, start, finish), agent)| {
                for _ in 0..EACH {
                    client.execute(&*create, &[]).into_diagnostic()?;
                    // None when others took what was there as it began; there is one for each of us.
                    let task: i64 = loop {
                        let row = client.query_opt(&*claim, &[&*agent]).into_diagnostic()?;
                        if let Some(row) = row {
                            break row.get(0);
                        }
                    };
                    for step in [&*start, &*finish] {
                        let moved = client.execute(step, &[&*agent, &task]).into_diagnostic()?;
                        if moved != 1 {
                            return Err(miette!("task {task} was not moved on"));
                        }
                    }
                }
                Ok(())
            },
        )
    }

    fn client(&self) -> Result<Client> {
        Config::new()
            .host_path(&self.folder)
            .user(USER)
            .dbname("postgres")
            .connect(NoTls)
            .into_diagnostic()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn control(&self, verb: &str) -> Command {
        let mut command = as_account(self.programs.join("pg_ctl"));
        command.args([verb, "--wait", "--pgdata"]).arg(self.data());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it was not started yet.
        let _ = output(self.control("stop").args(["--mode", "immediate"]));
        let _ = fs_err::remove_dir_all(&self.folder);
    }
}

/// The folder of the newest installed server's programs. Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let debian = fs_err::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let mut folders: Vec<PathBuf> = debian.flatten().map(|entry| entry.path()).collect();
    folders.sort_by_key(version);
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .into_iter()
        .rev()
        .map(|folder| folder.join("bin"))
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
}

/// A program under an account that is not root: the caller's own, or the server's.
fn as_account(program: impl AsRef<std::ffi::OsStr>) -> Command {
    // `id` and not a look-up of our own: we are linked statically.
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|said| said.stdout == b"0\n");
    let mut command = if root && cfg!(target_os = "freebsd") {
        let mut command = Command::new("su");
        command.args(["-m", ACCOUNT, "-c", "exec \"$0\" \"$@\""]);
        command.arg(program);
        command
    } else if root {
        let mut command = Command::new("runuser");
        command.args(["-u", ACCOUNT, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // The caller's folder is often one that the account may not enter.
    command.current_dir("/").env_remove("PGDATA");
    command
}

/// What a program prints; an error with its complaint when it fails. A server that it leaves behind
/// must not hold our pipes open, so both go to files.
fn output(command: &mut Command) -> Result<String> {
    let read = |mut file: std::fs::File| -> Result<String> {
        use std::io::{Read as _, Seek as _};
        let mut text = String::new();
        file.rewind().into_diagnostic()?;
        file.read_to_string(&mut text).into_diagnostic()?;
        Ok(text)
    };
    let (said, complained) = (
        tempfile::tempfile().into_diagnostic()?,
        tempfile::tempfile().into_diagnostic()?,
    );
    let status = command
        .stdin(Stdio::null())
        .stdout(said.try_clone().into_diagnostic()?)
        .stderr(complained.try_clone().into_diagnostic()?)
        .status()
        .into_diagnostic()?;
    if status.success() {
        return read(said);
    }
    Err(miette!("{command:?} failed: {}", read(complained)?))
}
