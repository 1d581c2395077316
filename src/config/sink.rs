//! The `[[sink]]` tables: the settings of a file sink ([`SinkConfig`]), and their consistency ([`check`]).

use std::{path::PathBuf, time::Duration};

/// A file that published messages are written to.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    /// Its name, which is unique.
    pub name: String,
    /// The file; present in every checked sink.
    pub file: Option<PathBuf>,
    /// Topic Filters: only messages whose topic matches one are written.
    pub filter: Vec<String>,
    /// Largest number of messages that are written at a time.
    pub batch: usize,
    /// How long the first message of a batch waits for more.
    pub linger: Duration,
    /// Largest number of queued messages.
    pub queue: usize,
    /// Their largest size in bytes.
    pub queue_bytes: usize,
    /// The file is rotated at this size; `None`: at any size it is not.
    pub rotate_size: Option<usize>,
    /// The file is rotated at this age; `None`: at any age it is not.
    pub rotate_after: Option<Duration>,
    /// Number of rotated files to keep; 0: all.
    pub rotate_keep: usize,
    /// Rotated files are compressed.
    pub compress: bool,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            file: None,
            filter: vec!["#".into()],
            batch: 1_000,
            linger: Duration::from_millis(100),
            queue: 100_000,
            queue_bytes: 256 << 20,
            rotate_size: Some(64 << 20),
            rotate_after: Some(Duration::from_secs(86_400)),
            rotate_keep: 0,
            compress: true,
        }
    }
}

/// Checks the settings for conflicts with each other and with the sinks `before`. Returns the first key and what to do.
pub(super) fn check(sink: &SinkConfig, before: &[SinkConfig]) -> Result<(), (&'static str, String)> {
    let is_shared = sink.filter.iter().any(|filter| filter.starts_with("$share/"));
    let checks = [
        (sink.name.is_empty(), "name", "a sink needs a name; write one such as name = \"orders\""),
        (sink.file.is_none(), "file", "a sink needs a file; write file = \"/var/lib/dunlin/orders.jsonl\""),
        (
            sink.filter.is_empty(),
            "filter",
            "no message is selected; write Topic Filters such as \"#\", or remove the key",
        ),
        (
            is_shared,
            "filter",
            "messages of a shared subscription would be divided; write the Topic Filter without $share/ and the group",
        ),
    ];
    if let Some((_, key, problem)) = checks.into_iter().find(|(wrong, ..)| *wrong) {
        return Err((key, problem.into()));
    }
    if before.iter().any(|other| other.name == sink.name) {
        return Err(("name", format!("{:?} is already the name of a sink above; write another one", sink.name)));
    }
    match before.iter().find(|other| other.file == sink.file) {
        Some(other) => Err(("file", format!("the sink {:?} writes to this file; write another one", other.name))),
        None => Ok(()),
    }
}
