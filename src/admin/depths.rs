//! [`Depths`]: the distribution of queue lengths, and the number of messages in flight. Only a walk over all sessions
//! finds them; a thread does one at most every 15 seconds, and only while metrics are scraped. Metrics show the result
//! of the last walk.

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

/// The result of the last walk.
#[derive(Default)]
pub(super) struct Depths {
    is_walking: AtomicBool,
    found: ArcSwapOption<Found>,
}

/// The result of a walk.
pub(super) struct Found {
    began: Instant,
    /// Sessions by the number of queued messages.
    pub queues: Distribution,
    /// Messages in flight in all sessions.
    pub in_flight: u64,
}

/// Bounds of the distribution.
const BOUNDS: [u32; 8] = [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Least time between the beginnings of two walks.
const EVERY: Duration = Duration::from_secs(15);

impl Depths {
    /// The result of the last walk; `None`: no walk has ended yet. Starts another walk if it is due.
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
