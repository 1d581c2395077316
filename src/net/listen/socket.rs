//! [`Listener`]: a socket that listens.

use std::{
    any::Any,
    fs,
    net::TcpListener,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::{fs::MetadataExt, net::UnixListener},
    },
    path::PathBuf,
};

use crate::types::Endpoint;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    pub(crate) endpoint: Endpoint,
    pub(crate) file: Option<SocketFile>,
    /// It was opened by systemd. Its clients count as remote: who may reach it is written in another place.
    pub(crate) is_passed: bool,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket, which goes with it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    pub(crate) path: PathBuf,
    /// Device and inode: the file that another broker put in its place stays.
    pub(crate) identity: (u64, u64),
}

impl Listener {
    /// Where it listens; the port is the one that the system picked where 0 was asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The socket by itself, for another protocol, and what is to be kept for as long as it listens.
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
