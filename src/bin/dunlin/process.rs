//! The state of the process: its signals, its limit of open files, its terminal. `process_of_windows` has the same
//! names.

use std::{fs::File, io};

use rustix::process::{Resource, getrlimit, setrlimit, setsid};
pub use tokio::signal::unix::{Signal as Interrupt, Signal as Terminate, Signal as Hangup};
use tokio::signal::unix::{SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP.
pub fn signals() -> io::Result<(Interrupt, Terminate, Hangup)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?))
}

/// Raises the soft limit of open files to the hard limit. If the system refuses, the old limit stays.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Makes the process independent of the terminal that it was started from.
pub fn leave_terminal() -> io::Result<()> {
    Ok(setsid().map(drop)?)
}

/// From now on, what is written to standard output and standard error is lost.
pub fn discard_output() -> io::Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(rustix::stdio::dup2_stderr(&nothing)?)
}
