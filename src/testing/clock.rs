//! Turning the clock of the broker.

use std::time::Duration;

use super::{bench::Bench, quiet::SETTLES_WITHIN};

/// What becomes of the clock, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// It stands still from now on, or goes on.
    pub paused: Option<bool>,
    /// It goes forward by this much.
    pub advance: Duration,
    /// Keep Alive, and other deadlines of sockets, count the time that it goes forward.
    pub keep_alive: bool,
}

/// Where the clock is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turned {
    pub(super) wall: std::time::SystemTime,
    /// In all, since the start.
    pub(super) by: Duration,
    pub(super) paused: bool,
    /// All that became due has happened.
    pub(super) settled: bool,
}

/// It goes forward in so many steps: what happens later depends on what happened before.
const STEPS: u32 = 100;
/// A step is no shorter.
const SHORTEST: Duration = Duration::from_millis(100);

impl Bench {
    /// Turns the clock; returns when all that became due has happened.
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
                // waits for threads that answer at once
                server.turn_clock(skipped, || self.clock.turn(by));
            }
            drop(server);
            settled = self.has_settled(SETTLES_WITHIN).await;
        }
        self.turned(settled)
    }

    /// Where the clock is.
    pub(super) fn turned(&self, settled: bool) -> Turned {
        let (wall, by, paused) = (self.clock.clock().wall(), self.clock.turned(), self.clock.is_paused());
        Turned { wall, by, paused, settled }
    }
}
