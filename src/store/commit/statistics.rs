//! [`Statistics`]: what the store did and has, in numbers, for `$SYS`.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store did since it was opened, and what it has.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Commits, those that had nothing to write among them.
    pub batches: Number,
    /// Frames written, those of cleaning among them.
    pub frames: Number,
    /// Records in them.
    pub records: Number,
    /// Bytes of them.
    pub bytes_written: Number,
    /// Calls of fdatasync for them.
    pub fsyncs: Number,
    /// Bytes of the records of all that is kept, about.
    pub live_bytes: Number,
    /// Bytes of the store's files.
    pub disk_bytes: Number,
}

impl Statistics {
    /// All of them, by name.
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

/// A number that the store's threads write and any reads.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// As it is now.
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
