//! What is there in place of webhooks where HTTP is left out (the feature `http`): none is configured.

#[path = "options.rs"]
mod options;

use std::{io, path::Path, sync::Arc, time::SystemTime};

pub use options::Options;

use crate::{clock::Clock, router::inspect::EventStreams, types::Told};

/// None.
pub struct Hooks;

/// There are none.
pub struct Secrets;

/// What is told of a webhook.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// The last request failed.
    pub fails: bool,
    /// Why the last one that failed did so, and when.
    pub error: Option<(String, SystemTime)>,
    /// What was counted.
    pub counts: Counts,
}

/// Nothing is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts;

impl Counts {
    /// Nothing.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 0] {
        []
    }
}

/// No webhook starts.
#[derive(Debug, thiserror::Error)]
pub enum HookError {}

impl Secrets {
    /// Nothing is read.
    pub fn read(_: &Path) -> io::Result<Self> {
        Ok(Self)
    }
}

impl Hooks {
    /// None.
    pub fn new(_: Arc<EventStreams>, _: Clock, _: &str) -> Self {
        Self
    }

    /// There are none: a configuration with some is refused before.
    pub fn replace(&self, _: Vec<Options>) -> Result<(), HookError> {
        Ok(())
    }

    /// Nobody is told.
    pub fn tell(&self, _: Told) {}

    /// None.
    pub fn views(&self) -> Vec<View> {
        Vec::new()
    }

    /// Nothing has to end.
    pub fn stop(&self) {}
}
