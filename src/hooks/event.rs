//! [`Teller`]: encodes events as JSON in the form of CloudEvents 1.0.

use std::{
    fmt::Display,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    codec::{Properties, PropertyId, PropertyValue},
    inside::Received,
    router::{
        Publisher,
        inspect::{Happened, What},
    },
    types::{PayloadForm, Told, percent_encode},
};

/// Encodes the events of this broker.
pub(super) struct Teller {
    /// The source of events that concern the broker itself.
    source: String,
    boot: String,
    /// Distinguishes this webhook, in this configuration, within the run of the broker.
    turn: u64,
    payload: PayloadForm,
}

impl Teller {
    pub(super) fn new(broker: &str, boot: &str, turn: u64, payload: PayloadForm) -> Self {
        Self { source: format!("dunlin://{}", encoded(broker)), boot: boot.into(), turn, payload }
    }

    /// The identifier of a request of a lane; no other request has it.
    pub(super) fn request(&self, lane: impl Display, number: u64) -> String {
        format!("msg_{}_{}_{lane}_{number}", self.boot, self.turn)
    }

    /// An event of a client or of a message.
    pub(super) fn of(&self, told: Told, happened: &Happened, at: SystemTime) -> String {
        let number = happened.number;
        let source = match &happened.client {
            Some(client) => format!("{}/clients/{}", self.source, encoded(client.as_str())),
            None => self.source.clone(),
        };
        let mut event = json!({
            "specversion": "1.0",
            "id": format!("{}-{number}", self.boot),
            "source": source,
            "type": type_of(told),
            "time": time(at),
            "sequence": format!("{number:020}"),
            "datacontenttype": "application/json",
            "data": self.data(happened),
        });
        if let Some(topic) = happened.topic() {
            event["subject"] = topic.into();
        }
        event.to_string()
    }

    /// A message of a durable webhook. Its source and its identifier are the same after a restart: `origin` is the
    /// name of the store, and `session` a number in it.
    pub(super) fn of_kept(&self, origin: &str, webhook: &str, session: u64, received: &Received) -> String {
        let mut data = Map::new();
        let mut put = |name: &str, value: Value| _ = data.insert(name.into(), value);
        if let Some(Publisher { client, user }) = &received.publisher {
            put("client_id", client.as_str().into());
            if let Some(user) = user {
                put("user", user.as_str().into());
            }
        }
        put("topic", received.topic().into());
        put("qos", (received.qos as u8).into());
        put("retain", received.retain.into());
        put("size", received.payload().len().into());
        properties_of(received.properties(), &mut put);
        self.payload(received.payload(), &mut put);
        let number = received.number();
        // a message of QoS 0 is not stored, and another one may get its number
        let id = if received.ack.is_some() { format!("{session}-{number}") } else { format!("{}-{number}", self.boot) };
        let mut event = json!({
            "specversion": "1.0",
            "id": id,
            "source": format!("dunlin://{origin}/webhooks/{}", encoded(webhook)),
            "type": type_of(Told::MessagePublished),
            "subject": received.topic(),
            "sequence": format!("{number:020}"),
            "datacontenttype": "application/json",
            "data": data,
        });
        if let Some(at) = received.at {
            event["time"] = time(at).into();
        }
        event.to_string()
    }

    /// An event that concerns the broker itself, which happens once in a run.
    pub(super) fn of_broker(&self, told: Told, at: SystemTime) -> String {
        json!({
            "specversion": "1.0",
            "id": format!("{}-{}", self.boot, told.name()),
            "source": self.source,
            "type": type_of(told),
            "time": time(at),
            "datacontenttype": "application/json",
            "data": { "version": env!("CARGO_PKG_VERSION") },
        })
        .to_string()
    }

    /// The first event of a request: the number of events that were lost before it.
    pub(super) fn lost(&self, lost: u64, request: &str, at: SystemTime) -> String {
        json!({
            "specversion": "1.0",
            "id": format!("{request}-lost"),
            "source": self.source,
            "type": "dunlin.events.lost",
            "time": time(at),
            "datacontenttype": "application/json",
            "data": { "lost": lost },
        })
        .to_string()
    }

    fn data(&self, happened: &Happened) -> Value {
        let mut data = Map::new();
        let mut put = |name: &str, value: Value| _ = data.insert(name.into(), value);
        if let Some(client) = &happened.client {
            put("client_id", client.as_str().into());
        }
        if let Some(user) = &happened.user {
            put("user", (&**user).into());
        }
        if let Some((listener, version)) = happened.came_by {
            put("listener", listener.into());
            put("protocol", version.to_string().into());
        }
        match &happened.what {
            What::Connect { peer, clean_session, session_present } => {
                put("peer", peer.to_string().into());
                put("clean_session", (*clean_session).into());
                put("session_present", (*session_present).into());
            }
            What::Disconnect { reason, duration, received_bytes, sent_bytes } => {
                put("reason", reason.to_string().into());
                put("duration_seconds", tenths(*duration).into());
                put("received_bytes", (*received_bytes).into());
                put("sent_bytes", (*sent_bytes).into());
            }
            What::Subscribe(filter, options) => {
                put("filter", (&**filter).into());
                put("qos", (options.qos as u8).into());
            }
            What::Unsubscribe(filter) => put("filter", (&**filter).into()),
            What::Message { topic, qos, retain, payload, content, properties } => {
                put("topic", (&**topic).into());
                put("qos", (*qos as u8).into());
                put("retain", (*retain).into());
                put("size", (*payload).into());
                properties_of(properties.as_properties(), &mut put);
                if let Some(content) = content {
                    self.payload(content, &mut put);
                }
            }
            What::Drop { topic, payload, reason } => {
                put("topic", (&**topic).into());
                put("size", (*payload).into());
                put("reason", reason.why().into());
            }
            What::Acknowledge { topic, qos, payload, properties, error } => {
                put("topic", (&**topic).into());
                put("qos", (*qos as u8).into());
                put("size", (*payload).into());
                properties_of(properties.as_properties(), &mut put);
                error.iter().for_each(|error| put("reason_code", (*error as u8).into()));
            }
            What::Refuse { peer, reason } => {
                put("peer", peer.to_string().into());
                put("reason", reason.to_string().into());
            }
            What::Ban { network, reason, by, until } => {
                if let Some(network) = network {
                    put("network", network.to_string().into());
                }
                put("reason", (&**reason).into());
                put("by", (&**by).into());
                put("until", until.map_or(Value::Null, |until| time(until).into()));
            }
            // these come from `Hooks::tell`
            What::Start | What::Stop => {}
            What::Store(condition) => put("condition", condition.to_string().into()),
            What::Bridge { name, address, down } => {
                put("name", (&**name).into());
                put("address", (&**address).into());
                if let Some(reason) = down {
                    put("reason", (&**reason).into());
                }
            }
            What::SessionExpired(after) => put("away_seconds", after.as_secs().into()),
            // sampled messages are for measurements and never reach a webhook
            What::Timed { .. } | What::Ping => {}
        }
        data.into()
    }

    fn payload(&self, content: &[u8], put: &mut impl FnMut(&str, Value)) {
        let shown = match self.payload {
            PayloadForm::None => return,
            PayloadForm::Base64 => None,
            PayloadForm::Text => std::str::from_utf8(content).ok().map(Value::from),
            PayloadForm::Json => serde_json::from_slice(content).ok(),
        };
        match shown {
            Some(value) => put("payload", value),
            None => put("payload_base64", BASE64_STANDARD.encode(content).into()),
        }
    }
}

fn type_of(told: Told) -> String {
    format!("dunlin.{}", told.name())
}

/// Seconds; events know them to a tenth.
fn tenths(time: Duration) -> f64 {
    (time.as_millis() / 100) as f64 / 10.0
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string()
}

/// The properties that the publisher set.
fn properties_of(properties: Properties<'_>, put: &mut impl FnMut(&str, Value)) {
    for (id, value) in properties.iter() {
        match (id, value) {
            (PropertyId::ContentType, PropertyValue::Text(text)) => put("content_type", text.into()),
            (PropertyId::ResponseTopic, PropertyValue::Text(text)) => put("response_topic", text.into()),
            (PropertyId::CorrelationData, PropertyValue::Bytes(bytes)) => {
                put("correlation_data_base64", BASE64_STANDARD.encode(bytes).into());
            }
            _ => {}
        }
    }
    let user: Vec<_> = properties.user().map(|(name, value)| json!([name, value])).collect();
    if !user.is_empty() {
        put("user_properties", user.into());
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    percent_encode(text.as_bytes(), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_identifier_in_an_event_source_is_percent_encoded() {
        assert_eq!(encoded("a/b c-_.~ä%"), "a%2Fb%20c-_.~%C3%A4%25");
    }

    #[test]
    fn payloads_are_encoded_as_configured_and_in_base64_if_not_text() {
        let table = [
            (PayloadForm::Base64, &b"1"[..], Some(("payload_base64", json!("MQ==")))),
            (PayloadForm::Text, b"1", Some(("payload", json!("1")))),
            (PayloadForm::Text, b"\xff", Some(("payload_base64", json!("/w==")))),
            (PayloadForm::Json, b"{\"a\":1}", Some(("payload", json!({ "a": 1 })))),
            (PayloadForm::Json, b"{", Some(("payload_base64", json!("ew==")))),
            (PayloadForm::None, b"1", None),
        ];
        for (form, content, expected) in table {
            let mut found = None;
            Teller::new("b", "0", 0, form)
                .payload(content, &mut |name: &str, value| found = Some((name.to_owned(), value)));
            assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)), "{form:?}");
        }
    }
}
