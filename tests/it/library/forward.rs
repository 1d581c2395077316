//! The port `Forward`: receives each message of a client once.

use std::sync::Arc;

use dunlin::{
    Config,
    config::{Limits, SysConfig},
    router::Forward,
    session::Outgoing,
};
use parking_lot::Mutex;

use crate::support::{
    Broker, Recorder, config,
    raw::{Connect, Message, pubcomp, pubrec, pubrel},
};

#[derive(Default)]
struct Forwarded(Mutex<Vec<String>>);

impl Forward for Forwarded {
    fn forward(&self, message: &Outgoing<'_>) {
        let payload = String::from_utf8_lossy(message.payload);
        let from = message.from.map_or("nobody", |client| client.as_str());
        let line = format!("{from}: {} {payload} {} {}", message.topic.as_str(), message.qos as u8, message.retain);
        self.0.lock().push(line);
    }
}

#[test]
fn each_message_of_a_client_is_forwarded_once() {
    let (forwarded, recorder) = (Arc::<Forwarded>::default(), Arc::<Recorder>::default());
    let (forward, observe) = (forwarded.clone(), recorder.clone());
    let limits = Limits { max_inflight_in: 1, max_retained_messages: 0, ..Limits::default() };
    let sys = SysConfig { interval: Some(std::time::Duration::from_secs(3600)), ..Config::default().sys };
    let broker = Broker::build(Config { limits, sys, ..config() }, |b| b.forward(forward).observe(observe));
    // the broker's own are each node's own
    recorder.wait_for("publish (broker) $SYS/broker/load/connections/15min");

    // however many get it, in whatever ways
    let mut subscribers = ["one", "two"].map(|id| broker.begin(id));
    subscribers.iter_mut().for_each(|s| s.subscribe(&[("t/#", 1), ("t/+", 2)]));
    let [one, mut two] = subscribers;
    one.disconnect();
    let mut publisher = broker.connect(&Connect::new("pub").will(&Message::new("t/will", "bye").retain()), 0);
    for qos in [0, 1, 2] {
        publisher.publish(Message::new("t/a", "all").qos(qos));
        two.expect_message("t/a", "all", qos);
    }
    publisher.publish(Message::new("nobody", "none").qos(1).retain());
    // sent again: not forwarded again; one that had to wait: when it has its turn
    let message = |id: u16| Message::new("t/b", &id.to_string()).qos(2).id(id);
    for frame in [message(11), message(11).dup(), message(12)] {
        publisher.send(&frame.frame());
    }
    (0..2).for_each(|_| publisher.expect(&pubrec(11)));
    for id in [11, 12] {
        publisher.send(&pubrel(id));
        publisher.expect(&pubcomp(id));
        if id == 11 {
            publisher.expect(&pubrec(12));
        }
        two.expect_message("t/b", &id.to_string(), 2);
    }
    // dropped: not forwarded
    publisher.publish(Message::new("$SYS/x", "").qos(1));
    publisher.abort();
    two.expect_message("t/will", "bye", 0);
    let expected = [
        "pub: t/a all 0 false",
        "pub: t/a all 1 false",
        "pub: t/a all 2 false",
        "pub: nobody none 1 true",
        "pub: t/b 11 2 false",
        "pub: t/b 12 2 false",
        "pub: t/will bye 0 true",
    ];
    assert_eq!(*forwarded.0.lock(), expected);
}
