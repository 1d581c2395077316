//! [`Permissions`]: whether users and rules changed since a client's rights were read, and whether any client's rights
//! are limited.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What threads have to know of users and rules before they ask for a client's rights.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    /// How often users or rules began to change, and had changed.
    changes: AtomicU64,
    /// Some client's rights are limited, or were.
    limited: AtomicBool,
    /// Denials that no line of the log told of, as far as the threads have reported theirs.
    denied_silently: AtomicU64,
}

/// Users and rules as they were at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(u64);

impl Permissions {
    /// To be compared with the one from before an answer was asked for: another one may have another answer.
    pub(crate) fn version(&self) -> Version {
        Version(self.changes.load(Ordering::SeqCst))
    }

    /// Users or rules begin to change, or have changed.
    pub(crate) fn change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// A client's rights are limited.
    pub(crate) fn limit(&self) {
        self.limited.store(true, Ordering::SeqCst);
    }

    /// May everybody do everything? Then nobody's rights have to be looked for.
    #[inline]
    pub(crate) fn are_unlimited(&self) -> bool {
        !self.limited.load(Ordering::SeqCst)
    }

    /// So many denials were told by no line.
    pub(crate) fn add_silent(&self, denials: u64) {
        self.denied_silently.fetch_add(denials, Ordering::Relaxed);
    }

    /// How many there were since this was last asked.
    pub(crate) fn take_silent(&self) -> u64 {
        self.denied_silently.swap(0, Ordering::Relaxed)
    }
}
