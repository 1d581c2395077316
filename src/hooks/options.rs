//! [`Options`]: what a webhook is asked to do, as the server makes it of the configuration.

use std::{path::PathBuf, time::Duration};

use crate::{
    outbound::TlsOptions,
    types::{HttpUrl, PayloadForm, Told},
};

/// What a webhook is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Where events are sent.
    pub url: HttpUrl,
    /// How TLS is spoken there.
    pub tls: TlsOptions,
    /// What is sent.
    pub events: Vec<Told>,
    /// Topic Filters of messages.
    pub filter: Vec<String>,
    /// Client Identifiers, with `*` for any characters.
    pub clients: String,
    /// How payloads are written.
    pub payload: PayloadForm,
    /// Events in a request, at most.
    pub batch: usize,
    /// How long an event waits for others.
    pub linger: Duration,
    /// The secrets that requests are signed with.
    pub secret_file: Option<PathBuf>,
    /// Events that wait, at most.
    pub queue: usize,
    /// Bytes of those, as JSON.
    pub queue_bytes: usize,
    /// How long a request and its answer may take.
    pub timeout: Duration,
}
