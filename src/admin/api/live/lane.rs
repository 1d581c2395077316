//! [`Lane`]: messages of one filter, taken from a client within the process at each update.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::super::{super::problem::Problem, call::Call, parameters::bad, streams};
use crate::{
    inside::{Client, InsideClient, Received},
    session::{Bound, Missed},
    types::{QoS, QueueFull},
};

/// Messages, and bytes of their payloads.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub messages: usize,
    pub bytes: usize,
}

/// What may wait until the next update.
const WAITING: Bound = Bound { messages: 20_000, bytes: 16 << 20, policy: QueueFull::DropOldest };

/// Messages of one filter.
pub(super) struct Lane {
    pub name: &'static str,
    client: Client,
    /// Of one update.
    most: Most,
    /// Are retained messages shown that were there before?
    retained: bool,
    /// Messages that were missed and told.
    told: u64,
}

impl Lane {
    pub async fn open(
        call: &Call,
        name: &'static str,
        filter: String,
        most: Most,
        retained: bool,
    ) -> Result<Self, Problem> {
        let id = format!("$http-{}", call.state.stream_ids.fetch_add(1, Ordering::Relaxed));
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
        Ok(Self { name, client, most, retained, told: 0 })
    }

    /// Up to as many messages as an update has, and whether there may be more.
    pub fn take(&self, mut each: impl FnMut(&Received)) -> bool {
        let (mut messages, mut bytes) = (0, 0);
        while messages < self.most.messages && bytes < self.most.bytes {
            let Some(received) = self.client.try_recv() else { return false };
            self.client.ack(&received);
            // nobody knows when a message was published that was retained before
            if received.retain && received.at.is_none() && !self.retained {
                continue;
            }
            messages += 1;
            bytes += received.payload().len();
            each(&received);
        }
        true
    }

    /// Messages that were lost since this was asked the last time.
    pub fn missed(&mut self) -> u64 {
        let Missed { queue_full, expired } = self.client.missed();
        let missed = queue_full + expired;
        missed - std::mem::replace(&mut self.told, missed)
    }

    /// The messages of an update, and how many were left out.
    pub fn update(&mut self) -> (Vec<Value>, u64) {
        let (mut data, mut skipped) = (Vec::new(), 0_u64);
        let is_more = self.take(|received| data.push(streams::message(received)));
        // what is not shown now would be late: the reader sees how much there is instead
        if is_more && self.name == "messages" {
            skipped = self.skip();
        }
        (data, skipped + self.missed())
    }

    /// Leaves out what waits; how many that were.
    fn skip(&self) -> u64 {
        let mut skipped = 0;
        while skipped < WAITING.messages as u64
            && let Some(received) = self.client.try_recv()
        {
            self.client.ack(&received);
            skipped += 1;
        }
        skipped
    }
}
