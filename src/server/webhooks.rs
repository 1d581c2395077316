//! Converts configured webhooks to the options of the room `hooks`.

use std::{path::Path, sync::Arc};

use thiserror::Error;

use super::{
    Server, ServerError,
    origin::{self, OriginError},
};
use crate::{
    clock::Clock,
    config::{Config, WebhookConfig},
    hooks::{Hooks, Keeps, Options, Secrets, View},
    inside::Inside,
    outbound::TlsOptions,
    router::inspect::EventStreams,
    topic::TopicFilter,
};

impl Server {
    /// The webhooks, in the order of the configuration.
    pub fn webhooks(&self) -> Vec<View> {
        self.outward.hooks.views()
    }
}

/// Begins the webhooks, before any listener: they miss nothing from the first client on.
pub(super) fn begin(
    inside: &Arc<Inside>,
    events: &Arc<EventStreams>,
    clock: &Clock,
    config: &Config,
) -> Result<Arc<Hooks>, ServerError> {
    let machine = crate::platform::host_name();
    let hooks = Arc::new(Hooks::new(inside.clone(), events.clone(), clock.clone(), &machine));
    let options = options(config)?;
    hooks.discard_others(&options);
    if config.sys.events {
        hooks.publish_events()?;
    }
    hooks.replace(options)?;
    Ok(hooks)
}

/// Why a configuration of webhooks or file sinks cannot be put in force.
#[derive(Debug, Error)]
#[error("{table} {name}: {key}: {why}")]
pub struct WebhookConfigError {
    table: &'static str,
    name: String,
    key: &'static str,
    why: String,
}

impl WebhookConfigError {
    pub(super) fn new(table: &'static str, name: &str, key: &'static str, why: String) -> Self {
        Self { table, name: name.into(), key, why }
    }
}

/// Checks the webhooks of a configuration: errors of a start, and warnings.
pub(super) fn check(config: &Config) -> Result<Vec<String>, WebhookConfigError> {
    let mut warnings = Vec::new();
    if config.sys.events && cfg!(not(feature = "http")) {
        warnings.push("sys.events has no effect: this dunlin was built without HTTP (the feature `http`)".into());
    }
    for webhook in &config.webhooks {
        let wrong = |key, why| WebhookConfigError::new("webhook", &webhook.name, key, why);
        if cfg!(not(feature = "http")) {
            return Err(wrong("url", "this dunlin was built without HTTP (the feature `http`)".into()));
        }
        for filter in &webhook.filter {
            let read = TopicFilter::new(filter);
            read.map_err(|why| wrong("filter", format!("{filter:?} is not a Topic Filter: it {why}")))?;
        }
        if let Some(file) = &webhook.secret_file {
            Secrets::read(file).map_err(|why| wrong("secret_file", format!("{}: {why}", file.display())))?;
        }
        if webhook.durable && config.data_dir.is_none() {
            let why = "messages are stored in data_dir, and this broker has none; write data_dir = \"/var/lib/dunlin\" and restart it";
            return Err(wrong("durable", why.into()));
        }
        if webhook.url.as_ref().is_some_and(|url| url.https) {
            let read = read_tls(webhook).map_err(|why| wrong("ca_file", why))?;
            warnings.extend(read.into_iter().map(|warning| format!("webhook {}: {warning}", webhook.name)));
        }
    }
    Ok(warnings)
}

#[cfg(feature = "tls")]
fn read_tls(webhook: &WebhookConfig) -> Result<Vec<String>, String> {
    let loaded = crate::outbound::ClientTls::load(&tls(webhook), true);
    loaded.map(|(_, warnings)| warnings).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
fn read_tls(_: &WebhookConfig) -> Result<Vec<String>, String> {
    Err("this dunlin was built without TLS (the feature `tls`)".into())
}

fn tls(webhook: &WebhookConfig) -> TlsOptions {
    TlsOptions { authorities: webhook.ca_file.clone(), ..TlsOptions::default() }
}

/// All webhooks of a configuration.
pub(super) fn options(config: &Config) -> Result<Vec<Options>, OriginError> {
    let is_durable = config.webhooks.iter().any(|webhook| webhook.durable);
    let data_dir = config.data_dir.as_deref().filter(|_| is_durable);
    let kept = data_dir.map(|data_dir| origin::name(data_dir).map(|name| (data_dir, name.into()))).transpose()?;
    Ok(config.webhooks.iter().filter_map(|webhook| of(webhook, kept.as_ref())).collect())
}

/// Can durable webhooks be named as before?
pub(super) fn check_origin(config: &Config) -> Result<(), OriginError> {
    let is_durable = config.webhooks.iter().any(|webhook| webhook.durable);
    config.data_dir.as_deref().filter(|_| is_durable).map_or(Ok(()), origin::check)
}

/// The file in `data_dir` of messages that a service refused.
const REJECTED: &str = "rejected.jsonl";

/// `kept`: where messages are stored, and the name of the store.
fn of(webhook: &WebhookConfig, kept: Option<&(&Path, Arc<str>)>) -> Option<Options> {
    let durable = kept.filter(|_| webhook.durable).map(|(data_dir, origin)| Keeps {
        origin: origin.clone(),
        rejected: data_dir.join(REJECTED),
        rejected_bytes: webhook.rejected_bytes,
    });
    let tls = tls(webhook);
    let WebhookConfig { name, url, events, filter, clients, payload, batch, linger, secret_file, queue, .. } =
        webhook.clone();
    let (queue_bytes, timeout) = (webhook.queue_bytes, webhook.timeout);
    Some(Options {
        name,
        url: url?,
        tls,
        events,
        filter,
        clients,
        payload,
        batch,
        linger,
        secret_file,
        queue,
        queue_bytes,
        timeout,
        durable,
    })
}
