//! A router without sockets, for the benches that measure it.

use std::task::Waker;

use dunlin::{
    codec::{self, Connect, Cut, Frame, PublishFlags},
    router::{Client, Flush, Handled, Identity, Peer, Router, RouterThread},
    topic::TopicName,
    types::{PacketId, ProtocolVersion, QoS},
};

/// An accepted client.
pub fn connect(router: &Router, local: &mut RouterThread, id: &str) -> Client {
    let connect = Connect {
        version: ProtocolVersion::V311,
        bridge: false,
        clean_session: true,
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
    match codec::frame(ProtocolVersion::V311, bytes, 1 << 20) {
        Ok(Cut::Frame(frame)) => frame,
        other => panic!("one whole frame, not {other:?}"),
    }
}

/// What the connections of the subscribers do: take the bytes, acknowledge QoS 1.
pub fn drain(router: &Router, local: &mut RouterThread, subscribers: &mut [Client], qos: QoS) {
    let mut replies = Vec::new();
    for client in subscribers {
        let Flush::Write(Some(out)) = router.flush(local, client, &mut replies, 0) else { continue };
        let ids: Vec<PacketId> = match qos {
            QoS::AtMostOnce => Vec::new(),
            _ => packet_ids(out.contiguous().expect("small payloads stand in one piece")),
        };
        local.pool.put(out);
        for id in ids {
            let mut ack = Vec::new();
            codec::encode::puback(&mut ack, id);
            handle(router, local, client, &ack, &mut replies);
        }
    }
}

fn packet_ids(mut bytes: &[u8]) -> Vec<PacketId> {
    let mut ids = Vec::new();
    while !bytes.is_empty() {
        let frame = cut(bytes);
        if let Ok(publish) = codec::decode_publish(ProtocolVersion::V311, frame) {
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
    let frame = cut(bytes);
    // each packet in a turn of its own
    local.work = Default::default();
    router.handle_frame(local, client, frame, bytes, &mut Handled::one(frame), replies).expect("valid");
}
