//! Plug-ins that panic: the connection in whose turn it happens ends as if it was lost; others are not affected.

use std::sync::Arc;

use dunlin::{
    Authorize, Builder, ClientId, Config, Event, Forward, Identity, Observe, Outgoing, Rights, TopicFilter, TopicName,
    router::Count,
};

use crate::support::{
    Broker, Recorder, config,
    raw::{Client, Connect, Message, PINGREQ, PINGRESP, puback, subscribe},
};

/// Panics at one place, and records the events before.
struct Faulty {
    at: At,
    recorder: Arc<Recorder>,
}

/// Where a plug-in panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// When the client `bad` publishes to `panic`.
    MayPublish,
    ObservePublish,
    Forward,
    /// The same, and when its Will is published.
    ForwardOfWill,
    ObserveDelivery,
    /// The same, and when its connection has ended.
    ObserveDisconnect,
    /// When `bad` subscribes to `panic`.
    MaySubscribe,
    ObserveSubscribe,
    /// When it connects.
    Rights,
    ObserveConnect,
    /// When `first`, the first of the watchers, is to have the Will.
    MayReceive,
}

impl Faulty {
    fn broker(at: At) -> (Broker, Arc<Recorder>) {
        let recorder = Arc::<Recorder>::default();
        let faulty = Arc::new(Self { at, recorder: recorder.clone() });
        let (authorize, forward, observe) = (faulty.clone(), faulty.clone(), faulty);
        let plug = |b: Builder| b.authorize(authorize).forward(forward).observe(observe);
        (Broker::build(Config { workers: Some(1), ..config() }, plug), recorder)
    }

    fn panics(&self, at: &[At], is_it: bool) {
        assert!(!(is_it && at.contains(&self.at)), "on purpose");
    }
}

impl Authorize for Faulty {
    fn rights(&self, client: &ClientId, identity: &Identity) -> Option<Arc<dyn Rights>> {
        let is_bad = client.as_str() == "bad";
        self.panics(&[At::Rights], is_bad && identity.user.is_some());
        Some(Arc::new(RightsOf { client: client.clone(), at: self.at }))
    }
}

struct RightsOf {
    client: ClientId,
    at: At,
}

impl Rights for RightsOf {
    fn may_publish(&self, topic: &TopicName) -> bool {
        assert!(!(self.at == At::MayPublish && topic.as_str() == "panic"), "on purpose");
        true
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        let is_bad = self.client.as_str() == "bad" && filter.as_str() == "panic";
        assert!(!(self.at == At::MaySubscribe && is_bad), "on purpose");
        true
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        assert!(
            !(self.at == At::MayReceive && self.client.as_str() == "first" && topic.as_str() == "will"),
            "on purpose"
        );
        true
    }

    fn limits_reading(&self) -> bool {
        self.at == At::MayReceive
    }
}

impl Forward for Faulty {
    fn forward(&self, message: &Outgoing<'_>) {
        self.panics(&[At::Forward, At::ForwardOfWill], message.topic.as_str() == "panic");
        self.panics(&[At::ForwardOfWill], message.topic.as_str() == "will");
    }
}

impl Observe for Faulty {
    fn observe(&self, event: &Event<'_>) {
        self.recorder.observe(event);
        match event {
            Event::Publish { topic, .. } => self.panics(&[At::ObservePublish], topic.as_str() == "panic"),
            Event::Deliver { topic, .. } => {
                self.panics(&[At::ObserveDelivery, At::ObserveDisconnect], topic.as_str() == "panic");
            }
            Event::Subscribe { client, filter, .. } => {
                self.panics(&[At::ObserveSubscribe], client.as_str() == "bad" && filter.as_str() == "panic");
            }
            Event::Connect { client, session_present, .. } => {
                self.panics(&[At::ObserveConnect], client.as_str() == "bad" && *session_present);
            }
            Event::Disconnect { client, .. } => self.panics(&[At::ObserveDisconnect], client.as_str() == "bad"),
            _ => {}
        }
    }
}

fn bad() -> Connect {
    Connect::new("bad").persistent().will(&Message::new("will", "gone").qos(1))
}

fn watchers(broker: &Broker) -> [Client; 3] {
    ["first", "second", "third"].map(|id| {
        let mut watcher = broker.client(id);
        watcher.subscribe(&[("will", 1), ("panic", 0)]);
        watcher
    })
}

#[test]
fn the_connection_in_whose_turn_a_plugin_panics_ends_as_if_it_was_lost() {
    let publish = Message::new("panic", "").frame();
    let subscription = subscribe(7, &[("panic", 0)]);
    for (at, packet) in [
        (At::MayPublish, &publish),
        (At::ObservePublish, &publish),
        (At::Forward, &publish),
        (At::ForwardOfWill, &publish),
        (At::ObserveDelivery, &publish),
        (At::ObserveDisconnect, &publish),
        (At::MaySubscribe, &subscription),
        (At::ObserveSubscribe, &subscription),
    ] {
        let (broker, recorder) = Faulty::broker(at);
        let mut watchers = watchers(&broker);
        let mut client = broker.connect(&bad(), 0);
        client.subscribe(&[("kept", 1)]);
        // a pending acknowledgement reaches its own client, or none
        let due = Message::new("t", "").qos(1).id(7).frame();
        client.send(&[&due[..], packet].concat());
        while let Some(frame) = client.read() {
            assert_eq!(frame.bytes(), puback(7), "{at:?}");
        }
        for watcher in &mut watchers {
            let mut message = watcher.receive();
            if message.topic == "panic" {
                message = watcher.receive();
            }
            assert_eq!((&message.topic[..], message.text()), ("will", "gone"), "{at:?}");
        }
        assert_eq!(recorder.lines("disconnect"), ["disconnect bad Panicked"], "{at:?}");
        // its session exists, and gets messages of its subscriptions
        watchers[0].publish(Message::new("kept", "waits").qos(1));
        broker.resume("bad").expect_message("kept", "waits", 1);
        watchers[0].send(PINGREQ);
        watchers[0].expect(PINGRESP);
    }
}

#[test]
fn a_panic_of_a_plug_in_leaves_no_half_connected_client() {
    let (broker, _) = Faulty::broker(At::Rights);
    let mut client = broker.open();
    client.send(&bad().user("user", "").frame());
    client.expect_closed();
    broker.connect(&bad(), 0).expect_nothing_pending();

    let (broker, recorder) = Faulty::broker(At::ObserveConnect);
    let mut watchers = watchers(&broker);
    let first = broker.connect(&bad(), 0);
    // it takes the session over, and ends with its own Will published behind the other's
    let mut second = broker.open();
    second.send(&bad().frame());
    second.expect_closed();
    drop(first);
    for watcher in &mut watchers {
        watcher.expect_message("will", "gone", 1);
        watcher.expect_message("will", "gone", 1);
    }
    assert_eq!(recorder.lines("disconnect"), ["disconnect bad SessionTakenOver", "disconnect bad Panicked"]);
    watchers[0].expect_nothing_pending();
    broker.expect_counts(&[(Count::Wills, 2)]);
    assert_eq!(broker.server.pulse().connected(), 3);
}

#[test]
fn a_will_reaches_other_subscribers_although_a_plug_in_panics() {
    let (broker, recorder) = Faulty::broker(At::MayReceive);
    let mut watchers = watchers(&broker);
    broker.connect(&bad(), 0).abort();
    recorder.wait_for("will bad");
    watchers[0].expect_nothing_pending();
    watchers[1..].iter_mut().for_each(|watcher| watcher.expect_message("will", "gone", 1));
}
