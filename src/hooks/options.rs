//! [`Options`]: the options of a webhook. The server makes them from the configuration.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    outbound::TlsOptions,
    types::{HttpUrl, PayloadForm, Told},
};

/// The options of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Where events are sent.
    pub url: HttpUrl,
    /// TLS settings for that server.
    pub tls: TlsOptions,
    /// The selected events.
    pub events: Vec<Told>,
    /// Topic Filters; only messages whose topic matches one are sent.
    pub filter: Vec<String>,
    /// Pattern of Client Identifiers, in which `*` means any characters.
    pub clients: String,
    /// Encoding of payloads.
    pub payload: PayloadForm,
    /// Largest number of events in a request.
    pub batch: usize,
    /// How long the first event of a request waits for more.
    pub linger: Duration,
    /// File with the secrets that sign requests.
    pub secret_file: Option<PathBuf>,
    /// Largest number of queued events.
    pub queue: usize,
    /// Largest size of the queued events, in bytes of JSON.
    pub queue_bytes: usize,
    /// Time limit for a request and its answer.
    pub timeout: Duration,
    /// Published messages are durable; `None`: they are like other events.
    pub durable: Option<Keeps>,
}

/// The options of durable messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Keeps {
    /// The name of the store, which is the same after a restart.
    pub origin: Arc<str>,
    /// The file of refused messages.
    pub rejected: PathBuf,
    /// Its largest size.
    pub rejected_bytes: usize,
}
