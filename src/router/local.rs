//! [`Local`]: what each thread that uses the router has for itself: buffers, remembered answers, counters, and the list
//! of connections to wake when its turn is over.

use std::{sync::Arc, task::Waker};

use super::{
    RouterLimits,
    counters::{Count, Shard},
    matches::MatchCache,
    ports::{Event, Observe},
};
use crate::session::BufPool;

/// One thread's part of the router.
pub struct Local {
    /// Buffers for what goes out.
    pub pool: BufPool,
    pub(super) wakes: Vec<Waker>,
    pub(super) cache: MatchCache,
    pub(super) limits: Arc<RouterLimits>,
    pub(super) observers: Observers,
}

/// Who sees events: the counters of this thread, and whoever the embedding program plugged in.
#[derive(Clone)]
pub(super) struct Observers {
    pub(super) shard: Arc<Shard>,
    pub(super) other: Option<Arc<dyn Observe>>,
}

impl Observers {
    #[inline]
    pub(super) fn observe(&self, event: &Event<'_>) {
        self.shard.observe(event);
        if let Some(other) = &self.other {
            other.observe(event);
        }
    }
}

impl Local {
    pub(super) fn new(limits: Arc<RouterLimits>, shard: Arc<Shard>, other: Option<Arc<dyn Observe>>) -> Self {
        Self {
            pool: BufPool::default(),
            wakes: Vec::new(),
            cache: MatchCache::default(),
            limits,
            observers: Observers { shard, other },
        }
    }

    /// The limits in force.
    #[inline]
    pub fn limits(&self) -> &RouterLimits {
        &self.limits
    }

    /// Adds to a counter.
    #[inline]
    pub fn count(&self, count: Count, n: u64) {
        self.observers.shard.add(count, n);
    }

    /// Wakes every connection that there is something for. To be called when no lock is held, at the end of a turn:
    /// what one turn sends to a connection is one write.
    #[inline]
    pub fn wake(&mut self) {
        for waker in self.wakes.drain(..) {
            waker.wake();
        }
    }
}
