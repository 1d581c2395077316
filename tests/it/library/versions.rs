//! MQTT 5 for the embedding program: a client's version, properties and User Properties, in events and in calls of the
//! ports for authentication and authorization.

use std::sync::Arc;

use dunlin::{
    Authenticate, Authorize, Credentials, Identity, Outgoing, Properties, ProtocolVersion, Rights, Verdict,
    config::Limits,
    topic::{TopicFilter, TopicName},
    types::ClientId,
};
use parking_lot::Mutex;

use crate::support::{
    Broker, Recorder, config,
    five::{self, Five, NO_LOCAL, Publish, property},
    raw::{self, Message},
};

fn user(name: &str, value: &str) -> five::Properties {
    five::Properties::new().user(name, value)
}

#[track_caller]
fn told(recorder: &Recorder, expected: &[&str]) {
    assert_eq!(recorder.take(), expected);
}

#[test]
fn events_carry_versions_and_properties() {
    let (broker, recorder) = Broker::observed(Limits::default());
    let connect = five::Connect::new("sub").with(user("a", "1").user("a", "2"));
    let mut sub = Five::accepted(broker.address(), &connect, 0);
    const OF_CONNECT: &str = r#"[(UserProperty, Pair("a", "1")), (UserProperty, Pair("a", "2"))]"#;
    told(&recorder, &[&format!("connect sub clean=true present=false v5 {OF_CONNECT}")]);
    let properties = five::Properties::new().variable(property::SUBSCRIPTION_IDENTIFIER, 7).user("why", "test");
    assert_eq!(sub.ask(&properties, &[("t", 1), ("u", NO_LOCAL)]), [1, 0]);
    const OF_SUBSCRIBE: &str = r#"[(SubscriptionIdentifier, Number(7)), (UserProperty, Pair("why", "test"))]"#;
    let (first, second) = ("subscribe sub t qos=1", "subscribe sub u qos=0 no-local");
    told(&recorder, &[&format!("{first} {OF_SUBSCRIBE}"), &format!("{second} {OF_SUBSCRIBE}")]);

    // Topic Alias and expiry are between publisher and broker; other properties are forwarded
    let will = Publish::new("t", "bye").with(user("will", "yes"));
    let mut publisher = Five::accepted(broker.address(), &five::Connect::new("pub").will(&will), 0);
    told(&recorder, &["connect pub clean=true present=false v5"]);
    let aliased = five::Properties::new().short(property::TOPIC_ALIAS, 1);
    let all = aliased.clone().int(property::MESSAGE_EXPIRY, 60).text(property::CONTENT_TYPE, "text").user("x", "y");
    publisher.publish(&Publish::new("t", "12").qos(1).with(all));
    assert_eq!(sub.take().text(), "12");
    const OF_PUBLISH: &str = r#"[(ContentType, Text("text")), (UserProperty, Pair("x", "y"))]"#;
    told(
        &recorder,
        &[
            &format!("publish pub t qos=1 retain=false 2 bytes expires {OF_PUBLISH}"),
            &format!("deliver sub t qos=1 2 bytes {OF_PUBLISH}"),
        ],
    );
    publisher.publish(&Publish::new("", "3").qos(1).with(aliased));
    assert_eq!(sub.take().text(), "3");
    told(&recorder, &["publish pub t qos=1 retain=false 1 bytes", "deliver sub t qos=1 1 bytes"]);

    publisher.abort();
    assert_eq!(sub.take().text(), "bye");
    recorder.wait_for("will");
    const OF_WILL: &str = r#"[(UserProperty, Pair("will", "yes"))]"#;
    told(
        &recorder,
        &[
            "disconnect pub ConnectionLost",
            &format!("publish pub t qos=0 retain=false 3 bytes {OF_WILL}"),
            &format!("deliver sub t qos=0 3 bytes {OF_WILL}"),
            &format!("will pub t {OF_WILL}"),
        ],
    );
    let unsubscribe = [&[0, 9][..], &[9, 0x26], &raw::text("k"), &raw::text("why"), &raw::text("t")].concat();
    sub.send(&raw::frame(0xA2, &unsubscribe));
    sub.expect(&five::unsuback(9, &[0]));
    told(&recorder, &[r#"unsubscribe sub t [(UserProperty, Pair("k", "why"))]"#]);
}

#[test]
fn events_of_3_1_1_have_only_properties_of_delivered_messages() {
    let (broker, recorder) = Broker::observed(Limits::default());
    let mut old = broker.connect(&raw::Connect::new("old"), 0);
    old.subscribe(&[("t", 0)]);
    let mut four = broker.client("four");
    four.publish(Message::new("t", "4").qos(1));
    old.expect_message("t", "4", 0);
    let mut publisher = Five::accepted(broker.address(), &five::Connect::new("pub"), 0);
    publisher.publish(&Publish::new("t", "5").qos(1).with(user("x", "y")));
    old.expect_message("t", "5", 0);
    old.unsubscribe(&["t"]);
    const USER: &str = r#"[(UserProperty, Pair("x", "y"))]"#;
    told(
        &recorder,
        &[
            "connect old clean=true present=false",
            "subscribe old t qos=0",
            "connect four clean=true present=false",
            "publish four t qos=1 retain=false 1 bytes",
            "deliver old t qos=0 1 bytes",
            "connect pub clean=true present=false v5",
            &format!("publish pub t qos=1 retain=false 1 bytes {USER}"),
            &format!("deliver old t qos=0 1 bytes {USER}"),
            "unsubscribe old t",
        ],
    );
}

#[test]
fn a_queued_message_s_event_has_its_properties() {
    let (broker, recorder) = Broker::observed(Limits::default());
    let connect = five::Connect::new("sub").lasting(100);
    Five::accepted(broker.address(), &connect, 0).leave_subscribed("t");
    let mut publisher = Five::accepted(broker.address(), &five::Connect::new("pub"), 0);
    publisher.publish(&Publish::new("t", "1").qos(1).with(user("x", "y")));
    recorder.take();
    let mut sub = Five::accepted(broker.address(), &connect, 1);
    assert_eq!(sub.take().properties, user("x", "y"));
    let connected = "connect sub clean=false present=true v5 [(SessionExpiryInterval, Number(100))]";
    told(&recorder, &[connected, r#"deliver sub t qos=1 1 bytes [(UserProperty, Pair("x", "y"))]"#]);
}

/// Accepts every client, and records the requests.
#[derive(Default)]
struct Listens(Mutex<Vec<String>>);

impl Authenticate for Listens {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let Credentials { client_id, version, properties, password, .. } = credentials;
        let (user, password): (Vec<_>, _) = (properties.user().collect(), password.map(String::from_utf8_lossy));
        self.0.lock().push(format!("{client_id} {version:?} {user:?} {password:?}"));
        Ok(Identity::default()).into()
    }
}

#[test]
fn credentials_carry_the_version_and_the_user_properties() {
    let listens = Arc::<Listens>::default();
    let authenticate = listens.clone();
    let broker = Broker::build(config(), |b| b.authenticate(authenticate));
    let with_password = five::Connect { flags: 0x42, user: raw::text("token"), ..five::Connect::new("five") };
    Five::accepted(broker.address(), &with_password.with(user("tenant", "a").user("site", "b")), 0);
    Five::accepted(broker.address(), &five::Connect::new("bare"), 0);
    broker.connect(&raw::Connect::new("four"), 0);
    broker.connect(&raw::Connect::new("three").protocol("MQIsdp", 3), 0);
    assert_eq!(
        *listens.0.lock(),
        [
            r#"five V5 [("tenant", "a"), ("site", "b")] Some("token")"#,
            "bare V5 [] None",
            "four V311 [] None",
            "three V31 [] None",
        ]
    );
}

/// What a client may do follows from the User Property `tenant` of its CONNECT; no message that has the User Property
/// `secret` may be published, whatever its topic.
struct Tenants;

struct Tenant(Option<String>);

impl Authorize for Tenants {
    fn rights(&self, _: &ClientId, identity: &Identity) -> Option<Arc<dyn Rights>> {
        let properties = identity.properties.as_ref().map(|properties| properties.as_properties());
        let of = |properties: Properties<'_>| {
            properties.user().find(|(name, _)| *name == "tenant").map(|(_, tenant)| tenant.to_owned())
        };
        let tenant = properties.and_then(of);
        assert_eq!(tenant.is_some(), identity.version == ProtocolVersion::V5);
        Some(Arc::new(Tenant(tenant)))
    }

    fn reads_properties(&self) -> bool {
        true
    }
}

impl Rights for Tenant {
    fn may_publish(&self, topic: &TopicName) -> bool {
        self.0.as_deref().is_some_and(|tenant| topic.as_str().starts_with(tenant))
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        true
    }

    fn may_publish_message(&self, message: &Outgoing<'_>) -> bool {
        message.extras.properties.user().all(|(name, _)| name != "secret")
    }

    fn reads_messages(&self) -> bool {
        true
    }
}

#[test]
fn rights_may_follow_from_properties() {
    let broker = Broker::build(config(), |b| b.authorize(Arc::new(Tenants)));
    let connect = five::Connect::new("five").with(user("tenant", "blue"));
    let mut client = Five::accepted(broker.address(), &connect, 0);
    client.subscribe(&[("#", 0)]);
    for (topic, properties, code) in [
        ("red/1", five::Properties::new(), 0x87),
        ("blue/1", five::Properties::new(), 0),
        // the topic that was allowed a moment ago
        ("blue/1", user("secret", ""), 0x87),
        ("blue/1", user("other", ""), 0),
    ] {
        let publish = Publish::new(topic, "x").qos(1).with(properties.clone());
        assert_eq!(client.publish(&publish), code, "{publish:?}");
        if code == 0 {
            let got = client.receive();
            assert_eq!((&*got.topic, got.properties), (topic, properties));
        }
    }
    client.expect_nothing_pending();
    // one of 3.1.1 has no properties, and is not told what became of its message
    let mut old = broker.connect(&raw::Connect::new("old"), 0);
    old.publish(Message::new("blue/1", "x").qos(1));
    client.expect_nothing_pending();
}
