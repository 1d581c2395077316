//! Builds and changes packets.

use crate::{
    codec::{self, Cut, Packet, PacketType, PropertyId},
    trace::{Direction, Seen},
    types::{ProtocolVersion, QoS},
};

/// Reason Code "Use another server".
pub(super) const MOVED: u8 = 0x9C;

/// A CONNACK that redirects to another server; empty before MQTT 5.
pub(super) fn redirection(version: ProtocolVersion, server: &str) -> Vec<u8> {
    let disconnect = disconnect(version, MOVED, Some(server));
    match disconnect.split_first_chunk::<2>() {
        Some(([_, length], rest)) => [&[0x20, length + 1, 0][..], rest].concat(),
        None => disconnect,
    }
}

/// A CONNACK with this code, even if the version does not define it.
pub(super) fn refusal(version: ProtocolVersion, code: u8) -> Vec<u8> {
    match version {
        ProtocolVersion::V5 => vec![0x20, 3, 0, code, 0],
        _ => vec![0x20, 2, 0, code],
    }
}

/// A DISCONNECT with this Reason Code and a Server Reference; empty before MQTT 5.
pub(super) fn disconnect(version: ProtocolVersion, code: u8, server: Option<&str>) -> Vec<u8> {
    if version != ProtocolVersion::V5 {
        return Vec::new();
    }
    let mut properties = Vec::new();
    if let Some(server) = server {
        properties.push(PropertyId::ServerReference as u8);
        let server = &server.as_bytes()[..server.len().min(100)];
        // the packet is shorter than 128 bytes, so lengths take one byte
        properties.extend_from_slice(&(server.len() as u16).to_be_bytes());
        properties.extend_from_slice(server);
    }
    [&[0xE0, 2 + properties.len() as u8, code, properties.len() as u8][..], &properties].concat()
}

/// Does a packet of the broker have a Reason Code in this version?
pub(super) fn has_code(packet: PacketType, version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V5 || [PacketType::Connack, PacketType::Suback].contains(&packet)
}

/// Replaces the Reason Code of a packet of the broker; `None`: the packet has none in this version.
pub(super) fn with_code(bytes: &[u8], seen: &Seen, version: ProtocolVersion, code: u8) -> Option<Vec<u8>> {
    use PacketType::{Auth, Connack, Disconnect, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback};
    let is_5 = version == ProtocolVersion::V5;
    let body = body(bytes)?;
    match seen.packet {
        Connack => {
            let mut changed = bytes.to_vec();
            let at = bytes.len() - body.len();
            // a refusal has Session Present 0
            (changed[at], changed[at + 1]) = (if code == 0 { body[0] } else { 0 }, code);
            Some(changed)
        }
        Puback | Pubrec | Pubrel | Pubcomp if is_5 => Some([&[bytes[0], 3][..], &body[..2], &[code]].concat()),
        Suback | Unsuback if is_5 => {
            let properties = 2 + length_of_properties(&body[2..])?;
            let mut changed = bytes.to_vec();
            let at = bytes.len() - body.len() + properties;
            changed[at..].fill(code);
            Some(changed)
        }
        Suback => {
            let mut changed = bytes.to_vec();
            let at = bytes.len() - body.len() + 2;
            changed[at..].fill(code);
            Some(changed)
        }
        Disconnect if is_5 => Some(disconnect(version, code, None)),
        // the body is empty if the code is 0 and there are no properties
        Auth if is_5 && body.is_empty() => Some(vec![bytes[0], 2, code, 0]),
        Auth if is_5 => {
            let mut changed = bytes.to_vec();
            changed[bytes.len() - body.len()] = code;
            Some(changed)
        }
        _ => None,
    }
}

/// The answer to a client's packet with this Reason Code; `None`: the packet has no answer.
pub(super) fn answer(seen: &Seen, version: ProtocolVersion, code: u8) -> Option<Vec<u8>> {
    let is_5 = version == ProtocolVersion::V5;
    let id = seen.packet_id?.to_be_bytes();
    debug_assert_eq!(seen.direction, Direction::ToServer);
    let with = |first: u8| Some([&[first, 3][..], &id, &[code]].concat());
    let for_each = |first: u8, properties: &[u8]| {
        let codes = vec![code; seen.filters];
        let length = u8::try_from(2 + properties.len() + codes.len()).ok().filter(|length| *length < 128)?;
        Some([&[first, length][..], &id, properties, &codes].concat())
    };
    match (seen.packet, seen.qos) {
        (PacketType::Publish, Some(QoS::AtLeastOnce)) if is_5 => with(0x40),
        (PacketType::Publish, Some(QoS::ExactlyOnce)) if is_5 => with(0x50),
        (PacketType::Pubrec, _) if is_5 => with(0x62),
        (PacketType::Pubrel, _) if is_5 => with(0x70),
        (PacketType::Subscribe, _) => for_each(0x90, if is_5 { &[0] } else { &[] }),
        (PacketType::Unsubscribe, _) if is_5 => for_each(0xB0, &[0]),
        _ => None,
    }
}

/// Replaces the Receive Maximum of a CONNACK of MQTT 5.
pub(super) fn with_receive_maximum(bytes: &[u8], maximum: u16) -> Option<Vec<u8>> {
    let version = ProtocolVersion::V5;
    let Ok(Cut::Frame(frame)) = codec::frame(version, bytes, usize::MAX) else { return None };
    let Ok(Packet::Connack(mut connack)) = codec::decode(version, frame) else { return None };
    let mut properties = connack.properties.without(&[PropertyId::ReceiveMaximum]);
    properties.number(PropertyId::ReceiveMaximum, maximum.into());
    connack.properties = properties.as_properties();
    let mut changed = Vec::new();
    codec::encode::connack(&mut changed, version, &connack).then_some(changed)
}

/// Changes one byte after the fixed header, or the last byte.
pub(super) fn corrupt(bytes: &mut [u8], random: u64) {
    let body = body(bytes).map_or(0, <[u8]>::len).max(1);
    let at = bytes.len() - 1 - (random as usize % body);
    bytes[at] ^= ((random >> 32) as u8).max(1);
}

/// The version of a CONNECT, even if it is malformed; `None`: not MQTT 5.
pub(super) fn version_of(connect: &[u8]) -> Option<ProtocolVersion> {
    body(connect)?.starts_with(b"\0\x04MQTT\x05").then_some(ProtocolVersion::V5)
}

/// The bytes after the fixed header.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let length = 1 + bytes.iter().skip(1).position(|byte| *byte < 0x80)? + 1;
    bytes.get(length..)
}

/// Length of the properties, with the length field in front.
fn length_of_properties(bytes: &[u8]) -> Option<usize> {
    let own = 1 + bytes.iter().position(|byte| *byte < 0x80)?;
    let length = bytes[..own].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F));
    Some(own + length).filter(|all| *all <= bytes.len())
}
