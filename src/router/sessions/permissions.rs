//! [`Permissions`]: whether users and rules changed since a client's rights were read, and whether any client's rights
//! are limited.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The state of users and rules that threads check before they read a client's rights.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    /// Number of times that users or rules began to change, or had changed.
    changes: AtomicU64,
    /// The rights of some client are limited, or were.
    limited: AtomicBool,
    /// Number of denials that were not logged, as far as threads have reported them.
    denied_silently: AtomicU64,
}

/// A version of users and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(u64);

impl Permissions {
    /// Compare it with the version from before an evaluation: if they differ, evaluate again.
    pub(crate) fn version(&self) -> Version {
        Version(self.changes.load(Ordering::SeqCst))
    }

    /// Users or rules begin to change, or have changed.
    pub(crate) fn change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The rights of a client are limited.
    pub(crate) fn limit(&self) {
        self.limited.store(true, Ordering::SeqCst);
    }

    /// May all clients do everything? Then no rights need to be looked for.
    #[inline]
    pub(crate) fn are_unlimited(&self) -> bool {
        !self.limited.load(Ordering::SeqCst)
    }

    /// Counts denials that were not logged.
    pub(crate) fn add_silent(&self, denials: u64) {
        self.denied_silently.fetch_add(denials, Ordering::Relaxed);
    }

    /// Returns their number since the last call.
    pub(crate) fn take_silent(&self) -> u64 {
        self.denied_silently.swap(0, Ordering::Relaxed)
    }
}
