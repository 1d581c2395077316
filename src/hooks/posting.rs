//! [`Posting`]: sends requests, one at a time. A failed request is sent again with the same identifier and body until
//! the service accepts or refuses it.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};

use hyper::{
    HeaderMap, Method,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::sync::watch;

use super::{
    outcome::{Outcome, outcome},
    signature::Secrets,
    state::Shared,
};
use crate::{
    clock::Clock,
    outbound::{Backoff, HttpClient, HttpRequest},
};

/// Sends requests, one at a time.
pub(super) struct Posting {
    pub name: Arc<str>,
    pub shared: Arc<Shared>,
    pub client: Arc<HttpClient>,
    pub clock: Clock,
    pub secret_file: Option<PathBuf>,
    /// Its events are durable messages: only answers about an event itself refuse it.
    pub durable: bool,
    /// Set when the webhook ends: try once more, then end.
    pub closing: watch::Receiver<bool>,
    pub backoff: Backoff,
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The service accepted it.
    Taken,
    /// The service refused it, for this reason.
    Refused(String),
    /// It failed, and the webhook ends.
    Closed,
}

/// Bounds of the wait before a retry.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const BATCH: HeaderValue = HeaderValue::from_static("application/cloudevents-batch+json; charset=UTF-8");

/// The waits between requests that fail.
pub(super) fn backoff() -> Backoff {
    Backoff::new(SHORTEST_WAIT, LONGEST_WAIT)
}

impl Posting {
    /// Sends a request with this number of events until the service accepts or refuses it.
    pub(super) async fn deliver(&mut self, id: &str, body: &Bytes, events: usize) -> Ended {
        loop {
            match self.attempt(id, body).await {
                Outcome::Taken => {
                    self.backoff.reset();
                    self.shared.sent.fetch_add(events as u64, Ordering::Relaxed);
                    self.works();
                    return Ended::Taken;
                }
                Outcome::Refused(why) => {
                    let then =
                        if self.durable { "refused events are kept in a file" } else { "the events are dropped" };
                    self.failed(&why, then);
                    return Ended::Refused(why);
                }
                Outcome::Again(why, after) => {
                    self.failed(&why, "the request will be retried");
                    if !self.waited(after).await {
                        return Ended::Closed;
                    }
                }
            }
        }
    }

    /// Waits until the next try, which is the last one if the webhook ends meanwhile. `false`: there is none.
    pub(super) async fn waited(&mut self, after: Duration) -> bool {
        let was_closing = *self.closing.borrow_and_update();
        if was_closing {
            return false;
        }
        let wait = self.backoff.next().max(after);
        tokio::select! {
            () = self.clock.sleep(wait) => true,
            changed = self.closing.changed() => changed.is_ok(),
        }
    }

    async fn attempt(&self, id: &str, body: &Bytes) -> Outcome {
        let headers = match self.headers(id, body) {
            Ok(headers) => headers,
            Err(why) => return Outcome::Again(why, Duration::ZERO),
        };
        let request = HttpRequest { method: Method::POST, path: None, headers, body: body.clone() };
        match self.client.send(&request).await {
            Ok(answer) => outcome(&answer, self.durable, self.clock.wall()),
            Err(error) => Outcome::Again(error.to_string(), Duration::ZERO),
        }
    }

    fn headers(&self, id: &str, body: &[u8]) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let now = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        headers.insert(CONTENT_TYPE, BATCH);
        headers.insert("webhook-id", text(id)?);
        headers.insert("webhook-timestamp", now.into());
        if let Some(file) = &self.secret_file {
            let secrets = Secrets::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            headers.insert("webhook-signature", text(&secrets.sign(id, now, body))?);
        }
        Ok(headers)
    }

    /// Records that the service, or the file of refused events, accepts events.
    fn works(&self) {
        if self.shared.works() {
            tracing::info!(target: "dunlin::hooks", webhook = &*self.name, "the service takes events again");
        }
    }

    /// Counts a failed request, and logs it unless the one before failed for the same reason.
    pub(super) fn failed(&self, why: &str, then: &str) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        if self.shared.fails(why, self.clock.wall()) {
            tracing::warn!(target: "dunlin::hooks", webhook = &*self.name, reason = why, "a request failed: {then}");
        }
    }
}
