//! [`WaitingWill`]: the Will of a client that is away, until its delay is over (MQTT 5 section 3.1.3.2.2).

use std::time::Instant;

use crate::session::StoredWill;

/// A Will that is published when its delay is over or its session ends, whichever is first; unless its client resumes
/// the session before.
pub(crate) struct WaitingWill {
    pub(crate) will: StoredWill,
    /// When its delay is over; `None`: after all times that there are.
    pub(super) due: Option<Instant>,
    /// When the session ends.
    pub(super) ends: Option<Instant>,
}

impl WaitingWill {
    /// Is its delay over?
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

/// When a session is looked at, and a number that makes the key unique.
pub(crate) type ExpiryKey = (Instant, u64);

/// A session whose client is away is looked at, as it asked for.
pub(crate) enum Looked {
    /// It ends; with it the delay of this Will.
    Ends(Option<StoredWill>),
    /// It goes on, and the delay of this Will is over. It is to be looked at again then.
    Due(StoredWill, Option<ExpiryKey>),
}
