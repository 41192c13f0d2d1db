//! How a program is started in a jail.
//!
//! Our own program is started once more: it makes itself the one that orphans below it come to, and runs
//! jexec(8). So all that the program starts can be found and ended through it, wherever it goes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use colibri_protocol::TenantId;
use rustix::io::Errno;
use rustix::process::{
    IdType, Pid, PidInfoFlags, Signal, get_reaper_pids, get_reaper_status, kill_process,
    set_reaper_status,
};

use super::below::{Below, PATIENCE, PAUSE, Processes};
use crate::JailError;
use crate::enter::{NOT_ENTERED, run_to_end, say, start_own};
use crate::face::{Exec, Running};

/// Starts a program in a jail that runs.
pub(super) fn start(
    tenant: &TenantId,
    exec: &Exec,
    stdio: [OwnedFd; 3],
) -> Result<Running, JailError> {
    let own =
        std::env::current_exe().map_err(JailError::files("cannot find", "our own program"))?;
    let child = start_own(&own, &[OsStr::new(tenant.as_str())], exec, stdio)
        .map_err(JailError::files("cannot run", own))?;
    let leader = Pid::from_child(&child);
    Ok(Running {
        child,
        group: Arc::new(Below::new(Kernel, leader)),
    })
}

/// As the kernel has them.
#[derive(Debug)]
struct Kernel;

impl Processes for Kernel {
    fn reaper(&self, process: Pid) -> io::Result<Option<Pid>> {
        match get_reaper_status(Some((IdType::Pid, process))) {
            Ok(status) => Ok(Some(status.reaper)),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn below(&self, process: Pid) -> io::Result<Vec<Pid>> {
        match below(Some((IdType::Pid, process))) {
            Err(Errno::SRCH) => Ok(Vec::new()),
            below => Ok(below?),
        }
    }

    fn kill(&self, process: Pid) {
        let _ = kill_process(process, Signal::KILL);
    }
}

fn below(process: Option<(IdType, Pid)>) -> rustix::io::Result<Vec<Pid>> {
    let infos = get_reaper_pids(process)?.into_iter();
    Ok(infos
        .filter(|info| !info.flags.contains(PidInfoFlags::ZOMBIE))
        .map(|info| info.pid)
        .collect())
}

/// Kills what is below this process, to which orphans come; says whether there was anything.
fn kill_below() -> rustix::io::Result<bool> {
    let below = below(None)?;
    for &process in &below {
        Kernel.kill(process);
    }
    Ok(!below.is_empty())
}

/// Runs jexec(8) to its end and ends what is left; for [`crate::enter`], with what follows the word.
pub(crate) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(tenant), Some(cwd), Some(program)) = (args.next(), args.next(), args.next()) else {
        say("only colibri-hostd runs this");
        return ExitCode::from(NOT_ENTERED);
    };
    if let Err(error) = set_reaper_status(true) {
        say(&error.to_string());
        return ExitCode::from(NOT_ENTERED);
    }
    let mut command = Command::new("/usr/sbin/jexec");
    command.arg("-d").arg(cwd).args(["-U", "agent"]).arg(tenant);
    command.arg(program).args(args);
    let status = run_to_end(command);
    let began = Instant::now();
    while kill_below().is_ok_and(|any| any) && began.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
    }
    ExitCode::from(status)
}
