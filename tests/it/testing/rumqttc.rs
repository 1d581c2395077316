//! rumqttc against `dunlin test`, without a sleep: a lost PUBACK, a dead connection, a session that expires after 25
//! hours, a take-over, a killed broker; all of them within 5 seconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rumqttc::{Event, MqttOptions, Packet, QoS};
use serde_json::json;

use super::Bench;
use crate::support::five;

/// A client with a thread of its own, which connects again by itself.
struct Client {
    requests: rumqttc::Client,
    payloads: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Client {
    fn start(bench: &Bench, name: &str, keep_alive: u64) -> Self {
        let address = bench.mqtt();
        let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
        options.set_clean_session(false).set_keep_alive(Duration::from_secs(keep_alive));
        let (requests, mut connection) = rumqttc::Client::new(options, 100);
        let (payloads, stop) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<AtomicBool>::default());
        let (noted, stopped) = (payloads.clone(), stop.clone());
        let thread = thread::spawn(move || {
            for event in connection.iter() {
                if let Ok(Event::Incoming(Packet::Publish(publish))) = &event {
                    noted.lock().push(publish.payload.to_vec());
                }
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                if event.is_err() {
                    // it connects again at once
                    thread::yield_now();
                }
            }
        });
        bench.post("expect", json!({ "client": name, "state": "connected" }));
        Self { requests, payloads, stop, thread: Some(thread) }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.requests.disconnect();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Longest duration of the suite, from its first step, with the binary as it is built for tests.
const MOST: Duration = Duration::from_secs(5);
/// Other programs may keep the machine busy meanwhile: they make no suite faster.
const TRIES: usize = 5;

#[test]
fn a_suite_of_five_scenarios_takes_less_than_5_seconds() {
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= MOST) {
        assert!(took.len() < TRIES, "{took:?}");
        let began = Instant::now();
        let bench = Bench::start();
        for scenario in [
            a_lost_puback_has_the_message_sent_again,
            a_dead_connection_is_found_by_the_keep_alive,
            a_take_over_ends_the_first_connection,
            a_killed_test_broker_has_acknowledged_messages,
            a_session_expires_after_25_hours,
        ] {
            scenario(&bench);
            bench.post("reset", json!({}));
        }
        took.push(began.elapsed());
    }
    println!("{took:?}");
}

fn a_lost_puback_has_the_message_sent_again(bench: &Bench) {
    let publisher = Client::start(bench, "p", 60);
    bench
        .post("faults", json!({ "when": { "packet": "PUBACK", "direction": "to_client", "times": 1 }, "do": "close" }));
    publisher.requests.publish("a", QoS::AtLeastOnce, false, "x").unwrap();
    bench.post("expect", json!({ "packet": "PUBLISH", "direction": "to_server", "client": "p", "count": 2 }));
    bench.post("expect", json!({ "packet": "PUBACK", "fault": "none" }));
    bench.post("expect", json!({ "filter": "a", "payload": "x", "count": 2, "at_most": 2 }));
}

fn a_dead_connection_is_found_by_the_keep_alive(bench: &Bench) {
    let _client = Client::start(bench, "c", 1);
    bench.post("faults", json!({ "when": { "client": "c", "times": 1 }, "do": "half_open" }));
    bench.post("expect", json!({ "packet": "CONNECT", "client": "c", "fault": "none", "count": 2, "within": "20s" }));
}

fn a_take_over_ends_the_first_connection(bench: &Bench) {
    let _client = Client::start(bench, "c", 60);
    let mut second = five::Five::open(bench.mqtt());
    second.send(&five::Connect::new("c").frame());
    // and takes the session back at once, maybe before the second has its CONNACK
    bench.post("expect", json!({ "packet": "CONNECT", "client": "c", "count": 3 }));
    while second.read().is_some() {}
}

fn a_killed_test_broker_has_acknowledged_messages(bench: &Bench) {
    let subscriber = Client::start(bench, "s", 60);
    subscriber.requests.subscribe("a", QoS::AtLeastOnce).unwrap();
    bench.post("expect", json!({ "client": "s", "subscribed": "a" }));
    let publisher = Client::start(bench, "p", 60);
    publisher.requests.publish("a", QoS::AtLeastOnce, false, "before").unwrap();
    bench.post("expect", json!({ "filter": "a", "payload": "before" }));
    bench.post("expect", json!({ "client": "s", "acknowledged": true }));
    bench.post("restart", json!({}));
    for client in ["s", "p"] {
        bench.post("expect", json!({ "client": client, "state": "connected" }));
    }
    publisher.requests.publish("a", QoS::AtLeastOnce, false, "after").unwrap();
    bench.post("expect", json!({ "filter": "a", "payload": "after" }));
    bench.post("expect", json!({ "client": "s", "acknowledged": true }));
    drop(publisher);
    let payloads = subscriber.payloads.lock().clone();
    assert_eq!(payloads.last().map(Vec::as_slice), Some(&b"after"[..]), "{payloads:?}");
    assert!(payloads.contains(&b"before".to_vec()), "{payloads:?}");
}

fn a_session_expires_after_25_hours(bench: &Bench) {
    use rumqttc::v5::{
        MqttOptions,
        mqttbytes::{QoS, v5::ConnectProperties},
    };
    let address = bench.mqtt();
    let mut options = MqttOptions::new("c", address.ip().to_string(), address.port());
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(24 * 3600);
    options.set_clean_start(false).set_connect_properties(properties);
    let (requests, mut connection) = rumqttc::v5::Client::new(options, 10);
    let thread = thread::spawn(move || while let Some(Ok(_)) = connection.iter().next() {});
    requests.subscribe("a", QoS::AtLeastOnce).unwrap();
    bench.post("expect", json!({ "client": "c", "subscribed": "a" }));
    requests.disconnect().unwrap();
    bench.post("expect", json!({ "client": "c", "state": "away" }));
    thread.join().unwrap();
    bench.post("clock", json!({ "advance": "23h" }));
    bench.post("expect", json!({ "client": "c", "state": "away" }));
    bench.post("clock", json!({ "advance": "2h" }));
    bench.post("expect", json!({ "client": "c", "state": "gone", "within": 0 }));
}
