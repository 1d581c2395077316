//! [`Stopwatch`]: how long this machine takes for something.

use std::time::{Duration, Instant};

use super::system;

/// Runs from its start on, by the system's clock, also where a test turns the broker's: an fsync does not take an hour
/// because a session is to expire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[inline]
    pub(crate) fn start() -> Self {
        Self(system::now())
    }

    /// So long it runs.
    #[inline]
    pub(crate) fn took(self) -> Duration {
        system::now() - self.0
    }
}
