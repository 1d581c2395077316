//! What two threads do at once: the observer stops one of them where the other may come between.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use dunlin::router::{Authorize, Event, Observe};
use dunlin::{
    Config,
    topic::{TopicFilter, TopicName},
    types::ClientId,
};
use parking_lot::Mutex;

use crate::support::{
    Broker, GUARD, config,
    raw::{Message, PINGREQ, PINGRESP, puback},
};

/// Holds the first message to `t` up, between its being accepted and its being delivered.
struct Between {
    reached: SyncSender<()>,
    go: Mutex<Option<Receiver<()>>>,
}

impl Observe for Between {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Publish { topic, .. } = event
            && topic.as_str() == "t"
            && let Some(go) = self.go.lock().take()
        {
            self.reached.send(()).expect("the test waits");
            let _ = go.recv_timeout(GUARD);
        }
    }
}

#[test]
fn who_subscribes_while_a_message_is_retained_gets_it() {
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

/// What an embedding program got wrong.
struct Panics;

impl Authorize for Panics {
    fn may_publish(&self, _: &ClientId, topic: &TopicName) -> bool {
        assert!(topic.as_str() != "panic", "on purpose");
        true
    }

    fn may_subscribe(&self, _: &ClientId, _: &TopicFilter) -> bool {
        true
    }
}

#[test]
fn a_panic_of_a_plugin_ends_one_connection() {
    let broker = Broker::build(Config { workers: Some(1), ..config() }, |b| b.authorize(Arc::new(Panics)));
    let (mut bad, mut other) = (broker.client("bad"), broker.client("other"));
    // an acknowledgement that was due is nobody else's
    let due = Message::new("t", "").qos(1).id(7).frame();
    bad.send(&[due, Message::new("panic", "").frame()].concat());
    bad.expect_closed();
    other.send(PINGREQ);
    other.expect(PINGRESP);
    broker.client("third").expect_nothing_pending();
}
