//! Bytes over a Unix socket together with file descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// As many as come with a request that takes any: standard input, output and error.
pub const STANDARD: usize = 3;

/// Linux takes no more in one message. Room for all of them, so that none is left to the system: some
/// of those that find no room stay open on some systems.
const MOST: usize = 253;

/// Sends some of the bytes, and with the first of them the descriptors, which stay open here too.
/// How many bytes went; none of the descriptors is to be sent again.
///
/// # Errors
/// The system's; a socket whose other end is gone is an error, no signal.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>; STANDARD],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STANDARD))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let bytes = [IoSlice::new(bytes)];
    let sent = rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)?;
    Ok(sent)
}

/// Receives some bytes without waiting, and adds the descriptors that come with them to `fds`, all of them
/// closed in programs that this one starts. No bytes: the other end has closed.
///
/// # Errors
/// The system's; [`io::ErrorKind::WouldBlock`] when there is nothing yet, and
/// [`io::ErrorKind::InvalidData`] when descriptors were lost on the way, because this program may open
/// no more say.
pub fn receive(socket: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(bytes)];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut bytes, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            fds.extend(came);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_arrive_with_the_bytes_and_are_other_ones_of_the_same_files() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let fds = [file.as_fd(), file.as_fd(), file.as_fd()];
        assert_eq!(send(&ours, b"line\n", &fds).unwrap(), 5);
        let (mut bytes, mut came) = ([0; 64], Vec::new());
        assert_eq!(receive(&theirs, &mut bytes, &mut came).unwrap(), 5);
        assert_eq!((&bytes[..5], came.len()), (&b"line\n"[..], 3));
        let error = receive(&theirs, &mut bytes, &mut came).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);

        std::fs::File::from(came.remove(1))
            .write_all(b"seen")
            .unwrap();
        let mut text = String::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "seen");
        let flags = nix::fcntl::fcntl(&came[0], nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_ne!(flags & 1, 0, "a child of ours would have it");
    }

    #[test]
    fn a_closed_end_is_no_bytes() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert_eq!(receive(&theirs, &mut [0; 8], &mut Vec::new()).unwrap(), 0);
    }
}
