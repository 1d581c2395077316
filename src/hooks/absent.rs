//! Replaces webhooks in a build without HTTP (the feature `http`). The configuration refuses `[[webhook]]` then.

#[path = "options.rs"]
mod options;
#[path = "sinks/options.rs"]
mod sink_options;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

pub use options::{Keeps, Options};
pub use sink_options::{Rotation, SinkOptions};

use crate::{clock::Clock, inside::Inside, router::inspect::EventStreams, types::Told};

/// Has no webhooks.
pub struct Hooks;

/// Has no secrets.
pub struct Secrets;

/// State of a webhook.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Where events are sent.
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

/// Has no counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts;

impl Counts {
    /// Returns no counters.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 0] {
        []
    }
}

/// Has no values: nothing can fail.
#[derive(Debug, thiserror::Error)]
pub enum HookError {}

impl Secrets {
    /// Reads nothing, and succeeds.
    pub fn read(_: &Path) -> io::Result<Self> {
        Ok(Self)
    }
}

impl Hooks {
    /// Without webhooks.
    pub fn new(_: Arc<Inside>, _: Arc<EventStreams>, _: Clock, _: &str) -> Self {
        Self
    }

    /// Does nothing.
    pub fn discard_others(&self, _: &[Options]) {}

    /// Does nothing: a configuration with webhooks was refused before.
    pub fn replace(&self, _: Vec<Options>) -> Result<(), HookError> {
        Ok(())
    }

    /// Does nothing: a warning says so.
    pub fn publish_events(&self) -> Result<(), HookError> {
        Ok(())
    }

    /// Does nothing.
    pub fn tell(&self, _: Told) {}

    /// Returns nothing.
    pub fn views(&self) -> Vec<View> {
        Vec::new()
    }

    /// Does nothing.
    pub fn stop(&self) {}
}

/// Has no file sinks.
pub struct Sinks;

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

/// Has no counters.
pub type SinkCounts = Counts;

impl Sinks {
    /// Without sinks.
    pub fn new(_: Arc<Inside>, _: Clock) -> Self {
        Self
    }

    /// Does nothing.
    pub fn discard_others(&self, _: &[SinkOptions]) {}

    /// Does nothing: a configuration with sinks was refused before.
    pub fn replace(&self, _: Vec<SinkOptions>) -> Result<(), HookError> {
        Ok(())
    }

    /// Returns nothing.
    pub fn views(&self) -> Vec<SinkView> {
        Vec::new()
    }

    /// Does nothing.
    pub fn stop(&self) {}
}
