//! What an operator asks of `clawdie-firstboot` beside a run: the edges of the terminal round the library.

pub(super) mod wizard;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use clawdie_firstboot::collect;
use clawdie_firstboot::host::Host;
use clawdie_firstboot::journal::Ending;
use clawdie_firstboot::operator::{self, OperatorError};
use clawdie_firstboot::reset::Reset;
use clawdie_firstboot::status::{self, Status};
use miette::{Context as _, IntoDiagnostic as _, miette};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Arguments, BAD_INPUT, STILL_RUNNING, lock, print, require_root};

/// Ends the program as a wrong command line does: exit 2.
fn usage(kind: ErrorKind, message: &str) -> ! {
    Arguments::command().error(kind, message).exit()
}

/// A complaint about what was typed: exit 3.
fn bad_input(complaint: &OperatorError) -> ExitCode {
    eprintln!("{complaint}. Nothing was set.");
    ExitCode::from(BAD_INPUT)
}

pub(super) fn status(host: &dyn Host, json: bool, wait: Option<u64>) -> miette::Result<ExitCode> {
    require_root(host)?;
    let code = match wait {
        None => ExitCode::SUCCESS,
        Some(seconds) => {
            match status::wait(host, Duration::from_secs(seconds)).into_diagnostic()? {
                Some(Ending::Complete) => ExitCode::SUCCESS,
                Some(Ending::Incomplete) => ExitCode::FAILURE,
                Some(Ending::Refused) => ExitCode::from(BAD_INPUT),
                None => {
                    eprintln!("this boot's run has not ended within {seconds} s");
                    ExitCode::from(STILL_RUNNING)
                }
            }
        }
    };
    let status = Status::read(host).into_diagnostic()?;
    if json {
        print(&(serde_json::to_string_pretty(&status).into_diagnostic()? + "\n"))?;
    } else {
        print(&status.text())?;
    }
    Ok(code)
}

pub(super) fn reset(host: &dyn Host, yes: bool, dry_run: bool) -> miette::Result<ExitCode> {
    require_root(host)?;
    if !yes && !dry_run && !io::stdin().is_terminal() {
        usage(
            ErrorKind::MissingRequiredArgument,
            "nobody is there to be asked: say --yes, or --dry-run to see what would happen",
        );
    }
    // After the question it could wait for a run to end, and what was told would be out of date.
    let _only_one = lock(Path::new(host.paths().run))?;
    let Some(reset) = Reset::plan(host).into_diagnostic()? else {
        return print("There is no journal: the next start applies setup.txt anyway.\n");
    };
    print(&reset.text())?;
    if dry_run {
        return print("Nothing was changed.\n");
    }
    if !yes && !is_agreed("Do it? [y/N] ").into_diagnostic()? {
        print("Nothing was changed.\n")?;
        return Ok(ExitCode::FAILURE);
    }
    reset.carry_out(host).into_diagnostic()?;
    print(&format!(
        "Done. The old journal is {}.\n",
        reset.aside.display()
    ))
}

fn is_agreed(question: &str) -> io::Result<bool> {
    print!("{question}");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

pub(super) fn collect_logs(host: &dyn Host, out: Option<PathBuf>) -> miette::Result<ExitCode> {
    require_root(host)?;
    let bundle = {
        // The seed is mounted for a moment.
        let _only_one = lock(Path::new(host.paths().run))?;
        collect::bundle(host, env!("CARGO_PKG_VERSION")).into_diagnostic()?
    };
    let out = out.unwrap_or_else(|| PathBuf::from(&bundle.name));
    write_new(&out, &bundle.bytes)
        .into_diagnostic()
        .wrap_err_with(|| format!("writing {}; choose another place with --out", out.display()))?;
    let mut text = format!(
        "{} ({} bytes), readable by root only. In it, without your keys and passwords:\n",
        out.display(),
        bundle.bytes.len()
    );
    for (name, size) in &bundle.members {
        text.push_str(&format!("  {name:<28} {size:>8} bytes\n"));
    }
    for line in &bundle.missing {
        text.push_str(&format!("not there: {line}\n"));
    }
    text.push_str(
        "Look into it before you give it away: it names this machine and its addresses.\n",
    );
    print(&text)
}

/// A new file for root alone; nothing that is there is overwritten, and a half one does not stay.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // The first error says more than one from here could.
        let _ = std::fs::remove_file(path);
    }
    written
}

pub(super) fn set_operator(host: &dyn Host, email: &str) -> miette::Result<ExitCode> {
    // Before anything else: what comes through a pipe has stood in a file or a command line.
    if !io::stdin().is_terminal() {
        usage(
            ErrorKind::Io,
            "the password is typed on a terminal and not taken from a pipe or file",
        );
    }
    require_root(host)?;
    if let Err(complaint) = operator::check_email(email) {
        return Ok(bad_input(&complaint));
    }
    operator::require_none(host).map_err(with_remedy)?;
    let quiet = Quiet::begin().into_diagnostic()?;
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(SecretString::from)
            .into_diagnostic()
            .wrap_err("reading the password")
    };
    let password = ask("Password for the dashboard: ")?;
    if let Err(complaint) = operator::check_password(&password) {
        return Ok(bad_input(&complaint));
    }
    let again = ask("The same again: ")?;
    drop(quiet);
    if password.expose_secret() != again.expose_secret() {
        eprintln!("The two differ. Nothing was set.");
        return Ok(ExitCode::from(BAD_INPUT));
    }
    let _only_one = lock(Path::new(host.paths().run))?;
    operator::create(host, email, &password).map_err(with_remedy)?;
    print(&format!(
        "{email} is the dashboard's operator now ({}).\n",
        host.paths().operator
    ))
}

/// A terminal that shows nothing of what is typed, from before the first question to after the last answer: `rpassword`
/// silences it only once it has asked, and who types faster than that would see the first letters. Ctrl-C waits until the
/// terminal is as it was, which `rpassword` alone would leave silent.
struct Quiet(Termios);

fn ctrl_c() -> SigSet {
    SigSet::from(Signal::SIGINT)
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        let was = termios::tcgetattr(io::stdin())?;
        ctrl_c().thread_block()?;
        let begun = Self(was.clone());
        let mut quiet = was;
        quiet.local_flags.remove(LocalFlags::ECHO);
        // What was typed before anybody asked is no answer.
        termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet)?;
        Ok(begun)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that has gone away needs nothing any more.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
        let _ = ctrl_c().thread_unblock();
    }
}

fn with_remedy(error: OperatorError) -> miette::Report {
    match error {
        OperatorError::Exists { path } => miette!(
            help = format!("to set another one, remove {path} first"),
            "{error}"
        ),
        other => miette::Report::msg(other),
    }
}
