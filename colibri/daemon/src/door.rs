//! The sockets of agents. Each agent that the daemon runs has one of its own, over which it has an
//! agent's [rights](crate::rights) and nobody else has any.
//!
//! They lie in a folder beside the daemon's socket, `colibri.sock.agents/NAME`, for as long as
//! their agents live.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use colibri_protocol::{ErrorKind, Name, ReplyError};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::place;
use crate::rights::AgentIdentity;

/// Makes sockets for agents.
#[derive(Debug)]
pub(crate) struct Doors {
    folder: PathBuf,
    opened: mpsc::UnboundedSender<OpenDoor>,
}

/// An agent's socket before it is served. Its clients wait meanwhile.
#[derive(Debug)]
pub(crate) struct NewDoor {
    listener: UnixListener,
    socket: SocketFile,
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
    /// Makes the folder anew, without what a daemon that was killed left in it. To be called by who
    /// has claimed the daemon's socket. Gives back what is to be served, too.
    ///
    /// # Errors
    /// What the system refused, or something in the folder that is not ours.
    pub(crate) fn beside(
        socket: &Path,
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
        let (opened, to_serve) = mpsc::unbounded_channel();
        Ok((Self { folder, opened }, to_serve))
    }

    /// Makes the socket of an agent that is about to be started.
    ///
    /// # Errors
    /// `conflict` when an agent of this name has one, `bad-request` when the name is too long for a
    /// socket, `internal` when the system refuses otherwise.
    pub(crate) fn make(&self, agent: &Name) -> Result<NewDoor, ReplyError> {
        let path = self.folder.join(agent.as_str());
        // Nobody else gets at it before its mode is set: the folder is ours alone.
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
        // For the account that agents run under, which is ours.
        std::fs::set_permissions(&socket.0, std::fs::Permissions::from_mode(0o600)).map_err(
            |error| {
                let text = format!("cannot set the mode of {}: {error}", socket.0.display());
                ReplyError::new(ErrorKind::Internal, text)
            },
        )?;
        Ok(NewDoor { listener, socket })
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
        &self.socket.0
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

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_socket_lies_there_until_its_door_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let (doors, mut to_serve) = Doors::beside(&dir.path().join("s")).unwrap();
        let door = doors.make(&name("ada")).unwrap();
        let path = door.path().to_owned();
        assert_eq!(path, dir.path().join("s.agents/ada"));
        assert!(path.exists());
        let taken = doors.make(&name("ada")).unwrap_err();
        assert_eq!(taken.kind, ErrorKind::Conflict);
        assert!(path.exists(), "the second one must not remove it");
        let agent = AgentIdentity {
            id: Uuid::nil(),
            name: name("ada"),
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
        let (doors, _) = Doors::beside(&socket).unwrap();
        assert!(folder.is_dir() && !folder.join("ada").exists());

        let long = dir.path().join("x".repeat(80));
        let (long, _) = Doors::beside(&long).unwrap();
        let error = long.make(&name(&"a".repeat(64))).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest);
        assert!(error.message.contains("choose a shorter name"), "{error}");

        std::fs::write(folder.join("note"), "precious").unwrap();
        doors.remove();
        let refused = Doors::beside(&socket).unwrap_err().to_string();
        assert!(refused.contains("s.agents"), "{refused}");
        assert!(folder.join("note").exists());
        std::fs::remove_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(dir.path(), &folder).unwrap();
        assert!(Doors::beside(&socket).is_err());
    }
}
