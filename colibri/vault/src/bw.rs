//! One call of `bw`: an environment from nothing, a limit on time and output, and nothing of it left behind.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::lock::Lock;
use crate::reply::clipped;
use crate::{Places, TESTED, VaultError};

/// Most that is read of what it says: a whole organisation's items fit.
const MAX_OUTPUT: u64 = 32 << 20;

/// Most that is kept of its complaints.
const MAX_STDERR: u64 = 64 << 10;

/// From one look whether it has ended to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What runs `bw` for one flow.
pub(crate) struct Bw<'a> {
    pub(crate) places: &'a Places,
    pub(crate) lock: Lock,
    /// How long a call may take.
    pub(crate) limit: Duration,
}

impl Bw<'_> {
    /// Refuses a `bw` that was not tried. The version is read and not asked for: what must not be run is not run to find
    /// out, and that second is saved as well.
    pub(crate) fn is_tested(places: &Places) -> Result<(), VaultError> {
        for path in [&places.node, &places.script] {
            if !path.is_file() {
                return Err(VaultError::ClientMissing { path: path.clone() });
            }
        }
        #[derive(Deserialize)]
        struct Package {
            name: String,
            version: String,
        }
        // A link on PATH leads into the package.
        let script = places
            .script
            .canonicalize()
            .map_err(VaultError::system("look at", &places.script))?;
        let package = script
            .ancestors()
            .nth(2)
            .unwrap_or(Path::new("/"))
            .join("package.json");
        let text = match std::fs::read(&package) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::ClientMissing { path: package });
            }
            Err(error) => return Err(VaultError::system("read", &package)(error)),
        };
        let found = match serde_json::from_slice(&text) {
            Ok(Package { name, version }) if name == "@bitwarden/cli" => version,
            _ => "something else".to_owned(),
        };
        if found == TESTED {
            return Ok(());
        }
        Err(VaultError::ClientVersion {
            found: clipped(&found),
        })
    }

    /// Runs `bw` to its end. What it said on standard output, whatever its exit status: that is `bw`'s own account.
    pub(crate) fn call(
        &mut self,
        args: &[&str],
        secrets: &[(&str, &SecretString)],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let shown = shown(args);
        let mut command = Command::new(&self.places.node);
        command
            .arg(&self.places.script)
            .args(args)
            .args(["--response", "--nointeraction"])
            .current_dir(&self.places.appdata)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.places.appdata)
            .env("BITWARDENCLI_APPDATA_DIR", &self.places.appdata)
            .env("BW_NOINTERACTION", "true")
            .stdin(Stdio::from(self.lock.inherited()?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that all of it can be ended.
            .process_group(0);
        if let Some(ca) = &self.places.ca {
            command.env("NODE_EXTRA_CA_CERTS", ca);
        }
        for (name, value) in secrets {
            command.env(name, value.expose_secret());
        }
        let started = Instant::now();
        let mut child = command
            .spawn()
            .map_err(VaultError::system("start", &self.places.node))?;
        let group = Group(child.id() as i32);
        self.lock.note(Some(group.0))?;
        let out = read_in_background(child.stdout.take(), MAX_OUTPUT);
        let complaints = read_in_background(child.stderr.take(), MAX_STDERR);
        let ended = has_ended(&child, started + self.limit);
        // Whoever of it is left has the pipes open.
        drop(group);
        // Before it is reaped: whoever waits for the lock ends the group that stands there when we are dead, and later
        // that may be another's.
        let noted = self.lock.note(None);
        let status = child
            .wait()
            .map_err(VaultError::system("wait for", &self.places.node))?;
        noted?;
        if !ended.map_err(VaultError::system("wait for", &self.places.node))? {
            return Err(VaultError::TimedOut {
                call: shown,
                limit: self.limit,
            });
        }
        let said = out.join().unwrap_or_default();
        let complaints = complaints.join().unwrap_or_default();
        tracing::debug!(
            call = shown,
            ?status,
            ms = started.elapsed().as_millis() as u64,
            "bw"
        );
        if said.len() as u64 > MAX_OUTPUT {
            return Err(VaultError::Reply {
                call: shown,
                why: format!("said more than {MAX_OUTPUT} bytes"),
            });
        }
        if said.is_empty() && !status.success() {
            // What Node complains of when it cannot run the script at all.
            let complaints = String::from_utf8_lossy(&complaints);
            let line = complaints.lines().find(|line| line.contains("Error"));
            return Err(VaultError::Reply {
                call: shown,
                why: match line {
                    // With a secret in its environment, nothing that it says is shown.
                    Some(line) if secrets.is_empty() => {
                        format!("failed ({status}): {}", clipped(line))
                    }
                    _ => format!("failed ({status}) and said nothing"),
                },
            });
        }
        Ok(said)
    }
}

/// What a call is called: its verb and its object, for they alone are shown.
pub(crate) fn shown(args: &[&str]) -> String {
    args.iter()
        .take_while(|arg| !arg.starts_with('-'))
        .take(2)
        .copied()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A process group that is ended when this goes.
struct Group(i32);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.0) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn read_in_background(
    pipe: Option<impl Read + Send + 'static>,
    most: u64,
) -> thread::JoinHandle<Zeroizing<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(mut pipe) = pipe {
            // One more, to tell too much from just enough. The rest is read, so that nobody waits for us.
            let _ = (&mut pipe).take(most + 1).read_to_end(&mut bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        bytes
    })
}

/// Whether it ended before the time was over. It is left to be reaped, so that its group's number is nobody else's yet.
fn has_ended(child: &Child, end: Instant) -> io::Result<bool> {
    let pid = Pid::from_raw(child.id() as i32).ok_or(io::ErrorKind::InvalidInput)?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        if waitid(WaitId::Pid(pid), look)?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A shell in Node's place, and a script in `bw`'s.
    struct Home {
        dir: tempfile::TempDir,
        places: Places,
    }

    impl Home {
        fn new(script: &str, version: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let package = dir.path().join("@bitwarden/cli");
            std::fs::create_dir_all(package.join("build")).unwrap();
            std::fs::write(package.join("build/bw.js"), script).unwrap();
            let manifest = format!(r#"{{"name":"@bitwarden/cli","version":"{version}"}}"#);
            std::fs::write(package.join("package.json"), manifest).unwrap();
            let places = Places {
                node: "/bin/sh".into(),
                script: package.join("build/bw.js"),
                appdata: dir.path().to_owned(),
                lock: dir.path().join("lock"),
                ca: None,
            };
            Self { dir, places }
        }

        fn call(&self, limit: Duration) -> Result<String, VaultError> {
            let mut bw = Bw {
                places: &self.places,
                lock: Lock::take(&self.places.lock, Duration::from_secs(10)).unwrap(),
                limit,
            };
            let secret = SecretString::from("hunter2");
            let said = bw.call(
                &["list", "items", "--collectionid", "x"],
                &[("BW_SESSION", &secret)],
            );
            said.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn its_environment_has_what_is_listed_and_nothing_is_to_be_read() {
        let home = Home::new(
            "env | cut -d= -f1 | sort | tr '\\n' ' '; cat; echo \"$*\"",
            TESTED,
        );
        let said = home.call(LONG).unwrap();
        // What sh sets by itself.
        let said = said
            .replace("OLDPWD ", "")
            .replace("PWD ", "")
            .replace("SHLVL ", "")
            .replace("_ ", "");
        assert_eq!(
            said,
            "BITWARDENCLI_APPDATA_DIR BW_NOINTERACTION BW_SESSION HOME PATH list items --collectionid x --response --nointeraction\n"
        );
    }

    #[test]
    fn what_does_not_end_is_ended_with_all_that_it_started() {
        let home = Home::new("sleep 100 & echo $! > pid; wait", TESTED);
        let error = home.call(Duration::from_millis(300)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`bw list items` did not end in 300ms and was ended"
        );
        let pid = std::fs::read_to_string(home.dir.path().join("pid")).unwrap();
        let pid: i32 = pid.trim().parse().unwrap();
        let end = Instant::now() + LONG;
        let is_gone = || {
            // Nobody may reap it where this runs as process 1's child.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
                || stat.contains(") Z")
        };
        while !is_gone() {
            assert!(Instant::now() < end);
            thread::sleep(LOOK_AGAIN);
        }
    }

    #[test]
    fn the_lock_names_it_while_it_runs_and_no_longer() {
        let home = Home::new("until grep ^bw lock; do sleep 0.01; done; echo $$", TESTED);
        let said = home.call(LONG).unwrap();
        let (noted, own) = said.trim().split_once('\n').unwrap();
        assert_eq!(noted, format!("bw {own}"));
        let after = std::fs::read_to_string(&home.places.lock).unwrap();
        assert!(
            after.starts_with(&std::process::id().to_string()) && after.lines().count() == 1,
            "{after}"
        );
        // Also one that was ended.
        let home = Home::new("sleep 100", TESTED);
        home.call(Duration::from_millis(300)).unwrap_err();
        let after = std::fs::read_to_string(&home.places.lock).unwrap();
        assert_eq!(after.lines().count(), 1, "{after}");
    }

    #[test]
    fn one_that_leaves_a_child_with_its_output_does_not_keep_us() {
        let home = Home::new("sleep 100 & echo said", TESTED);
        let started = Instant::now();
        assert_eq!(home.call(LONG).unwrap(), "said\n");
        assert!(started.elapsed() < LONG);
    }

    #[test]
    fn too_much_and_nothing_are_errors_without_a_word_of_it() {
        let home = Home::new("head -c 40000000 /dev/zero", TESTED);
        let error = home.call(LONG).unwrap_err().to_string();
        assert!(error.contains("said more than"), "{error}");
        let home = Home::new("echo \"Error: $BW_SESSION\" >&2; exit 3", TESTED);
        let error = home.call(LONG).unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn any_other_version_is_refused_unrun() {
        let tested = |version: &str| Bw::is_tested(&Home::new("touch run", version).places);
        tested(TESTED).unwrap();
        for version in ["2026.9.0", "2026.4.0", "2026.8.1", ""] {
            let error = tested(version).unwrap_err();
            assert_eq!(error.kind(), "client-version");
            assert!(
                error.to_string().contains("2026.8.0 and no other"),
                "{error}"
            );
        }
        let home = Home::new("", TESTED);
        std::fs::remove_file(&home.places.script).unwrap();
        assert_eq!(
            Bw::is_tested(&home.places).unwrap_err().kind(),
            "client-missing"
        );
    }

    #[test]
    fn a_link_to_the_script_leads_to_its_version() {
        let home = Home::new("", TESTED);
        let link = home.dir.path().join("bw");
        std::os::unix::fs::symlink(&home.places.script, &link).unwrap();
        std::fs::set_permissions(&home.places.script, std::fs::Permissions::from_mode(0o755))
            .unwrap();
        let places = Places {
            script: link,
            ..home.places.clone()
        };
        Bw::is_tested(&places).unwrap();
    }
}
