//! The state of the process on Windows: Ctrl-C, Ctrl-Break and the end of the console, no limit of open files, and no
//! background.

use std::io;

pub use tokio::signal::windows::{CtrlBreak as Hangup, CtrlC as Interrupt, CtrlClose as Terminate};
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};

/// Ctrl-C, the end of the console, and Ctrl-Break.
pub fn signals() -> io::Result<(Interrupt, Terminate, Hangup)> {
    Ok((ctrl_c()?, ctrl_close()?, ctrl_break()?))
}

/// There is no limit.
pub fn raise_open_files() {}

/// An error.
pub fn leave_terminal() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "-d needs Linux or macOS"))
}

/// Without effect: there is no background.
pub fn discard_output() -> io::Result<()> {
    Ok(())
}
