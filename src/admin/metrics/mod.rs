//! `/metrics`: counters and gauges, read at each scrape. No code here runs on the path of a message.
//!
//! | module | owns |
//! |---|---|
//! | `broker` | metrics of the router and the store |
//! | `connections` | connections by listener, logins by method |
//! | `traffic` | packets by type, messages by QoS and version, latencies |
//! | `process` | memory, processor time and files of this process |
//! | `numbers` | writes one number, or several with a label |
//! | `text` | the older of the two formats |

mod broker;
mod connections;
mod numbers;
mod process;
mod text;
mod traffic;

use std::sync::Arc;

use prometheus_client::{
    encoding::text::encode,
    registry::{Registry, Unit},
};

use super::state::State;

/// Text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl Format {
    /// OpenMetrics if the caller accepts it.
    pub fn wanted(accepts: &str) -> Self {
        if accepts.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The broker is still starting.
pub(super) struct NotYet;

/// All metrics.
pub(super) struct Metrics {
    state: Arc<State>,
    registry: Registry,
}

impl Metrics {
    pub fn new(state: Arc<State>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process));
        let own = registry.sub_registry_with_prefix("dunlin");
        own.register_collector(Box::new(broker::Collected(state.clone())));
        own.register_with_unit("http_request", "Time to answer requests", Unit::Seconds, state.requests.histogram());
        Self { state, registry }
    }

    pub fn text(&self, format: Format) -> Result<String, NotYet> {
        if self.state.broker.get().is_none() {
            return Err(NotYet);
        }
        let mut out = String::with_capacity(32 << 10);
        encode(&mut out, &self.registry).expect("writing to a String does not fail");
        Ok(match format {
            Format::OpenMetrics => out,
            Format::Text => text::from_open_metrics(&out),
        })
    }
}
