//! [`Ticks`]: whether the threads that serve clients answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// Do all threads that serve clients answer within that time? Blocks until they have, or it has passed.
pub(super) type Probe = Arc<dyn Fn(Duration) -> bool + Send + Sync>;

/// Asks threads whether they answer, once for all who want to know it meanwhile.
pub(super) struct Ticks {
    is_asking: AtomicBool,
    /// How often they were asked, and whether they answered the last time.
    answered: watch::Sender<(u64, bool)>,
}

impl Default for Ticks {
    fn default() -> Self {
        Self { is_asking: AtomicBool::new(false), answered: watch::Sender::new((0, true)) }
    }
}

impl Ticks {
    /// Do all threads answer within [`TICK`]? The answer may be that to a question which was asked before.
    pub async fn are_answered(self: &Arc<Self>, probe: &Probe) -> bool {
        let mut answers = self.answered.subscribe();
        if !self.is_asking.swap(true, Ordering::AcqRel) {
            let (ticks, probe) = (self.clone(), probe.clone());
            // it blocks
            tokio::task::spawn_blocking(move || {
                let answered = probe(TICK);
                ticks.is_asking.store(false, Ordering::Release);
                ticks.answered.send_modify(|(asked, last)| (*asked, *last) = (*asked + 1, answered));
            });
        }
        answers.changed().await.is_ok() && answers.borrow().1
    }
}

/// A thread that has not answered by then hangs.
const TICK: Duration = Duration::from_secs(5);
