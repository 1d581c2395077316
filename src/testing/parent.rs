//! The end of the process that started this one: by its pid, or by standard input if that is a pipe.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{FileType, fstat},
    process::{PidfdFlags, getppid, pidfd_open},
};
use tokio::io::{Interest, unix::AsyncFd};

/// The process that started this one.
pub struct Parent {
    /// Becomes readable at its end.
    process: AsyncFd<OwnedFd>,
    /// A pipe that closes at its end.
    pipe: Option<AsyncFd<OwnedFd>>,
}

/// The process that started this one. `None`: it has ended already. Needs the runtime of tokio.
pub fn parent() -> io::Result<Option<Parent>> {
    let Some(parent) = getppid() else { return Ok(None) };
    let process = pidfd_open(parent, PidfdFlags::empty())?;
    // its number may have been another's by then
    if getppid() != Some(parent) {
        return Ok(None);
    }
    let is_pipe = |fd: &OwnedFd| fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
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
    /// Waits until it has ended, or standard input has closed.
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

/// Waits until a pipe has closed. What is written to it is read and left out.
async fn closed(pipe: &AsyncFd<OwnedFd>) {
    let mut buffer = [0; 1024];
    loop {
        let Ok(mut ready) = pipe.readable().await else { return };
        // other processes may read from it too: it is not made non-blocking, and read only when there is something
        match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer)?)) {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => ready.clear_ready(),
            Err(_would_block) => {}
        }
    }
}
