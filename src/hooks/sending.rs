//! [`Sending`]: sends the requests of one lane, one at a time. A failed request is sent again with the same identifier
//! and body until the service accepts or refuses it.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use tokio::sync::watch;

use super::{event::Teller, signature::Secrets, state::Shared};
use crate::{
    clock::Clock,
    outbound::{Backoff, HttpAnswer, HttpClient, HttpRequest},
};

/// Sends the events of one lane.
pub(super) struct Sending {
    pub name: Arc<str>,
    pub lane: usize,
    pub shared: Arc<Shared>,
    pub teller: Arc<Teller>,
    pub client: Arc<HttpClient>,
    pub clock: Clock,
    pub batch: usize,
    pub linger: Duration,
    pub secret_file: Option<PathBuf>,
    /// Set when the webhook ends: send the queue, then end.
    pub closing: watch::Receiver<bool>,
}

/// A request.
struct Batch {
    id: String,
    body: Bytes,
    events: usize,
    bytes: usize,
    /// Number of lost events that this request reports.
    lost: u64,
}

/// Outcome of a request.
enum Outcome {
    Taken,
    Refused(String),
    /// Retry, not earlier than after this time.
    Again(String, Duration),
}

/// Bounds of the wait before a retry.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest Retry-After that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);
const BATCH: HeaderValue = HeaderValue::from_static("application/cloudevents-batch+json; charset=UTF-8");

impl Sending {
    /// Runs until the webhook ends and the queue is empty, or until a request fails after the webhook was told to end.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(SHORTEST_WAIT, LONGEST_WAIT);
        let mut number = 0_u64;
        while let Some(batch) = self.next(number).await {
            number += 1;
            loop {
                match self.attempt(&batch).await {
                    Outcome::Taken => {
                        backoff.reset();
                        self.taken(&batch);
                        break;
                    }
                    Outcome::Refused(why) => {
                        self.failed(&why, "the events are dropped");
                        self.shared.dropped.fetch_add(batch.events as u64, Ordering::Relaxed);
                        self.shared.lanes.put_back_untold(batch.lost);
                        break;
                    }
                    Outcome::Again(why, after) => {
                        self.failed(&why, "the request will be retried");
                        let was_closing = *self.closing.borrow();
                        if was_closing {
                            return;
                        }
                        let wait = backoff.next().max(after);
                        tokio::select! {
                            () = self.clock.sleep(wait) => {}
                            _ = self.closing.changed() => {}
                        }
                    }
                }
            }
            self.shared.lanes.done(batch.events, batch.bytes);
        }
    }

    /// Waits for the next request: it has as many events as allowed, or its first event has waited long enough.
    async fn next(&mut self, number: u64) -> Option<Batch> {
        loop {
            let is_closing = *self.closing.borrow_and_update();
            let due = match self.shared.lanes.oldest(self.lane) {
                None if is_closing => return None,
                None => None,
                Some((since, waiting)) => {
                    let due = since + self.linger;
                    if is_closing || waiting >= self.batch || due <= self.clock.now() {
                        return Some(self.batch(number));
                    }
                    Some(due)
                }
            };
            tokio::select! {
                () = self.shared.lanes.rings(self.lane) => {}
                () = wait(&self.clock, due) => {}
                // an error means that the webhook is gone
                changed = self.closing.changed() => if changed.is_err() { return None },
            }
        }
    }

    fn batch(&self, number: u64) -> Batch {
        let id = format!("msg_{}_{}_{number}", self.teller.boot(), self.lane);
        let waiting = self.shared.lanes.take(self.lane, self.batch);
        let lost = self.shared.lanes.take_untold();
        let told = (lost > 0).then(|| self.teller.lost(lost, &id, self.clock.wall()));
        let texts: Vec<_> = told.as_deref().into_iter().chain(waiting.iter().map(|one| one.text.as_str())).collect();
        let body = format!("[{}]", texts.join(",\n"));
        let bytes = waiting.iter().map(|one| one.text.len()).sum();
        Batch { id, body: body.into(), events: waiting.len(), bytes, lost }
    }

    async fn attempt(&self, batch: &Batch) -> Outcome {
        let headers = match self.headers(batch) {
            Ok(headers) => headers,
            Err(why) => return Outcome::Again(why, Duration::ZERO),
        };
        let request = HttpRequest { method: Method::POST, path: None, headers, body: batch.body.clone() };
        match self.client.send(&request).await {
            Ok(answer) => outcome(&answer),
            Err(error) => Outcome::Again(error.to_string(), Duration::ZERO),
        }
    }

    fn headers(&self, batch: &Batch) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let now = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        headers.insert(CONTENT_TYPE, BATCH);
        headers.insert("webhook-id", text(&batch.id)?);
        headers.insert("webhook-timestamp", now.into());
        if let Some(file) = &self.secret_file {
            let secrets = Secrets::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            headers.insert("webhook-signature", text(&secrets.sign(&batch.id, now, &batch.body))?);
        }
        Ok(headers)
    }

    fn taken(&self, batch: &Batch) {
        self.shared.sent.fetch_add(batch.events as u64, Ordering::Relaxed);
        if self.shared.works() {
            tracing::info!(target: "dunlin::hooks", webhook = &*self.name, "the service takes events again");
        }
    }

    fn failed(&self, why: &str, then: &str) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        if self.shared.fails(why, self.clock.wall()) {
            tracing::warn!(target: "dunlin::hooks", webhook = &*self.name, reason = why, "a request failed: {then}");
        }
    }
}

async fn wait(clock: &Clock, until: Option<std::time::Instant>) {
    match until {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn outcome(answer: &HttpAnswer) -> Outcome {
    let status = answer.status;
    let why = || format!("the service answered {status}{}", said(answer));
    let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match status {
        status if status.is_success() => Outcome::Taken,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Outcome::Again(why(), after(seconds)),
        status if status.is_client_error() => Outcome::Refused(why()),
        // also redirects, which are not followed
        _ => Outcome::Again(why(), after(seconds)),
    }
}

/// The start of the answer's text, if it is short.
fn said(answer: &HttpAnswer) -> String {
    match std::str::from_utf8(&answer.body).map(str::trim) {
        Ok(text) if answer.is_whole && !text.is_empty() && text.len() <= 200 && !text.contains(char::is_control) => {
            format!(": {text}")
        }
        _ => String::new(),
    }
}

fn after(seconds: Option<u64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_s_status_decides_whether_a_request_is_repeated() {
        let table = [
            (200, None, "taken"),
            (204, None, "taken"),
            (400, None, "refused"),
            (401, None, "refused"),
            (404, None, "refused"),
            (410, None, "refused"),
            (422, None, "refused"),
            (302, None, "again after 0ns"),
            (408, None, "again after 0ns"),
            (429, Some("7"), "again after 7s"),
            (429, Some("soon"), "again after 0ns"),
            (429, Some("99999999"), "again after 3600s"),
            (500, None, "again after 0ns"),
            (503, Some("2"), "again after 2s"),
        ];
        for (status, retry_after, expected) in table {
            let mut headers = HeaderMap::new();
            retry_after.into_iter().for_each(|value| _ = headers.insert(RETRY_AFTER, HeaderValue::from_static(value)));
            let status = StatusCode::from_u16(status).unwrap();
            let found = match outcome(&HttpAnswer { status, headers, body: Bytes::new(), is_whole: true }) {
                Outcome::Taken => "taken".into(),
                Outcome::Refused(_) => "refused".into(),
                Outcome::Again(_, after) => format!("again after {after:?}"),
            };
            assert_eq!(found, expected, "{status}");
        }
    }
}
