//! [`SinkOptions`]: the options of a file sink. The server makes them from the configuration.

use std::{path::PathBuf, time::Duration};

/// The options of a file sink.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkOptions {
    /// Its name.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// Topic Filters; only messages whose topic matches one are written.
    pub filter: Vec<String>,
    /// Largest number of messages that are written at a time.
    pub batch: usize,
    /// How long the first message of a batch waits for more.
    pub linger: Duration,
    /// Largest number of queued messages.
    pub queue: usize,
    /// Their largest size in bytes.
    pub queue_bytes: usize,
    /// When the file is rotated.
    pub rotation: Rotation,
}

/// When a file is rotated, and what becomes of rotated files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    /// At this size.
    pub size: Option<usize>,
    /// At this age.
    pub after: Option<Duration>,
    /// Number of rotated files to keep; 0: all.
    pub keep: usize,
    /// They are compressed.
    pub compress: bool,
}
