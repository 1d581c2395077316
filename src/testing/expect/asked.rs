//! [`Expect`]: what a test waits for, and checks of it.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::super::span::Span;
use crate::trace::Direction;

/// What a test waits for: messages, unless `state`, `subscribed`, `acknowledged` or `idle` is set.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Messages whose topics this Topic Filter matches.
    pub filter: Option<String>,
    /// Messages of this publisher; with `state`, `subscribed` or `acknowledged`: the client that these concern.
    pub client: Option<String>,
    /// Messages of this user.
    pub user: Option<String>,
    /// Messages with this payload.
    pub payload: Option<String>,
    /// The same in Base64.
    pub payload_base64: Option<String>,
    /// Messages whose payloads are JSON with these values: `{"$.rooms[0].temperature": 21}`.
    pub json_path: Option<Map<String, Value>>,
    /// Messages whose payload is text in which this regular expression has a match.
    pub regex: Option<String>,
    /// Messages with this QoS, or subscriptions with this granted QoS.
    pub qos: Option<u8>,
    /// Messages with this RETAIN.
    #[serde(alias = "retained")]
    pub retain: Option<bool>,
    /// Packets of this type instead of messages: `"PUBACK"`. `filter`, `payload`, `qos` and `retain` then apply to
    /// PUBLISH packets.
    pub packet: Option<String>,
    /// Packets in this direction.
    pub direction: Option<Direction>,
    /// PUBLISH packets with this DUP.
    pub dup: Option<bool>,
    /// Packets with this Packet Identifier.
    pub packet_id: Option<u16>,
    /// Packets with this Reason Code.
    pub reason_code: Option<u8>,
    /// Packets that this fault changed: `"drop"`; or `"none"`: unchanged packets.
    pub fault: Option<String>,
    /// At least this number; default 1.
    pub count: Option<usize>,
    /// At most this number, until the broker is idle and for 200 ms after that.
    pub at_most: Option<usize>,
    /// Same as `at_most: 0`.
    pub none: bool,
    /// The messages include these payloads, in this order.
    pub order: Option<Vec<String>>,
    /// The client is `connected`, `away` (it has only a session) or `gone`.
    pub state: Option<String>,
    /// The client has a subscription with exactly this Topic Filter.
    pub subscribed: Option<String>,
    /// The client has acknowledged everything, and its queue is empty.
    pub acknowledged: bool,
    /// The broker is idle.
    pub idle: bool,
    /// Only what happened after the event with this number counts.
    pub after: u64,
    /// Time limit: 5 s by default, 10 minutes at most.
    #[serde(deserialize_with = "span", skip_serializing)]
    pub within: Option<Duration>,
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Some(Span::deserialize(deserializer)?.0))
}

/// Largest and default time limit.
const LONGEST: Duration = Duration::from_secs(600);
const USUAL: Duration = Duration::from_secs(5);

impl Expect {
    /// A message with a topic that this filter matches.
    pub fn message(filter: &str) -> Self {
        Self { filter: Some(filter.into()), ..Self::default() }
    }

    /// A condition of a client; set `state`, `subscribed` or `acknowledged`.
    pub fn client(name: &str) -> Self {
        Self { client: Some(name.into()), ..Self::default() }
    }

    /// The expectation, as it is written in a request.
    pub(super) fn shown(&self) -> String {
        let mut all = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut all {
            fields.retain(|_, value| !(value.is_null() || *value == false || *value == 0));
        }
        all.to_string()
    }

    /// The time limit.
    pub(super) fn within(&self) -> Result<Duration, String> {
        match self.within.unwrap_or(USUAL) {
            within if within > LONGEST => Err("within: at most 10m".into()),
            within => Ok(within),
        }
    }

    /// The largest number of matching messages.
    pub(super) fn most(&self) -> Option<usize> {
        if self.none { Some(0) } else { self.at_most }
    }

    /// Refuses combinations that make no sense.
    pub(super) fn check(&self) -> Result<(), String> {
        let of_client = self.state.is_some() || self.subscribed.is_some() || self.acknowledged;
        let of_messages = [
            ("filter", self.filter.is_some()),
            ("user", self.user.is_some()),
            ("payload", self.payload.is_some()),
            ("payload_base64", self.payload_base64.is_some()),
            ("json_path", self.json_path.is_some()),
            ("regex", self.regex.is_some()),
            ("retain", self.retain.is_some()),
            ("packet", self.packet.is_some()),
            ("direction", self.direction.is_some()),
            ("dup", self.dup.is_some()),
            ("packet_id", self.packet_id.is_some()),
            ("reason_code", self.reason_code.is_some()),
            ("fault", self.fault.is_some()),
            ("count", self.count.is_some()),
            ("at_most", self.at_most.is_some()),
            ("none", self.none),
            ("order", self.order.is_some()),
        ];
        let given: Vec<_> = of_messages.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if of_client && self.client.is_none() {
            return Err("client: the Client Identifier is missing".into());
        }
        if (of_client || self.idle) && !given.is_empty() {
            let what = if self.idle { "idle" } else { "state, subscribed and acknowledged" };
            return Err(format!("{}: this is for messages, and does not go with {what}", given.join(", ")));
        }
        if self.idle && (of_client || self.client.is_some()) {
            return Err("idle concerns the whole broker".into());
        }
        if self.none && (self.count.is_some() || self.at_most.is_some() || self.order.is_some()) {
            return Err("none excludes count, at_most and order".into());
        }
        if let (Some(count), Some(most)) = (self.count, self.at_most)
            && count > most
        {
            return Err(format!("count: {count} is more than at_most: {most}"));
        }
        if !of_client && !self.idle && given.is_empty() && self.client.is_none() {
            return Err("what is expected? Give filter, or client with state, or idle".into());
        }
        Ok(())
    }

    /// Does it concern one client?
    pub(super) fn is_of_client(&self) -> bool {
        self.state.is_some() || self.subscribed.is_some() || self.acknowledged
    }
}
