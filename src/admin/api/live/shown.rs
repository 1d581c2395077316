//! [`Shown`]: the first messages of each update, and how many came behind them.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{
    super::{
        super::feed::{Message, Tap},
        call::time,
        streams,
    },
    lane::Lane,
};
use crate::trace::{properties, put_payload};

/// Messages of one filter.
pub(super) struct Shown {
    tap: Tap,
    /// There until retained messages were taken.
    lane: Option<Lane>,
}

impl Shown {
    pub fn new(tap: Tap, lane: Option<Lane>) -> Self {
        Self { tap, lane }
    }

    /// The messages of an update, and how many were left out.
    pub fn update(&mut self, now: SystemTime) -> (Vec<Value>, u64) {
        let mut data = Vec::new();
        let mut lost = 0;
        if let Some(lane) = &mut self.lane {
            let more = lane.take(|received| {
                if received.at.is_none() {
                    data.push(streams::message(&received));
                }
            });
            lost = lane.missed();
            if !more {
                self.lane = None;
            }
        }
        let (all, skipped) = self.tap.waits(now).take_messages();
        data.extend(all.iter().map(shown));
        (data, skipped + lost)
    }
}

/// As a message is told elsewhere.
fn shown(message: &Message) -> Value {
    let mut shown = json!({
        "at": time(message.at),
        "topic": message.topic,
        "qos": message.qos as u8,
        "retain": message.retain,
        "client": message.client.as_ref().map(|client| client.as_str()),
        "properties": properties(message.properties.as_properties()),
    });
    put_payload(&mut shown, &message.payload);
    shown
}
