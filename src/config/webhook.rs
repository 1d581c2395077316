//! The `[[webhook]]` tables: the settings of a webhook ([`WebhookConfig`]), and their consistency ([`check`]).

use std::{path::PathBuf, time::Duration};

use crate::types::{HttpUrl, PayloadForm, Told};

/// A service to which events are reported over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// Its name, which is unique.
    pub name: String,
    /// Its URL; present in every checked webhook.
    pub url: Option<HttpUrl>,
    /// The reported events.
    pub events: Vec<Told>,
    /// Topic Filters: only messages whose topic matches one are reported.
    pub filter: Vec<String>,
    /// A pattern of Client Identifiers: only clients that match are reported; `*` means any characters.
    pub clients: String,
    /// Encoding of payloads.
    pub payload: PayloadForm,
    /// Largest number of events in a request.
    pub batch: usize,
    /// How long the first event of a request waits for more.
    pub linger: Duration,
    /// A file with the secrets that sign requests.
    pub secret_file: Option<PathBuf>,
    /// Largest number of queued events.
    pub queue: usize,
    /// Their largest size in bytes.
    pub queue_bytes: usize,
    /// Time limit for a request.
    pub timeout: Duration,
    /// Published messages are stored until the service has accepted them.
    pub durable: bool,
    /// Largest size of the file of refused messages.
    pub rejected_bytes: usize,
    /// TLS: the authorities that sign the service's certificate, PEM.
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
            durable: false,
            rejected_bytes: 64 << 20,
            ca_file: None,
        }
    }
}

/// Checks the settings for conflicts. Returns the first key and what to do.
pub(super) fn check(webhook: &WebhookConfig) -> Result<(), (&'static str, &'static str)> {
    let of_messages = webhook.events.iter().any(|told| told.is_of_message());
    let checks = [
        (webhook.name.is_empty(), "name", "a webhook needs a name; write one such as name = \"orders\""),
        (webhook.url.is_none(), "url", "a webhook needs its address; write url = \"https://example.org/hook\""),
        (webhook.events.is_empty(), "events", "no event is selected; write events = [\"client.connected\"]"),
        (
            webhook.filter.is_empty() && of_messages,
            "filter",
            "no message is selected; write Topic Filters such as \"#\", or remove the key",
        ),
        (
            webhook.durable && !webhook.events.contains(&Told::MessagePublished),
            "durable",
            "it is about published messages; add \"message.published\" to events, or remove the key",
        ),
        (
            webhook.durable && webhook.clients != "*",
            "clients",
            "the publishers of stored messages are not known after a restart; remove the key, or durable",
        ),
        (
            webhook.durable && webhook.filter.iter().any(|filter| filter.starts_with("$share/")),
            "filter",
            "messages of a shared subscription would be divided; write the Topic Filter without $share/ and the group",
        ),
        (
            webhook.ca_file.is_some() && webhook.url.as_ref().is_some_and(|url| !url.https),
            "ca_file",
            "it is for TLS; write the url with https://",
        ),
    ];
    checks.into_iter().find(|(wrong, ..)| *wrong).map_or(Ok(()), |(_, key, problem)| Err((key, problem)))
}
