//! From a PUBLISH frame to bytes for each subscriber, through the router and the sessions, without sockets.

use std::{sync::Arc, task::Waker, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dunlin::{
    codec::{self, Connect, Cut, Frame, PublishFlags},
    router::{Client, Flush, Local, Peer, Ports, Router, RouterLimits, SysPublish},
    session::SessionLimits,
    topic::TopicName,
    types::{PacketId, ProtocolVersion, QoS},
};

fn limits() -> RouterLimits {
    RouterLimits {
        session: SessionLimits {
            max_inflight_out: 20,
            max_inflight_in: 100,
            max_queued_messages: 1_000,
            max_queued_bytes: 64 << 20,
            drop_oldest: false,
            queue_qos0: false,
            max_outbound_bytes: 8 << 20,
        },
        max_client_id_length: 65_535,
        max_topic_length: 65_535,
        max_topic_levels: 128,
        max_retained_messages: 1_000,
        max_retained_bytes: 1 << 20,
        max_subscriptions: 1_000,
        session_expiry: Some(Duration::from_secs(60)),
        sys_publish: SysPublish::Drop,
    }
}

fn connect(router: &Router, local: &mut Local, id: &str) -> Client {
    let connect = Connect {
        version: ProtocolVersion::V311,
        clean_session: true,
        keep_alive: 0,
        client_id: id,
        will: None,
        username: None,
        password: None,
        properties: Default::default(),
    };
    let peer = Peer { address: ([127, 0, 0, 1], 1).into(), loopback_listener: true };
    let connected = router.connect(local, &connect, peer, Waker::noop().clone()).expect("nobody is refused");
    Client::new(connected, ProtocolVersion::V311)
}

fn cut(bytes: &[u8]) -> Frame<'_> {
    match codec::frame(ProtocolVersion::V311, bytes, 1 << 20) {
        Ok(Cut::Frame(frame)) => frame,
        other => panic!("one whole frame, not {other:?}"),
    }
}

/// What the connections of the subscribers do: take the bytes, acknowledge QoS 1.
fn drain(router: &Router, local: &mut Local, subscribers: &mut [Client], qos: QoS) {
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
            router.handle_frame(local, client, cut(&ack), &ack, &mut replies).expect("it is in flight");
        }
    }
}

fn packet_ids(mut bytes: &[u8]) -> Vec<PacketId> {
    let mut ids = Vec::new();
    while !bytes.is_empty() {
        let frame = cut(bytes);
        if let Ok(publish) = codec::decode_publish(frame) {
            ids.extend(publish.packet_id);
        }
        bytes = &bytes[frame.len..];
    }
    ids
}

fn fanout(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout");
    for (qos, size) in [(QoS::AtMostOnce, 64), (QoS::AtMostOnce, 64 << 10), (QoS::AtLeastOnce, 64)] {
        for subscribers in [1_usize, 10, 500] {
            let router = Arc::new(Router::new(limits(), Ports::default(), 7));
            let mut local = router.local();
            let mut replies = Vec::new();
            let mut clients: Vec<Client> =
                (0..subscribers).map(|i| connect(&router, &mut local, &format!("s{i}"))).collect();
            let mut subscribe = vec![0x82, 10, 0, 1, 0, 5];
            subscribe.extend_from_slice(b"t/a/b");
            subscribe.push(qos as u8);
            for client in &mut clients {
                router.handle_frame(&mut local, client, cut(&subscribe), &subscribe, &mut replies).expect("valid");
            }
            drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
            let mut publisher = connect(&router, &mut local, "p");
            let mut publish = Vec::new();
            let topic = TopicName::new("t/a/b").expect("valid");
            let id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
            codec::encode::publish(
                &mut publish,
                PublishFlags { qos, ..Default::default() },
                topic,
                id,
                &vec![b'x'; size],
            );
            group.throughput(Throughput::Elements(subscribers as u64));
            group.bench_function(BenchmarkId::new(format!("{qos:?}/{size} B"), subscribers), |b| {
                b.iter_batched(
                    || (),
                    |()| {
                        let frame = cut(&publish);
                        router.handle_frame(&mut local, &mut publisher, frame, &publish, &mut replies).expect("valid");
                        replies.clear();
                        local.wake();
                        drain(&router, &mut local, &mut clients, qos);
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fanout);
criterion_main!(benches);
