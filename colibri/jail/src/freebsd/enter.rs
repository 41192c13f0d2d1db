//! How a program is started in a jail.
//!
//! Our own program is started once more: it makes itself the one that orphans below it come to, and runs
//! jexec(8). So all that the program starts can be found and ended through it, wherever it goes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use colibri_protocol::TenantId;
use rustix::process::{
    IdType, Pid, PidInfoFlags, Signal, get_reaper_pids, kill_process, set_reaper_status,
};

use crate::JailError;
use crate::enter::{NOT_ENTERED, run_to_end, say, start_own};
use crate::face::{Exec, Group, Running};

/// How long killed processes may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

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
        group: Arc::new(Below(leader)),
    })
}

/// All that lives below a process that orphans come to.
#[derive(Debug)]
struct Below(Pid);

impl Group for Below {
    fn kill(&self) -> io::Result<()> {
        // It ends by itself when nothing is left below it. When it is gone, so is what was below.
        let _ = kill_below(Some((IdType::Pid, self.0)));
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        // It has seen to that before its end.
        Ok(())
    }
}

/// Kills what is below it now; says whether there was anything.
fn kill_below(process: Option<(IdType, Pid)>) -> io::Result<bool> {
    let mut any = false;
    for info in get_reaper_pids(process)? {
        if !info.flags.contains(PidInfoFlags::ZOMBIE) {
            any = true;
            let _ = kill_process(info.pid, Signal::KILL);
        }
    }
    Ok(any)
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
    while kill_below(None).is_ok_and(|any| any) && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    ExitCode::from(status)
}
