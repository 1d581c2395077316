//! Races of two threads: the observer blocks one of them at the place where the other could interfere.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use dunlin::{Authorize, Event, Identity, Observe, Rights};
use dunlin::{
    topic::{TopicFilter, TopicName},
    types::ClientId,
};
use parking_lot::Mutex;

use crate::support::{
    Broker, GUARD, config,
    raw::{Connect, Message, puback, subscribe},
};

/// Holds the first message to `t` up, between its being accepted and its being delivered; or the subscription to `r`,
/// between its being granted and its retained messages.
struct Between {
    reached: SyncSender<()>,
    go: Mutex<Option<Receiver<()>>>,
}

impl Observe for Between {
    fn observe(&self, event: &Event<'_>) {
        let is_it = match event {
            Event::Publish { topic, .. } => topic.as_str() == "t",
            Event::Subscribe { filter, .. } => filter.as_str() == "r",
            _ => false,
        };
        if is_it && let Some(go) = self.go.lock().take() {
            self.reached.send(()).expect("the test waits");
            let _ = go.recv_timeout(GUARD);
        }
    }
}

#[test]
fn a_subscriber_gets_a_message_that_is_retained_meanwhile() {
    let (reached, is_there) = sync_channel(1);
    let (go, gone) = sync_channel(1);
    let observe = Arc::new(Between { reached, go: Mutex::new(Some(gone)) });
    let broker = Broker::build(config(), |b| b.observe(observe));
    // on a thread each, since connections go to each in turn
    let (mut publisher, mut subscriber) = (broker.client("pub"), broker.client("sub"));
    publisher.send(&Message::new("t", "new").qos(1).id(1).retain().frame());
    is_there.recv_timeout(GUARD).expect("the message is accepted");
    subscriber.subscribe(&[("t", 0)]);
    go.send(()).expect("the publisher waits");
    publisher.expect(&puback(1));
    subscriber.expect_message("t", "new", 0);
}

#[test]
fn retained_messages_reach_the_connection_that_took_over() {
    let (reached, is_there) = sync_channel(1);
    let (go, gone) = sync_channel(1);
    let observe = Arc::new(Between { reached, go: Mutex::new(Some(gone)) });
    let broker = Broker::build(config(), |b| b.observe(observe));
    // the one that is held up is on the thread that does not accept
    let (mut publisher, mut old) = (broker.client("pub"), broker.begin("c"));
    publisher.publish(Message::new("r", "kept").qos(1).retain());
    old.send(&subscribe(1, &[("r", 0)]));
    is_there.recv_timeout(GUARD).expect("the subscription is granted");
    let mut new = broker.resume("c");
    new.expect_nothing_pending();
    go.send(()).expect("the subscriber waits");
    // without a packet from the new connection
    assert_eq!(new.receive().text(), "kept");
    old.expect_closed();
}

/// Clients other than `admin` may only publish to `t`, and read nothing.
struct LittleOrAll;

impl Authorize for LittleOrAll {
    fn rights(&self, _: &ClientId, identity: &Identity) -> Option<Arc<dyn Rights>> {
        (identity.user.as_deref() != Some("admin")).then(|| Arc::new(Self) as _)
    }
}

impl Rights for LittleOrAll {
    fn may_publish(&self, topic: &TopicName) -> bool {
        topic.as_str() == "t"
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        false
    }
}

#[test]
fn packets_before_a_take_over_are_checked_by_the_rights_of_their_connection() {
    for (clean, behind) in [(true, 0), (false, 0), (true, 1), (false, 1)] {
        let (reached, is_there) = sync_channel(1);
        let (go, gone) = sync_channel(1);
        let observe = Arc::new(Between { reached, go: Mutex::new(Some(gone)) });
        let broker = Broker::build(config(), |b| b.observe(observe).authorize(Arc::new(LittleOrAll)));
        let as_user = |id: &str, user: &str| Connect::new(id).user(user, "");
        let kept = |connect: Connect| if clean { connect } else { connect.persistent() };
        let mut watcher = broker.connect(&as_user("watcher", "admin"), 0);
        watcher.subscribe(&[("secret", 0)]);
        let mut old = broker.connect(&kept(as_user("c", "low")), 0);
        let denied = Message::new("secret", "x").qos(behind).id(u16::from(behind)).frame();
        old.send(&[Message::new("t", "").frame(), denied, subscribe(2, &[("#", 0)])].concat());
        is_there.recv_timeout(GUARD).expect("the first message is accepted");
        let mut new = broker.connect(&kept(as_user("c", "admin")), u8::from(!clean));
        go.send(()).expect("the publisher waits");
        old.expect_closed();
        watcher.expect_nothing_pending();
        // nor did it subscribe for its successor
        watcher.publish(Message::new("other", "").qos(1));
        new.expect_nothing_pending();
    }
}
