//! Replaces webhooks in a build without HTTP (the feature `http`). The configuration refuses `[[webhook]]` then.

#[path = "options.rs"]
mod options;
#[path = "sinks/options.rs"]
mod sink_options;
#[path = "sinks/view.rs"]
mod sink_view;
#[path = "view.rs"]
mod view;

use std::{io, path::Path, sync::Arc};

pub use options::{Keeps, Options};
pub use sink_options::{Rotation, SinkOptions};
pub use sink_view::{SinkCounts, SinkView};
pub use view::{Counts, View};

use crate::{clock::Clock, inside::Inside, router::inspect::EventStreams, types::Told};

/// Has no webhooks.
pub struct Hooks;

/// Has no secrets.
pub struct Secrets;

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
