//! The time of the codec: `cargo bench -p dunlin-benches --bench codec`.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dunlin::{
    codec::{
        Ack, Connect, Cut, Frame, Packet, Properties, Publish, PublishFlags, Subscribe, Will, decode, decode_publish,
        decode_publish_with_topic, encode, frame, publish_topic_bytes,
    },
    topic::{TopicFilter, TopicName},
    types::{PacketId, ProtocolVersion, QoS, SubscriptionOptions},
};

const VERSION: ProtocolVersion = ProtocolVersion::V311;
const LIMIT: usize = 1 << 20;

fn packet_id() -> PacketId {
    PacketId::new(10).expect("is not 0")
}

fn topic() -> &'static TopicName {
    TopicName::new("sensors/21").expect("is a Topic Name")
}

fn publish(payload: &[u8], qos: QoS) -> Packet<'_> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: topic(),
        packet_id: (qos != QoS::AtMostOnce).then(packet_id),
        payload,
        properties: Properties::default(),
    })
}

fn connect() -> Packet<'static> {
    let will = Will {
        topic: TopicName::new("status/21").expect("is a Topic Name"),
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: Properties::default(),
    };
    Packet::Connect(Box::new(Connect {
        version: VERSION,
        bridge: false,
        clean_session: true,
        keep_alive: 60,
        client_id: "sensor-21",
        will: Some(will),
        username: Some("sensor"),
        password: Some(b"secret"),
        properties: Properties::default(),
    }))
}

fn subscribe() -> Packet<'static> {
    let filter = TopicFilter::new("building/+/floor/2/room/#").expect("is a Topic Filter");
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(),
        filters: vec![(filter, SubscriptionOptions::from(QoS::AtLeastOnce)); 10],
        properties: Properties::default(),
    })
}

fn bytes_of(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(VERSION, packet, &mut out).expect("fits");
    out
}

#[inline]
fn cut(bytes: &[u8]) -> Frame<'_> {
    match frame(VERSION, bytes, LIMIT) {
        Ok(Cut::Frame(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

fn both_ways(c: &mut Criterion) {
    let payload = vec![b'x'; 65_536];
    let packets = [
        ("publish 64 B", publish(&payload[..64], QoS::AtMostOnce)),
        ("publish 64 B QoS 1", publish(&payload[..64], QoS::AtLeastOnce)),
        ("publish 64 KiB", publish(&payload, QoS::AtMostOnce)),
        ("connect", connect()),
        ("subscribe, 10 filters", subscribe()),
        ("puback", Packet::Puback(Ack::from(packet_id()))),
    ];
    for (name, packet) in &packets {
        let bytes = bytes_of(packet);
        c.bench_function(&format!("decode/{name}"), |b| {
            b.iter(|| {
                black_box(&decode(VERSION, cut(black_box(&bytes))));
            });
        });
        let mut out = Vec::with_capacity(bytes.len() + 16);
        c.bench_function(&format!("encode/{name}"), |b| {
            b.iter(|| {
                out.clear();
                encode(VERSION, black_box(packet), &mut out).expect("fits");
                black_box(&out);
            });
        });
    }
}

fn shortcuts(c: &mut Criterion) {
    let payload = [b'x'; 64];
    let bytes = bytes_of(&publish(&payload, QoS::AtMostOnce));
    c.bench_function("frame/publish 64 B", |b| {
        b.iter(|| {
            black_box(&cut(black_box(&bytes)));
        });
    });
    c.bench_function("decode_publish/64 B", |b| {
        b.iter(|| {
            black_box(&decode_publish(VERSION, cut(black_box(&bytes))));
        });
    });
    c.bench_function("decode_publish_with_topic/64 B", |b| {
        let last = topic();
        b.iter(|| {
            let frame = cut(black_box(&bytes));
            assert!(publish_topic_bytes(&frame) == Some(black_box(last).as_str().as_bytes()));
            black_box(&decode_publish_with_topic(VERSION, frame, last));
        });
    });
    let mut out = Vec::with_capacity(256);
    c.bench_function("encode::publish/64 B", |b| {
        b.iter(|| {
            out.clear();
            let flags = PublishFlags::default();
            dunlin::codec::encode::publish(&mut out, black_box(flags), black_box(topic()), None, black_box(&payload));
            black_box(&out);
        });
    });
    c.bench_function("encode::puback", |b| {
        b.iter(|| {
            out.clear();
            dunlin::codec::encode::puback(&mut out, black_box(packet_id()));
            black_box(&out);
        });
    });
}

fn stream(c: &mut Criterion) {
    let one = bytes_of(&publish(&[b'x'; 16], QoS::AtMostOnce));
    let count = 65_536 / one.len();
    let buffer = one.repeat(count);
    let mut group = c.benchmark_group("64 KiB of small publishes");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("frame", |b| {
        b.iter(|| {
            let (mut rest, mut frames) = (black_box(&buffer[..]), 0);
            while let Ok(Cut::Frame(frame)) = frame(VERSION, rest, LIMIT) {
                rest = &rest[frame.len..];
                frames += 1;
            }
            assert_eq!(black_box(frames), count);
        });
    });
    group.bench_function("frame and decode", |b| {
        b.iter(|| {
            let (mut rest, mut payloads) = (black_box(&buffer[..]), 0);
            while let Ok(Cut::Frame(frame)) = frame(VERSION, rest, LIMIT) {
                rest = &rest[frame.len..];
                if let Ok(Packet::Publish(publish)) = decode(VERSION, frame) {
                    payloads += black_box(publish).payload.len();
                }
            }
            assert_eq!(payloads, 16 * count);
        });
    });
    group.finish();
}

criterion_group!(benches, both_ways, shortcuts, stream);
criterion_main!(benches);
