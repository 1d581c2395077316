//! When the broker has nothing to do: its threads have answered several times, nothing was read, written or noted
//! in between, and the store has nothing left to write.

use std::time::Duration;

use super::bench::Bench;
use crate::clock::Stopwatch;

/// How long the clock waits for what became due.
pub(super) const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// So many times in a row there was nothing.
const ROUNDS: u32 = 3;
/// Between two of them: other threads, such as the store's, have their turn.
const PAUSE: Duration = Duration::from_millis(1);

impl Bench {
    /// Waits until the broker has nothing to do, for this long at most. `false`: it still has. While the clock is
    /// paused, packets that come later are not waited for.
    pub(super) async fn is_quiet(&self, within: Duration) -> bool {
        self.quiet(within, true).await
    }

    /// The same, but for packets that come later.
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
