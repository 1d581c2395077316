//! Payloads and properties as JSON.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};

use crate::codec::{Properties, PropertyId, PropertyValue};

/// A payload: as text if it is text.
pub(crate) fn put_payload(shown: &mut Value, payload: &[u8]) {
    match std::str::from_utf8(payload) {
        Ok(text) => shown["payload"] = text.into(),
        Err(_) => shown["payload_base64"] = BASE64.encode(payload).into(),
    }
}

/// Properties by their names in lower case; User Properties are a list of pairs.
pub(crate) fn properties(properties: Properties<'_>) -> Value {
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
    all.into()
}

/// `content_type`.
pub(crate) fn name(id: PropertyId) -> String {
    id.to_string().to_lowercase().replace(' ', "_")
}
