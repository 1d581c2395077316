//! Packets of a bridge, with the other broker played by the test: what is sent again and what is not, answers that
//! refuse a message, and limits that CONNACK sets.

use std::time::Duration;

use dunlin::{BridgePhase, Builder, Server, TestClock};

use super::{
    bridged,
    scripted::{Far, accepts},
    view, wait_until_connected,
};
use crate::support::{
    config,
    five::{self, Five, Properties, Publish, property, suback},
    raw::{self, Client, Connect, Frame, Message, PINGREQ, PINGRESP, puback, pubcomp, pubrec, pubrel},
    shut_down, start, wait_until,
};

const QUIET: &str = "protocol = '5'\nclient_id = 'c'\nnotifications = 'off'";
const PUBREL: u8 = 0x62;

fn here(far: &Far, topics: &[&str], more: &str) -> Server {
    start(Builder::new(bridged("b", far.address(), topics, &format!("{QUIET}\n{more}"))))
}

fn publisher(server: &Server) -> Client {
    Client::accepted(server.local_addrs()[0], &Connect::new("p"), 0)
}

fn accept(far: &Far, session_present: bool) -> Client {
    far.accept(&accepts(session_present, &Properties::new())).0
}

/// The next PUBLISH. PUBRELs for Packet Identifiers of an earlier process come before the first use of one.
fn publish(far: &mut Client) -> Publish {
    loop {
        let frame = far.expect_any();
        match Publish::parse(&frame) {
            Some(publish) => return publish,
            None => assert_eq!(frame.first, PUBREL, "{:02x?}", frame.bytes()),
        }
    }
}

fn pause(server: &Server) {
    assert!(server.pause_bridge("b", true));
    wait_until(|| view(server).phase == BridgePhase::Paused, || format!("{:?}", view(server)));
}

fn id(frame: &Frame) -> u16 {
    u16::from_be_bytes([frame.body[0], frame.body[1]])
}

fn drained(server: &Server) {
    wait_until(|| view(server).counts.queued == 0, || format!("{:?}", view(server)));
}

#[test]
fn after_a_lost_session_publish_is_sent_anew_and_what_is_past_pubrec_is_complete() {
    for session_present in [true, false] {
        let far = Far::new();
        let here = here(&far, &["# out 2"], "");
        let mut line = accept(&far, false);
        let mut publisher = publisher(&here);
        for (n, qos) in [(1, 2), (2, 2), (3, 1)] {
            publisher.publish(Message::new("a", &n.to_string()).qos(qos));
        }
        let sent: Vec<_> = (0..3).map(|_| publish(&mut line)).collect();
        assert_eq!(
            sent.iter().map(|one| (one.text(), one.qos, one.dup)).collect::<Vec<_>>(),
            [("1", 2, false), ("2", 2, false), ("3", 1, false)]
        );
        line.send(&pubrec(sent[0].id));
        // the PUBREC is stored here when its PUBREL comes
        line.expect(&pubrel(sent[0].id));
        line.abort();

        let mut line = accept(&far, session_present);
        if session_present {
            line.expect(&pubrel(sent[0].id));
            line.send(&pubcomp(sent[0].id));
        }
        for one in &sent[1..] {
            let again = line.expect_any();
            let again = Publish::parse(&again).unwrap_or_else(|| panic!("{:02x?}", again.bytes()));
            assert_eq!((again.text(), again.id, again.dup), (one.text(), one.id, session_present));
        }
        line.send(&pubrec(sent[1].id));
        line.expect(&pubrel(sent[1].id));
        line.send(&[pubcomp(sent[1].id), puback(sent[2].id)].concat());
        drained(&here);
        // PUBREC acknowledged the first one
        assert_eq!((view(&here).counts.sent, view(&here).counts.refused), (3, 0));
        shut_down(here);
    }
}

#[test]
fn with_a_new_session_packet_identifiers_of_the_other_broker_mean_other_messages() {
    for session_present in [true, false] {
        let far = Far::new();
        let here = here(&far, &["# in 2"], "");
        let mut subscriber = publisher(&here);
        subscriber.subscribe(&[("#", 2)]);
        let begin = |mut line: Client, resumed: bool| {
            let subscribe = line.expect_any();
            assert_eq!(subscribe.first, 0x82);
            line.send(&suback(id(&subscribe), &[2]));
            let first = Publish::new("a", if resumed { "second" } else { "first" }).qos(2).id(7);
            let first = if resumed && session_present { first.dup() } else { first };
            line.send(&first.frame());
            line.expect(&pubrec(7));
            line
        };
        begin(accept(&far, false), false).abort();
        assert_eq!(subscriber.take().text(), "first");
        let mut line = begin(accept(&far, session_present), true);
        line.send(&pubrel(7));
        line.expect(&pubcomp(7));
        if !session_present {
            assert_eq!(subscriber.take().text(), "second");
        }
        subscriber.expect_nothing_pending();
        shut_down(here);
    }
}

#[test]
fn messages_that_are_refused_or_expire_leave_the_queue_and_are_counted() {
    let far = Far::new();
    let clock = TestClock::new();
    let bridge = bridged("b", far.address(), &["a/# out 2", "b/# in 1"], QUIET);
    let here = start(Builder::new(bridge).clock(clock.clock()));
    let mut line = accept(&far, false);
    let subscribe = line.expect_any();
    line.send(&suback(id(&subscribe), &[1]));
    let mut publisher = Five::accepted(here.local_addrs()[0], &five::Connect::new("p"), 0);
    for qos in [1, 2] {
        publisher.publish(&Publish::new("a/x", "refused").qos(qos));
        let sent = publish(&mut line);
        let first = if qos == 1 { 0x40 } else { 0x50 };
        line.send(&five::ack_with(first, sent.id, 0x97));
        drained(&here);
        assert_eq!(view(&here).counts.refused, u64::from(qos));
    }
    // not asked for, and still acknowledged
    line.send(&Publish::new("c/x", "unasked").qos(1).id(9).frame());
    line.expect(&puback(9));
    wait_until(|| view(&here).counts.unasked == 1, || format!("{:?}", view(&here)));

    pause(&here);
    publisher.publish(&Publish::new("a/x", "expires").qos(1).expires(10));
    publisher.publish(&Publish::new("a/x", "stays").qos(1));
    assert_eq!(view(&here).counts.queued, 2);
    clock.turn(Duration::from_secs(11));
    assert!(here.pause_bridge("b", false));
    let mut line = accept(&far, true);
    // its subscriptions are asked for again
    let subscribe = line.expect_any();
    line.send(&suback(id(&subscribe), &[1]));
    let sent = publish(&mut line);
    assert_eq!(sent.text(), "stays");
    line.send(&puback(sent.id));
    drained(&here);
    let counts = view(&here).counts;
    assert_eq!((counts.expired, counts.refused, counts.unasked, counts.sent), (1, 2, 1, 1));
    shut_down(here);
}

#[test]
fn a_message_in_flight_that_expires_while_the_line_is_down_is_counted() {
    let far = Far::new();
    let clock = TestClock::new();
    let here = start(Builder::new(bridged("b", far.address(), &["# out 1"], QUIET)).clock(clock.clock()));
    let mut line = accept(&far, false);
    let mut publisher = Five::accepted(here.local_addrs()[0], &five::Connect::new("p"), 0);
    publisher.publish(&Publish::new("a", "expires").qos(1).expires(10));
    assert_eq!(publish(&mut line).text(), "expires");
    pause(&here);
    clock.turn(Duration::from_secs(11));
    assert!(here.pause_bridge("b", false));
    let mut line = accept(&far, true);
    drained(&here);
    assert_eq!((view(&here).counts.expired, view(&here).counts.sent), (1, 0));
    publisher.publish(&Publish::new("a", "then").qos(1));
    assert_eq!(publish(&mut line).text(), "then");
    shut_down(here);
}

#[test]
fn a_full_queue_drops_messages_by_its_policy_and_counts_them() {
    for (policy, bound, kept) in [
        ("drop-newest", "queue_messages = 3", ["0", "1", "2"]),
        ("drop-oldest", "queue_messages = 3", ["2", "3", "4"]),
        ("drop-newest", "queue_bytes = 330", ["0", "1", "2"]),
        ("drop-oldest", "queue_bytes = 330", ["2", "3", "4"]),
    ] {
        let far = Far::new();
        let here = here(&far, &["# out 1"], &format!("queue_full = '{policy}'\n{bound}"));
        let _first = accept(&far, false);
        wait_until_connected(&here);
        pause(&here);
        let mut publisher = publisher(&here);
        for n in 0..5 {
            // with the topic, 101 bytes
            publisher.publish(Message::new("a", &format!("{n}{}", " ".repeat(99))).qos(1));
        }
        let counts = view(&here).counts;
        assert_eq!((counts.queued, counts.queue_full), (3, 2), "{policy} {bound}");
        assert!(here.pause_bridge("b", false));
        let mut line = accept(&far, true);
        for expected in kept {
            let sent = publish(&mut line);
            assert_eq!(sent.text().trim(), expected, "{policy} {bound}");
            line.send(&puback(sent.id));
        }
        drained(&here);
        assert_eq!((view(&here).counts.sent, view(&here).counts.queue_full), (3, 2));
        shut_down(here);
    }
}

/// A bridge over a clock that stands, and the other end of its connection.
fn over_a_clock(far: &Far, keep_alive: u16, connack: &Properties) -> (Server, TestClock, Client) {
    let clock = TestClock::new();
    clock.pause();
    let more = format!("{QUIET}\nkeep_alive = '{keep_alive}s'");
    let here = start(Builder::new(bridged("b", far.address(), &["# out 1"], &more)).clock(clock.clock()));
    let (line, _) = far.accept(&accepts(false, connack));
    wait_until_connected(&here);
    (here, clock, line)
}

/// PINGREQ comes in time, and without an answer the line is lost after 1.5 times this many seconds, and not before.
fn is_lost_in_time((here, clock, mut line): (Server, TestClock, Client), seconds: u64) {
    let mut publisher = publisher(&here);
    let mut passes = |line: &mut Client, acknowledged: bool| {
        publisher.publish(Message::new("a", "x").qos(1));
        let sent = publish(line);
        if acknowledged {
            line.send(&puback(sent.id));
            drained(&here);
        }
    };
    let keep_alive = Duration::from_secs(seconds);
    clock.turn(keep_alive);
    line.expect(PINGREQ);
    // an answer begins the time anew; the bridge has read it when it has read what comes behind it
    line.send(PINGRESP);
    passes(&mut line, true);
    clock.turn(keep_alive);
    line.expect(PINGREQ);
    let most = Duration::from_millis(100);
    clock.turn(keep_alive / 2 - most);
    passes(&mut line, false);
    assert_eq!((view(&here).phase, view(&here).counts.failures), (BridgePhase::Connected, 0));
    clock.turn(most);
    line.expect_closed();
    wait_until(|| view(&here).counts.failures == 1, || format!("{:?}", view(&here)));
    let (error, _) = view(&here).error.unwrap();
    assert!(error.contains(&format!("silent for 1.5 times the Keep Alive of {seconds} s")), "{error}");
    shut_down(here);
}

#[test]
fn a_silent_line_is_lost_after_one_and_a_half_keep_alives() {
    let far = Far::new();
    is_lost_in_time(over_a_clock(&far, 10, &Properties::new()), 10);
}

#[test]
fn the_server_keep_alive_of_connack_replaces_the_keep_alive() {
    for asked in [60, 2] {
        let far = Far::new();
        is_lost_in_time(over_a_clock(&far, asked, &Properties::new().short(property::SERVER_KEEP_ALIVE, 4)), 4);
    }
}

#[test]
fn a_refused_bit_7_is_remembered_and_the_bridge_retries_at_once() {
    let far = Far::new();
    let clock = TestClock::new();
    let text = format!(
        "[[bridge]]\nname = 'b'\naddresses = ['{}']\ntopics = ['# out 1']\nnotifications = 'off'\nreconnect_min = \
         '1h'\nreconnect_max = '1h'\n",
        far.address()
    );
    let bridges = dunlin::config::parse(&text, "test").unwrap().bridges;
    let here = start(Builder::new(dunlin::Config { bridges, ..config() }).clock(clock.clock()));
    let refuses = raw::connack(0, 1);
    // nothing turns the clock
    let (mut five, connect) = far.accept(&refuses);
    assert_eq!(connect.level, 5);
    five.expect_closed();
    let (mut bridge, connect) = far.accept(&refuses);
    assert_eq!(connect.level, 0x84);
    bridge.expect_closed();
    for _ in 0..3 {
        let (line, connect) = far.accept(&raw::connack(0, 0));
        assert_eq!(connect.level, 4);
        wait_until(|| view(&here).phase == BridgePhase::Connected, || format!("{:?}", view(&here)));
        line.abort();
        wait_until(|| view(&here).phase == BridgePhase::Waiting, || format!("{:?}", view(&here)));
        clock.turn(Duration::from_secs(3_600));
    }
    assert_eq!(view(&here).counts.connects, 3);
    shut_down(here);
}

#[test]
fn a_will_and_messages_tell_the_other_broker_of_the_connection() {
    let topic = "bridges/b";
    for (more, topic) in [("", "$SYS/broker/connection/c/state"), ("notification_topic = 'bridges/b'", topic)] {
        for version in ["5", "3.1.1"] {
            let far = Far::new();
            let more = format!("protocol = '{version}'\nclient_id = 'c'\n{more}");
            let here = start(Builder::new(bridged("b", far.address(), &["# out 1"], &more)));
            let connack = if version == "5" { accepts(false, &Properties::new()) } else { raw::connack(0, 0) };
            let (mut line, connect) = far.accept(&connack);
            assert_eq!(connect.will, Some((topic.into(), "0".into())));
            // Will, Will QoS 1, Will Retain
            assert_eq!(connect.flags & 0b0011_1100, 0b0010_1100);
            let mut told = |payload: &str| {
                let message = loop {
                    let message = line.expect_any().message().expect("a PUBLISH");
                    if message.topic == topic {
                        break message;
                    }
                };
                let text = &message.text()[if version == "5" { 1 } else { 0 }..];
                assert_eq!((text, message.retain, message.qos), (payload, true, 0));
            };
            told("1");
            assert!(here.pause_bridge("b", true));
            told("0");
            assert_eq!(line.expect_any().first, 0xE0, "DISCONNECT");
            line.expect_closed();
            shut_down(here);
        }
    }
}

#[test]
fn the_session_at_the_other_broker_never_expires() {
    let far = Far::new();
    let here = here(&far, &["# both 1"], "");
    let (_, connect) = far.accept(&accepts(false, &Properties::new()));
    assert_eq!((connect.level, connect.flags & 2), (5, 0), "Clean Start 0");
    assert_eq!(connect.properties.number(property::SESSION_EXPIRY), Some(u32::MAX));
    assert_eq!(connect.client_id, "c");
    shut_down(here);
}

#[test]
fn limits_of_the_bridge_itself_hold() {
    let far = Far::new();
    let here = here(&far, &["# out 1"], "outgoing_retain = false\nmax_packet_size = 200\nbind_address = '127.0.0.2'");
    let stream = far.accept_tcp();
    assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.2");
    let mut line = Client::on(stream);
    assert_eq!(line.expect_any().first, 0x10);
    line.send(&accepts(false, &Properties::new()));
    let mut publisher = publisher(&here);
    publisher.publish(Message::new("a", &"x".repeat(200)).qos(1).retain());
    publisher.publish(Message::new("a", "small").qos(1).retain());
    let sent = publish(&mut line);
    assert_eq!((sent.text(), sent.retain), ("small", false));
    line.send(&puback(sent.id));
    drained(&here);
    assert_eq!((view(&here).counts.too_large, view(&here).counts.sent), (1, 1));
    shut_down(here);
}
