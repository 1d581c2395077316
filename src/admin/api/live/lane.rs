//! [`Lane`]: the messages of one filter, received by a client within the process and taken at each update.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::super::{
    super::{feed::PAGES, problem::Problem},
    call::Call,
    parameters::bad,
    streams,
};
use crate::{
    inside::{Client, InsideClient, Received},
    session::{Bound, Missed},
    types::{QoS, QueueFull},
};

/// A number of messages, and bytes of their payloads.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub messages: usize,
    pub bytes: usize,
}

/// Bound of the messages that wait for the next update.
const WAITING: Bound = Bound { messages: 20_000, bytes: 16 << 20, policy: QueueFull::DropOldest };

/// Messages taken under one lock of the session. The bytes of so many may exceed the bound of an update.
const AT_ONCE: usize = 32;

/// Receives the messages of one filter.
pub(super) struct Lane {
    pub name: &'static str,
    client: Client,
    /// Bound of one update.
    most: Most,
    /// Are messages shown that were retained before?
    retained: bool,
    /// Missed messages that were already reported.
    told: u64,
    /// Those that are taken together.
    taken: Vec<Received>,
}

impl Lane {
    pub async fn open(
        call: &Call,
        name: &'static str,
        filter: String,
        most: Most,
        retained: bool,
    ) -> Result<Self, Problem> {
        let id = format!("{PAGES}{}", call.state.stream_ids.fetch_add(1, Ordering::Relaxed));
        let asked = InsideClient {
            id,
            filters: vec![filter],
            qos: QoS::ExactlyOnce,
            queue: WAITING,
            retain_as_published: true,
            ..InsideClient::default()
        };
        let client = call.desk.inside.client(asked).await;
        let client = client.map_err(|error| bad("filter", error.to_string()))?;
        Ok(Self { name, client, most, retained, told: 0, taken: Vec::new() })
    }

    /// Takes the messages of an update, up to its bound. `true`: more may wait.
    pub fn take(&mut self, mut each: impl FnMut(Received)) -> bool {
        let Self { client, most, retained, taken, .. } = self;
        let (mut messages, mut bytes) = (0, 0);
        while messages < most.messages && bytes < most.bytes {
            let more = client.take_acknowledged(AT_ONCE.min(most.messages - messages), taken);
            for received in taken.drain(..) {
                // the time at which an earlier retained message was published is not known
                if received.retain && received.at.is_none() && !*retained {
                    continue;
                }
                messages += 1;
                bytes += received.payload().len();
                each(received);
            }
            if !more {
                return false;
            }
        }
        true
    }

    /// Number of messages lost since the last call.
    pub fn missed(&mut self) -> u64 {
        let Missed { queue_full, expired } = self.client.missed();
        let missed = queue_full + expired;
        missed - std::mem::replace(&mut self.told, missed)
    }

    /// The messages of an update, and the number of messages that were left out.
    pub fn update(&mut self) -> (Vec<Value>, u64) {
        let (mut data, mut skipped) = (Vec::new(), 0_u64);
        let is_more = self.take(|received| data.push(streams::message(&received)));
        // messages over the bound would be shown late: the reader gets their number instead
        if is_more && self.name == "messages" {
            skipped = self.skip();
        }
        (data, skipped + self.missed())
    }

    /// Discards the waiting messages; returns their number.
    fn skip(&mut self) -> u64 {
        let mut skipped = 0;
        while skipped < WAITING.messages {
            let more = self.client.take_acknowledged(AT_ONCE, &mut self.taken);
            skipped += self.taken.len();
            self.taken.clear();
            if !more {
                break;
            }
        }
        skipped as u64
    }
}
