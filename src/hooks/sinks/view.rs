//! [`SinkView`]: the state of a file sink, as shown.

use std::{path::PathBuf, time::SystemTime};

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
