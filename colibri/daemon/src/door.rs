//! The sockets of agents. Each agent that the daemon runs has one of its own, over which it has an
//! agent's [rights](crate::rights) and nobody else has any.
//!
//! They lie in a folder beside the daemon's socket, `colibri.sock.agents/NAME`, for as long as
//! their agents live. That of an agent in a jail lies in the folder that its tenant's jail sees,
//! `TENANT/NAME.sock`, which the root helper has made: any account of the jail may use it, and nobody else
//! gets at it.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use colibri_host::DOORS_IN_JAIL;
use colibri_protocol::{ErrorKind, Name, ReplyError, TenantId};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::place;
use crate::rights::AgentIdentity;

/// Makes sockets for agents.
#[derive(Debug)]
pub(crate) struct Doors {
    folder: PathBuf,
    /// Below it, each tenant has a folder of its name.
    tenants: PathBuf,
    opened: mpsc::UnboundedSender<OpenDoor>,
}

/// An agent's socket before it is served. Its clients wait meanwhile.
#[derive(Debug)]
pub(crate) struct NewDoor {
    listener: UnixListener,
    socket: SocketFile,
    /// Where its agent finds it.
    seen: PathBuf,
}

/// An agent's socket. When it is dropped, the file is removed, and whoever is connected is hung up
/// on: in this order, so that nobody comes in behind.
#[derive(Debug)]
pub(crate) struct Door {
    _socket: SocketFile,
    _closes: oneshot::Sender<()>,
}

/// What the server needs to serve an agent's socket.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    pub(crate) listener: UnixListener,
    pub(crate) agent: AgentIdentity,
    /// Ends when the agent does.
    pub(crate) closed: oneshot::Receiver<()>,
}

/// The file of a socket that is ours.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Doors {
    /// Makes the folder anew, without what a daemon that was killed left in it, and in the folders of
    /// tenants. To be called by who has claimed the daemon's socket. Gives back what is to be served, too.
    ///
    /// # Errors
    /// What the system refused, or something in the folder that is not ours.
    pub(crate) fn beside(
        socket: &Path,
        tenants: &Path,
    ) -> Result<(Self, mpsc::UnboundedReceiver<OpenDoor>), Failure> {
        let mut folder = socket.as_os_str().to_owned();
        folder.push(".agents");
        let folder = PathBuf::from(folder);
        remove_leftovers(&folder).map_err(|error| Failure::io("clear", &folder, error))?;
        // Made anew, not taken over: so it is our account's, and others cannot look into it.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|error| Failure::io("make the directory", &folder, error))?;
        remove_from_tenants(tenants);
        let (opened, to_serve) = mpsc::unbounded_channel();
        let doors = Self {
            folder,
            tenants: tenants.into(),
            opened,
        };
        Ok((doors, to_serve))
    }

    /// Makes the socket of an agent that is about to be started, on the host or in a jail.
    ///
    /// # Errors
    /// `conflict` when an agent of this name has one, `bad-request` when the name is too long for a
    /// socket, `internal` when the system refuses otherwise.
    pub(crate) fn make(
        &self,
        agent: &Name,
        tenant: Option<&TenantId>,
    ) -> Result<NewDoor, ReplyError> {
        let (path, seen, mode) = match tenant {
            // For the account that agents run under, which is ours.
            None => (self.folder.join(agent.as_str()), None, 0o600),
            // For the accounts of the jail, which are others on the host than in it.
            Some(tenant) => {
                let file = format!("{agent}.sock");
                let path = self.tenants.join(tenant.as_str()).join(&file);
                (path, Some(Path::new(DOORS_IN_JAIL).join(file)), 0o666)
            }
        };
        // Nobody else gets at it before its mode is set: it has none for others.
        let listener = UnixListener::bind(&path).map_err(|error| {
            let (kind, text) = match error.kind() {
                io::ErrorKind::AddrInUse => (
                    ErrorKind::Conflict,
                    format!("an agent {agent} is just being started or stopped; try again"),
                ),
                io::ErrorKind::InvalidInput => (
                    ErrorKind::BadRequest,
                    format!(
                        "the system allows no path as long as {}, the socket of this agent; \
                         choose a shorter name",
                        path.display()
                    ),
                ),
                _ => (
                    ErrorKind::Internal,
                    format!("cannot listen on {}: {error}", path.display()),
                ),
            };
            ReplyError::new(kind, text)
        })?;
        let socket = SocketFile(path);
        std::fs::set_permissions(&socket.0, std::fs::Permissions::from_mode(mode)).map_err(
            |error| {
                let text = format!("cannot set the mode of {}: {error}", socket.0.display());
                ReplyError::new(ErrorKind::Internal, text)
            },
        )?;
        Ok(NewDoor {
            listener,
            seen: seen.unwrap_or_else(|| socket.0.clone()),
            socket,
        })
    }

    /// Has an agent's socket served.
    pub(crate) fn open(&self, door: NewDoor, agent: AgentIdentity) -> Door {
        let (closes, closed) = oneshot::channel();
        // Fails when the daemon is stopping: nobody is served any more, then.
        let _ = self.opened.send(OpenDoor {
            listener: door.listener,
            agent,
            closed,
        });
        Door {
            _socket: door.socket,
            _closes: closes,
        }
    }

    /// Removes the folder, once no agent is left.
    pub(crate) fn remove(&self) {
        let removed = fs_err::remove_dir(&self.folder);
        place::note_leftover("the folder of agents' sockets", removed);
    }
}

impl NewDoor {
    /// Where the agent finds it.
    pub(crate) fn path(&self) -> &Path {
        &self.seen
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        place::note_leftover("the socket of an agent", fs_err::remove_file(&self.0));
    }
}

/// Removes the folder with the sockets in it. Only sockets can be ours: with anything else in it
/// the folder stays, which is an error.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(meta) if !meta.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
        Ok(_) => {}
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            let socket = entry.path();
            tracing::info!(socket = %socket.display(), "removing the socket of a dead agent");
            fs_err::remove_file(socket)?;
        }
    }
    fs_err::remove_dir(folder)
}

/// Removes the sockets that a daemon that was killed left in the folders of tenants. What cannot be
/// removed is in the way of its agent only, which is told so then.
fn remove_from_tenants(tenants: &Path) {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    for socket in entries(tenants).flat_map(|tenant| entries(&tenant.path())) {
        if socket.file_type().is_ok_and(|kind| kind.is_socket()) {
            let removed = fs_err::remove_file(socket.path());
            place::note_leftover("the socket of a dead agent", removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn beside(socket: &Path) -> Result<(Doors, mpsc::UnboundedReceiver<OpenDoor>), Failure> {
        Doors::beside(socket, Path::new("/nowhere/tenants"))
    }

    #[tokio::test]
    async fn an_agent_in_a_jail_has_its_socket_in_the_folder_that_the_jail_sees() {
        let dir = tempfile::tempdir().unwrap();
        let tenants = dir.path().join("tenants");
        let folder = tenants.join("main");
        std::fs::create_dir_all(&folder).unwrap();
        drop(UnixListener::bind(folder.join("ada.sock")).unwrap());
        std::fs::write(folder.join("note"), "x").unwrap();
        let (doors, _to_serve) = Doors::beside(&dir.path().join("s"), &tenants).unwrap();
        assert!(!folder.join("ada.sock").exists(), "a dead daemon's");
        assert!(folder.join("note").exists(), "not ours");
        let main = "main".parse().unwrap();
        let door = doors.make(&name("ada"), Some(&main)).unwrap();
        assert_eq!(door.path(), Path::new(DOORS_IN_JAIL).join("ada.sock"));
        let mode = std::fs::metadata(folder.join("ada.sock"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o666);
        let other = "other".parse().unwrap();
        let error = doors.make(&name("ada"), Some(&other)).unwrap_err();
        assert!(error.message.contains("tenants/other/ada.sock"), "{error}");
        drop(door);
        assert!(!folder.join("ada.sock").exists());
        doors.remove();
    }

    #[tokio::test]
    async fn a_socket_lies_there_until_its_door_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let (doors, mut to_serve) = beside(&dir.path().join("s")).unwrap();
        let door = doors.make(&name("ada"), None).unwrap();
        let path = door.path().to_owned();
        assert_eq!(path, dir.path().join("s.agents/ada"));
        assert!(path.exists());
        let taken = doors.make(&name("ada"), None).unwrap_err();
        assert_eq!(taken.kind, ErrorKind::Conflict);
        assert!(path.exists(), "the second one must not remove it");
        let agent = AgentIdentity {
            id: Uuid::nil(),
            name: name("ada"),
            tenant: None,
        };
        let door = doors.open(door, agent);
        let open = to_serve.recv().await.unwrap();
        drop(door);
        assert!(!path.exists());
        assert!(open.closed.await.is_err());
        doors.remove();
        assert!(!dir.path().join("s.agents").exists());
    }

    #[tokio::test]
    async fn what_the_dead_left_is_removed_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let folder = dir.path().join("s.agents");
        std::fs::create_dir(&folder).unwrap();
        drop(UnixListener::bind(folder.join("ada")).unwrap());
        let (doors, _) = beside(&socket).unwrap();
        assert!(folder.is_dir() && !folder.join("ada").exists());

        let long = dir.path().join("x".repeat(80));
        let (long, _) = beside(&long).unwrap();
        let error = long.make(&name(&"a".repeat(64)), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest);
        assert!(error.message.contains("choose a shorter name"), "{error}");

        std::fs::write(folder.join("note"), "precious").unwrap();
        doors.remove();
        let refused = beside(&socket).unwrap_err().to_string();
        assert!(refused.contains("s.agents"), "{refused}");
        assert!(folder.join("note").exists());
        std::fs::remove_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(dir.path(), &folder).unwrap();
        assert!(beside(&socket).is_err());
    }
}
