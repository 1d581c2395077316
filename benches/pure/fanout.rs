//! From a PUBLISH frame to bytes for each subscriber, through the router and the sessions, without sockets.

#[allow(dead_code)]
#[path = "../common/mod.rs"]
mod common;

use std::time::Instant;

use common::{connect, drain, handle};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dunlin::{
    router::{Client, Ports, Router, RouterLimits},
    types::QoS,
};

fn fanout(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout");
    for (qos, size) in [(QoS::AtMostOnce, 64), (QoS::AtMostOnce, 64 << 10), (QoS::AtLeastOnce, 64)] {
        for subscribers in [1_usize, 10, 500] {
            let router = Router::new(RouterLimits::default(), Ports::default(), 7);
            let mut local = router.local(Instant::now());
            let mut replies = Vec::new();
            let mut clients: Vec<Client> =
                (0..subscribers).map(|i| connect(&router, &mut local, &format!("s{i}"))).collect();
            let subscribe = common::subscribe("t/a/b", qos);
            for client in &mut clients {
                handle(&router, &mut local, client, &subscribe, &mut replies);
            }
            drain(&router, &mut local, &mut clients, QoS::AtMostOnce);
            let mut publisher = connect(&router, &mut local, "p");
            let publish = common::publish("t/a/b", qos, false, size);
            group.throughput(Throughput::Elements(subscribers as u64));
            group.bench_function(BenchmarkId::new(format!("{qos:?}/{size} B"), subscribers), |b| {
                b.iter(|| {
                    handle(&router, &mut local, &mut publisher, &publish, &mut replies);
                    replies.clear();
                    local.wake();
                    drain(&router, &mut local, &mut clients, qos);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fanout);
criterion_main!(benches);
