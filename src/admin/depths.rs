//! [`Depths`]: how long the queues of sessions are, and how many messages are in flight. Only a walk over all sessions
//! tells: a thread of its own takes one, at most every 15 seconds and only while somebody asks for metrics. What is
//! shown is what the last walk found.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use crate::router::{
    Distribution, Router,
    inspect::{Cursor, SESSIONS_A_STEP, Wanted},
};

/// What the last walk found.
#[derive(Default)]
pub(super) struct Depths {
    is_walking: AtomicBool,
    found: ArcSwapOption<Found>,
}

/// What a walk found.
pub(super) struct Found {
    began: Instant,
    /// Sessions by how many messages wait in them.
    pub queues: Distribution,
    /// Messages that are sent and not completed.
    pub in_flight: u64,
}

/// Messages that wait in a session.
const BOUNDS: [u32; 8] = [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// From the beginning of one walk to the next.
const EVERY: Duration = Duration::from_secs(15);

impl Depths {
    /// As of the last walk; `None`: none is over yet. Begins another one if it is time.
    pub fn get(self: &Arc<Self>, router: &Arc<Router>, now: Instant) -> Option<Arc<Found>> {
        let found = self.found.load_full();
        let is_time = found.as_ref().is_none_or(|found| now.saturating_duration_since(found.began) >= EVERY);
        if is_time && !self.is_walking.swap(true, Ordering::AcqRel) {
            let (depths, router) = (self.clone(), router.clone());
            tokio::task::spawn_blocking(move || {
                depths.found.store(Some(Arc::new(walk(&router, now))));
                depths.is_walking.store(false, Ordering::Release);
            });
        }
        found
    }
}

/// Visits all sessions.
fn walk(router: &Router, began: Instant) -> Found {
    let (mut counts, mut sum, mut in_flight) = ([0; BOUNDS.len() + 1], 0, 0);
    let mut next = Some(Cursor::default());
    while let Some(after) = next {
        next = router.clients(after, Wanted::All, SESSIONS_A_STEP, &mut |client| {
            let queued = client.session.holds.queued as u64;
            counts[BOUNDS.partition_point(|bound| u64::from(*bound) < queued)] += 1;
            sum += queued;
            in_flight += client.session.holds.in_flight as u64;
            ControlFlow::Continue(())
        });
    }
    let bounds = BOUNDS.iter().map(|bound| f64::from(*bound)).chain([f64::INFINITY]);
    let queues = Distribution { buckets: bounds.zip(counts).collect(), sum: sum as f64 };
    Found { began, queues, in_flight }
}
