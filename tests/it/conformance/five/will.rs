//! Section 3.1.2.5 and 3.14: the ends of a connection that publish its Will, and the properties of the Will.

use super::Case;
use crate::support::{
    five::{Connect, Five, Properties, Publish, disconnect, disconnect_with, property},
    raw::{self, DISCONNECT, PINGREQ},
};

fn connect(case: &Case, will: &Publish) -> Connect {
    Connect::new(&case.id("with a will")).will(will)
}

#[test]
fn a_will_is_published_after_every_end_but_a_normal_disconnect() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.five("watcher"));
    watcher.subscribe(&[(&topic, 2)]);
    let ends: [(&str, &[u8]); 8] = [
        ("normal", DISCONNECT),
        ("normal, as said", &[0xE0, 2, 0, 0]),
        ("with Will", &disconnect(0x04)),
        ("with Will, without the length of its properties", &[0xE0, 1, 0x04]),
        ("unspecified error", &disconnect(0x80)),
        ("malformed", &[0xF1, 0]),
        ("protocol error", &[0xF0, 0]),
        ("another error", &disconnect(0x97)),
    ];
    for (what, bytes) in ends {
        let mut client = case.accepted(&connect(&case, &Publish::new(&topic, what).qos(1)), 0);
        client.context = what.to_owned();
        client.send(bytes);
        // the broker may send a reason
        while client.read().is_some() {}
        if !what.starts_with("normal") {
            assert_eq!(watcher.take().text(), what);
        }
        watcher.expect_nothing_pending();
    }
    // the network ends
    case.accepted(&connect(&case, &Publish::new(&topic, "aborted").qos(1)), 0).end();
    assert_eq!(watcher.take().text(), "aborted");
    // another connection takes over, and its own Will is not the first one's
    let mut first = case.accepted(&connect(&case, &Publish::new(&topic, "taken over").qos(1)), 0);
    let second = case.accepted(&connect(&case, &Publish::new(&topic, "second").qos(1)), 0);
    first.expect_disconnect(0x8E);
    watcher.expect_payloads(&["taken over"]);
    second.leave();
    watcher.expect_nothing_pending();
}

#[test]
fn a_disconnect_with_flags_is_malformed_and_publishes_the_will() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.five("watcher"));
    watcher.subscribe(&[(&topic, 0)]);
    for flags in 1..16 {
        let mut client = case.accepted(&connect(&case, &Publish::new(&topic, &flags.to_string())), 0);
        client.send(&[0xE0 | flags, 0]);
        client.expect_disconnect(0x81);
        assert_eq!(watcher.take().text(), flags.to_string());
    }
}

#[test]
fn a_will_has_its_qos_its_retain_flag_and_its_properties_in_their_order() {
    let case = case!();
    let properties = Properties::new()
        .user("z", "1")
        .text(property::RESPONSE_TOPIC, "answers")
        .user("a", "2")
        .byte(property::PAYLOAD_FORMAT, 1)
        .text(property::CORRELATION_DATA, [0, 1, 0xFF])
        .user("z", "1")
        .text(property::CONTENT_TYPE, "text");
    let mut watcher = case.five("watcher");
    watcher.subscribe(&[(&case.topic("#"), 2)]);
    for qos in 0..3 {
        for retain in [false, true] {
            let topic = case.topic(&format!("{qos} {retain}"));
            let will = Publish { retain, ..Publish::new(&topic, "will").qos(qos).with(properties.clone()) };
            case.accepted(&connect(&case, &will), 0).end();
            let came = watcher.take();
            assert_eq!((came.topic.as_str(), came.text(), came.qos, came.retain), (&topic[..], "will", qos, false));
            assert_eq!(came.properties, properties);
            let mut late = case.five("late");
            if retain {
                late.send(&crate::support::five::subscribe(1, &Properties::new(), &[(&topic, 2)]));
                late.expect(&crate::support::five::suback(1, &[2]));
                let came = late.take();
                assert_eq!((came.text(), came.qos, came.retain, &came.properties), ("will", qos, true, &properties));
            } else {
                late.subscribe(&[(&topic, 2)]);
                late.expect_nothing_pending();
            }
        }
    }
}

#[test]
fn also_a_will_passes_between_the_versions() {
    let case = case!();
    let (topic, mut old, mut new) = (case.topic("will"), case.client("old"), case.five("new"));
    old.subscribe(&[(&topic, 1)]);
    new.subscribe(&[(&topic, 1)]);
    let properties = Properties::new().user("a", "b");
    case.accepted(&connect(&case, &Publish::new(&topic, "new").qos(1).with(properties.clone())), 0).end();
    old.expect_message(&topic, "new", 1);
    let came = new.take();
    assert_eq!((came.text(), &came.properties), ("new", &properties));
    let will = raw::Message::new(&topic, "old").qos(1);
    case.connect(&raw::Connect::new(&case.id("old will")).will(&will), 0).abort();
    old.expect_message(&topic, "old", 1);
    let came = new.take();
    assert_eq!((came.text(), &came.properties), ("old", &Properties::new()));
}

#[test]
fn also_a_disconnect_with_will_publishes_it_once_and_keeps_the_session() {
    let case = case!();
    let (topic, mut watcher) = (case.topic("will"), case.five("watcher"));
    watcher.subscribe(&[(&topic, 1)]);
    let with_will = |will: &str| connect(&case, &Publish::new(&topic, will).qos(1)).lasting(1_000);
    let expiry = Properties::new().int(property::SESSION_EXPIRY, 2_000);
    case.accepted(&with_will("first"), 0).leave_with(&disconnect_with(0x04, &expiry));
    watcher.expect_payloads(&["first"]);
    // a resumed session has the Will of its connection, and none without one
    case.accepted(&Connect::new(&case.id("with a will")).lasting(1_000), 1).end();
    case.accepted(&with_will("second"), 1).end();
    watcher.expect_payloads(&["second"]);
    case.accepted(&with_will("third"), 1).leave();
    watcher.expect_nothing_pending();
}

impl Five {
    /// Closes the connection from the client's side without a DISCONNECT, once the broker has read everything.
    #[track_caller]
    pub(super) fn end(mut self) {
        self.send(PINGREQ);
        self.expect(&[0xD0, 0]);
        drop(self);
    }
}
