//! [`Stopwatch`]: measures how long this machine takes.

use std::time::{Duration, Instant};

use super::system;

/// Runs by the system's clock, even if a test advances the broker's: a test that advances the clock by an hour must
/// not make an fsync look an hour long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[inline]
    pub(crate) fn start() -> Self {
        Self(system::now())
    }

    /// The duration so far.
    #[inline]
    pub(crate) fn took(self) -> Duration {
        system::now() - self.0
    }
}
