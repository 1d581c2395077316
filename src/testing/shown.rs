//! Events as JSON.

use serde_json::{Value, json};

use super::journal::{Entry, Noted, What};
use crate::trace::{properties as shown_properties, put_payload};

/// An event as JSON.
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
        What::Violation { statement, text } => {
            json!({ "event": if statement.is_some() { "violation" } else { "warning" }, "statement": statement, "text": text })
        }
        What::Restarted => json!({ "event": "restarted" }),
        What::SessionExpired => json!({ "event": "session_expired" }),
        What::Packet { packet, fault } => {
            let mut shown = packet.shown();
            shown["event"] = "packet".into();
            if packet.topic.is_some() {
                put_payload(&mut shown, &packet.payload);
            }
            if let Some(fault) = fault {
                shown["fault"] = json!(fault);
            }
            shown
        }
        What::Fault { id, does, packet } => {
            let mut shown = packet.as_ref().map_or_else(|| json!({}), |packet| packet.shown());
            shown["event"] = "fault".into();
            shown["fault"] = json!(does);
            shown["id"] = json!(id);
            shown
        }
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
    let properties = properties.as_properties();
    if !properties.is_empty() {
        shown["properties"] = shown_properties(properties);
    }
    shown
}
