//! Clients within the process: the messages that they receive, publish and miss, and their durable sessions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use dunlin::{
    Bound, Builder, Client, ClientError, Config, InsideClient, Missed, PropertiesBuf, PropertyId, Publication,
    PublishError, QoS, QueueFull, ReasonCode, Received, Server, router::Count, session::CloseReason,
};

use crate::support::{
    Broker, GUARD, config, expect_exactly,
    five::{self, Five, Properties},
    publish_all,
    raw::{Connect, Message},
    run, shut_down, start,
};

fn asks(id: &str, filters: &[&str], qos: QoS) -> InsideClient {
    let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
    InsideClient { id: id.to_owned(), filters, qos, ..InsideClient::default() }
}

#[track_caller]
fn begin(server: &Server, asked: InsideClient) -> Client {
    run(server.client(asked)).expect("a client within the process")
}

/// The next message, which comes some time.
#[track_caller]
fn next(client: &Client) -> Received {
    run(client.recv()).expect("the server runs")
}

/// These payloads arrive next, and no other; all are acknowledged.
#[track_caller]
fn expect(client: &Client, payloads: &[&str]) {
    for payload in payloads {
        let received = next(client);
        assert_eq!(text(&received), *payload);
        assert_eq!(client.ack(&received), received.qos != QoS::AtMostOnce);
    }
    assert!(client.try_recv().is_none());
}

fn text(received: &Received) -> &str {
    std::str::from_utf8(received.payload()).expect("text")
}

fn publish(client: &Client, topic: &str, payload: &str) -> usize {
    let publication = Publication::new(topic, payload.to_owned()).qos(QoS::AtLeastOnce);
    run(client.publish(publication)).expect("it is published").subscribers
}

#[test]
fn a_client_within_the_process_receives_whole_messages() {
    let broker = Broker::new(config());
    let client = begin(&broker.server, asks("$inside", &["t/#"], QoS::AtLeastOnce));
    let mut publisher = broker.client("publisher");
    let before = SystemTime::now();
    for (qos, expected) in [(0, QoS::AtMostOnce), (1, QoS::AtLeastOnce), (2, QoS::AtLeastOnce)] {
        publisher.publish(Message::new("t/a", "12345").qos(qos).retain());
        let received = next(&client);
        assert_eq!((received.topic(), text(&received), received.qos), ("t/a", "12345", expected));
        assert_eq!((received.retain, received.dup, received.expires_in), (false, false, None));
        let by = received.publisher.as_ref().expect("it is known");
        assert_eq!((by.client.as_str(), by.user.as_ref()), ("publisher", None));
        assert!(received.at.is_some_and(|at| at + Duration::from_secs(5) > before));
        assert!(received.properties().is_empty());
        // the payload is shared, and stays
        let bytes = received.bytes();
        assert_eq!(client.ack(&received), qos > 0);
        assert!(!client.ack(&received), "once");
        drop(received);
        assert_eq!(bytes, "12345");
    }
    let mut of_five = Five::accepted(broker.address(), &five::Connect::new("five"), 0);
    let properties = Properties::new().text(0x03, "text/plain").user("name", "value");
    of_five.publish(&five::Publish::new("t/b", "x").qos(1).with(properties).expires(60));
    let received = next(&client);
    assert_eq!(received.properties().text(PropertyId::ContentType), Some("text/plain"));
    assert_eq!(received.properties().user().collect::<Vec<_>>(), [("name", "value")]);
    assert!(received.expires_in.is_some_and(|left| left <= Duration::from_secs(60)));
    // a retained message comes with a new subscription
    let late = begin(&broker.server, asks("$late", &["t/+"], QoS::ExactlyOnce));
    let received = next(&late);
    assert_eq!((received.topic(), received.qos, received.retain), ("t/a", QoS::ExactlyOnce, true));
    assert_eq!((received.publisher.as_ref(), received.at), (None, None));
    assert!(late.try_recv().is_none());
}

#[test]
fn a_client_within_the_process_publishes_to_all_clients() {
    let broker = Broker::new(config());
    let mut subscriber = broker.client("subscriber");
    subscriber.subscribe(&[("t/#", 1)]);
    let own = begin(
        &broker.server,
        InsideClient { no_local: true, retain_as_published: true, ..asks("$own", &["t/#"], QoS::AtLeastOnce) },
    );
    let other = begin(&broker.server, asks("$other", &["t/#"], QoS::AtLeastOnce));
    assert_eq!(publish(&own, "t/a", "one"), 3, "subscribers, whether or not they want it back");
    expect_exactly(&mut subscriber, &["one"]);
    assert_eq!(next(&other).publisher.expect("it is known").client.as_str(), "$own");
    assert!(own.try_recv().is_none(), "No Local");

    let publication = Publication::new("t/b", "two").qos(QoS::AtLeastOnce).retain(true);
    assert_eq!(run(broker.server.publish(publication)).expect("it is published").subscribers, 3);
    expect_exactly(&mut subscriber, &["two"]);
    let [by_own, by_other] = [next(&own), next(&other)];
    assert_eq!((by_own.retain, by_other.retain), (true, false), "Retain As Published");
    assert_eq!(by_own.publisher, None, "the broker itself");
    assert_eq!(broker.retained("t/#", 1), [("two".to_owned(), "t/b".to_owned())].map(|(p, t)| (t, p)));
    assert_eq!(publish(&own, "nobody", "x"), 0);

    let mut properties = PropertiesBuf::default();
    properties.number(PropertyId::MessageExpiryInterval, 30);
    properties.text(PropertyId::ResponseTopic, "answers");
    let publication = Publication::new("t/c", "three").properties(properties).user_property("a", "b");
    run(own.publish(publication)).expect("it is published");
    let received = next(&other);
    assert!(received.expires_in.is_some_and(|left| left > Duration::from_secs(20)));
    assert_eq!(received.properties().text(PropertyId::ResponseTopic), Some("answers"));
    assert_eq!(received.properties().user().collect::<Vec<_>>(), [("a", "b")]);
    // topics of the server are its own to publish
    let state = Publication::new("$SYS/broker/connection/own/state", "1");
    assert!(run(own.publish(state)).is_ok());
}

#[test]
fn unacknowledged_messages_within_the_process_fill_the_queue_and_drops_are_counted() {
    let broker = Broker::new(config());
    let queue = |policy| Bound { messages: 3, bytes: 1 << 20, policy };
    let client =
        |id, policy| begin(&broker.server, InsideClient { queue: queue(policy), ..asks(id, &["t"], QoS::AtLeastOnce) });
    let newest = client("$newest", QueueFull::DropNewest);
    let oldest = client("$oldest", QueueFull::DropOldest);
    let mut publisher = broker.client("publisher");
    let payloads: Vec<_> = (0..5).map(|n| n.to_string()).collect();
    publish_all(&mut publisher, "t", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(newest.missed(), Missed { queue_full: 2, expired: 0 });
    assert_eq!(oldest.missed(), Missed { queue_full: 2, expired: 0 });
    expect(&newest, &["0", "1", "2"]);
    // three may be taken, the others wait for an acknowledgement
    publish_all(&mut publisher, "t", &["5", "6"]);
    let taken = [next(&oldest), next(&oldest), next(&oldest)];
    assert_eq!(taken.each_ref().map(text), ["4", "5", "6"]);
    publish_all(&mut publisher, "t", &["7"]);
    assert!(oldest.try_recv().is_none());
    // QoS 0 needs no acknowledgement
    publisher.publish(Message::new("t", "8"));
    assert!(oldest.ack(&taken[1]));
    expect(&oldest, &["7", "8"]);
    assert_eq!(oldest.missed().queue_full, 4, "5 and 6 pushed 2 and 3 out");
    // the same holds at QoS 0
    (0..7).for_each(|n| publisher.publish(Message::new("t", &n.to_string())));
    expect(&oldest, &["4", "5", "6"]);
    assert_eq!(broker.count(Count::DroppedQueueFull), newest.missed().queue_full + oldest.missed().queue_full);
}

#[test]
fn messages_that_expire_in_a_queue_within_the_process_count_as_missed() {
    let broker = Broker::new(config());
    let client = begin(&broker.server, asks("$inside", &["t"], QoS::AtLeastOnce));
    let mut publisher = Five::accepted(broker.address(), &five::Connect::new("five"), 0);
    publisher.publish(&five::Publish::new("t", "short").qos(1).expires(10));
    publisher.publish(&five::Publish::new("t", "long").qos(1).expires(1_000));
    broker.turn(Duration::from_secs(20));
    expect(&client, &["long"]);
    assert_eq!(client.missed(), Missed { queue_full: 0, expired: 1 });
}

#[test]
fn a_durable_client_gets_unacknowledged_and_new_messages_after_a_restart() {
    let broker = Broker::new(config());
    let asked = |filters| InsideClient { durable: true, ..asks("$durable", filters, QoS::AtLeastOnce) };
    let mut publisher = broker.client("publisher");
    let client = begin(&broker.server, asked(&["a", "b/+"]));
    publish_all(&mut publisher, "a", &["0", "1", "2"]);
    let _unacknowledged = next(&client);
    let acknowledged = next(&client);
    assert!(client.ack(&acknowledged));
    drop(client);
    publish_all(&mut publisher, "b/c", &["3"]);
    // retained meanwhile: the filter `a` is not new
    publisher.publish(Message::new("a", "4").qos(1).retain());

    let client = begin(&broker.server, asked(&["a", "c"]));
    let again = next(&client);
    assert_eq!((text(&again), again.dup), ("0", true));
    assert!(client.ack(&again));
    expect(&client, &["2", "3", "4"]);
    // `b/+` is not asked for any more
    publish_all(&mut publisher, "b/c", &["5"]);
    publish_all(&mut publisher, "c", &["6"]);
    expect(&client, &["6"]);

    client.end_session();
    publish_all(&mut publisher, "c", &["7"]);
    let client = begin(&broker.server, asked(&["c"]));
    expect(&client, &[]);
    // one that is not durable takes its place, and leaves nothing
    drop(client);
    drop(begin(&broker.server, asks("$durable", &["c"], QoS::AtLeastOnce)));
    let other = begin(&broker.server, asks("$other", &[], QoS::AtMostOnce));
    assert_eq!(publish(&other, "c", "8"), 0);
}

#[test]
fn a_durable_client_survives_a_restart_with_a_data_dir() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config { data_dir: Some(dir.path().into()), ..config() };
    let asked = InsideClient { durable: true, ..asks("$durable", &["t"], QoS::ExactlyOnce) };
    let server = start(Builder::new(config.clone()));
    let (client, other) = (begin(&server, asked.clone()), begin(&server, asks("$other", &[], QoS::AtMostOnce)));
    for (n, qos) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce].into_iter().enumerate() {
        run(other.publish(Publication::new("t", n.to_string()).qos(qos))).expect("it is published");
    }
    let taken = [next(&client), next(&client), next(&client)];
    assert!(client.ack(&taken[1]));
    shut_down(server);
    assert!(run(client.recv()).is_none() && !client.ack(&taken[2]));

    let server = start(Builder::new(config));
    let client = begin(&server, asked);
    let again = next(&client);
    assert_eq!((text(&again), again.qos, again.dup), ("2", QoS::ExactlyOnce, true));
    assert!(client.ack(&again));
    expect(&client, &["3"]);
    shut_down(server);
}

#[test]
fn a_member_of_a_group_within_the_process_takes_turns_with_the_others() {
    let broker = Broker::new(config());
    let client = begin(&broker.server, asks("$inside", &["$share/group/t"], QoS::AtLeastOnce));
    let mut member = broker.client("member");
    member.subscribe(&[("$share/group/t", 1)]);
    let mut publisher = broker.client("publisher");
    let payloads: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    publish_all(&mut publisher, "t", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut got, mut by_member) = (Vec::new(), Vec::new());
    while let Some(received) = client.try_recv() {
        got.push(text(&received).to_owned());
        assert!(client.ack(&received));
    }
    for _ in got.len()..10 {
        by_member.push(member.take().text().to_owned());
    }
    member.expect_nothing_pending();
    assert_eq!((got.len(), by_member.len()), (5, 5));
    // its unacknowledged messages go to the other member when it ends
    publish_all(&mut publisher, "t", &["a", "b"]);
    let unacknowledged = next(&client);
    drop(client);
    let mut rest = [member.take().text().to_owned(), member.take().text().to_owned()];
    rest.sort();
    assert_eq!(rest, ["a", "b"], "{unacknowledged:?}");
}

#[test]
fn identifiers_within_the_process_are_unique_and_errors_are_returned() {
    let broker = Broker::new(config());
    let refused = |asked| run(broker.server.client(asked)).expect_err("it is refused");
    let open = begin(&broker.server, asks("$inside", &["t"], QoS::AtLeastOnce));
    for id in ["$inside", "inside", "", "$health"] {
        let ClientError::Refused(CloseReason::Refused { code, .. }) = refused(asks(id, &[], QoS::AtMostOnce)) else {
            panic!("{id:?} is refused as what it is");
        };
        assert_eq!(code, ReasonCode::ClientIdentifierNotValid);
    }
    for filter in ["", "a/#/b", "$share/g"] {
        let error = refused(asks("$other", &["fine", filter], QoS::AtMostOnce));
        assert!(error.to_string().starts_with(&format!("{filter:?}")), "{error}");
    }
    let publish = |publication| run(open.publish(publication)).expect_err("it is refused");
    for topic in ["", "a/+"] {
        assert!(matches!(publish(Publication::new(topic, "x")), PublishError::Topic(_)));
    }
    let mut alias = PropertiesBuf::default();
    alias.number(PropertyId::TopicAlias, 1);
    assert_eq!(publish(Publication::new("t", "x").properties(alias)), PublishError::Property(PropertyId::TopicAlias));
    let most = Config::ephemeral().limits.max_packet_size;
    let large = publish(Publication::new("t", vec![0; most]));
    assert_eq!(large, PublishError::TooLarge { bytes: most + 1, most });
    // it is still there
    assert_eq!(publish_one(&open), 1);
    expect(&open, &["x"]);
    drop(open);
    let again = begin(&broker.server, asks("$inside", &["t"], QoS::AtLeastOnce));
    assert_eq!(publish_one(&again), 1);
}

fn publish_one(client: &Client) -> usize {
    publish(client, "t", "x")
}

#[test]
fn tasks_share_a_client_and_all_of_them_end_with_the_server() {
    let server = start(Builder::new(config()));
    let client = Arc::new(begin(&server, asks("$inside", &["t"], QoS::AtLeastOnce)));
    let other = begin(&server, asks("$other", &[], QoS::AtMostOnce));
    let taken = Arc::new(AtomicUsize::new(0));
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let (client, taken) = (client.clone(), taken.clone());
            std::thread::spawn(move || {
                run(async {
                    while let Some(received) = client.recv().await {
                        assert!(client.ack(&received));
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                });
            })
        })
        .collect();
    (0..500).for_each(|_| assert_eq!(publish(&other, "t", "x"), 1));
    let begin = Instant::now();
    while taken.load(Ordering::Relaxed) < 500 {
        assert!(begin.elapsed() < GUARD, "{taken:?} of 500");
        std::thread::yield_now();
    }
    shut_down(server);
    receivers.into_iter().for_each(|receiver| receiver.join().expect("it ends"));
    assert_eq!(taken.load(Ordering::Relaxed), 500, "each went to one of them");
    assert_eq!(run(other.publish(Publication::new("t", "x"))), Err(PublishError::Stopped));
    assert_eq!(client.missed(), Missed::default());
}

#[test]
fn clients_within_the_process_are_not_counted_as_connections_and_ids_with_a_dollar_are_theirs() {
    let broker = Broker::new(config());
    let client = begin(&broker.server, asks("$inside", &["t"], QoS::AtLeastOnce));
    broker.expect_counts(&[(Count::Connects, 0), (Count::Disconnects, 0)]);
    broker.refuses(&Connect::new("$inside"), 2);
    let mut of_five = broker.open();
    of_five.send(&five::Connect::new("$inside").frame());
    of_five.expect(&five::refused(0x85));
    of_five.expect_closed();
    let mut publisher = broker.client("publisher");
    publish_all(&mut publisher, "t", &["still there"]);
    expect(&client, &["still there"]);
    drop(client);
    broker.expect_counts(&[(Count::Connects, 1), (Count::Disconnects, 0)]);
}

#[test]
fn changed_rules_do_not_restrict_clients_within_the_process() {
    let broker = Broker::new(config());
    let client = begin(&broker.server, asks("$inside", &["t/#"], QoS::AtLeastOnce));
    // they allow anonymous clients nothing
    run(broker.server.set_rules(Some("user alice\ntopic t/#\n"))).expect("rules");
    assert_eq!(publish(&client, "t/a", "1"), 1);
    expect(&client, &["1"]);
}
