//! [`Sending`]: the requests of one lane, one at a time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use hyper::body::Bytes;

use super::{
    event::Teller,
    posting::{Ended, Posting},
};
use crate::clock::Clock;

/// Sends the events of one lane.
pub(super) struct Sending {
    pub lane: usize,
    pub posting: Posting,
    pub teller: Arc<Teller>,
    pub batch: usize,
    pub linger: Duration,
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

impl Sending {
    /// Runs until the webhook ends and the queue is empty, or until a request fails after the webhook was told to end.
    pub(super) async fn run(mut self) {
        let mut number = 0_u64;
        while let Some(batch) = self.next(number).await {
            number += 1;
            match self.posting.deliver(&batch.id, &batch.body, batch.events).await {
                Ended::Taken => {}
                Ended::Refused(_) => {
                    let shared = &self.posting.shared;
                    shared.dropped.fetch_add(batch.events as u64, Ordering::Relaxed);
                    shared.lanes.put_back_untold(batch.lost);
                }
                Ended::Closed => return,
            }
            self.posting.shared.lanes.done(batch.events, batch.bytes);
        }
    }

    /// Waits for the next request: it has as many events as allowed, or its first event has waited long enough.
    async fn next(&mut self, number: u64) -> Option<Batch> {
        loop {
            let Posting { shared, clock, closing, .. } = &mut self.posting;
            let is_closing = *closing.borrow_and_update();
            let due = match shared.lanes.oldest(self.lane) {
                None if is_closing => return None,
                None => None,
                Some((since, waiting)) => {
                    let due = since + self.linger;
                    if is_closing || waiting >= self.batch || due <= clock.now() {
                        return Some(self.batch(number));
                    }
                    Some(due)
                }
            };
            tokio::select! {
                () = shared.lanes.rings(self.lane) => {}
                () = wait(clock, due) => {}
                // an error means that the webhook is gone
                changed = closing.changed() => if changed.is_err() { return None },
            }
        }
    }

    fn batch(&self, number: u64) -> Batch {
        let Posting { shared, clock, .. } = &self.posting;
        let id = self.teller.request(self.lane, number);
        let waiting = shared.lanes.take(self.lane, self.batch);
        let lost = shared.lanes.take_untold();
        let told = (lost > 0).then(|| self.teller.lost(lost, &id, clock.wall()));
        let body = body_of(told.as_deref().into_iter().chain(waiting.iter().map(|one| one.text.as_str())));
        let bytes = waiting.iter().map(|one| one.text.len()).sum();
        Batch { id, body, events: waiting.len(), bytes, lost }
    }
}

/// The body of a request with these events.
pub(super) fn body_of<'a>(events: impl Iterator<Item = &'a str>) -> Bytes {
    format!("[{}]", events.collect::<Vec<_>>().join(",\n")).into()
}

/// Waits until this time; `None`: forever.
pub(super) async fn wait(clock: &Clock, until: Option<Instant>) {
    match until {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
