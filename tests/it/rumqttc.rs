//! An independent client, rumqttc, against a broker in this process. A test polls each client until the expected
//! message; a later message that arrives first shows that an earlier one was not sent.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use dunlin::{Config, Server};
use rumqttc::{
    AsyncClient, ConnAck, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing,
    Packet, Publish, QoS, SubscribeFilter, SubscribeReasonCode,
};
use tokio::{sync::Barrier, task::JoinSet};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A test that hangs fails.
const AT_MOST: Duration = Duration::from_secs(60);

/// Of a whole packet, in both directions, as the broker's own default.
const MAX_PACKET: usize = 2_000_000;

async fn start() -> (Server, SocketAddr) {
    let server = Server::start(Config::ephemeral()).await.expect("a free port");
    let address = server.local_addrs()[0];
    (server, address)
}

/// A connected client and what came for it while something else was waited for.
struct Client {
    requests: AsyncClient,
    events: EventLoop,
    inbox: VecDeque<Publish>,
    connack: ConnAck,
}

impl Client {
    /// With a clean session.
    async fn new(address: SocketAddr, id: &str) -> Self {
        Self::with(address, id, |_| {}).await
    }

    /// With a session that stays.
    async fn persistent(address: SocketAddr, id: &str) -> Self {
        Self::with(address, id, |options| _ = options.set_clean_session(false)).await
    }

    async fn with(address: SocketAddr, id: &str, set: impl FnOnce(&mut MqttOptions)) -> Self {
        Self::try_with(address, id, set).await.expect("accepted")
    }

    async fn try_with(
        address: SocketAddr,
        id: &str,
        set: impl FnOnce(&mut MqttOptions),
    ) -> Result<Self, ConnectionError> {
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
        set(&mut options);
        let (requests, mut events) = AsyncClient::new(options, 1000);
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(connack)) => Ok(Self { requests, events, inbox: VecDeque::new(), connack }),
            other => panic!("before CONNACK: {other:?}"),
        }
    }

    /// Polls until `wanted` gives something; messages that come meanwhile are kept.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            let event = tokio::time::timeout(AT_MOST, self.events.poll()).await.expect("in time").expect("connected");
            if let Event::Incoming(Packet::Publish(publish)) = &event {
                self.inbox.push_back(publish.clone());
            }
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    async fn subscribe(&mut self, filters: &[(&str, QoS)]) {
        let asked = filters.iter().map(|&(filter, qos)| SubscribeFilter::new(filter.to_owned(), qos));
        self.requests.subscribe_many(asked).await.unwrap();
        let granted = self
            .until(|event| match event {
                Event::Incoming(Packet::SubAck(ack)) => Some(ack.return_codes.clone()),
                _ => None,
            })
            .await;
        let expected: Vec<_> = filters.iter().map(|&(_, qos)| SubscribeReasonCode::Success(qos)).collect();
        assert_eq!(granted, expected);
    }

    async fn unsubscribe(&mut self, filter: &str) {
        self.requests.unsubscribe(filter).await.unwrap();
        self.until(|event| matches!(event, Event::Incoming(Packet::UnsubAck(_))).then_some(())).await;
    }

    /// Publishes and waits for what completes the QoS.
    async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>, qos: QoS) {
        self.send(topic, payload, qos, false).await;
    }

    async fn retain(&mut self, topic: &str, payload: &str, qos: QoS) {
        self.send(topic, payload, qos, true).await;
    }

    async fn send(&mut self, topic: &str, payload: impl Into<Vec<u8>>, qos: QoS, retain: bool) {
        self.requests.publish(topic, qos, retain, payload).await.unwrap();
        self.until(|event| {
            let done = match qos {
                QoS::AtMostOnce => matches!(event, Event::Outgoing(Outgoing::Publish(0))),
                QoS::AtLeastOnce => matches!(event, Event::Incoming(Packet::PubAck(_))),
                QoS::ExactlyOnce => matches!(event, Event::Incoming(Packet::PubComp(_))),
            };
            done.then_some(())
        })
        .await;
    }

    async fn next(&mut self) -> Publish {
        while self.inbox.is_empty() {
            self.until(|event| matches!(event, Event::Incoming(Packet::Publish(_))).then_some(())).await;
        }
        self.inbox.pop_front().expect("one is there")
    }

    /// The next message is this one; gives its retain flag.
    async fn expect(&mut self, topic: &str, payload: &str, qos: QoS) -> bool {
        let got = self.next().await;
        let text = String::from_utf8_lossy(&got.payload);
        assert_eq!((&*got.topic, &*text, got.qos), (topic, payload, qos));
        got.retain
    }

    /// Nothing waits for this client: a message that it sends to itself comes first.
    async fn expect_nothing(&mut self) {
        let own = format!("{}/nothing", self.events.mqtt_options.client_id());
        self.subscribe(&[(&own, QoS::AtLeastOnce)]).await;
        self.publish(&own, "nothing came before", QoS::AtLeastOnce).await;
        self.expect(&own, "nothing came before", QoS::AtLeastOnce).await;
        self.unsubscribe(&own).await;
    }

    /// DISCONNECT, then the broker closes.
    async fn disconnect(mut self) {
        self.requests.disconnect().await.unwrap();
        self.until(|event| matches!(event, Event::Outgoing(Outgoing::Disconnect)).then_some(())).await;
        self.expect_closed().await;
    }

    /// Polls until the connection is closed.
    async fn expect_closed(&mut self) {
        while tokio::time::timeout(AT_MOST, self.events.poll()).await.expect("in time").is_ok() {}
    }

    /// The network connection ends without a DISCONNECT.
    fn drop_connection(self) {
        drop(self.events);
    }
}

#[tokio::test]
async fn every_qos_both_ways() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    for subscribed in QOS {
        let mut subscriber = Client::new(address, &format!("subscriber-{subscribed:?}")).await;
        subscriber.subscribe(&[("t", subscribed)]).await;
        for published in QOS {
            let payload = format!("{published:?} to {subscribed:?}");
            publisher.publish("t", payload.clone(), published).await;
            let delivered = if (published as u8) < subscribed as u8 { published } else { subscribed };
            let retain = subscriber.expect("t", &payload, delivered).await;
            assert!(!retain);
        }
        subscriber.expect_nothing().await;
    }
}

#[tokio::test]
async fn messages_stay_in_order_at_every_qos() {
    const COUNT: usize = 500;
    let (_server, address) = start().await;
    for qos in QOS {
        let topic = format!("order/{}", qos as u8);
        let mut subscriber = Client::new(address, "subscriber").await;
        let mut publisher = Client::new(address, "publisher").await;
        subscriber.subscribe(&[(&topic, qos)]).await;
        for number in 0..COUNT {
            publisher.requests.publish(&topic, qos, false, number.to_string()).await.unwrap();
        }
        let polled = tokio::spawn(async move { while publisher.events.poll().await.is_ok() {} });
        for number in 0..COUNT {
            subscriber.expect(&topic, &number.to_string(), qos).await;
        }
        polled.abort();
    }
}

#[tokio::test]
async fn retained_is_set_replaced_and_cleared() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    let mut existing = Client::new(address, "existing").await;
    existing.subscribe(&[("state/+", QoS::ExactlyOnce)]).await;
    for (round, qos) in QOS.into_iter().enumerate() {
        publisher.retain("state/lamp", "on", qos).await;
        assert!(!existing.expect("state/lamp", "on", qos).await, "to an existing subscriber it is as any other");
        let mut new = Client::new(address, &format!("new-{round}")).await;
        new.subscribe(&[("state/#", QoS::ExactlyOnce)]).await;
        assert!(new.expect("state/lamp", "on", qos).await, "to a new subscriber it is retained");

        publisher.retain("state/lamp", "off", qos).await;
        assert!(!existing.expect("state/lamp", "off", qos).await);
        assert!(!new.expect("state/lamp", "off", qos).await);
        new.subscribe(&[("state/#", QoS::AtMostOnce)]).await;
        assert!(new.expect("state/lamp", "off", QoS::AtMostOnce).await, "to a renewed subscription too");

        publisher.retain("state/lamp", "", qos).await;
        assert!(!existing.expect("state/lamp", "", qos).await);
        assert!(!new.expect("state/lamp", "", QoS::AtMostOnce).await);
        let mut late = Client::new(address, &format!("late-{round}")).await;
        late.subscribe(&[("state/#", QoS::ExactlyOnce)]).await;
        late.expect_nothing().await;
    }
}

#[tokio::test]
async fn the_will_of_a_connection_that_breaks_is_published() {
    let (_server, address) = start().await;
    let mut watcher = Client::new(address, "watcher").await;
    watcher.subscribe(&[("will/#", QoS::ExactlyOnce)]).await;
    for qos in QOS {
        let topic = format!("will/{}", qos as u8);
        let will = |options: &mut MqttOptions| _ = options.set_last_will(LastWill::new(&topic, "gone", qos, true));

        Client::with(address, "mortal", will).await.disconnect().await;
        watcher.expect_nothing().await;

        Client::with(address, "mortal", will).await.drop_connection();
        assert!(!watcher.expect(&topic, "gone", qos).await);
        let mut late = Client::new(address, "late").await;
        late.subscribe(&[(&topic, QoS::ExactlyOnce)]).await;
        assert!(late.expect(&topic, "gone", qos).await, "a retained will");
    }
}

#[tokio::test]
async fn a_persistent_session_queues_messages_in_order() {
    let (_server, address) = start().await;
    let mut away = Client::persistent(address, "away").await;
    assert!(!away.connack.session_present);
    away.subscribe(&[("news/1", QoS::AtLeastOnce), ("news/2", QoS::ExactlyOnce)]).await;
    away.disconnect().await;

    let mut publisher = Client::new(address, "publisher").await;
    let sent: Vec<_> = (0..60).map(|number| (QOS[1 + number % 2], number.to_string())).collect();
    for (qos, payload) in &sent {
        publisher.publish(&format!("news/{}", *qos as u8), payload.clone(), *qos).await;
    }

    let mut back = Client::persistent(address, "away").await;
    assert!(back.connack.session_present);
    for (qos, payload) in &sent {
        back.expect(&format!("news/{}", *qos as u8), payload, *qos).await;
    }
    back.expect_nothing().await;
    back.disconnect().await;

    let mut back = Client::persistent(address, "away").await;
    assert!(back.connack.session_present);
    back.expect_nothing().await;
    back.disconnect().await;

    let clean = Client::new(address, "away").await;
    assert!(!clean.connack.session_present, "a clean session ends the kept one");
    clean.disconnect().await;
    assert!(!Client::persistent(address, "away").await.connack.session_present);
}

#[tokio::test]
async fn unacknowledged_messages_are_resent() {
    let (_server, address) = start().await;
    let manual = |options: &mut MqttOptions| {
        options.set_clean_session(false).set_manual_acks(true);
    };
    let mut forgetful = Client::with(address, "forgetful", manual).await;
    forgetful.subscribe(&[("t", QoS::ExactlyOnce)]).await;
    let mut publisher = Client::new(address, "publisher").await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish("t", "again", qos).await;
        let first = forgetful.next().await;
        assert_eq!((first.qos, first.dup, &*first.payload), (qos, false, &b"again"[..]));
    }
    forgetful.drop_connection();

    let mut back = Client::persistent(address, "forgetful").await;
    assert!(back.connack.session_present);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let again = back.next().await;
        assert_eq!((again.qos, again.dup, &*again.payload), (qos, true, &b"again"[..]));
    }
    back.expect_nothing().await;
}

#[tokio::test]
async fn wildcards_match_whole_levels() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    let topics = ["a", "a/b", "a/b/c", "a/x/c", "/a", "a/", "b", "$own/a"];
    let table: &[(&str, &[&str])] = &[
        ("#", &["a", "a/b", "a/b/c", "a/x/c", "/a", "a/", "b"]),
        ("+", &["a", "b"]),
        ("+/+", &["a/b", "/a", "a/"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/x/c", "a/"]),
        ("a/+", &["a/b", "a/"]),
        ("a/+/c", &["a/b/c", "a/x/c"]),
        ("/+", &["/a"]),
        ("$own/#", &["$own/a"]),
    ];
    for (number, (filter, matched)) in table.iter().enumerate() {
        let mut subscriber = Client::new(address, &format!("subscriber-{number}")).await;
        subscriber.subscribe(&[(filter, QoS::AtLeastOnce)]).await;
        for topic in topics {
            publisher.publish(topic, *filter, QoS::AtLeastOnce).await;
        }
        for topic in *matched {
            subscriber.expect(topic, filter, QoS::AtLeastOnce).await;
        }
        subscriber.unsubscribe(filter).await;
        subscriber.expect_nothing().await;
    }
}

#[tokio::test]
async fn overlapping_filters_deliver_once_at_the_highest_qos() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    let mut subscriber = Client::new(address, "subscriber").await;
    subscriber.subscribe(&[("a/#", QoS::AtMostOnce), ("a/+", QoS::ExactlyOnce), ("a/b", QoS::AtLeastOnce)]).await;
    publisher.publish("a/b", "one", QoS::ExactlyOnce).await;
    subscriber.expect("a/b", "one", QoS::ExactlyOnce).await;
    subscriber.expect_nothing().await;

    subscriber.unsubscribe("a/+").await;
    publisher.publish("a/b", "two", QoS::ExactlyOnce).await;
    subscriber.expect("a/b", "two", QoS::AtLeastOnce).await;
    subscriber.expect_nothing().await;
}

#[tokio::test]
async fn two_hundred_clients_exchange_messages() {
    const CLIENTS: usize = 200;
    let (server, address) = start().await;
    let subscribed = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let subscribed = subscribed.clone();
        clients.spawn(async move {
            let qos = QOS[number % 3];
            let mut client = Client::new(address, &format!("client-{number}")).await;
            let own = format!("own/{number}");
            client.subscribe(&[("all", qos), (&own, qos)]).await;
            subscribed.wait().await;
            // each to its neighbour, and one to all
            client.publish(&format!("own/{}", (number + 1) % CLIENTS), number.to_string(), QoS::ExactlyOnce).await;
            if number == 0 {
                client.publish("all", "hello", QoS::ExactlyOnce).await;
            }
            let before = (number + CLIENTS - 1) % CLIENTS;
            let mut expected = vec![("all".to_owned(), "hello".to_owned()), (own, before.to_string())];
            for _ in 0..2 {
                let got = client.next().await;
                let got = (got.topic, String::from_utf8(got.payload.to_vec()).unwrap());
                let at = expected.iter().position(|e| *e == got).unwrap_or_else(|| panic!("{got:?} not awaited"));
                expected.remove(at);
            }
            client.expect_nothing().await;
            client.disconnect().await;
        });
    }
    while let Some(result) = clients.join_next().await {
        result.expect("a client's task");
    }
    server.shutdown().await.expect("the store closes");
}

#[tokio::test]
async fn a_payload_as_large_as_the_packet_limit_allows() {
    let (_server, address) = start().await;
    let (mut publisher, mut subscriber) =
        (Client::new(address, "publisher").await, Client::new(address, "subscriber").await);
    subscriber.subscribe(&[("large", QoS::ExactlyOnce)]).await;
    for qos in QOS {
        // the fixed header is 1 + 3 bytes, the topic 2 + 5, the Packet Identifier 2 where there is one
        let room = MAX_PACKET - 4 - 7 - if qos == QoS::AtMostOnce { 0 } else { 2 };
        let payload: Vec<u8> = (0u8..=250).cycle().take(room).collect();
        let sending = tokio::spawn(async move {
            publisher.publish("large", payload, qos).await;
            publisher
        });
        let got = subscriber.next().await;
        assert_eq!((got.qos, got.payload.len()), (qos, room));
        assert!(got.payload.iter().copied().eq((0u8..=250).cycle().take(room)), "{qos:?}: another payload");
        publisher = sending.await.unwrap();
    }
}

#[tokio::test]
async fn a_packet_over_the_limit_closes_its_connection_alone() {
    let (_server, address) = start().await;
    let mut subscriber = Client::new(address, "subscriber").await;
    subscriber.subscribe(&[("large", QoS::AtMostOnce)]).await;
    let over = |options: &mut MqttOptions| _ = options.set_max_packet_size(2 * MAX_PACKET, 2 * MAX_PACKET);
    let mut sender = Client::with(address, "sender", over).await;
    sender.requests.publish("large", QoS::AtLeastOnce, false, vec![0; MAX_PACKET]).await.unwrap();
    sender.expect_closed().await;
    subscriber.expect_nothing().await;
}

#[tokio::test]
async fn a_second_connection_takes_the_session_over() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    let mut first = Client::persistent(address, "same").await;
    first.subscribe(&[("t", QoS::AtLeastOnce)]).await;

    let mut second = Client::persistent(address, "same").await;
    assert!(second.connack.session_present);
    first.expect_closed().await;
    publisher.publish("t", "to the second", QoS::AtLeastOnce).await;
    second.expect("t", "to the second", QoS::AtLeastOnce).await;

    let mut third = Client::new(address, "same").await;
    assert!(!third.connack.session_present);
    second.expect_closed().await;
    publisher.publish("t", "to nobody", QoS::AtLeastOnce).await;
    third.expect_nothing().await;
}

#[tokio::test]
async fn a_refused_client_gets_the_reason_code() {
    let server = Server::start(Config { allow_anonymous: Some(false), ..Config::ephemeral() }).await.unwrap();
    let refused = Client::try_with(server.local_addrs()[0], "anybody", |_| {}).await;
    let error = refused.err().expect("nobody may connect");
    assert!(matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)), "{error}");
}
