//! The signals that the process listens for.

use std::{
    io,
    time::{Duration, Instant},
};

use dunlin::Clock;

use crate::process::{self, Hangup, Interrupt, Terminate};

/// SIGINT and SIGTERM, which end the process; on Windows Ctrl-C and the end of the console.
pub struct Stop {
    interrupt: Interrupt,
    terminate: Terminate,
    /// The time at which [`asked`](Self::asked) last returned.
    last: Option<Instant>,
}

/// A signal within this time after another one repeats it: GNU `timeout` signals its child, then its process group.
const REPEATS_WITHIN: Duration = Duration::from_secs(1);

/// SIGINT and SIGTERM, and SIGHUP; on Windows Ctrl-C and the end of the console, and Ctrl-Break.
pub fn listen() -> io::Result<(Stop, Hangup)> {
    let (interrupt, terminate, hangup) = process::signals()?;
    Ok((Stop { interrupt, terminate, last: None }, hangup))
}

impl Stop {
    /// Completes when one of them arrives that does not repeat the one before.
    pub async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            let now = Clock::system().now();
            if self.last.is_none_or(|last| now - last > REPEATS_WITHIN) {
                self.last = Some(now);
                return;
            }
        }
    }
}
