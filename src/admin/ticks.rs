//! [`Ticks`]: whether the threads that serve clients, and the store's thread, answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::router::Router;

/// Do all threads that serve clients answer within that time? Blocks until they have, or it has passed.
pub(super) type Probe = Arc<dyn Fn(Duration) -> bool + Send + Sync>;

/// Asks threads whether they answer, once for all who want to know it meanwhile.
pub(super) struct Ticks {
    is_asking: AtomicBool,
    /// How often they were asked, and what they answered the last time.
    answered: watch::Sender<(u64, Answered)>,
}

/// Which threads answered.
#[derive(Clone, Copy)]
pub(super) struct Answered {
    /// Those that serve clients.
    pub serving: bool,
    /// The store's, if there is one.
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
    /// Which threads answer within [`TICK`]? The answer may be that to a question which was asked before.
    pub async fn answered(self: &Arc<Self>, probe: &Probe, router: &Arc<Router>) -> Answered {
        let mut answers = self.answered.subscribe();
        if !self.is_asking.swap(true, Ordering::AcqRel) {
            let (ticks, probe, router) = (self.clone(), probe.clone(), router.clone());
            // it blocks
            tokio::task::spawn_blocking(move || {
                let store = router.plugged_store().is_none_or(|store| store.answers(TICK));
                let answered = Answered { serving: probe(TICK), store };
                ticks.is_asking.store(false, Ordering::Release);
                ticks.answered.send_modify(|(asked, last)| (*asked, *last) = (*asked + 1, answered));
            });
        }
        match answers.changed().await {
            Ok(()) => answers.borrow().1,
            // the sender is this one's
            Err(_) => Answered::ALL,
        }
    }
}

/// A thread that has not answered by then hangs.
const TICK: Duration = Duration::from_secs(5);
