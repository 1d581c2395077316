//! The signals that the process listens for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM: they end the process.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

/// SIGINT and SIGTERM, and SIGHUP.
pub fn listen() -> io::Result<(Stop, Signal)> {
    let stop = Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    Ok((stop, signal(SignalKind::hangup())?))
}

impl Stop {
    /// Ends when one of them comes.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
