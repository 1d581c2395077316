//! When the broker has nothing to do: its threads have answered several times, and nothing was read, written or noted
//! in between.

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
    /// Waits until the broker has nothing to do, for this long at most. `false`: it still has.
    pub(super) async fn is_quiet(&self, within: Duration) -> bool {
        let watch = Stopwatch::start();
        let (mut before, mut rounds) = (None, 0);
        while rounds < ROUNDS {
            if watch.took() > within {
                return false;
            }
            let Some(server) = self.server().await else { return true };
            let pulse = server.pulse();
            let answers = tokio::task::spawn_blocking(move || pulse.threads_answer(SETTLES_WITHIN)).await;
            let now = (server.traffic(), self.journal.last());
            drop(server);
            let is_same = before.replace(now) == Some(now) && answers.unwrap_or(false);
            rounds = if is_same { rounds + 1 } else { 0 };
            Self::machine().sleep(PAUSE).await;
        }
        true
    }
}
