//! The JSON form of packets in recordings. It never contains passwords or Authentication Data.

use serde_json::{Value, json};

use super::{
    form::{properties, put_payload},
    packet::{Direction, Looked, suback_code},
};
use crate::{
    codec::{Connect, Packet, Properties, PropertyId},
    types::ProtocolVersion,
};

/// Larger payloads are left out.
const LARGEST_PAYLOAD: usize = 1 << 20;

/// Options of the form.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) version: ProtocolVersion,
    pub(super) payload: bool,
}

/// A packet of `size` bytes, without its time and client.
pub(super) fn packet(looked: &Looked<'_>, size: usize, direction: Direction, how: How) -> Value {
    let mut shown = json!({ "packet": looked.packet.to_string(), "direction": direction, "size": size });
    match &looked.contents {
        Ok(contents) => fill(&mut shown, contents, looked.topic.as_deref(), how),
        Err(error) => shown["malformed"] = error.to_string().into(),
    }
    shown
}

fn fill(shown: &mut Value, contents: &Packet<'_>, topic: Option<&str>, how: How) {
    let mut put = |name: &str, value: Value| shown[name] = value;
    match contents {
        Packet::Connect(connect) => fill_connect(shown, connect, how),
        Packet::Connack(connack) => {
            put("session_present", connack.session_present.into());
            let code = match how.version {
                ProtocolVersion::V5 => connack.reason as u8,
                _ => connack.reason.connect_return_code().unwrap_or_default(),
            };
            put("reason_code", code.into());
            put_properties(shown, connack.properties);
        }
        Packet::Publish(publish) => {
            put("topic", topic.map_or(Value::Null, Into::into));
            put("qos", (publish.qos as u8).into());
            put("dup", publish.dup.into());
            put("retain", publish.retain.into());
            if let Some(id) = publish.packet_id {
                put("packet_id", id.get().into());
            }
            put("payload_size", publish.payload.len().into());
            show_payload(shown, publish.payload, how);
            put_properties(shown, publish.properties);
        }
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            put("packet_id", ack.packet_id.get().into());
            put("reason_code", (ack.reason as u8).into());
            put_properties(shown, ack.properties);
        }
        Packet::Subscribe(subscribe) => {
            put("packet_id", subscribe.packet_id.get().into());
            let filters = subscribe.filters.iter().map(|(filter, options)| match how.version {
                ProtocolVersion::V5 => json!({
                    "filter": filter.as_str(),
                    "qos": options.qos as u8,
                    "no_local": options.no_local,
                    "retain_as_published": options.retain_as_published,
                    "retain_handling": options.retain_handling as u8,
                }),
                _ => json!({ "filter": filter.as_str(), "qos": options.qos as u8 }),
            });
            put("filters", filters.collect());
            put_properties(shown, subscribe.properties);
        }
        Packet::Suback(suback) => {
            put("packet_id", suback.packet_id.get().into());
            put("reason_codes", suback.codes.iter().map(suback_code).collect());
            put_properties(shown, suback.properties);
        }
        Packet::Unsubscribe(unsubscribe) => {
            put("packet_id", unsubscribe.packet_id.get().into());
            put("filters", unsubscribe.filters.iter().map(|filter| json!({ "filter": filter.as_str() })).collect());
            put_properties(shown, unsubscribe.properties);
        }
        Packet::Unsuback(unsuback) => {
            put("packet_id", unsuback.packet_id.get().into());
            if how.version == ProtocolVersion::V5 {
                put("reason_codes", unsuback.codes.iter().map(|code| *code as u8).collect());
            }
            put_properties(shown, unsuback.properties);
        }
        Packet::Disconnect(disconnect) => {
            put("reason_code", (disconnect.reason as u8).into());
            put_properties(shown, disconnect.properties);
        }
        Packet::Auth(auth) => {
            put("reason_code", (auth.reason as u8).into());
            put_properties(shown, auth.properties);
        }
        Packet::Pingreq | Packet::Pingresp => {}
    }
}

fn fill_connect(shown: &mut Value, connect: &Connect<'_>, how: How) {
    shown["protocol"] = connect.version.to_string().into();
    shown["client_id"] = connect.client_id.into();
    shown["clean_start"] = connect.clean_session.into();
    shown["keep_alive"] = connect.keep_alive.into();
    if let Some(user) = connect.username {
        shown["user"] = user.into();
    }
    shown["has_password"] = connect.password.is_some().into();
    if let Some(will) = &connect.will {
        let mut told = json!({
            "topic": will.topic.as_str(),
            "qos": will.qos as u8,
            "retain": will.retain,
            "payload_size": will.payload.len(),
        });
        show_payload(&mut told, will.payload, how);
        put_properties(&mut told, will.properties);
        shown["will"] = told;
    }
    put_properties(shown, connect.properties);
}

fn show_payload(shown: &mut Value, payload: &[u8], how: How) {
    match how.payload {
        true if payload.len() <= LARGEST_PAYLOAD => put_payload(shown, payload),
        true => shown["payload_left_out"] = true.into(),
        false => {}
    }
}

fn put_properties(shown: &mut Value, all: Properties<'_>) {
    if all.is_empty() {
        return;
    }
    if let Some(alias) = all.short(PropertyId::TopicAlias) {
        // of the packet rather than of its message
        shown["topic_alias"] = alias.into();
    }
    let all = all.without(&[PropertyId::AuthenticationData, PropertyId::TopicAlias]);
    if !all.as_properties().is_empty() {
        shown["properties"] = properties(all.as_properties());
    }
}
