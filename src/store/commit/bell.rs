//! [`Bell`]: wakes the writer, and asks whether it answers.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::clock::Clock;

/// The writer waits on it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rings: Condvar,
    /// Those that ask whether the writer answers.
    asking: Mutex<Vec<mpsc::Sender<()>>>,
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

    /// The next time that the writer waits or takes a batch, it answers by this. To be followed by a
    /// [ring](Self::ring), with the lock taken in between with which the writer waits.
    pub(super) fn ask(&self, answer: mpsc::Sender<()>) {
        self.asking.lock().push(answer);
    }

    /// To be called by the writer.
    pub(super) fn answer(&self) {
        for asking in self.asking.lock().drain(..) {
            // the caller may be gone
            let _ = asking.send(());
        }
    }

    pub(super) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.answer();
        self.rings.wait(guard);
    }

    pub(super) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) {
        self.answer();
        self.rings.wait_for(guard, time);
    }

    pub(super) fn wait_until<T>(&self, clock: &Clock, guard: &mut MutexGuard<'_, T>, at: Instant) {
        self.answer();
        clock.wait_until(&self.rings, guard, at);
    }

    /// Was it rung since the last call?
    #[cfg(test)]
    pub(super) fn take_rung(&self) -> bool {
        self.rung.swap(false, std::sync::atomic::Ordering::SeqCst)
    }
}
