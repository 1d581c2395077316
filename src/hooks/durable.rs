//! [`Durable`]: sends the messages of a durable webhook. A message stays in its queue until the service accepted it, or
//! until it is in the file of refused events.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    event::Teller,
    options::Options,
    outlet::{Limits, Outlet},
    posting::{Ended, Posting},
    rejected::Rejected,
    sending::body_of,
};
use crate::{
    inside::{Ack, ClientError, Inside},
    session::Bound,
    types::{ClientId, QueueFull},
};

/// Sends the messages of a durable webhook, in their order.
pub(super) struct Durable {
    pub outlet: Arc<Outlet>,
    pub posting: Posting,
    pub teller: Arc<Teller>,
    /// The name of the store.
    pub origin: Arc<str>,
    pub rejected: Rejected,
    /// The number of the session in the store.
    pub session: u64,
    /// Lost messages that a request has reported.
    pub told: u64,
}

/// A message as an event.
struct One {
    text: String,
    /// `None`: it is of QoS 0.
    ack: Option<Ack>,
}

/// The Client Identifier of a durable webhook's session.
pub(super) fn client_of(name: &str) -> ClientId {
    ClientId::from(format!("$webhook/{name}").as_str())
}

/// Largest size of a request that has more than one event, as payloads.
const MOST_BYTES: usize = 1 << 20;

/// Begins or resumes the session of a durable webhook.
pub(super) async fn open(inside: &Inside, options: &Options) -> Result<Outlet, ClientError> {
    let Options { name, filter, queue, queue_bytes, batch, linger, .. } = options;
    let queue = Bound { messages: *queue, bytes: *queue_bytes, policy: QueueFull::DropNewest };
    let limits = Limits { messages: *batch, bytes: MOST_BYTES, linger: *linger };
    Outlet::open(inside, client_of(name).to_string(), filter.clone(), queue, limits).await
}

impl Durable {
    /// Runs until the webhook ends.
    pub(super) async fn run(mut self) {
        let mut number = 0_u64;
        while let Some(batch) = self.outlet.next(&mut self.posting.closing).await {
            number += 1;
            let id = format!("msg_{}_d_{number}", self.teller.boot());
            let event = |received| self.teller.of_kept(&self.origin, &self.posting.name, self.session, received);
            let batch: Vec<_> = batch.iter().map(|one| One { text: event(one), ack: one.ack }).collect();
            if !self.deliver(&id, &batch).await {
                break;
            }
        }
    }

    /// Sends messages and acknowledges them. `false`: the webhook ends, and some of them are left.
    async fn deliver(&mut self, id: &str, batch: &[One]) -> bool {
        let all = self.outlet.lost();
        let lost = all - self.told;
        let told = (lost > 0).then(|| self.teller.lost(lost, id, self.posting.clock.wall()));
        let body = body_of(told.as_deref().into_iter().chain(batch.iter().map(|one| one.text.as_str())));
        let why = match self.posting.deliver(id, &body, batch.len()).await {
            Ended::Closed => return false,
            Ended::Taken => {
                self.told = all;
                self.outlet.acknowledge(batch.iter().filter_map(|one| one.ack));
                return true;
            }
            Ended::Refused(why) => why,
        };
        if let [one] = batch {
            return self.reject(one, &why).await;
        }
        // one of them may be the reason why all of them were refused
        for (at, one) in batch.iter().enumerate() {
            let body = body_of(std::iter::once(one.text.as_str()));
            let goes_on = match self.posting.deliver(&format!("{id}_{at}"), &body, 1).await {
                Ended::Taken => {
                    self.outlet.acknowledge(one.ack.into_iter());
                    true
                }
                Ended::Refused(why) => self.reject(one, &why).await,
                Ended::Closed => false,
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Writes a refused message to the file, and acknowledges it. `false`: the webhook ends, and there was no room yet.
    async fn reject(&mut self, one: &One, why: &str) -> bool {
        let event: Value = serde_json::from_str(&one.text).unwrap_or_default();
        let Posting { name, clock, .. } = &self.posting;
        let at = humantime::format_rfc3339_micros(clock.wall()).to_string();
        let line = json!({ "webhook": &**name, "at": at, "why": why, "event": event }).to_string();
        let shared = self.posting.shared.clone();
        while let Err(error) = self.rejected.append(&line) {
            let why = format!("{}: {error}", self.rejected.path().display());
            if shared.stops(true) {
                let webhook = &*self.posting.name;
                tracing::error!(target: "dunlin::hooks", webhook, reason = why, "delivery has stopped: refused messages cannot be kept");
            }
            self.posting.failed(&why, "nothing is sent until there is room");
            if !self.posting.waited(Duration::ZERO).await {
                return false;
            }
        }
        if shared.stops(false) {
            let webhook = &*self.posting.name;
            tracing::info!(target: "dunlin::hooks", webhook, "delivery continues: refused messages are kept again");
        }
        shared.dropped.fetch_add(1, Ordering::Relaxed);
        self.outlet.acknowledge(one.ack.into_iter());
        true
    }
}
