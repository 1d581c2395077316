//! [`Bell`]: wakes the writer.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, MutexGuard};

use crate::clock::Clock;

/// The writer waits on it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rings: Condvar,
    /// For tests that step the writer: was it rung?
    #[cfg(test)]
    rung: std::sync::atomic::AtomicBool,
}

impl Bell {
    #[inline]
    pub(super) fn ring(&self) {
        #[cfg(test)]
        self.rung.store(true, std::sync::atomic::Ordering::SeqCst);
        self.rings.notify_one();
    }

    pub(super) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.rings.wait(guard);
    }

    pub(super) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) {
        self.rings.wait_for(guard, time);
    }

    pub(super) fn wait_until<T>(&self, clock: &Clock, guard: &mut MutexGuard<'_, T>, at: Instant) {
        clock.wait_until(&self.rings, guard, at);
    }

    /// Was it rung since the last call?
    #[cfg(test)]
    pub(super) fn take_rung(&self) -> bool {
        self.rung.swap(false, std::sync::atomic::Ordering::SeqCst)
    }
}
