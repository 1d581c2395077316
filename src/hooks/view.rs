//! [`View`]: the state of a webhook, as shown.

use std::time::SystemTime;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that the service accepted.
    pub sent: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Events that the service refused.
    pub dropped: u64,
    /// Events that were lost because the queue was full.
    pub lost: u64,
    /// Events that are queued or being sent.
    pub queued: u64,
}

impl Counts {
    /// Each counter with its name and its description.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 5] {
        [
            ("sent", "Events that the service accepted.", self.sent),
            ("failed", "Requests that failed.", self.failed),
            ("dropped", "Events that the service refused.", self.dropped),
            ("lost", "Events that were lost because the queue was full.", self.lost),
            ("queued", "Events that are queued or being sent.", self.queued),
        ]
    }
}

/// State of a webhook.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Where events are sent, without the query, which may contain a key.
    pub url: String,
    /// The last request failed.
    pub fails: bool,
    /// Nothing is sent, because messages that the service refused cannot be kept.
    pub is_stopped: bool,
    /// The error and the time of the last failed request.
    pub error: Option<(String, SystemTime)>,
    /// Counters since the start.
    pub counts: Counts,
}
