//! [`Durable`]: sends the messages of a durable webhook. A message stays in its queue until the service accepted it, or
//! until it is in the file of refused events.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;

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
    types::{ClientId, QueueFull, WEBHOOKS},
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
}

/// A message as an event.
struct One {
    text: String,
    /// `None`: it is of QoS 0.
    ack: Option<Ack>,
}

/// The Client Identifier of a durable webhook's session.
pub(super) fn client_of(name: &str) -> ClientId {
    ClientId::from(format!("{WEBHOOKS}{name}").as_str())
}

/// Largest size of a request that has more than one event, as payloads.
const MOST_BYTES: usize = 1 << 20;

/// Begins or resumes the session of a durable webhook.
pub(super) async fn open(inside: &Inside, options: &Options) -> Result<Outlet, ClientError> {
    let Options { name, filter, queue, queue_bytes, .. } = options;
    let queue = Bound { messages: *queue, bytes: *queue_bytes, policy: QueueFull::DropNewest };
    Outlet::open(inside, client_of(name).to_string(), filter.clone(), queue, limits(options)).await
}

/// The bounds of its requests.
pub(super) fn limits(Options { batch, linger, .. }: &Options) -> Limits {
    Limits { messages: *batch, bytes: MOST_BYTES, linger: *linger, drains: false }
}

/// Is it the same webhook, with the same queue?
pub(super) fn goes_on(before: &Options, now: &Options) -> bool {
    let of = |one: &Options| (one.name.clone(), one.filter.clone(), one.queue, one.queue_bytes);
    now.durable.is_some() && of(before) == of(now)
}

impl Durable {
    /// Runs until the webhook ends.
    pub(super) async fn run(mut self) {
        let mut number = 0_u64;
        while let Some(batch) = self.outlet.next(&mut self.posting.closing).await {
            number += 1;
            let id = self.teller.request("d", number);
            let event = |received| self.teller.of_kept(&self.origin, &self.posting.name, self.session, received);
            let batch: Vec<_> = batch.iter().map(|one| One { text: event(one), ack: one.ack }).collect();
            if !self.deliver(&id, &batch).await {
                break;
            }
        }
    }

    /// Sends messages and acknowledges them. `false`: the webhook ends, and some of them are left.
    async fn deliver(&mut self, id: &str, batch: &[One]) -> bool {
        let lost = self.outlet.lost();
        let told = (lost > 0).then(|| self.teller.lost(lost, id, self.posting.clock.wall()));
        let body = body_of(told.as_deref().into_iter().chain(batch.iter().map(|one| one.text.as_str())));
        let why = match self.posting.deliver(id, &body, batch.len()).await {
            Ended::Closed => return false,
            Ended::Taken => {
                self.outlet.reported(lost);
                self.outlet.acknowledge(batch.iter().filter_map(|one| one.ack));
                return true;
            }
            Ended::Refused(why) => why,
        };
        match (batch, &told) {
            ([one], None) => return self.reject(one, &why).await,
            (_, None) => {}
            // it may be the reason; whatever the service answers, it is told once
            (_, Some(told)) => {
                let body = body_of(std::iter::once(told.as_str()));
                if self.posting.deliver(&format!("{id}_lost"), &body, 0).await == Ended::Closed {
                    return false;
                }
                self.outlet.reported(lost);
            }
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
        let Posting { name, clock, .. } = &self.posting;
        let at = humantime::format_rfc3339_micros(clock.wall()).to_string();
        let about = json!({ "webhook": &**name, "at": at, "why": why }).to_string();
        // the event as it was sent, which is JSON
        let line: Arc<str> = format!("{},\"event\":{}}}", about.trim_end_matches('}'), one.text).into();
        let shared = self.posting.shared.clone();
        while let Err(error) = self.rejected.append(line.clone()).await {
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
