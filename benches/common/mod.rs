//! A router without sockets, for benches.

use std::task::Waker;

use dunlin::{
    codec::{
        self, Connect, Cut, Frame, Packet, PropertiesBuf, PropertyId, PropertyValue, Publish, PublishFlags, Subscribe,
    },
    router::{Client, Flush, Handled, Identity, Peer, Router, RouterThread},
    topic::{TopicFilter, TopicName},
    types::{PacketId, ProtocolVersion, QoS, SubscriptionOptions},
};

/// What most benches speak.
const VERSION: ProtocolVersion = ProtocolVersion::V311;

/// An accepted client, whose session ends with its connection.
pub fn connect(router: &Router, local: &mut RouterThread, id: &str) -> Client {
    connect_as(VERSION, router, local, id)
}

/// One that speaks this version.
pub fn connect_as(version: ProtocolVersion, router: &Router, local: &mut RouterThread, id: &str) -> Client {
    accepted(version, true, router, local, id)
}

/// One whose session stays.
pub fn connect_kept(router: &Router, local: &mut RouterThread, id: &str) -> Client {
    accepted(VERSION, false, router, local, id)
}

fn accepted(
    version: ProtocolVersion,
    clean_session: bool,
    router: &Router,
    local: &mut RouterThread,
    id: &str,
) -> Client {
    let connect = Connect {
        version,
        bridge: false,
        clean_session,
        keep_alive: 0,
        client_id: id,
        will: None,
        username: None,
        password: None,
        properties: Default::default(),
    };
    let peer = Peer { address: ([127, 0, 0, 1], 1).into(), loopback_listener: true, listener: 0 };
    router
        .connect(local, &connect, id.into(), Identity::default(), peer, Waker::noop().clone())
        .expect("nobody is refused")
        .client
}

/// The frame of one packet.
pub fn cut(bytes: &[u8]) -> Frame<'_> {
    cut_as(VERSION, bytes)
}

fn cut_as(version: ProtocolVersion, bytes: &[u8]) -> Frame<'_> {
    match codec::frame(version, bytes, 1 << 20) {
        Ok(Cut::Frame(frame)) => frame,
        other => panic!("one whole frame, not {other:?}"),
    }
}

/// Plays the connections of the subscribers: takes the bytes, acknowledges QoS 1.
pub fn drain(router: &Router, local: &mut RouterThread, subscribers: &mut [Client], qos: QoS) {
    drain_as(VERSION, router, local, subscribers, qos);
}

/// The same of subscribers that speak this version.
pub fn drain_as(
    version: ProtocolVersion,
    router: &Router,
    local: &mut RouterThread,
    subscribers: &mut [Client],
    qos: QoS,
) {
    let mut replies = Vec::new();
    for client in subscribers {
        let Flush::Write(Some(out)) = router.flush(local, client, &mut replies, 0) else { continue };
        let ids: Vec<PacketId> = match qos {
            QoS::AtMostOnce => Vec::new(),
            _ => packet_ids(version, out.contiguous().expect("small payloads stand in one piece")),
        };
        local.pool.put(out);
        for id in ids {
            let mut ack = Vec::new();
            codec::encode::puback(&mut ack, id);
            handle_as(version, router, local, client, &ack, &mut replies);
        }
    }
}

fn packet_ids(version: ProtocolVersion, mut bytes: &[u8]) -> Vec<PacketId> {
    let mut ids = Vec::new();
    while !bytes.is_empty() {
        let frame = cut_as(version, bytes);
        if let Ok(publish) = codec::decode_publish(version, frame) {
            ids.extend(publish.packet_id);
        }
        bytes = &bytes[frame.len..];
    }
    ids
}

/// A SUBSCRIBE for one filter.
pub fn subscribe(filter: &str, qos: QoS) -> Vec<u8> {
    let length = filter.len();
    let mut bytes = vec![0x82];
    let mut remaining = 2 + 2 + length + 1;
    while remaining > 127 {
        bytes.push((remaining % 128) as u8 | 0x80);
        remaining /= 128;
    }
    bytes.extend_from_slice(&[remaining as u8, 0, 1, (length >> 8) as u8, length as u8]);
    bytes.extend_from_slice(filter.as_bytes());
    bytes.push(qos as u8);
    bytes
}

/// The same in this version, without properties.
pub fn subscribe_as(version: ProtocolVersion, filter: &str, qos: QoS) -> Vec<u8> {
    let filter = TopicFilter::new(filter).expect("valid");
    let options = SubscriptionOptions { qos, ..Default::default() };
    let filters = vec![(filter, options)];
    let subscribe = Subscribe { packet_id: PacketId::MIN, filters, properties: Default::default() };
    encode(version, &Packet::Subscribe(subscribe))
}

/// A PUBLISH with a payload of `size` bytes, in this version, without properties.
pub fn publish_as(version: ProtocolVersion, topic: &str, qos: QoS, retain: bool, size: usize) -> Vec<u8> {
    let topic = TopicName::new(topic).expect("valid");
    let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    let (payload, properties) = (&*vec![b'x'; size], Default::default());
    encode(version, &Packet::Publish(Publish { dup: false, qos, retain, topic, packet_id, payload, properties }))
}

/// One of MQTT 5 with properties as a device sends them with a reading.
pub fn publish_with_properties(topic: &str, qos: QoS, size: usize) -> Vec<u8> {
    let topic = TopicName::new(topic).expect("valid");
    let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    let mut all = PropertiesBuf::default();
    all.flag(PropertyId::PayloadFormatIndicator, true);
    all.number(PropertyId::MessageExpiryInterval, 3_600);
    all.text(PropertyId::ContentType, "application/json");
    all.push(PropertyId::UserProperty, PropertyValue::Pair("site", "plant-7"));
    let (payload, properties) = (&*vec![b'x'; size], all.as_properties());
    let publish = Publish { dup: false, qos, retain: false, topic, packet_id, payload, properties };
    encode(ProtocolVersion::V5, &Packet::Publish(publish))
}

fn encode(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(version, packet, &mut bytes).expect("a packet that there is");
    bytes
}

/// A PUBLISH with a payload of `size` bytes.
pub fn publish(topic: &str, qos: QoS, retain: bool, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let flags = PublishFlags { qos, retain, ..Default::default() };
    let id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    codec::encode::publish(&mut bytes, flags, TopicName::new(topic).expect("valid"), id, &vec![b'x'; size]);
    bytes
}

/// Hands one packet to the router.
pub fn handle(router: &Router, local: &mut RouterThread, client: &mut Client, bytes: &[u8], replies: &mut Vec<u8>) {
    handle_as(VERSION, router, local, client, bytes, replies);
}

/// One of a client that speaks this version.
pub fn handle_as(
    version: ProtocolVersion,
    router: &Router,
    local: &mut RouterThread,
    client: &mut Client,
    bytes: &[u8],
    replies: &mut Vec<u8>,
) {
    let frame = cut_as(version, bytes);
    // each packet in a turn of its own
    local.work = Default::default();
    router.handle_frame(local, client, frame, bytes, &mut Handled::one(frame), replies).expect("valid");
}
