//! Turns the clock of the broker.

use std::time::Duration;

use super::{bench::Bench, quiet::SETTLES_WITHIN};

/// Changes of the clock, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Pauses or resumes the clock.
    pub paused: Option<bool>,
    /// Advances the clock.
    pub advance: Duration,
    /// Keep Alive and other deadlines of sockets advance too.
    pub keep_alive: bool,
}

/// State of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turned {
    pub(super) wall: std::time::SystemTime,
    /// The sum of all advances.
    pub(super) by: Duration,
    pub(super) paused: bool,
    /// Everything that was due has happened.
    pub(super) settled: bool,
}

/// Number of steps of an advance: what happens later depends on what happened before.
const STEPS: u32 = 100;
/// Shortest step.
const SHORTEST: Duration = Duration::from_millis(100);

impl Bench {
    /// Turns the clock, and waits until everything that is due has happened.
    pub(super) async fn turn(&self, turn: Turn) -> Turned {
        let _one = self.turning.lock().await;
        match turn.paused {
            Some(true) => self.clock.pause(),
            Some(false) => self.clock.resume(),
            None => {}
        }
        let mut settled = true;
        if !turn.advance.is_zero()
            && let Some(server) = self.server().await
        {
            let mut left = turn.advance;
            let step = (left / STEPS).max(SHORTEST);
            while !left.is_zero() {
                let by = step.min(left);
                left -= by;
                let skipped = if turn.keep_alive { Duration::ZERO } else { by };
                // blocks until all threads have responded
                server.turn_clock(skipped, || self.clock.turn(by));
            }
            drop(server);
            settled = self.has_settled(SETTLES_WITHIN).await;
        }
        self.turned(settled)
    }

    /// State of the clock.
    pub(super) fn turned(&self, settled: bool) -> Turned {
        let (wall, by, paused) = (self.clock.clock().wall(), self.clock.turned(), self.clock.is_paused());
        Turned { wall, by, paused, settled }
    }
}
