//! [`Statistics`]: the counters of the store, for `$SYS` and metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::router::{Sizes, Times};

/// What a store has done since it was opened, and its size.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Commits, including those without a frame.
    pub batches: Number,
    /// Frames written, including those of cleaning.
    pub frames: Number,
    /// Records in these frames.
    pub records: Number,
    /// Bytes of these frames.
    pub bytes_written: Number,
    /// Calls of fdatasync for these frames.
    pub fsyncs: Number,
    /// Approximate bytes of live records.
    pub live_bytes: Number,
    /// Bytes of the store's files.
    pub disk_bytes: Number,
    /// Durations of fsyncs.
    pub fsync_times: Times,
    /// Numbers of records in frames.
    pub batch_sizes: Sizes,
}

impl Statistics {
    /// All figures with their names.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("batches", self.batches.get()),
            ("frames", self.frames.get()),
            ("records", self.records.get()),
            ("bytes written", self.bytes_written.get()),
            ("fsyncs", self.fsyncs.get()),
            ("bytes kept", self.live_bytes.get()),
            ("bytes on disk", self.disk_bytes.get()),
        ]
    }
}

/// A number that the store's threads write and any thread may read.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}
