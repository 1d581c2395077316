//! [`Shared`]: the counters and the last error of a file sink.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use parking_lot::Mutex;

use super::{super::failure::Failure, options::SinkOptions};

/// State that a sink shares with readers of its state.
#[derive(Default)]
pub(super) struct Shared {
    told: Mutex<Failure>,
    pub written: AtomicU64,
    pub bytes: AtomicU64,
    pub failed: AtomicU64,
    pub rotated: AtomicU64,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Messages that are on the disk.
    pub written: u64,
    /// Bytes of them in the file.
    pub bytes: u64,
    /// Writes that failed.
    pub failed: u64,
    /// Files that were rotated.
    pub rotated: u64,
    /// Messages that were lost because the queue was full.
    pub lost: u64,
    /// Messages that are queued or being written.
    pub queued: u64,
}

impl SinkCounts {
    /// Each counter with its name and its description.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 6] {
        [
            ("written", "Messages that are in the file, on the disk.", self.written),
            ("bytes", "Bytes of them in the file.", self.bytes),
            ("failed", "Writes that failed.", self.failed),
            ("rotated", "Files that were rotated.", self.rotated),
            ("lost", "Messages that were lost because the queue was full.", self.lost),
            ("queued", "Messages that are queued or being written.", self.queued),
        ]
    }
}

/// State of a file sink.
#[derive(Clone, Debug)]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The last write failed.
    pub fails: bool,
    /// The error and the time of the last failed write.
    pub error: Option<(String, SystemTime)>,
    /// Counters since the start.
    pub counts: SinkCounts,
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
