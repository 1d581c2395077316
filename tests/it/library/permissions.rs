//! The embedding program decides who may connect, publish and subscribe.

use std::sync::Arc;

use dunlin::{
    codec::ReasonCode,
    router::{Authenticate, Authorize, Count, Credentials, Identity, Refusal, Rights, Verdict},
    topic::{TopicFilter, TopicName},
    types::ClientId,
};
use parking_lot::Mutex;

use crate::support::{
    Broker, Recorder, config,
    raw::{Connect, Message, PINGREQ, PINGRESP, connack, suback, subscribe},
};

/// Accepts `user` with `password`, and records the requests.
#[derive(Default)]
struct Users(Mutex<Vec<String>>);

impl Authenticate for Users {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let Credentials { client_id, username, password, peer, .. } = *credentials;
        assert!(peer.loopback_listener && peer.address.ip().is_loopback());
        let password = password.map(|p| String::from_utf8_lossy(p).into_owned());
        self.0.lock().push(format!("{client_id} {username:?} {password:?}"));
        let verdict = match (username, password.as_deref()) {
            (Some("user"), Some("password")) => Ok(Identity::default()),
            (Some(_), _) => Err(Refusal::new(ReasonCode::BadUserNameOrPassword, "wrong")),
            (None, _) => Err(Refusal::new(ReasonCode::NotAuthorized, "nobody")),
        };
        verdict.into()
    }
}

#[test]
fn a_refused_client_gets_a_connack_and_affects_no_other() {
    let (users, recorder) = (Arc::<Users>::default(), Arc::<Recorder>::default());
    let (authenticate, observe) = (users.clone(), recorder.clone());
    let broker = Broker::build(config(), |b| b.authenticate(authenticate).observe(observe));
    let mut client = broker.connect(&Connect::new("c").user("user", "password").persistent(), 0);
    client.subscribe(&[("t", 1)]);
    recorder.take();
    // with the identifier of a connected client: neither its connection nor its session ends
    broker.refuses(&Connect::new("c").user("user", "wrong"), 4);
    broker.refuses(&Connect::new("c").user("other", ""), 4);
    broker.refuses(&Connect::new("c").will(&Message::new("t", "will")), 5);
    client.expect_nothing_pending();
    assert_eq!(recorder.take(), ["ping c"]);
    client.disconnect();
    broker.connect(&Connect::new("c").user("user", "password").persistent(), 1).expect_nothing_pending();
    broker.expect_counts(&[(Count::Connects, 2), (Count::ProtocolErrors, 0)]);
    assert_eq!(
        *users.0.lock(),
        [
            r#"c Some("user") Some("password")"#,
            r#"c Some("user") Some("wrong")"#,
            r#"c Some("other") Some("")"#,
            "c None None",
            r#"c Some("user") Some("password")"#,
        ]
    );
}

#[test]
fn anonymous_clients_are_refused_if_configured() {
    let broker = Broker::new(dunlin::Config { allow_anonymous: Some(false), ..config() });
    broker.refuses(&Connect::new("c"), 5);
    broker.refuses(&Connect::new("c").user("user", "password"), 5);
}

/// Accepts when told to; never accepts `never`.
#[derive(Default)]
struct Late(Mutex<Vec<tokio::sync::oneshot::Sender<()>>>);

impl Authenticate for Late {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        if credentials.client_id == "never" {
            return Verdict::Later(Box::pin(std::future::pending()));
        }
        let (sender, told) = tokio::sync::oneshot::channel();
        self.0.lock().push(sender);
        Verdict::Later(Box::pin(async move {
            let why = "nobody vouches for it";
            let told = told.await.map_err(|_| Refusal::new(ReasonCode::NotAuthorized, why));
            told.map(|()| Identity::default()).into()
        }))
    }
}

impl Late {
    /// Waits until a verdict is requested.
    fn asked(&self) -> tokio::sync::oneshot::Sender<()> {
        let begin = std::time::Instant::now();
        loop {
            if let Some(sender) = self.0.lock().pop() {
                return sender;
            }
            assert!(begin.elapsed() < crate::support::GUARD, "nobody was asked");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_verdict_may_take_its_time() {
    let late = Arc::<Late>::default();
    let authenticate = late.clone();
    let broker = Broker::build(config(), |b| b.authenticate(authenticate));
    let mut client = broker.open();
    client.send(&[&Connect::new("c").frame(), &subscribe(1, &[("t", 0)])[..]].concat());
    let verdict = late.asked();
    // more than a thread reads at once, none of it read before the verdict
    client.send(&Message::new("t", &"x".repeat(100_000)).frame());
    broker.expect_counts(&[(Count::Connects, 0)]);
    verdict.send(()).unwrap();
    client.expect(&connack(0, 0));
    // in either order
    let (message, acknowledged): (Vec<_>, Vec<_>) =
        [client.expect_any(), client.expect_any()].into_iter().partition(|frame| frame.message().is_some());
    assert_eq!(message[0].message().unwrap().payload.len(), 100_000);
    assert_eq!(acknowledged[0].bytes(), suback(1, &[0]));
    client.expect_nothing_pending();

    let mut refused = broker.open();
    refused.send(&Connect::new("d").frame());
    drop(late.asked());
    refused.expect_refused(5);
    broker.expect_counts(&[(Count::Connects, 1), (Count::RefusedLogins, 1)]);
}

#[test]
fn reads_before_login_are_bounded() {
    const BEHIND: usize = 10_000;
    let late = Arc::<Late>::default();
    let authenticate = late.clone();
    let broker = Broker::build(config(), |b| b.authenticate(authenticate));
    // of a CONNECT that comes in one read, and of one that takes several
    for name in ["c".to_owned(), "c".repeat(10_000)] {
        let before = broker.server.counters().get(Count::BytesReceived);
        let connect = Connect::new(&name).frame();
        let all = [&connect[..], &PINGREQ.repeat(BEHIND)].concat();
        let mut client = broker.open();
        client.send(&all);
        let verdict = late.asked();
        let taken = broker.server.counters().get(Count::BytesReceived) - before;
        assert!(taken <= connect.len() as u64 + 4096, "{taken} bytes");
        verdict.send(()).unwrap();
        client.expect(&connack(0, 0));
        (0..BEHIND).for_each(|_| client.expect(PINGRESP));
        client.disconnect();
    }
}

#[test]
fn a_login_may_take_no_longer_than_the_connect_timeout() {
    let config = config();
    let timeout = config.limits.connect_timeout;
    let broker = Broker::build(config, |b| b.authenticate(Arc::<Late>::default()));
    let mut client = broker.open();
    client.send(&Connect::new("never").frame());
    broker.wait_for_count(Count::SocketsOpened, 1);
    broker.turn(timeout + std::time::Duration::from_secs(1));
    client.expect_closed();
    broker.expect_counts(&[(Count::ConnectTimeouts, 1), (Count::Connects, 0)]);
    // nor does a shutdown wait for it
    let mut client = broker.open();
    client.send(&Connect::new("never").frame());
    crate::support::shut_down(broker.server);
    client.expect_closed();
}

/// Everybody may use `open/…`, and what begins with their own name.
struct Rules;

impl Authorize for Rules {
    fn rights(&self, client: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        Some(Arc::new(RightsOf(client.clone())))
    }
}

struct RightsOf(ClientId);

impl RightsOf {
    fn allow(&self, topic: &str) -> bool {
        topic.starts_with("open/") || topic.split('/').next() == Some(self.0.as_str())
    }
}

impl Rights for RightsOf {
    fn may_publish(&self, topic: &TopicName) -> bool {
        self.allow(topic.as_str())
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        self.allow(filter.as_str()) || self.0.as_str() == "watcher"
    }
}

#[test]
fn a_denied_publish_is_acknowledged_and_dropped() {
    let recorder = Arc::<Recorder>::default();
    let observe = recorder.clone();
    let broker = Broker::build(config(), |b| b.authorize(Arc::new(Rules)).observe(observe));
    let (mut watcher, mut client) = (broker.client("watcher"), broker.client("c"));
    watcher.subscribe(&[("#", 2)]);
    for (n, qos) in [0, 1, 2].into_iter().enumerate() {
        client.publish(Message::new("secret", "12").qos(qos).retain());
        broker.expect_counts(&[(Count::DroppedNotAuthorized, n as u64 + 1), (Count::PublishReceived, n as u64)]);
        client.publish(Message::new("c/mine", "mine").qos(qos));
        watcher.expect_message("c/mine", "mine", qos);
    }
    assert_eq!(recorder.lines("drop"), ["drop c secret 2 bytes NotAuthorized"; 3]);
    assert_eq!(broker.connect(&Connect::new("watcher"), 0).subscribe_retained(&[("#", 0)], 0), []);
    broker.expect_counts(&[(Count::PublishDropped, 3), (Count::PublishBytesDropped, 6)]);
}

#[test]
fn a_denied_filter_fails_without_the_others() {
    let broker = Broker::build(config(), |b| b.authorize(Arc::new(Rules)));
    let (mut client, mut other) = (broker.client("c"), broker.client("d"));
    client.send(&subscribe(1, &[("c/#", 1), ("d/#", 2), ("#", 0), ("open/+", 0)]));
    client.expect(&suback(1, &[1, 0x80, 0x80, 0]));
    other.publish(Message::new("d/x", "").qos(1));
    other.publish(Message::new("open/x", "").qos(1));
    client.expect_message("open/x", "", 0);
    client.expect_nothing_pending();
    broker.expect_counts(&[(Count::Subscribes, 2), (Count::RefusedSubscriptions, 0)]);
}

#[test]
fn a_will_that_a_client_may_not_publish_is_not() {
    let recorder = Arc::<Recorder>::default();
    let observe = recorder.clone();
    let broker = Broker::build(config(), |b| b.authorize(Arc::new(Rules)).observe(observe));
    let mut watcher = broker.client("watcher");
    watcher.subscribe(&[("#", 2)]);
    broker.connect(&Connect::new("c").will(&Message::new("secret", "1").qos(2).retain()), 0).abort();
    recorder.wait_for("drop c secret 1 bytes NotAuthorized");
    broker.connect(&Connect::new("c").will(&Message::new("c/gone", "2").qos(1)), 0).abort();
    watcher.expect_message("c/gone", "2", 1);
    recorder.wait_for("will c c/gone");
    watcher.expect_nothing_pending();
    assert_eq!(recorder.lines("will").len(), 1);
    broker.expect_counts(&[(Count::Wills, 1), (Count::DroppedNotAuthorized, 1)]);
}
