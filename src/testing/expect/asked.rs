//! [`Expect`]: what is waited for, as a test says it, and what is wrong with that.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::super::{packets::Direction, span::Span};

/// What is waited for: messages, unless one of `state`, `subscribed`, `acknowledged` and `idle` says something else.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Messages whose topics this Topic Filter matches.
    pub filter: Option<String>,
    /// Messages of this publisher; or the client of which something is to be true.
    pub client: Option<String>,
    /// Messages of this user.
    pub user: Option<String>,
    /// Messages with this payload.
    pub payload: Option<String>,
    /// The same, in Base64.
    pub payload_base64: Option<String>,
    /// Messages whose payloads are JSON with these values: `{"$.rooms[0].temperature": 21}`.
    pub json_path: Option<Map<String, Value>>,
    /// Messages whose payloads are text that this regular expression finds something in.
    pub regex: Option<String>,
    /// Messages with this QoS, or subscriptions that were granted it.
    pub qos: Option<u8>,
    /// Messages with this RETAIN.
    #[serde(alias = "retained")]
    pub retain: Option<bool>,
    /// Packets of this type on their way, in place of messages: `"PUBACK"`. `filter`, `payload`, `qos` and `retain` are
    /// then those of a PUBLISH.
    pub packet: Option<String>,
    /// Packets that go this way.
    pub direction: Option<Direction>,
    /// PUBLISH packets with this DUP.
    pub dup: Option<bool>,
    /// Packets with this Packet Identifier.
    pub packet_id: Option<u16>,
    /// Packets with this Reason Code.
    pub reason_code: Option<u8>,
    /// Packets that this was done to: `"drop"`; or `"none"`: nothing was.
    pub fault: Option<String>,
    /// There are so many of them, or more. 1 if nothing says something else.
    pub count: Option<usize>,
    /// There are no more than so many of them once the broker has nothing to do, and for 200 ms after that.
    pub at_most: Option<usize>,
    /// As `at_most: 0`.
    pub none: bool,
    /// Among them are messages with these payloads, in this order.
    pub order: Option<Vec<String>>,
    /// The client is `connected`, `away` (it has a session), or `gone` (it has none).
    pub state: Option<String>,
    /// The client has a subscription with exactly this Topic Filter.
    pub subscribed: Option<String>,
    /// The client has acknowledged all that was sent to it, and nothing waits for it.
    pub acknowledged: bool,
    /// The broker has nothing to do.
    pub idle: bool,
    /// Only what happened after the event of this number counts.
    pub after: u64,
    /// How long to wait: 5 s if nothing says something else, 10 minutes at most.
    #[serde(deserialize_with = "span")]
    pub within: Option<Duration>,
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Some(Span::deserialize(deserializer)?.0))
}

/// What a test waits for at most, and if it does not say how long.
const LONGEST: Duration = Duration::from_secs(600);
const USUAL: Duration = Duration::from_secs(5);

impl Expect {
    /// A message with a topic that this filter matches.
    pub fn message(filter: &str) -> Self {
        Self { filter: Some(filter.into()), ..Self::default() }
    }

    /// Something of a client.
    pub fn client(name: &str) -> Self {
        Self { client: Some(name.into()), ..Self::default() }
    }

    /// How long to wait.
    pub(super) fn within(&self) -> Result<Duration, String> {
        match self.within.unwrap_or(USUAL) {
            within if within > LONGEST => Err("within: 10m is the most".into()),
            within => Ok(within),
        }
    }

    /// The most that there may be.
    pub(super) fn most(&self) -> Option<usize> {
        if self.none { Some(0) } else { self.at_most }
    }

    /// What goes together?
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
            return Err("client: the Client Identifier of which this is to be true".into());
        }
        if (of_client || self.idle) && !given.is_empty() {
            let what = if self.idle { "idle" } else { "state, subscribed and acknowledged" };
            return Err(format!("{}: this is for messages, and does not go with {what}", given.join(", ")));
        }
        if self.idle && (of_client || self.client.is_some()) {
            return Err("idle is of the whole broker".into());
        }
        if self.none && (self.count.is_some() || self.at_most.is_some() || self.order.is_some()) {
            return Err("none does not go with count, at_most and order".into());
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

    /// Is something of one client waited for?
    pub(super) fn is_of_client(&self) -> bool {
        self.state.is_some() || self.subscribed.is_some() || self.acknowledged
    }
}
