//! [`Ticks`]: whether the worker threads and the store's thread respond.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::router::Router;

/// Do all worker threads respond within this time? Blocks until they have, or the time has passed.
pub(super) type Probe = Arc<dyn Fn(Duration) -> bool + Send + Sync>;

/// Asks the threads; concurrent callers share one question.
pub(super) struct Ticks {
    is_asking: AtomicBool,
    /// Number of questions, and the last answer.
    answered: watch::Sender<(u64, Answered)>,
}

/// Which threads responded.
#[derive(Clone, Copy)]
pub(super) struct Answered {
    /// All worker threads.
    pub serving: bool,
    /// The store's thread, or there is no store.
    pub store: bool,
}

impl Answered {
    pub const ALL: Self = Self { serving: true, store: true };
}

impl Default for Ticks {
    fn default() -> Self {
        Self { is_asking: AtomicBool::new(false), answered: watch::Sender::new((0, Answered::ALL)) }
    }
}

impl Ticks {
    /// Asks which threads respond within [`TICK`], or waits for the answer to a question in progress.
    pub async fn answered(self: &Arc<Self>, probe: &Probe, router: &Arc<Router>) -> Answered {
        let mut answers = self.answered.subscribe();
        if !self.is_asking.swap(true, Ordering::AcqRel) {
            let (ticks, probe, router) = (self.clone(), probe.clone(), router.clone());
            // the probe blocks
            tokio::task::spawn_blocking(move || {
                let store = router.plugged_store().is_none_or(|store| store.answers(TICK));
                let answered = Answered { serving: probe(TICK), store };
                ticks.is_asking.store(false, Ordering::Release);
                ticks.answered.send_modify(|(asked, last)| (*asked, *last) = (*asked + 1, answered));
            });
        }
        match answers.changed().await {
            Ok(()) => answers.borrow().1,
            // `self` has the sender
            Err(_) => Answered::ALL,
        }
    }
}

/// Time limit; a thread that has not responded by then hangs.
const TICK: Duration = Duration::from_secs(5);
