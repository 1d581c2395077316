//! [`Listener`]: a socket that listens.

use std::{any::Any, fs, net::TcpListener, path::PathBuf};

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::{
    platform::{MetadataExt, UnixListener},
    types::Endpoint,
};

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    pub(crate) endpoint: Endpoint,
    pub(crate) file: Option<SocketFile>,
    /// systemd opened it. Its clients count as remote, because its address is configured elsewhere.
    pub(crate) is_passed: bool,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket, which is removed with it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    pub(crate) path: PathBuf,
    /// Device and inode, so that a file that replaced it is not removed.
    pub(crate) identity: (u64, u64),
}

impl Listener {
    /// Its address; if port 0 was requested, with the port that the system chose.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the socket for another protocol, and a guard to keep while it listens.
    pub fn take<T>(
        self,
        tcp: impl FnOnce(TcpListener) -> T,
        unix: impl FnOnce(UnixListener) -> T,
    ) -> (T, Option<Box<dyn Any + Send>>) {
        let kept = self.file.map(|file| Box::new(file) as _);
        match self.socket {
            Socket::Tcp(socket) => (tcp(socket), kept),
            Socket::Unix(socket) => (unix(socket), kept),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "cannot remove the socket file");
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}
