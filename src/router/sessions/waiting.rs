//! [`WaitingWill`]: the Will of a client that is away, until its delay is over (MQTT 5 section 3.1.3.2.2).

use std::time::Instant;

use crate::session::StoredWill;

/// A Will that is published when its delay is over or its session ends, whichever is first, unless its client resumes
/// the session before.
pub(crate) struct WaitingWill {
    pub(crate) will: StoredWill,
    /// The end of its delay; `None`: beyond the range of time.
    pub(super) due: Option<Instant>,
    /// The end of the session.
    pub(super) ends: Option<Instant>,
}

impl WaitingWill {
    /// Is its delay over?
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

/// The time of a session's timer, with a number that makes the key unique.
pub(crate) type ExpiryKey = (Instant, u64);

/// The effect of a session's timer.
pub(crate) enum Looked {
    /// The session ends, and so does the delay of this Will.
    Ends(Option<StoredWill>),
    /// The session continues, and this Will is due. The key is that of the next timer.
    Due(StoredWill, Option<ExpiryKey>),
}
