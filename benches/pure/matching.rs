//! The time of the two indexes of the topic room: matching, subscribing, retained messages.
//!
//! `cargo bench -p dunlin-benches --bench matching -- exact` runs the benches whose name contains `exact`.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dunlin::{
    topic::{RetainedTree, SubscriptionTrie, TopicFilter, TopicName},
    types::SubscriptionOptions,
};

/// What a subscriber is to the broker: eight bytes.
type Subscriber = Arc<u64>;

const SIZES: [usize; 3] = [10, 10_000, 1_000_000];

fn name(text: &str) -> &TopicName {
    TopicName::new(text).expect("a topic of this file is valid")
}

fn filter(text: &str) -> &TopicFilter {
    TopicFilter::new(text).expect("a filter of this file is valid")
}

/// The `i`th device: a plant of at most a hundred sites with 17 lines each.
fn exact(i: usize) -> String {
    format!("lg/site{}/line{}/m7/s{i}", i % 100, i % 17)
}

fn wildcard(i: usize) -> String {
    format!("lg/site{}/line{}/+/s{i}", i % 100, i % 17)
}

fn trie(size: usize, text: fn(usize) -> String) -> SubscriptionTrie<Subscriber> {
    let mut trie = SubscriptionTrie::new(1);
    for i in 0..size {
        trie.subscribe(filter(&text(i)), Arc::new(i as u64), SubscriptionOptions::default());
    }
    trie
}

/// Topics in an order that no cache foresees: `n` of `size`.
fn topics(size: usize, n: usize) -> Vec<String> {
    (0..n).map(|i| exact(i.wrapping_mul(7_368_787) % size)).collect()
}

fn count(trie: &SubscriptionTrie<Subscriber>, topic: &TopicName) -> usize {
    let mut matches = 0;
    trie.for_each_match(topic, |subscriber, _| {
        black_box(subscriber);
        matches += 1;
    });
    matches
}

fn matching(c: &mut Criterion) {
    let mut group = c.benchmark_group("match");
    for (kind, text) in [("exact", exact as fn(usize) -> String), ("wildcard", wildcard)] {
        for size in SIZES {
            let trie = trie(size, text);
            // Few topics stay in the caches; many do not.
            for (heat, n) in [("warm", 16), ("cold", 100_000)] {
                let topics = topics(size, n);
                assert!(topics.iter().all(|topic| count(&trie, name(topic)) == 1));
                let mut next = topics.iter().cycle().map(|topic| name(topic));
                group.bench_function(BenchmarkId::new(format!("{kind}/{heat}"), size), |b| {
                    b.iter(|| next.next().map(|topic| count(&trie, topic)));
                });
            }
        }
    }
    group.finish();
}

fn subscribing(c: &mut Criterion) {
    let mut group = c.benchmark_group("subscribe+unsubscribe");
    for (kind, text) in [("exact", exact as fn(usize) -> String), ("wildcard", wildcard)] {
        for size in SIZES {
            let mut trie = trie(size, text);
            let subscriber = Arc::new(0);
            let texts: Vec<_> = (size..size + 1_000).map(text).collect();
            let mut next = texts.iter().cycle().map(|text| filter(text));
            group.bench_function(BenchmarkId::new(kind, size), |b| {
                b.iter(|| {
                    let filter = next.next()?;
                    trie.subscribe(filter, Arc::clone(&subscriber), SubscriptionOptions::default());
                    trie.unsubscribe(filter, &subscriber)
                });
            });
        }
    }
    group.finish();
}

fn retained(c: &mut Criterion) {
    const MESSAGES: usize = 100_000;
    let texts: Vec<_> = (0..MESSAGES).map(|i| format!("lg/ret/{}/{i}/state", i % 100)).collect();
    let message = Arc::new(0_u64);
    let fill = || {
        let mut tree = RetainedTree::new(1);
        for text in &texts {
            tree.insert(name(text), Arc::clone(&message));
        }
        tree
    };

    let mut group = c.benchmark_group("retained");
    group.sample_size(20).throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("insert", |b| b.iter_with_large_drop(fill));
    let mut tree = fill();
    group.bench_function("replace", |b| {
        b.iter(|| {
            for text in &texts {
                tree.insert(name(text), Arc::clone(&message));
            }
        });
    });
    for text in ["#", "lg/ret/#", "lg/ret/+/+/state"] {
        group.bench_function(BenchmarkId::new("walk", text), |b| {
            b.iter(|| {
                let mut messages = 0;
                tree.for_each_match(filter(text), |message| {
                    black_box(message);
                    messages += 1;
                });
                assert_eq!(messages, MESSAGES);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, matching, subscribing, retained);
criterion_main!(benches);
