//! Detects that the broker is idle: its threads have responded several times, nothing was read, written or recorded in
//! between, and the store has nothing left to write.

use std::time::Duration;

use super::bench::Bench;
use crate::clock::Stopwatch;

/// Time limit for everything that became due.
pub(super) const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// Number of consecutive checks without activity.
const ROUNDS: u32 = 3;
/// Pause between two checks, in which other threads such as the store's run.
const PAUSE: Duration = Duration::from_millis(1);

impl Bench {
    /// Waits until the broker is idle. `false`: it is still busy after this time. While the clock is paused, delayed
    /// packets do not count.
    pub(super) async fn is_quiet(&self, within: Duration) -> bool {
        self.quiet(within, true).await
    }

    /// The same, but delayed packets never count.
    pub(super) async fn has_settled(&self, within: Duration) -> bool {
        self.quiet(within, false).await
    }

    async fn quiet(&self, within: Duration, with_late: bool) -> bool {
        let watch = Stopwatch::start();
        let (mut before, mut rounds) = (None, 0);
        while rounds < ROUNDS {
            if watch.took() > within {
                return false;
            }
            let Some(server) = self.server().await else { return true };
            let pulse = server.pulse();
            let answers = tokio::task::spawn_blocking(move || pulse.threads_answer(SETTLES_WITHIN)).await;
            let (now, is_stored) = ((server.traffic(), self.journal.last()), server.has_stored());
            drop(server);
            let comes_later = with_late && self.faults.has_late() && !self.clock.is_paused();
            let is_same = before.replace(now) == Some(now) && answers.unwrap_or(false);
            let is_same = is_same && is_stored && !comes_later;
            rounds = if is_same { rounds + 1 } else { 0 };
            Self::machine().sleep(PAUSE).await;
        }
        true
    }
}
