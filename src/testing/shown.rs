//! What happened, as JSON.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};

use super::journal::{Entry, Noted, What};
use crate::codec::{Properties, PropertyId, PropertyValue};

/// One thing that happened.
pub(super) fn entry(entry: &Entry) -> Value {
    let mut shown = json!({
        "n": entry.number,
        "at": humantime::format_rfc3339_micros(entry.at).to_string(),
        "client": entry.client,
    });
    if let Some(user) = &entry.user {
        shown["user"] = json!(user);
    }
    let more = match &entry.what {
        What::Message(message) => self::message(message),
        What::Connected { session_present, clean } => {
            json!({ "event": "connected", "session_present": session_present, "clean": clean })
        }
        What::Disconnected { reason } => json!({ "event": "disconnected", "reason": reason }),
        What::Subscribed { filter, qos } => json!({ "event": "subscribed", "filter": filter, "qos": *qos as u8 }),
        What::Unsubscribed { filter } => json!({ "event": "unsubscribed", "filter": filter }),
        What::SessionExpired => json!({ "event": "session_expired" }),
        What::Dropped { topic, reason } => json!({ "event": "dropped", "topic": topic, "reason": reason }),
    };
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.extend(more);
    }
    shown
}

fn message(message: &Noted) -> Value {
    let Noted { topic, qos, retain, payload, properties } = message;
    let mut shown = json!({ "event": "message", "topic": topic, "qos": *qos as u8, "retain": retain });
    put_payload(&mut shown, payload);
    let properties = self::properties(properties.as_properties());
    if !properties.is_empty() {
        shown["properties"] = properties.into();
    }
    shown
}

/// As text where it is text.
pub(super) fn put_payload(shown: &mut Value, payload: &[u8]) {
    match std::str::from_utf8(payload) {
        Ok(text) => shown["payload"] = text.into(),
        Err(_) => shown["payload_base64"] = BASE64.encode(payload).into(),
    }
}

/// By their names, in small letters; User Properties are a list of pairs.
pub(super) fn properties(properties: Properties<'_>) -> Map<String, Value> {
    let name = |id: PropertyId| id.to_string().to_lowercase().replace(' ', "_");
    let mut all = Map::new();
    for (id, value) in properties.iter() {
        let value = match value {
            PropertyValue::Flag(flag) => flag.into(),
            PropertyValue::Number(number) => number.into(),
            PropertyValue::Text(text) => text.into(),
            PropertyValue::Bytes(bytes) => BASE64.encode(bytes).into(),
            PropertyValue::Pair(..) => continue,
        };
        all.insert(name(id), value);
    }
    let user: Vec<_> = properties.user().map(|(name, value)| json!([name, value])).collect();
    if !user.is_empty() {
        all.insert(name(PropertyId::UserProperty), user.into());
    }
    all
}
