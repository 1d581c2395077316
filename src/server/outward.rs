//! [`Outward`]: what connects to other servers: bridges, webhooks and file sinks.

use std::sync::Arc;

use super::{ServerError, bridges, sinks, webhooks};
use crate::{
    bridge::Bridges,
    clock::Clock,
    config::Config,
    hooks::{Hooks, Sinks},
    inside::Inside,
    router::inspect::EventStreams,
};

/// What connects to other servers.
pub(super) struct Outward {
    pub(super) bridges: Arc<Bridges>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) sinks: Sinks,
}

impl Outward {
    /// Checks it: errors of a start. Logs warnings.
    pub(super) fn check(config: &Config) -> Result<(), ServerError> {
        let warnings = [bridges::check(config)?, webhooks::check(config)?, sinks::check(config)?].concat();
        webhooks::check_origin(config)?;
        warnings.iter().for_each(|reason| tracing::warn!(reason, "configuration warning"));
        Ok(())
    }

    /// Begins before any listener.
    pub(super) fn begin(
        inside: &Arc<Inside>,
        events: &Arc<EventStreams>,
        clock: &Clock,
        config: &Config,
    ) -> Result<Arc<Self>, ServerError> {
        // bridges publish, and webhooks and sinks are to see it
        let hooks = webhooks::begin(inside, events, clock, config)?;
        let sinks = sinks::begin(inside, clock, config)?;
        let bridges = bridges::begin(inside, config)?;
        Ok(Arc::new(Self { bridges, hooks, sinks }))
    }

    /// Puts another configuration in force.
    pub(super) fn replace(&self, config: &Config) {
        if let Err(error) = self.bridges.replace(bridges::options(config), bridges::own(config)) {
            tracing::error!(%error, "a bridge does not begin");
        }
        match webhooks::options(config).map(|options| self.hooks.replace(options)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a webhook does not begin"),
            Err(error) => tracing::error!(%error, "the webhooks stay as they were"),
        }
        if let Err(error) = self.sinks.replace(sinks::options(config)) {
            tracing::error!(%error, "a sink does not begin");
        }
    }

    /// Called when no client is connected any more, so that events of the last connections are sent too.
    pub(super) fn stop(&self) {
        self.bridges.stop();
        self.hooks.stop();
        self.sinks.stop();
    }
}
