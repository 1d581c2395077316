//! The `[[webhook]]` tables: what can be set for a webhook ([`WebhookConfig`]), and which settings go
//! together ([`check`]).

use std::{path::PathBuf, time::Duration};

use crate::types::{HttpUrl, PayloadForm, Told};

/// A service that is told by HTTP what happens.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// What it is called; no two have the same name.
    pub name: String,
    /// Where it is told; it is there in each that is checked.
    pub url: Option<HttpUrl>,
    /// What it is told.
    pub events: Vec<Told>,
    /// Of messages: those whose topic one of these matches.
    pub filter: Vec<String>,
    /// Of clients: those whose Client Identifier this matches, where `*` stands for anything.
    pub clients: String,
    /// How a payload is written.
    pub payload: PayloadForm,
    /// Events in a request, at most.
    pub batch: usize,
    /// How long an event waits for others.
    pub linger: Duration,
    /// A file with the secrets that requests are signed with.
    pub secret_file: Option<PathBuf>,
    /// Events that wait.
    pub queue: usize,
    /// Bytes of those.
    pub queue_bytes: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// TLS: the authorities of the service's certificate, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: None,
            events: Vec::new(),
            filter: vec!["#".into()],
            clients: "*".into(),
            payload: PayloadForm::default(),
            batch: 100,
            linger: Duration::from_millis(100),
            secret_file: None,
            queue: 10_000,
            queue_bytes: 32 << 20,
            timeout: Duration::from_secs(10),
            ca_file: None,
        }
    }
}

/// Do these settings go together? The first key that does not is the error, and what to do.
pub(super) fn check(webhook: &WebhookConfig) -> Result<(), (&'static str, &'static str)> {
    let of_messages = webhook.events.iter().any(|told| told.is_of_message());
    let checks = [
        (webhook.name.is_empty(), "name", "a webhook needs a name; write one such as name = \"orders\""),
        (webhook.url.is_none(), "url", "a webhook needs its address; write url = \"https://example.org/hook\""),
        (webhook.events.is_empty(), "events", "nothing would be sent; write events = [\"client.connected\"]"),
        (
            webhook.filter.is_empty() && of_messages,
            "filter",
            "no message would be sent; write Topic Filters such as \"#\", or take the key away",
        ),
        (
            webhook.ca_file.is_some() && webhook.url.as_ref().is_some_and(|url| !url.https),
            "ca_file",
            "it is for TLS; write the url with https://",
        ),
    ];
    checks.into_iter().find(|(wrong, ..)| *wrong).map_or(Ok(()), |(_, key, problem)| Err((key, problem)))
}
