//! Detects the end of the parent process: by its pid, or by standard input if that is a pipe or a socket, as Node makes
//! one.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{FileType, fstat},
    process::{PidfdFlags, getppid, pidfd_open},
};
use tokio::io::{Interest, unix::AsyncFd};

/// The parent process.
pub struct Parent {
    /// Readable when the process has ended.
    process: AsyncFd<OwnedFd>,
    /// A pipe or a socket that closes when the process ends.
    pipe: Option<AsyncFd<OwnedFd>>,
}

/// The parent process. `None`: it has ended already. Needs a tokio runtime.
pub fn parent() -> io::Result<Option<Parent>> {
    let Some(parent) = getppid() else { return Ok(None) };
    let process = pidfd_open(parent, PidfdFlags::empty())?;
    // if the parent ended, its pid may have been reused
    if getppid() != Some(parent) {
        return Ok(None);
    }
    let is_pipe = |fd: &OwnedFd| {
        let kind = fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        kind.is_ok_and(|kind| [FileType::Fifo, FileType::Socket].contains(&kind))
    };
    let input = io::stdin().as_fd().try_clone_to_owned().ok().filter(is_pipe);
    Ok(Some(Parent { process: watch(process)?, pipe: input.map(watch).transpose()? }))
}

fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the `AsyncFd`, open, and the same until both are dropped.
    #[allow(unsafe_code)]
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(watched?)
}

impl Parent {
    /// Waits until the process has ended or standard input has closed.
    pub async fn ended(&self) {
        let Some(pipe) = &self.pipe else {
            let _ = self.process.readable().await;
            return;
        };
        tokio::select! {
            _ = self.process.readable() => {}
            () = closed(pipe) => {}
        }
    }
}

/// Waits until a pipe or a socket has closed. Reads and discards its content.
async fn closed(pipe: &AsyncFd<OwnedFd>) {
    let mut buffer = [0; 1024];
    loop {
        let Ok(mut ready) = pipe.readable().await else { return };
        // other processes may read from it too: it stays in blocking mode and is read only when readable
        match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer)?)) {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => ready.clear_ready(),
            Err(_would_block) => {}
        }
    }
}
