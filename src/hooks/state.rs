//! [`Shared`]: the counters and the last error of a webhook.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use parking_lot::Mutex;

use super::{
    failure::Failure,
    lanes::Lanes,
    options::Options,
    view::{Counts, View},
};

/// State that a webhook shares with its requests and with readers of its state.
pub(super) struct Shared {
    pub lanes: Lanes,
    told: Mutex<Told>,
    pub sent: AtomicU64,
    pub failed: AtomicU64,
    pub dropped: AtomicU64,
}

#[derive(Clone, Default)]
struct Told {
    failure: Failure,
    /// Nothing is sent, because refused messages cannot be kept.
    is_stopped: bool,
}

impl Shared {
    pub(super) fn new(options: &Options) -> Self {
        let (told, sent, failed, dropped) = Default::default();
        Self { lanes: Lanes::new(options.queue, options.queue_bytes), told, sent, failed, dropped }
    }

    /// Records a failed request. `true`: this failure is to be logged, because the request before succeeded or failed
    /// for another reason.
    pub(super) fn fails(&self, why: &str, now: SystemTime) -> bool {
        self.told.lock().failure.fails(why, now)
    }

    /// Records an accepted request. `true`: the request before failed.
    pub(super) fn works(&self) -> bool {
        self.told.lock().failure.works()
    }

    /// Records whether delivery has stopped. `true`: that is new.
    pub(super) fn stops(&self, is_stopped: bool) -> bool {
        std::mem::replace(&mut self.told.lock().is_stopped, is_stopped) != is_stopped
    }

    pub(super) fn view(&self, options: &Options) -> View {
        let Told { failure: Failure { error, lasts: fails }, is_stopped } = self.told.lock().clone();
        let url = options.url.to_string();
        let url = url.split('?').next().unwrap_or_default().to_owned();
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (queued, lost) = self.lanes.counts();
        let [sent, failed, dropped] = [&self.sent, &self.failed, &self.dropped].map(get);
        let counts = Counts { sent, failed, dropped, lost, queued };
        View { name: options.name.clone(), url, fails, is_stopped, error, counts }
    }
}
