//! `$SYS/broker/…`: the topics, their values after a known exchange, and clients that publish to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dunlin::{
    Config,
    config::{Limits, SysConfig, SysPublish},
    router::Count,
};

use crate::support::{
    Broker, Recorder, config, publish_all,
    raw::{Client, Connect, DISCONNECT, Message, PINGREQ, PINGRESP, connack, puback, suback, subscribe},
};

/// The topics of mosquitto 2 (`src/sys_tree.c`) under `$SYS/broker/`, without those of packets that mosquitto queues
/// for a socket. `heap` is the resident memory here.
const MOSQUITTO: [&str; 26] = [
    "version",
    "uptime",
    "clients/total",
    "clients/maximum",
    "clients/disconnected",
    "clients/inactive",
    "clients/connected",
    "clients/active",
    "clients/expired",
    "messages/stored",
    "messages/received",
    "messages/sent",
    "store/messages/count",
    "store/messages/bytes",
    "subscriptions/count",
    "shared_subscriptions/count",
    "retained messages/count",
    "heap/current",
    "heap/maximum",
    "bytes/received",
    "bytes/sent",
    "publish/messages/received",
    "publish/messages/sent",
    "publish/messages/dropped",
    "publish/bytes/received",
    "publish/bytes/sent",
];

/// Its `load/…`, each over three times.
const MOSQUITTO_LOADS: [&str; 9] = [
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "publish/dropped",
    "bytes/received",
    "bytes/sent",
    "sockets",
    "connections",
];

/// What mosquitto has not.
const OURS: [&str; 10] = [
    "store/queues/memory",
    "subscriptions/memory",
    "retained messages/memory",
    "publish/bytes/dropped",
    "retained messages/bytes",
    "retained messages/expired",
    "logins/waiting",
    "turns/maximum/nodes",
    "turns/maximum/deliveries",
    "turns/maximum/microseconds",
];

/// It has no counter for each limit either.
const LIMITS: [&str; 31] = [
    "max_connections",
    "max_connecting",
    "max_connecting_bytes",
    "connect_timeout",
    "write_timeout",
    "max_packet_size",
    "max_topic",
    "max_client_id_length",
    "max_inflight_in",
    "max_queued",
    "max_queued_bytes_total",
    "max_memory",
    "max_outbound_bytes",
    "max_retained",
    "store_full",
    "max_subscriptions",
    "max_sessions",
    "sys_publish",
    "not_authorized",
    "denied_deliveries",
    "expired",
    "packet_too_large",
    "bridge_loop",
    "refused_logins",
    "protocol_errors",
    "publish_rate",
    "connect_rate",
    "max_qos",
    "retain_available",
    "max_keep_alive",
    "banned",
];

/// With a `data_dir`, under `store/disk/`.
const DISK: [&str; 8] =
    ["batches", "frames", "records", "bytes written", "fsyncs", "bytes kept", "bytes on disk", "condition"];

/// All of them, without `$SYS/broker/`, of a broker in memory.
fn names() -> BTreeSet<String> {
    let loads = MOSQUITTO_LOADS.iter().flat_map(|load| [1, 5, 15].map(|minutes| format!("load/{load}/{minutes}min")));
    let limits = LIMITS.iter().map(|limit| format!("limits/{limit}"));
    MOSQUITTO.into_iter().chain(OURS).map(str::to_owned).chain(loads).chain(limits).collect()
}

/// Publishes all topics once, after all counted events.
fn publish_once(broker: &mut Broker, recorder: &Recorder) {
    broker.reload(|config| config.sys.interval = Some(Duration::from_secs(3600)));
    broker.turn(Duration::from_secs(1));
    // the last of them
    recorder.wait_for("publish (broker) $SYS/broker/load/connections/15min");
}

/// All that is retained there.
#[track_caller]
fn read(broker: &Broker) -> BTreeMap<String, String> {
    read_all(broker, names().len())
}

#[track_caller]
fn read_all(broker: &Broker, count: usize) -> BTreeMap<String, String> {
    let short = |topic: String| topic.strip_prefix("$SYS/broker/").expect("under $SYS/broker").to_owned();
    broker.retained("$SYS/#", count).into_iter().map(|(topic, value)| (short(topic), value)).collect()
}

#[test]
fn every_topic_is_retained_under_the_name_that_mosquitto_gives_it() {
    let (mut broker, recorder) = Broker::observed(Limits::default());
    publish_once(&mut broker, &recorder);
    assert_eq!(read(&broker).into_keys().collect::<BTreeSet<_>>(), names());
}

/// A broker that publishes them an hour later for the second time has these for its first subscriber, who comes at
/// once.
#[track_caller]
fn expect_at_the_start(names: &BTreeSet<String>, change: impl FnOnce(&mut Config)) {
    let sys = SysConfig { interval: Some(Duration::from_secs(3600)), ..config().sys };
    let mut config = Config { sys, ..config() };
    change(&mut config);
    assert_eq!(read_all(&Broker::new(config), names.len()).into_keys().collect::<BTreeSet<_>>(), *names);
}

#[test]
fn the_first_subscription_gets_every_sys_topic() {
    for workers in 1..3 {
        expect_at_the_start(&names(), |config| config.workers = Some(workers));
    }
}

#[test]
fn the_first_subscription_gets_every_sys_topic_with_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let names = names().into_iter().chain(DISK.map(|name| format!("store/disk/{name}"))).collect();
    for _ in ["a new data_dir", "one that is there"] {
        expect_at_the_start(&names, |config| config.data_dir = Some(dir.path().join("data")));
    }
}

/// What went over the sockets, as frames.
#[derive(Default)]
struct Traffic {
    received: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Traffic {
    fn of(frames: &[Vec<u8>]) -> (u64, u64) {
        (frames.len() as u64, frames.iter().map(|f| f.len() as u64).sum())
    }
}

/// Two clients are connected at the end, one is away; two messages are queued for it and one is retained.
fn exchange(broker: &Broker) -> (Traffic, [Client; 2]) {
    let Traffic { mut received, mut sent } = Traffic::default();
    let filters = [("t/+", 1), ("none", 2), ("$share/g/none", 0)];
    let mut away = broker.begin("away");
    away.subscribe(&filters);
    away.disconnect();
    received.extend([Connect::new("away").persistent().frame(), subscribe(1, &filters), DISCONNECT.to_vec()]);
    sent.extend([connack(0, 0), suback(1, &[1, 2, 0])]);

    let mut here = broker.client("here");
    here.subscribe(&[("t/#", 0)]);
    received.extend([Connect::new("here").frame(), subscribe(1, &[("t/#", 0)])]);
    sent.extend([connack(0, 0), suback(1, &[0])]);

    // of four messages, two wait and two are dropped for the one; all reach the other
    let mut publisher = broker.client("publisher");
    received.push(Connect::new("publisher").frame());
    sent.push(connack(0, 0));
    for (id, payload) in (1..).zip(["one", "two", "three", "four"]) {
        let message = Message::new("t/x", payload).qos(1).id(id);
        publisher.publish(message.clone());
        here.expect_message("t/x", payload, 0);
        received.push(message.frame());
        sent.extend([puback(id), Message::new("t/x", payload).frame()]);
    }
    // two are retained, one of them cleared
    for (id, (topic, payload)) in (5..).zip([("kept", "12345"), ("gone", "123"), ("gone", "")]) {
        let message = Message::new(topic, payload).qos(1).retain().id(id);
        publisher.publish(message.clone());
        received.push(message.frame());
        sent.push(puback(id));
    }
    publisher.expect_nothing_pending();
    received.push(PINGREQ.to_vec());
    sent.push(PINGRESP.to_vec());

    // a second connection of one client is not a second client
    let mut again = broker.client("here");
    here.expect_closed();
    let filters = [("t/#", 0), ("$share/g/none", 0)];
    again.subscribe(&filters);
    received.extend([Connect::new("here").frame(), subscribe(1, &filters)]);
    sent.extend([connack(0, 0), suback(1, &[0, 0])]);
    let traffic = Traffic { received, sent };
    // written bytes may be counted after they are read
    broker.wait_for_count(Count::BytesSent, Traffic::of(&traffic.sent).1);
    (traffic, [publisher, again])
}

#[test]
fn the_values_are_those_of_the_exchange_before() {
    let (mut broker, recorder) = Broker::observed(Limits { max_queued_messages: 2, ..Limits::default() });
    let (Traffic { received, sent }, _connected) = exchange(&broker);
    publish_once(&mut broker, &recorder);
    let mut got = read(&broker);

    let uptime = got.remove("uptime").expect("uptime");
    assert!(uptime.strip_suffix(" seconds").is_some_and(|s| s.parse::<u32>().is_ok()), "{uptime}");
    assert_eq!(got.remove("version"), Some(format!("dunlin version {}", env!("CARGO_PKG_VERSION"))));
    for load in MOSQUITTO_LOADS {
        let names = [1, 5, 15].map(|minutes| format!("load/{load}/{minutes}min"));
        let values = names.map(|name| got.remove(&name).expect(&name).parse::<f64>().expect("a number"));
        // something of each has happened, all of it just now
        assert!(values.is_sorted_by(|short, long| short > long) && values[2] > 0.0, "{load}: {values:?}");
    }

    // those of `$SYS` count too, as in mosquitto: such as had been published by then
    let mut take = |name| got.remove(name).expect(name).parse::<u64>().expect("a number");
    let (retained, retained_bytes) = (take("retained messages/count"), take("retained messages/bytes"));
    assert!(retained >= 1 && retained_bytes >= "kept12345".len() as u64);
    let (heap, heap_maximum) = (take("heap/current"), take("heap/maximum"));
    assert!((1 << 20..1 << 40).contains(&heap) && heap <= heap_maximum, "{heap} bytes, at most {heap_maximum}");
    let [subscriptions, memory] = ["subscriptions/memory", "retained messages/memory"].map(&mut take);
    assert!(subscriptions > 100 && memory > 100, "{subscriptions} and {memory} bytes");
    let queues = take("store/queues/memory");
    assert!((2 * 80..2 * 150).contains(&queues), "{queues} bytes for two small messages");
    let waiting_bytes = (2 * "t/x".len() + "onetwo".len()) as u64;
    let ((packets_received, bytes_received), (packets_sent, bytes_sent)) = (Traffic::of(&received), Traffic::of(&sent));
    let expected = [
        ("clients/total", 3),
        ("clients/maximum", 2),
        ("clients/connected", 2),
        ("clients/active", 2),
        ("clients/disconnected", 1),
        ("clients/inactive", 1),
        ("clients/expired", 0),
        ("messages/received", packets_received),
        ("messages/sent", packets_sent),
        ("bytes/received", bytes_received),
        ("bytes/sent", bytes_sent),
        ("publish/messages/received", 7),
        ("publish/messages/sent", 4),
        ("publish/messages/dropped", 2),
        ("publish/bytes/received", 15 + 8),
        ("publish/bytes/sent", 15),
        ("publish/bytes/dropped", 9),
        ("subscriptions/count", 3),
        ("shared_subscriptions/count", 2),
        ("messages/stored", 2 + retained),
        ("store/messages/count", 2 + retained),
        ("store/messages/bytes", waiting_bytes + retained_bytes),
        ("limits/max_queued", 2),
        ("turns/maximum/nodes", 0),
        ("turns/maximum/deliveries", 0),
        ("turns/maximum/microseconds", 0),
    ];
    for (name, value) in expected {
        assert_eq!(got.remove(name), Some(value.to_string()), "{name}");
    }
    got.retain(|_, value| value != "0");
    assert_eq!(got, BTreeMap::new(), "limits that nobody met");
}

#[test]
fn topics_are_published_when_their_value_has_changed() {
    let (mut broker, recorder) = Broker::observed(Limits::default());
    publish_once(&mut broker, &recorder);
    broker.reload(|config| config.sys.interval = Some(Duration::from_millis(1)));
    let mut watcher = broker.client("watcher");
    let topic = "$SYS/broker/publish/messages/received";
    assert_eq!(watcher.subscribe_retained(&[(topic, 1)], 1)[0].text(), "0");
    let mut publisher = broker.client("publisher");
    for expected in ["1", "2"] {
        publish_all(&mut publisher, "t", &[""]);
        broker.turn(Duration::from_secs(1));
        let message = watcher.take();
        assert!(!message.retain && message.qos == 0);
        assert_eq!((message.topic.as_str(), message.text()), (topic, expected));
    }
    watcher.expect_nothing_pending();
}

#[test]
fn without_an_interval_there_are_no_sys_topics() {
    let limits = Limits { session_expiry: Some(Duration::from_secs(1)), ..Limits::default() };
    let (broker, recorder) = Broker::observed(limits);
    // who would publish them ends sessions too, before that: twice, and it has had its turn
    for id in ["first", "second"] {
        broker.begin(id).disconnect();
        broker.turn(Duration::from_secs(2));
        recorder.wait_for(&format!("expired {id}"));
    }
    assert_eq!(recorder.lines("publish"), [""; 0]);
    assert_eq!(broker.retained("$SYS/#", 0), []);
}

#[test]
fn leading_wildcards_do_not_match_sys_topics() {
    let (mut broker, recorder) = Broker::observed(Limits::default());
    let mut client = broker.client("client");
    client.subscribe(&[("#", 0), ("+/broker/version", 0)]);
    publish_once(&mut broker, &recorder);
    client.expect_nothing_pending();
    assert_eq!(broker.retained("#", 0), []);
}

/// A broker with this policy, and a subscriber to all of `$SYS`.
fn with_policy(client_publish: SysPublish) -> (Broker, Arc<Recorder>, Client) {
    let recorder = Arc::<Recorder>::default();
    let observe = recorder.clone();
    let sys = SysConfig { interval: None, client_publish, events: false };
    let broker = Broker::build(Config { sys, ..config() }, |builder| builder.observe(observe));
    let mut subscriber = broker.client("subscriber");
    subscriber.subscribe(&[("$SYS/#", 2)]);
    (broker, recorder, subscriber)
}

#[test]
fn a_client_s_publish_to_sys_is_acknowledged_and_dropped() {
    let (broker, _, mut subscriber) = with_policy(SysPublish::Drop);
    let mut publisher = broker.client("publisher");
    for (n, qos) in [0, 1, 2].into_iter().enumerate() {
        publisher.publish(Message::new("$SYS/broker/version", "mine").qos(qos).retain());
        broker.expect_counts(&[(Count::DroppedSysTopic, n as u64 + 1), (Count::PublishReceived, 0)]);
    }
    broker.connect(&Connect::new("will").will(&Message::new("$SYS/will", "")), 0).abort();
    broker.wait_for_count(Count::DroppedSysTopic, 4);
    subscriber.expect_nothing_pending();
    assert_eq!(broker.retained("$SYS/#", 0), []);
    broker.expect_counts(&[(Count::PublishDropped, 4), (Count::PublishBytesDropped, 12), (Count::Wills, 0)]);
    // a topic that only begins alike is not the server's
    subscriber.subscribe(&[("$SYSTEM/#", 0)]);
    publisher.publish(Message::new("$SYSTEM/x", "").qos(1));
    subscriber.expect_message("$SYSTEM/x", "", 0);
}

#[test]
fn a_client_s_publish_to_sys_closes_the_connection_if_configured() {
    let (broker, recorder, mut subscriber) = with_policy(SysPublish::Disconnect);
    for (n, qos) in [0, 1, 2].into_iter().enumerate() {
        let mut publisher = broker.client("publisher");
        publisher.send(&Message::new("$SYS/broker/version", "mine").qos(qos).id(1).frame());
        publisher.expect_closed();
        broker.expect_counts(&[(Count::DroppedSysTopic, n as u64 + 1), (Count::PublishReceived, 0)]);
    }
    subscriber.expect_nothing_pending();
    assert_eq!(recorder.lines("disconnect"), ["disconnect publisher NotAuthorized"; 3]);
    assert_eq!(recorder.lines("drop"), ["drop publisher $SYS/broker/version 4 bytes SysTopic"; 3]);
}

#[test]
fn a_client_s_publish_to_sys_is_delivered_if_configured() {
    let (broker, _, mut subscriber) = with_policy(SysPublish::Allow);
    let mut publisher = broker.client("publisher");
    for qos in [0, 1, 2] {
        publisher.publish(Message::new("$SYS/broker/version", "mine").qos(qos).retain());
        subscriber.expect_message("$SYS/broker/version", "mine", qos);
    }
    assert_eq!(broker.retained("$SYS/#", 1), [("$SYS/broker/version".to_owned(), "mine".to_owned())]);
    broker.expect_counts(&[(Count::DroppedSysTopic, 0), (Count::PublishReceived, 3)]);
}

#[test]
fn the_default_is_every_ten_seconds_and_for_the_broker_alone() {
    let SysConfig { interval, client_publish, events } = Config::default().sys;
    assert_eq!((interval, client_publish, events), (Some(Duration::from_secs(10)), SysPublish::Drop, false));
}
