//! Converts configured file sinks to the options of the room `hooks`.

use std::sync::Arc;

use super::{Server, WebhookConfigError};
use crate::{
    clock::Clock,
    config::{Config, SinkConfig},
    hooks::{HookError, Rotation, SinkOptions, SinkView, Sinks},
    inside::Inside,
    topic::TopicFilter,
};

impl Server {
    /// The file sinks, in the order of the configuration.
    pub fn sinks(&self) -> Vec<SinkView> {
        self.outward.sinks.views()
    }
}

/// Begins the sinks, before any listener: they miss nothing from the first client on.
pub(super) fn begin(inside: &Arc<Inside>, clock: &Clock, config: &Config) -> Result<Sinks, HookError> {
    let sinks = Sinks::new(inside.clone(), clock.clone());
    let options = options(config);
    sinks.discard_others(&options);
    sinks.replace(options)?;
    Ok(sinks)
}

/// Checks the sinks of a configuration: errors of a start, and warnings.
pub(super) fn check(config: &Config) -> Result<Vec<String>, WebhookConfigError> {
    let mut warnings = Vec::new();
    for sink in &config.sinks {
        let wrong = |key, why| WebhookConfigError::new("sink", &sink.name, key, why);
        if cfg!(not(feature = "http")) {
            return Err(wrong("file", "this dunlin was built without file sinks (the feature `http`)".into()));
        }
        for filter in &sink.filter {
            let read = TopicFilter::new(filter);
            read.map_err(|why| wrong("filter", format!("{filter:?} is not a Topic Filter: it {why}")))?;
        }
        if config.data_dir.is_none() {
            let name = &sink.name;
            warnings.push(format!("sink {name}: without data_dir its queue is in memory, and ends with the process"));
        }
    }
    Ok(warnings)
}

/// All sinks of a configuration.
pub(super) fn options(config: &Config) -> Vec<SinkOptions> {
    config.sinks.iter().filter_map(of).collect()
}

fn of(sink: &SinkConfig) -> Option<SinkOptions> {
    let SinkConfig { name, file, filter, batch, linger, queue, queue_bytes, rotate_size, rotate_after, .. } =
        sink.clone();
    let rotation = Rotation { size: rotate_size, after: rotate_after, keep: sink.rotate_keep, compress: sink.compress };
    Some(SinkOptions { name, file: file?, filter, batch, linger, queue, queue_bytes, rotation })
}
