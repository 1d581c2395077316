//! [`Threads`]: the [`RouterThread`] of each client within this process. The counters of one stay with the router,
//! so clients reuse them one after the other.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;

use crate::{
    clock::Clock,
    router::{Router, RouterThread},
};

/// The unused ones, and the router that makes more of them.
pub(super) struct Threads {
    clock: Clock,
    /// `None`: the server has stopped, and its router is no longer used.
    free: Mutex<Option<Free>>,
    /// Publications without a client, since the start.
    publications: AtomicU32,
}

/// Publications between two times that a thread is tidied.
const TIDY_EVERY: u32 = 1_024;

struct Free {
    router: Arc<Router>,
    threads: Vec<RouterThread>,
}

impl Threads {
    pub(super) fn new(router: Arc<Router>, clock: Clock) -> Self {
        Self { clock, free: Mutex::new(Some(Free { router, threads: Vec::new() })), publications: AtomicU32::new(0) }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// `None`: the server has stopped.
    pub(super) fn router(&self) -> Option<Arc<Router>> {
        self.free.lock().as_ref().map(|free| free.router.clone())
    }

    /// Takes one for exclusive use until it is [put back](Self::put_back).
    pub(super) fn take(&self) -> Option<RouterThread> {
        let mut free = self.free.lock();
        let Free { router, threads } = free.as_mut()?;
        let thread = threads.pop();
        let router = thread.is_none().then(|| router.clone());
        drop(free);
        // a new one is made after the lock is released
        thread.or_else(|| router.map(|router| router.local(self.clock.now())))
    }

    /// Returns it for reuse by another client: its client has ended.
    pub(super) fn put_back(&self, mut thread: RouterThread) {
        let Some(router) = self.router() else { return };
        router.tidy(&mut thread);
        self.keep(thread);
    }

    /// The same after one publication: to tidy looks at each topic that was published, and is not done each time.
    pub(super) fn put_back_after_publication(&self, thread: RouterThread) {
        match self.publications.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY {
            0 => self.put_back(thread),
            _ => self.keep(thread),
        }
    }

    fn keep(&self, thread: RouterThread) {
        if let Some(free) = &mut *self.free.lock() {
            free.threads.push(thread);
        }
    }

    /// Drops the router.
    pub(super) fn stop(&self) {
        let free = self.free.lock().take();
        drop(free);
    }
}
