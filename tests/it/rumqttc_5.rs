//! rumqttc in MQTT 5, against a broker in this process, beside clients of 3.1.1. A test polls each client until the
//! expected message; a later message that arrives first shows that an earlier one was not sent.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use dunlin::{Config, Server};
use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError,
    mqttbytes::{
        QoS,
        v5::{
            ConnAck, DisconnectReasonCode, Filter, LastWill, LastWillProperties, Packet, PubAckReason, PubRecReason,
            Publish, PublishProperties, RetainForwardRule, SubscribeProperties, SubscribeReasonCode, UnsubAckReason,
        },
    },
};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A test that hangs fails.
const AT_MOST: Duration = Duration::from_secs(60);

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
    /// The topics of the broker's Topic Aliases: rumqttc shows packets as they arrive.
    aliases: BTreeMap<u16, Bytes>,
}

impl Client {
    async fn new(address: SocketAddr, id: &str) -> Self {
        Self::with(address, id, |_| {}).await
    }

    /// With a session that stays.
    async fn persistent(address: SocketAddr, id: &str) -> Self {
        Self::with(address, id, |options| _ = options.set_clean_start(false).set_session_expiry_interval(Some(1_000)))
            .await
    }

    async fn with(address: SocketAddr, id: &str, set: impl FnOnce(&mut MqttOptions)) -> Self {
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        set(&mut options);
        let (requests, mut events) = AsyncClient::new(options, 1000);
        match events.poll().await.expect("accepted") {
            Event::Incoming(Packet::ConnAck(connack)) => {
                Self { requests, events, inbox: VecDeque::new(), connack, aliases: BTreeMap::new() }
            }
            other => panic!("before CONNACK: {other:?}"),
        }
    }

    /// Polls until `wanted` gives something; messages that come meanwhile are kept.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&Packet) -> Option<T>) -> T {
        loop {
            let event = tokio::time::timeout(AT_MOST, self.events.poll()).await.expect("in time").expect("connected");
            let Event::Incoming(packet) = event else { continue };
            let found = wanted(&packet);
            if let Packet::Publish(publish) = packet {
                self.inbox.push_back(publish);
            }
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// At QoS 2, with nothing asked for.
    async fn subscribe(&mut self, filter: &str) {
        self.subscribe_with(Filter::new(filter, QoS::ExactlyOnce), None).await;
    }

    async fn subscribe_with(&mut self, filter: Filter, id: Option<usize>) {
        let qos = filter.qos;
        let said = SubscribeProperties { id, user_properties: Vec::new() };
        self.requests.subscribe_many_with_properties([filter], said).await.unwrap();
        let codes = self.until(|packet| matches!(packet, Packet::SubAck(_)).then(|| packet.clone())).await;
        let Packet::SubAck(codes) = codes else { unreachable!() };
        assert_eq!(codes.return_codes, [SubscribeReasonCode::Success(qos)]);
    }

    async fn unsubscribe(&mut self, filter: &str) -> Vec<UnsubAckReason> {
        self.requests.unsubscribe(filter).await.unwrap();
        self.until(|packet| match packet {
            Packet::UnsubAck(ack) => Some(ack.reasons.clone()),
            _ => None,
        })
        .await
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    async fn publish(&mut self, topic: &str, payload: &str, said: PublishProperties) -> PubAckReason {
        self.send(topic, payload, false, said).await
    }

    async fn send(&mut self, topic: &str, payload: &str, retain: bool, said: PublishProperties) -> PubAckReason {
        let sent = payload.to_owned();
        self.requests.publish_with_properties(topic, QoS::AtLeastOnce, retain, sent, said).await.unwrap();
        self.until(|packet| match packet {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
    }

    async fn next(&mut self) -> Publish {
        while self.inbox.is_empty() {
            self.until(|packet| matches!(packet, Packet::Publish(_)).then_some(())).await;
        }
        let mut publish = self.inbox.pop_front().expect("one is there");
        if let Some(alias) = publish.properties.as_ref().and_then(|said| said.topic_alias) {
            match publish.topic.is_empty() {
                true => publish.topic = self.aliases[&alias].clone(),
                false => _ = self.aliases.insert(alias, publish.topic.clone()),
            }
        }
        publish
    }

    /// Checks the next message; returns its properties.
    async fn expect(&mut self, topic: &str, payload: &str) -> Publish {
        let got = self.next().await;
        assert_eq!((&got.topic[..], &got.payload[..]), (topic.as_bytes(), payload.as_bytes()));
        got
    }

    async fn expect_nothing(&mut self) {
        let own = format!("{}/nothing", self.events.options.client_id());
        self.subscribe(&own).await;
        self.publish(&own, "nothing came before", none()).await;
        self.expect(&own, "nothing came before").await;
        self.unsubscribe(&own).await;
    }

    /// The Reason Code of the DISCONNECT that the broker sent.
    async fn closed_by(&mut self) -> DisconnectReasonCode {
        loop {
            match tokio::time::timeout(AT_MOST, self.events.poll()).await.expect("in time") {
                Ok(_) => {}
                Err(ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. })) => {
                    return reason_code;
                }
                Err(other) => panic!("without a DISCONNECT: {other}"),
            }
        }
    }

    /// The network connection ends without a DISCONNECT.
    fn drop_connection(self) {
        drop(self.events);
    }
}

fn none() -> PublishProperties {
    PublishProperties::default()
}

fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// All properties of a message except its expiry.
fn all() -> PublishProperties {
    PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: None,
        topic_alias: None,
        response_topic: Some("answers".into()),
        correlation_data: Some(vec![0, 255, 0].into()),
        user_properties: text(&[("b", "1"), ("a", "2"), ("b", "1"), ("", "")]),
        subscription_identifiers: Vec::new(),
        content_type: Some("text/plain".into()),
    }
}

#[tokio::test]
async fn properties_are_forwarded_unchanged() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    let mut subscriber = Client::new(address, "subscriber").await;
    subscriber.subscribe("t").await;
    for qos in QOS {
        let said = PublishProperties { message_expiry_interval: Some(1_000), ..all() };
        publisher.requests.publish_with_properties("t", qos, false, "x", said.clone()).await.unwrap();
        let got = tokio::select! {
            got = subscriber.expect("t", "x") => got,
            never = publisher.until(|_| None::<std::convert::Infallible>) => match never {},
        };
        assert_eq!((got.qos, got.properties), (qos, Some(said)));
    }
}

#[tokio::test]
async fn a_response_reaches_the_response_topic() {
    let (_server, address) = start().await;
    let mut asks = Client::new(address, "asks").await;
    let mut answers = Client::new(address, "answers").await;
    answers.subscribe("requests").await;
    asks.subscribe("answers/asks").await;
    for number in 0..5u8 {
        let response_topic = Some("answers/asks".to_owned());
        let correlation_data = Some(vec![number, 0].into());
        asks.publish("requests", "?", PublishProperties { response_topic, correlation_data, ..none() }).await;
    }
    for _ in 0..5 {
        let request = answers.expect("requests", "?").await.properties.expect("they say where");
        let said = PublishProperties { correlation_data: request.correlation_data, ..none() };
        answers.publish(&request.response_topic.expect("a topic"), "!", said).await;
    }
    for number in 0..5u8 {
        let said = asks.expect("answers/asks", "!").await.properties.expect("which request it was");
        assert_eq!(said.correlation_data.as_deref(), Some(&[number, 0][..]));
    }
}

#[tokio::test]
async fn topic_aliases_work_in_both_directions() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    let most = publisher.connack.properties.as_ref().and_then(|p| p.topic_alias_max).expect("the broker takes some");
    let mut subscriber = Client::with(address, "subscriber", |o| _ = o.set_topic_alias_max(Some(2))).await;
    subscriber.subscribe("a/topic/longer/than/an/alias/#").await;
    let topic = |letter: &str| format!("a/topic/longer/than/an/alias/{letter}");
    let sent = [("a", 1), ("", 1), ("b", most), ("", most), ("", 1), ("c", 1), ("", 1), ("", most)];
    let meant = ["a", "a", "b", "b", "a", "c", "c", "b"];
    for _ in 0..3 {
        for (letter, alias) in sent {
            let topic = if letter.is_empty() { String::new() } else { topic(letter) };
            publisher.publish(&topic, "x", PublishProperties { topic_alias: Some(alias), ..none() }).await;
        }
        for letter in meant {
            subscriber.expect(&topic(letter), "x").await;
        }
    }
}

#[tokio::test]
async fn acknowledgements_have_reason_codes() {
    let (_server, address) = start().await;
    let mut client = Client::new(address, "client").await;
    assert_eq!(client.publish("t", "x", none()).await, PubAckReason::NoMatchingSubscribers);
    client.requests.publish("t", QoS::ExactlyOnce, false, "x").await.unwrap();
    let received = client
        .until(|packet| match packet {
            Packet::PubRec(ack) => Some(ack.reason),
            _ => None,
        })
        .await;
    assert_eq!(received, PubRecReason::NoMatchingSubscribers);
    client.subscribe("t").await;
    assert_eq!(client.publish("t", "x", none()).await, PubAckReason::Success);
    assert_eq!(client.unsubscribe("t").await, [UnsubAckReason::Success]);
    assert_eq!(client.unsubscribe("t").await, [UnsubAckReason::NoSubscriptionExisted]);
}

#[tokio::test]
async fn options_and_identifiers_of_subscriptions() {
    let (_server, address) = start().await;
    let mut other = Client::new(address, "other").await;
    other.send("t", "kept", true, none()).await;
    let mut client = Client::new(address, "client").await;
    let own = Filter { nolocal: true, preserve_retain: true, ..Filter::new("t", QoS::AtLeastOnce) };
    client.subscribe_with(own.clone(), Some(268_435_455)).await;
    let kept = client.expect("t", "kept").await;
    assert_eq!((kept.retain, kept.properties.unwrap().subscription_identifiers), (true, vec![268_435_455]));
    for (rule, again) in [(RetainForwardRule::OnNewSubscribe, false), (RetainForwardRule::OnEverySubscribe, true)] {
        client.subscribe_with(Filter { retain_forward_rule: rule, ..own.clone() }, Some(3)).await;
        if again {
            assert!(client.expect("t", "kept").await.retain);
        }
        client.expect_nothing().await;
    }
    let wide =
        Filter { nolocal: true, retain_forward_rule: RetainForwardRule::Never, ..Filter::new("#", QoS::AtMostOnce) };
    client.subscribe_with(wide, Some(4)).await;
    client.publish("t", "own", none()).await;
    other.send("t", "live", true, all()).await;
    let live = client.expect("t", "live").await;
    let mut said = live.properties.expect("it says for which subscriptions it is");
    said.subscription_identifiers.sort_unstable();
    assert_eq!((live.retain, live.qos, &said.subscription_identifiers[..]), (true, QoS::AtLeastOnce, &[3, 4][..]));
    assert_eq!(PublishProperties { subscription_identifiers: Vec::new(), ..said }, all());
}

#[tokio::test]
async fn a_session_is_kept_for_its_expiry_interval() {
    let (_server, address) = start().await;
    let mut away = Client::persistent(address, "away").await;
    assert!(!away.connack.session_present);
    away.subscribe("news").await;
    away.drop_connection();
    let mut publisher = Client::new(address, "publisher").await;
    for number in 0..60 {
        publisher.publish("news", &number.to_string(), all()).await;
    }
    let mut back = Client::persistent(address, "away").await;
    assert!(back.connack.session_present);
    for number in 0..60 {
        assert_eq!(back.expect("news", &number.to_string()).await.properties, Some(all()));
    }
    back.drop_connection();
    // without an interval, the session ends with its connection: the next connection takes it over, or finds none
    let says_nothing = |options: &mut MqttOptions| _ = options.set_clean_start(false);
    assert!(Client::with(address, "away", says_nothing).await.connack.session_present);
    while Client::with(address, "away", says_nothing).await.connack.session_present {}
}

#[tokio::test]
async fn the_will_keeps_its_properties() {
    let (_server, address) = start().await;
    let mut watcher = Client::new(address, "watcher").await;
    watcher.subscribe("will").await;
    let PublishProperties { response_topic, correlation_data, user_properties, content_type, .. } = all();
    let said = LastWillProperties {
        delay_interval: None,
        payload_format_indicator: Some(1),
        message_expiry_interval: None,
        content_type,
        response_topic,
        correlation_data,
        user_properties,
    };
    let will = LastWill::new("will", "gone", QoS::AtLeastOnce, false, Some(said));
    Client::with(address, "mortal", |options| _ = options.set_last_will(will)).await.drop_connection();
    assert_eq!(watcher.expect("will", "gone").await.properties, Some(all()));
}

#[tokio::test]
async fn the_will_waits_for_its_delay_or_the_end_of_the_session() {
    let (_server, address) = start().await;
    let mut watcher = Client::new(address, "watcher").await;
    watcher.subscribe("will").await;
    let said = LastWillProperties {
        delay_interval: Some(1_000),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    let will = LastWill::new("will", "gone", QoS::AtLeastOnce, false, Some(said));
    let kept = |options: &mut MqttOptions| {
        options.set_clean_start(false).set_session_expiry_interval(Some(1_000));
    };
    let mortal = |options: &mut MqttOptions| {
        kept(options);
        options.set_last_will(will.clone());
    };
    Client::with(address, "mortal", mortal).await.drop_connection();
    assert!(Client::with(address, "mortal", kept).await.connack.session_present);
    watcher.expect_nothing().await;
    Client::with(address, "mortal", mortal).await.drop_connection();
    assert!(!Client::new(address, "mortal").await.connack.session_present);
    watcher.expect("will", "gone").await;
    watcher.expect_nothing().await;
}

#[tokio::test]
async fn the_broker_respects_the_limits_of_a_client() {
    let (_server, address) = start().await;
    let mut publisher = Client::new(address, "publisher").await;
    let small = |options: &mut MqttOptions| {
        options.set_max_packet_size(Some(100)).set_receive_maximum(Some(2));
    };
    let mut client = Client::with(address, "small", small).await;
    client.subscribe("t").await;
    for number in 0..50 {
        let payload = if number % 5 == 0 { "x".repeat(200) } else { number.to_string() };
        publisher.publish("t", &payload, none()).await;
    }
    for number in (0..50).filter(|number| number % 5 != 0) {
        client.expect("t", &number.to_string()).await;
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_client_gets_the_reason_of_its_disconnect() {
    let (server, address) = start().await;
    let mut first = Client::persistent(address, "same").await;
    let mut second = Client::persistent(address, "same").await;
    assert!(second.connack.session_present);
    assert_eq!(first.closed_by().await, DisconnectReasonCode::SessionTakenOver);
    let mut alias = Client::new(address, "alias").await;
    let most = alias.connack.properties.as_ref().and_then(|p| p.topic_alias_max).expect("the broker takes some");
    // rumqttc would not send it
    alias.events.state.broker_topic_alias_max = most + 1;
    let said = PublishProperties { topic_alias: Some(most + 1), ..none() };
    alias.requests.publish_with_properties("t", QoS::AtMostOnce, false, "x", said).await.unwrap();
    assert_eq!(alias.closed_by().await, DisconnectReasonCode::TopicAliasInvalid);
    let (ended, told) = tokio::join!(server.shutdown(), second.closed_by());
    ended.expect("the store closes");
    assert_eq!(told, DisconnectReasonCode::ServerShuttingDown);
}

#[tokio::test]
async fn clients_of_both_versions_exchange_messages() {
    let (_server, address) = start().await;
    let mut five = Client::new(address, "five").await;
    five.subscribe("t").await;
    let options = rumqttc::MqttOptions::new("four", address.ip().to_string(), address.port());
    let (requests, mut events) = rumqttc::AsyncClient::new(options, 10);
    requests.subscribe("t", rumqttc::QoS::ExactlyOnce).await.unwrap();
    let mut got = VecDeque::new();
    let mut next = async |got: &mut VecDeque<rumqttc::Packet>, wanted: fn(&rumqttc::Packet) -> bool| {
        while got.front().is_none_or(|packet| !wanted(packet)) {
            got.pop_front();
            if let rumqttc::Event::Incoming(packet) = events.poll().await.expect("connected") {
                got.push_back(packet);
            }
        }
        got.pop_front()
    };
    next(&mut got, |packet| matches!(packet, rumqttc::Packet::SubAck(_))).await;
    five.publish("t", "of five", all()).await;
    let Some(rumqttc::Packet::Publish(publish)) =
        next(&mut got, |packet| matches!(packet, rumqttc::Packet::Publish(_))).await
    else {
        panic!("a PUBLISH")
    };
    assert_eq!((&*publish.topic, &publish.payload[..]), ("t", &b"of five"[..]));
    assert_eq!(five.expect("t", "of five").await.properties, Some(all()));
    requests.publish("t", rumqttc::QoS::AtLeastOnce, false, "of four").await.unwrap();
    next(&mut got, |packet| matches!(packet, rumqttc::Packet::PubAck(_))).await;
    assert_eq!(five.expect("t", "of four").await.properties.unwrap_or_default(), none());
}
