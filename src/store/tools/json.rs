//! Records of the log as JSON, for operators.

use serde_json::{Map, Value, json};

use super::super::log::{Away, LogRecord, Origin, Will, WillExtras};
use crate::{router::Login, types::QoS};

/// An object with the record's kind as `record`. A payload that is not UTF-8 is in `payload_hex`.
pub(crate) fn record(record: &LogRecord<'_>) -> Map<String, Value> {
    let value = match *record {
        LogRecord::Session { session, client, away, will, owner, lasts, will_due } => {
            let will = will.map(|will| self::will(&will));
            let (wall, age) = match away {
                Some(Away::Wall(since)) => (Some(since), None),
                Some(Away::Age(since)) => (None, Some(since)),
                None => (None, None),
            };
            let owner = owner.map(|owner| json!({"user": owner.user, "login": login(owner.login)}));
            json!({
                "record": "session", "session": session, "client": client, "away_since_ms": wall,
                "away_since_age_ms": age, "owner": owner, "will": will, "lasts_s": lasts,
                "will_due_age_ms": will_due,
            })
        }
        LogRecord::Ended { session } => json!({"record": "session_ended", "session": session}),
        LogRecord::Subscribed { session, filter, options } => {
            json!({
                "record": "subscription", "session": session, "filter": filter.as_str(), "qos": qos(options.qos),
                "no_local": options.no_local.then_some(true),
                "retain_as_published": options.retain_as_published.then_some(true),
                "identifier": options.identifier,
            })
        }
        LogRecord::Unsubscribed { session, filter } => {
            json!({"record": "unsubscribed", "session": session, "filter": filter.as_str()})
        }
        LogRecord::Body { message, qos: published, retained, topic, payload: bytes, origin, extras } => {
            let properties = (!extras.properties.is_empty()).then(|| hex(extras.properties));
            let value = json!({
                "record": "message", "message": message, "topic": topic.as_str(),
                "qos": qos(published), "retained": retained, "origin": origin.map(self::origin),
                "properties_hex": properties, "expires_age_ms": extras.expires,
            });
            return with_payload(value, bytes);
        }
        LogRecord::Entry { session, number, entry } => {
            let state = match (entry.sent, entry.message) {
                (None, _) => "queued",
                (Some(_), Some(_)) => "sent",
                (Some(_), None) => "released",
            };
            json!({
                "record": "delivery", "session": session, "number": number, "state": state, "sent": entry.sent,
                "message": entry.message, "qos": qos(entry.qos), "retain": entry.retain,
                "shared": entry.shared.then_some(true),
                "properties_hex": (!entry.identifiers.is_empty()).then(|| hex(entry.identifiers)),
            })
        }
        LogRecord::RetainedDue { session, topic } => due("retained_due", session, topic),
        LogRecord::RetainedSent { session, topic } => due("retained_sent", session, topic),
        LogRecord::Done { session, number } => json!({"record": "completed", "session": session, "number": number}),
        LogRecord::Received { session, packet_id, arrival } => {
            json!({"record": "received", "session": session, "packet_id": packet_id.get(), "arrival": arrival})
        }
        LogRecord::ReceiptReleased { session, packet_id } => {
            json!({"record": "receipt_released", "session": session, "packet_id": packet_id.get()})
        }
        LogRecord::Retained { message, topic, origin } => {
            let origin = origin.map(self::origin);
            json!({"record": "retained", "message": message, "topic": topic.as_str(), "origin": origin})
        }
        LogRecord::Cleared { topic } => json!({"record": "retained_cleared", "topic": topic.as_str()}),
        LogRecord::WillDue { session, number, will } => {
            json!({"record": "will_due", "session": session, "number": number, "will": self::will(&will)})
        }
        LogRecord::WillPublished { session, number } => {
            json!({"record": "will_published", "session": session, "number": number})
        }
        LogRecord::WillKept { number, client, user, will } => {
            let will = self::will(&will);
            json!({"record": "will_kept", "number": number, "client": client, "user": user, "will": will})
        }
        LogRecord::WillGone { number } => json!({"record": "will_gone", "number": number}),
    };
    object(value)
}

fn due(record: &str, session: u64, topic: &str) -> Value {
    json!({"record": record, "session": session, "topic": topic})
}

fn origin(origin: Origin<'_>) -> Value {
    json!({"time_ms": origin.time, "client": origin.client, "user": origin.user})
}

fn login(login: Login) -> &'static str {
    match login {
        Login::PasswordFile => "file",
        Login::Token => "token",
        Login::Certificate => "certificate",
        Login::PlugIn => "plug-in",
        Login::Http => "http",
    }
}

/// The reverse of [`login`].
pub(super) fn login_of(text: &str) -> Option<Login> {
    let all = [Login::PasswordFile, Login::Token, Login::Certificate, Login::PlugIn, Login::Http];
    all.into_iter().find(|&login| self::login(login) == text)
}

fn will(will: &Will<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("topic".into(), will.topic.as_str().into());
    payload(&mut object, will.payload);
    object.insert("qos".into(), qos(will.qos));
    object.insert("retain".into(), will.retain.into());
    let WillExtras { properties, delay, expiry } = will.extras;
    if !properties.is_empty() {
        object.insert("properties_hex".into(), hex(properties).into());
    }
    if delay > 0 {
        object.insert("delay_s".into(), delay.into());
    }
    if let Some(seconds) = expiry {
        object.insert("expiry_s".into(), seconds.into());
    }
    object
}

fn with_payload(value: Value, bytes: &[u8]) -> Map<String, Value> {
    let mut object = object(value);
    payload(&mut object, bytes);
    object
}

fn payload(object: &mut Map<String, Value>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert("payload".into(), text.into()),
        Err(_) => object.insert("payload_hex".into(), hex(bytes).into()),
    };
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // writing to a String cannot fail
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn qos(qos: QoS) -> Value {
    Value::from(qos as u8)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
