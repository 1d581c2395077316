//! [`Shared`]: what is told of a webhook while it runs: its counters and its last error.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use parking_lot::Mutex;

use super::{lanes::Lanes, options::Options};

/// What a webhook shares with its requests, and what is told of it.
pub(super) struct Shared {
    pub lanes: Lanes,
    told: Mutex<Told>,
    pub sent: AtomicU64,
    pub failed: AtomicU64,
    pub dropped: AtomicU64,
}

#[derive(Clone, Default)]
struct Told {
    error: Option<(String, SystemTime)>,
    /// The error is in the log, and no request was taken since.
    fails: bool,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that the service took.
    pub sent: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Events that the service refused.
    pub dropped: u64,
    /// Events that there was no room for.
    pub lost: u64,
    /// Events that wait or are on their way.
    pub queued: u64,
}

impl Counts {
    /// Each with its name and what it means.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 5] {
        [
            ("sent", "Events that the service took.", self.sent),
            ("failed", "Requests that failed.", self.failed),
            ("dropped", "Events that the service refused.", self.dropped),
            ("lost", "Events that there was no room for.", self.lost),
            ("queued", "Events that wait or are on their way.", self.queued),
        ]
    }
}

/// What is told of a webhook.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Where events are sent, without the query, which may have a key in it.
    pub url: String,
    /// The last request failed.
    pub fails: bool,
    /// Why the last one that failed did so, and when.
    pub error: Option<(String, SystemTime)>,
    /// What was counted.
    pub counts: Counts,
}

impl Shared {
    pub(super) fn new(options: &Options) -> Self {
        let (told, sent, failed, dropped) = Default::default();
        Self { lanes: Lanes::new(options.queue, options.queue_bytes), told, sent, failed, dropped }
    }

    /// A request failed. `true`: the one before was taken, or failed for another reason.
    pub(super) fn fails(&self, why: &str, now: SystemTime) -> bool {
        let mut told = self.told.lock();
        let is_same = told.error.as_ref().is_some_and(|(before, _)| before == why) && told.fails;
        (told.error, told.fails) = (Some((why.into(), now)), true);
        !is_same
    }

    /// A request was taken. `true`: the one before failed.
    pub(super) fn works(&self) -> bool {
        std::mem::take(&mut self.told.lock().fails)
    }

    pub(super) fn view(&self, options: &Options) -> View {
        let Told { error, fails } = self.told.lock().clone();
        let url = options.url.to_string();
        let url = url.split('?').next().unwrap_or_default().to_owned();
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (queued, lost) = self.lanes.counts();
        let [sent, failed, dropped] = [&self.sent, &self.failed, &self.dropped].map(get);
        View { name: options.name.clone(), url, fails, error, counts: Counts { sent, failed, dropped, lost, queued } }
    }
}
