//! [`Criteria`]: selects messages or packets.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use regex_lite::Regex;
use serde_json::{Map, Value};

use super::{
    super::journal::{Entry, Noted, What},
    asked::Expect,
};
use crate::{
    codec::PacketType,
    topic::{TopicFilter, TopicName},
    trace::{Direction, Seen, packet_type},
};

/// Selects messages.
#[derive(Default)]
pub(super) struct Criteria {
    filter: Option<String>,
    client: Option<String>,
    user: Option<String>,
    payload: Option<Vec<u8>>,
    json: Vec<(String, Value)>,
    regex: Option<Regex>,
    qos: Option<u8>,
    retain: Option<bool>,
    packet: Option<Packets>,
}

/// Selects packets instead of messages.
#[derive(Default)]
struct Packets {
    packet: Option<PacketType>,
    direction: Option<Direction>,
    dup: Option<bool>,
    packet_id: Option<u16>,
    reason_code: Option<u8>,
    fault: Option<String>,
}

impl Criteria {
    /// Made from an expectation. The error says what is wrong with it.
    pub(super) fn of(expect: &Expect) -> Result<Self, String> {
        if let Some(filter) = &expect.filter {
            TopicFilter::new(filter).map_err(|error| format!("filter: {error}"))?;
        }
        let payload = match (&expect.payload, &expect.payload_base64) {
            (Some(_), Some(_)) => return Err("payload or payload_base64, not both".into()),
            (Some(text), None) => Some(text.as_bytes().to_vec()),
            (None, Some(text)) => Some(BASE64.decode(text).map_err(|error| format!("payload_base64: {error}"))?),
            (None, None) => None,
        };
        let regex = expect.regex.as_deref().map(Regex::new).transpose().map_err(|error| format!("regex: {error}"))?;
        if let Some(qos) = expect.qos.filter(|qos| *qos > 2) {
            return Err(format!("qos: {qos} is not 0, 1 or 2"));
        }
        let json = expect.json_path.iter().flat_map(Map::iter);
        let json = json.map(|(path, value)| Ok((pointer(path)?, value.clone()))).collect::<Result<_, String>>()?;
        let (filter, client, user) = (expect.filter.clone(), expect.client.clone(), expect.user.clone());
        let packet = Packets::of(expect)?;
        Ok(Self { filter, client, user, payload, json, regex, qos: expect.qos, retain: expect.retain, packet })
    }

    /// The criteria that an entry does not meet; `None`: it is of another kind.
    pub(super) fn differs(&self, entry: &Entry) -> Option<Vec<&'static str>> {
        let of_packet = match (&self.packet, &entry.what) {
            (None, What::Message(_)) => Vec::new(),
            (Some(packets), What::Packet { packet, fault }) => packets.differs(packet, *fault),
            _ => return None,
        };
        let (topic, qos, retain, payload) = match &entry.what {
            What::Message(Noted { topic, qos, retain, payload, .. }) => (&**topic, *qos as u8, *retain, payload),
            What::Packet { packet, .. } => {
                let qos = packet.qos.map_or(u8::MAX, |qos| qos as u8);
                (packet.topic.as_deref().unwrap_or_default(), qos, packet.retain, &packet.payload)
            }
            _ => return None,
        };
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let text = || std::str::from_utf8(payload).ok();
        let all = [
            ("filter", self.filter.as_deref().is_none_or(|filter| matches(filter, topic))),
            ("client", is(&self.client, entry.client.as_deref())),
            ("user", is(&self.user, entry.user.as_deref())),
            ("payload", self.payload.as_deref().is_none_or(|wanted| wanted == &**payload)),
            ("json_path", self.json.is_empty() || self.has_values(payload)),
            ("regex", self.regex.as_ref().is_none_or(|regex| text().is_some_and(|text| regex.is_match(text)))),
            ("qos", self.qos.is_none_or(|wanted| wanted == qos)),
            ("retain", self.retain.is_none_or(|wanted| wanted == retain)),
        ];
        let differs = all.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name);
        Some(of_packet.into_iter().chain(differs).collect())
    }

    fn has_values(&self, payload: &[u8]) -> bool {
        let Ok(value) = serde_json::from_slice::<Value>(payload) else { return false };
        self.json.iter().all(|(pointer, wanted)| value.pointer(pointer).is_some_and(|found| same(found, wanted)))
    }
}

impl Packets {
    fn of(expect: &Expect) -> Result<Option<Self>, String> {
        let Expect { direction, dup, packet_id, reason_code, .. } = *expect;
        let packet = match &expect.packet {
            Some(name) => Some(packet_type(name).ok_or_else(|| format!("packet: {name:?} is not a type of packets"))?),
            None => None,
        };
        let fault = expect.fault.clone();
        let is_any = packet.is_some() || direction.is_some() || dup.is_some() || packet_id.is_some();
        let is_any = is_any || reason_code.is_some() || fault.is_some();
        Ok(is_any.then_some(Self { packet, direction, dup, packet_id, reason_code, fault }))
    }

    fn differs(&self, packet: &Seen, fault: Option<&'static str>) -> Vec<&'static str> {
        let all = [
            ("packet", self.packet.is_none_or(|wanted| wanted == packet.packet)),
            ("direction", self.direction.is_none_or(|wanted| wanted == packet.direction)),
            ("dup", self.dup.is_none_or(|wanted| wanted == packet.dup)),
            ("packet_id", self.packet_id.is_none_or(|wanted| Some(wanted) == packet.packet_id)),
            ("reason_code", self.reason_code.is_none_or(|wanted| packet.codes.contains(&wanted))),
            ("fault", self.fault.as_deref().is_none_or(|wanted| wanted == fault.unwrap_or("none"))),
        ];
        all.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }
}

/// Compares numbers by value: 21 equals 21.0.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => found == wanted,
        _ => found == wanted,
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    match (TopicFilter::new(filter), TopicName::new(topic)) {
        (Ok(filter), Ok(topic)) => filter.matches(topic),
        _ => false,
    }
}

/// Converts `$.rooms[0].temperature` to a JSON Pointer (RFC 6901).
fn pointer(path: &str) -> Result<String, String> {
    let wrong = || format!("json_path: {path:?} is not a path such as $.rooms[0].temperature");
    let rest = path.strip_prefix('$').unwrap_or(path);
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let mut pointer = String::new();
    if rest.is_empty() {
        return Ok(pointer);
    }
    for part in rest.split('.') {
        let (name, indices) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        if name.is_empty() && indices.is_empty() {
            return Err(wrong());
        }
        if !name.is_empty() {
            pointer += "/";
            pointer += &name.replace('~', "~0").replace('/', "~1");
        }
        for index in indices.split_terminator(']') {
            let index = index.strip_prefix('[').and_then(|index| index.parse::<usize>().ok()).ok_or_else(wrong)?;
            pointer += &format!("/{index}");
        }
    }
    Ok(pointer)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
    use crate::types::QoS;

    fn message(topic: &str, payload: &str) -> Entry {
        let (topic, payload) = (topic.into(), payload.as_bytes().into());
        let noted = Noted { topic, qos: QoS::AtLeastOnce, retain: true, payload, properties: Default::default() };
        let (client, what) = (Some("c".into()), What::Message(noted));
        Entry { number: 1, at: SystemTime::UNIX_EPOCH, client, user: None, what }
    }

    fn differs(asked: Value, entry: &Entry) -> Vec<&'static str> {
        let expect: Expect = serde_json::from_value(asked).unwrap();
        Criteria::of(&expect).unwrap().differs(entry).unwrap()
    }

    #[test]
    fn every_criterion_that_a_message_does_not_meet_is_reported() {
        let entry = message("a/b", r#"{"rooms": [{"t": 21}], "a/b": true}"#);
        for met in [
            json!({ "filter": "a/#", "client": "c", "qos": 1, "retained": true }),
            json!({ "json_path": { "$.rooms[0].t": 21.0, "a/b": true } }),
            json!({ "regex": "^.\"rooms\"" }),
            json!({ "payload": "{\"rooms\": [{\"t\": 21}], \"a/b\": true}" }),
        ] {
            assert!(differs(met.clone(), &entry).is_empty(), "{met}");
        }
        for (asked, wrong) in [
            (json!({ "filter": "b/#", "client": "d" }), &["filter", "client"][..]),
            (json!({ "user": "u", "payload": "x" }), &["user", "payload"]),
            (json!({ "json_path": { "$.rooms[1].t": 21 }, "regex": "temp" }), &["json_path", "regex"]),
            (json!({ "qos": 0, "retain": false }), &["qos", "retain"]),
        ] {
            assert_eq!(differs(asked, &entry), wrong);
        }
    }

    #[test]
    fn an_invalid_expectation_is_refused_with_the_reason() {
        for (asked, wrong) in [
            (json!({ "filter": "a/#/b" }), "filter: "),
            (json!({ "regex": "(" }), "regex: "),
            (json!({ "payload_base64": "!" }), "payload_base64: "),
            (json!({ "qos": 3 }), "qos: "),
            (json!({ "json_path": { "a..b": 1 } }), "json_path: "),
            (json!({ "json_path": { "a[x]": 1 } }), "json_path: "),
        ] {
            let expect: Expect = serde_json::from_value(asked).unwrap();
            let error = Criteria::of(&expect).err().unwrap();
            assert!(error.starts_with(wrong), "{error}");
        }
    }
}
