//! [`Shared`]: the counters and the last error of a file sink.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use parking_lot::Mutex;

use super::{
    super::failure::Failure,
    options::SinkOptions,
    view::{SinkCounts, SinkView},
};

/// State that a sink shares with readers of its state.
#[derive(Default)]
pub(super) struct Shared {
    told: Mutex<Failure>,
    pub written: AtomicU64,
    pub bytes: AtomicU64,
    pub failed: AtomicU64,
    pub rotated: AtomicU64,
}

impl Shared {
    /// Records a failed write. `true`: this failure is to be logged, because the write before succeeded or failed for
    /// another reason.
    pub(super) fn fails(&self, why: &str, now: SystemTime) -> bool {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.told.lock().fails(why, now)
    }

    /// Records a write. `true`: the write before failed.
    pub(super) fn works(&self, messages: usize, bytes: usize) -> bool {
        self.written.fetch_add(messages as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.told.lock().works()
    }

    /// The state. `queued`, `lost`: those of its queue.
    pub(super) fn view(&self, options: &SinkOptions, queued: u64, lost: u64) -> SinkView {
        let Failure { error, lasts: fails } = self.told.lock().clone();
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [written, bytes, failed, rotated] = [&self.written, &self.bytes, &self.failed, &self.rotated].map(get);
        let counts = SinkCounts { written, bytes, failed, rotated, lost, queued };
        SinkView { name: options.name.clone(), file: options.file.clone(), fails, error, counts }
    }
}
