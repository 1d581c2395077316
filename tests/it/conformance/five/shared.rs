//! Shared subscriptions (section 4.8.2).

use std::{sync::Arc, time::Duration};

use dunlin::{
    Authorize, ClientId, Identity, Rights, TopicFilter, TopicName,
    config::{Config, Limits, SharedSubscriptions},
};

use super::client_of;
use crate::support::{
    Broker, config,
    five::{
        Connect, Five, NO_LOCAL, Properties, Publish, RETAIN_AS_PUBLISHED, ack_with, disconnect, property, subscribe,
    },
    raw::{self, ack},
    shut_down,
};

/// What each of them is sent until nothing more comes; it is acknowledged.
#[track_caller]
fn drain<'a>(members: impl IntoIterator<Item = &'a mut Five>, count: usize) -> Vec<Vec<String>> {
    let (mut all, mut left) = (Vec::new(), count);
    for member in members {
        let mut came = Vec::new();
        // all that arrived: a ping marks the end
        while let Some(message) = member.take_if_any() {
            came.push(message.text().to_owned());
        }
        left -= came.len();
        all.push(came);
    }
    assert_eq!(left, 0, "messages are missing: {all:?}");
    all
}

fn numbered(publisher: &mut Five, topic: &str, count: usize, qos: u8) {
    for number in 0..count {
        publisher.publish(&Publish::new(topic, &number.to_string()).qos(qos));
    }
}

fn with_policy(policy: SharedSubscriptions) -> Broker {
    Broker::still(Config { limits: Limits { shared_subscriptions: policy, ..Limits::default() }, ..config() })
}

fn lasting(broker: &Broker, id: &str, present: u8) -> Five {
    Five::accepted(broker.address(), &Connect::new(id).lasting(1_000), present)
}

#[test]
fn malformed_shared_filters_are_refused_with_0x8f() {
    let case = case!();
    let mut client = case.five("sub");
    let malformed = [
        "$share//t",
        "$share/",
        "$share///",
        "$share/g",
        "$share/g/",
        "$share/+/t",
        "$share/#",
        "$share/g+/t",
        "$share/#g/t",
    ];
    let asked: Vec<_> = malformed.iter().map(|filter| (*filter, 1)).collect();
    assert_eq!(client.ask(&Properties::new(), &asked), [0x8F; 9]);
    assert_eq!(client.give_up(&malformed), [0x8F; 9]);
    assert_eq!(client.give_up(&["$share/g/none"]), [0x11]);
    // a client of 3.1.1 gets 0x80
    let mut old = case.client("old");
    let asked: Vec<_> = malformed.iter().map(|filter| (*filter, 1)).collect();
    old.send(&raw::subscribe(1, &asked));
    old.expect(&raw::suback(1, &[0x80; 9]));
    // the part after the group's name must be a Topic Filter, or the packet is malformed
    for bad in ["$share/g/a+", "$share/g/#/a"] {
        let mut client = case.five("bad");
        client.send(&subscribe(1, &Properties::new(), &[(bad, 1)]));
        client.expect_disconnect(0x81);
    }
}

#[test]
fn no_local_for_a_group_is_a_protocol_error() {
    let case = case!();
    let mut client = case.five("sub");
    client.send(&subscribe(1, &Properties::new(), &[("$share/g/t", NO_LOCAL)]));
    client.expect_disconnect(0x82);
    // a bridge of 3.1.1 has No Local for all subscriptions: a group's message would be lost
    let topic = case.topic("t");
    let mut bridge = case.connect(&raw::Connect::new(&case.id("bridge")).protocol("MQTT", 0x84), 0);
    bridge.subscribe(&[(&format!("$share/g/{topic}"), 1)]);
    bridge.send(&raw::Message::new(&topic, "own").frame());
    bridge.expect_message(&topic, "own", 0);
}

#[test]
fn also_one_member_of_each_group_and_all_other_subscribers_get_a_message() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let filter = |group: &str| format!("$share/{group}/{topic}");
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|role| case.five(role));
    a.subscribe(&[(&filter("one"), 1)]);
    b.subscribe(&[(&filter("one"), 1), (&filter("two"), 1), (&topic, 1)]);
    c.subscribe(&[(&filter("two"), 1)]);
    numbered(&mut publisher, &topic, 6, 1);
    let came = drain([&mut a, &mut b, &mut c], 18);
    // 3 of group one, 3 of group two and 6 of its own
    assert_eq!(came.iter().map(Vec::len).collect::<Vec<_>>(), [3, 12, 3]);
    for number in 0..6 {
        let times = came.concat().iter().filter(|of| **of == number.to_string()).count();
        assert_eq!(times, 3, "{number}: {came:?}");
    }
}

#[test]
fn a_member_gets_messages_at_most_at_its_granted_qos() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut members = [0, 1, 2].map(|granted| {
        let mut member = case.five(&format!("m{granted}"));
        member.subscribe(&[(&format!("$share/g/{topic}"), granted)]);
        member
    });
    for qos in 0..3 {
        numbered(&mut publisher, &topic, 3, qos);
        for (granted, member) in (0..3).zip(&mut members) {
            assert_eq!(member.take().qos, qos.min(granted));
        }
    }
    members.iter_mut().for_each(|member| member.expect_nothing_pending());
}

#[test]
fn a_qos_2_exchange_is_completed_with_the_returning_member() {
    let broker = Broker::new(config());
    let mut member = lasting(&broker, "member", 0);
    member.subscribe(&[("$share/g/t", 2)]);
    let mut publisher = client_of(&broker, "pub");
    publisher.publish(&Publish::new("t", "sent").qos(2));
    publisher.publish(&Publish::new("t", "received").qos(2));
    let (sent, received) = (member.receive(), member.receive());
    member.send(&ack(0x50, received.id));
    member.expect(&ack(0x62, received.id));
    member.leave();
    let mut other = client_of(&broker, "other");
    other.subscribe(&[("$share/g/t", 2)]);
    publisher.publish(&Publish::new("t", "later").qos(2));
    broker.turn(Duration::from_secs(5));
    assert_eq!(other.take().text(), "later");
    other.expect_nothing_pending();
    let mut member = lasting(&broker, "member", 1);
    let again = member.receive();
    assert_eq!((again.text(), again.dup, again.id), ("sent", true, sent.id));
    member.expect(&ack(0x62, received.id));
    member.send(&[ack(0x50, sent.id), ack(0x70, received.id)].concat());
    member.expect(&ack(0x62, sent.id));
    member.send(&ack(0x70, sent.id));
    member.expect_nothing_pending();
    other.expect_nothing_pending();
}

#[test]
fn messages_of_an_ended_session_go_to_other_members_except_sent_qos_2() {
    let broker = Broker::new(config());
    for ends in ["connection", "clean start", "expiry"] {
        let connect = Connect::new("member").with(Properties::new().short(property::RECEIVE_MAXIMUM, 2));
        let connect = match ends {
            "connection" => connect,
            _ => connect.clone().with(connect.properties.int(property::SESSION_EXPIRY, 100)).resume(),
        };
        let mut member = Five::accepted(broker.address(), &connect, 0);
        member.subscribe(&[("$share/g/t", 2)]);
        let mut publisher = client_of(&broker, "pub");
        publisher.publish(&Publish::new("t", "sent 2").qos(2));
        publisher.publish(&Publish::new("t", "sent 1").qos(1));
        publisher.publish(&Publish::new("t", "waits 2").qos(2));
        publisher.publish(&Publish::new("t", "waits 1").qos(1));
        assert_eq!([member.receive().text(), member.receive().text()], ["sent 2", "sent 1"]);
        member.expect_nothing_pending();
        let mut other = client_of(&broker, "other");
        other.subscribe(&[("$share/g/t", 2)]);
        match ends {
            "connection" => member.leave(),
            "clean start" => {
                member.leave();
                other.expect_nothing_pending();
                client_of(&broker, "member").expect_nothing_pending();
            }
            _ => {
                member.leave();
                broker
                    .turn_until(Duration::from_secs(101), || broker.count(dunlin::router::Count::SessionsExpired) == 1);
            }
        }
        let mut came = [other.take(), other.take(), other.take()].map(|message| message.text().to_owned());
        came.sort_unstable();
        assert_eq!(came, ["sent 1", "waits 1", "waits 2"], "{ends}");
        other.expect_nothing_pending();
        other.leave();
    }
}

#[test]
fn a_refused_message_goes_to_no_other_member() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let [mut one, mut two] = ["one", "two"].map(|role| {
        let mut member = case.five(role);
        member.subscribe(&[(&format!("$share/g/{topic}"), 2)]);
        member
    });
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        publisher.publish(&Publish::new(&topic, "refused").qos(qos));
        publisher.publish(&Publish::new(&topic, "refused too").qos(qos));
        for member in [&mut one, &mut two] {
            let message = member.receive();
            member.send(&ack_with(first, message.id, 0x97));
            member.expect_nothing_pending();
        }
    }
    one.leave();
    two.expect_nothing_pending();
}

#[test]
fn also_retained_messages_are_not_sent_to_a_group() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    publisher.publish(&Publish::new(&topic, "old").qos(1).retain());
    let mut member = case.five("member");
    for options in [1, 1 | 0x10, 1 | RETAIN_AS_PUBLISHED] {
        member.subscribe(&[(&format!("$share/g/{topic}"), options)]);
        member.expect_nothing_pending();
    }
    // nor beside an ordinary filter, which brings them once
    member.subscribe(&[(&format!("$share/h/{topic}"), 1), (&topic, 1)]);
    assert!(member.take().retain);
    member.expect_nothing_pending();
    assert_eq!(member.give_up(&[&topic, &format!("$share/h/{topic}")]), [0, 0]);
    // a message published now is like any other; RETAIN as the subscription asks
    publisher.publish(&Publish::new(&topic, "new").qos(1).retain());
    let came = member.take();
    assert_eq!((came.text(), came.retain), ("new", true));
    let mut old = case.client("old");
    old.subscribe(&[(&format!("$share/old/{topic}"), 1)]);
    old.expect_nothing_pending();
    publisher.publish(&Publish::new(&topic, "").qos(1).retain());
}

#[test]
fn also_leaving_a_group_does_not_change_other_groups() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let filter = |group: &str| format!("$share/{group}/{topic}");
    let [mut a, mut b] = ["a", "b"].map(|role| case.five(role));
    a.subscribe(&[(&filter("one"), 1), (&filter("two"), 1), (&topic, 1)]);
    b.subscribe(&[(&filter("one"), 1)]);
    assert_eq!(a.give_up(&[&filter("one"), &filter("one"), &filter("three")]), [0, 0x11, 0x11]);
    numbered(&mut publisher, &topic, 2, 1);
    let came = drain([&mut a, &mut b], 6);
    assert_eq!(came, [vec!["0", "0", "1", "1"], vec!["0", "1"]]);
    assert_eq!(a.give_up(&[&topic]), [0]);
    numbered(&mut publisher, &topic, 2, 1);
    assert_eq!(drain([&mut a, &mut b], 4), [["0", "1"], ["0", "1"]]);
    assert_eq!(b.give_up(&[&filter("one")]), [0]);
    assert_eq!(a.give_up(&[&filter("two")]), [0]);
    // no member is left
    assert_eq!(publisher.publish(&Publish::new(&topic, "none").qos(1)), 0x10);
    [&mut a, &mut b].into_iter().for_each(|member| member.expect_nothing_pending());
}

#[test]
fn also_a_moved_message_has_the_new_member_s_subscription_identifier() {
    let broker = Broker::new(config());
    let connect = Connect::new("one").with(Properties::new().short(property::RECEIVE_MAXIMUM, 1));
    let (mut one, mut two) = (Five::accepted(broker.address(), &connect, 0), client_of(&broker, "two"));
    one.subscribe_as(11, "$share/g/t", 1);
    let mut publisher = client_of(&broker, "pub");
    numbered(&mut publisher, "t", 3, 1);
    assert_eq!(one.receive().properties.identifiers(), [11]);
    two.subscribe_as(22, "$share/g/t", 1);
    two.subscribe_as(33, "t", 1);
    one.leave();
    // those that waited in the other's queue are its own now
    for _ in 0..3 {
        assert_eq!(two.take().properties.identifiers(), [22]);
    }
    publisher.publish(&Publish::new("t", "both").qos(1));
    let mut identifiers = [two.take(), two.take()].map(|message| message.properties.identifiers());
    identifiers.sort_unstable();
    assert_eq!(identifiers, [[22], [33]]);
    two.expect_nothing_pending();
}

#[test]
fn also_messages_of_an_away_group_wait_for_the_first_returning_member() {
    for queue_qos0 in [false, true] {
        let limits = Limits { queue_qos0, ..Limits::default() };
        let broker = Broker::new(Config { limits, ..config() });
        for member in ["one", "two"] {
            let mut member = lasting(&broker, member, 0);
            member.subscribe(&[("$share/g/t", 2)]);
            member.leave();
        }
        let mut publisher = client_of(&broker, "pub");
        for qos in 0..3 {
            numbered(&mut publisher, "t", 4, qos);
        }
        // half of them are its own, the others have no member yet
        let mut one = lasting(&broker, "one", 1);
        let count = if queue_qos0 { 12 } else { 8 };
        let mut came: Vec<_> = (0..count / 2).map(|_| one.take().text().to_owned()).collect();
        one.expect_nothing_pending();
        broker.turn(Duration::from_secs(3));
        came.extend((0..count / 2).map(|_| one.take().text().to_owned()));
        came.sort_unstable();
        let all = ["0", "1", "2", "3"].iter().flat_map(|number| vec![*number; count / 4]);
        assert_eq!(came, all.collect::<Vec<_>>());
        lasting(&broker, "two", 1).expect_nothing_pending();
        one.expect_nothing_pending();
    }
}

#[test]
fn also_away_or_full_members_get_no_message_while_another_has_room() {
    let broker = Broker::new(config());
    let mut away = lasting(&broker, "away", 0);
    away.subscribe(&[("$share/g/t", 1)]);
    away.leave();
    let connect = Connect::new("slow").with(Properties::new().short(property::RECEIVE_MAXIMUM, 1));
    let mut slow = Five::accepted(broker.address(), &connect, 0);
    slow.subscribe(&[("$share/g/t", 1)]);
    let mut fast = client_of(&broker, "fast");
    fast.subscribe(&[("$share/g/t", 1)]);
    let mut publisher = client_of(&broker, "pub");
    numbered(&mut publisher, "t", 10, 1);
    let kept = slow.receive();
    slow.expect_nothing_pending();
    drain([&mut fast], 9);
    // it has room again
    slow.send(&ack(0x40, kept.id));
    slow.expect_nothing_pending();
    numbered(&mut publisher, "t", 2, 1);
    slow.receive();
    drain([&mut fast], 1);
    lasting(&broker, "away", 1).expect_nothing_pending();
}

#[test]
fn also_unsent_messages_of_a_stalled_member_move_to_others() {
    let broker = Broker::new(config());
    let connect = Connect::new("stalled").with(Properties::new().short(property::RECEIVE_MAXIMUM, 2));
    let mut stalled = Five::accepted(broker.address(), &connect, 0);
    stalled.subscribe(&[("$share/g/t", 2)]);
    let mut publisher = client_of(&broker, "pub");
    for (number, qos) in (0..8).zip([1, 2].into_iter().cycle()) {
        publisher.publish(&Publish::new("t", &number.to_string()).qos(qos));
    }
    let sent = [stalled.receive(), stalled.receive()];
    let mut other = client_of(&broker, "other");
    other.subscribe(&[("$share/g/t", 2)]);
    other.expect_nothing_pending();
    broker.turn(Duration::from_secs(3));
    let came: Vec<_> = (2..8).map(|_| other.take().text().to_owned()).collect();
    assert_eq!(came, ["2", "3", "4", "5", "6", "7"]);
    // it takes up where it was, and nothing comes twice
    stalled.send(&ack(0x40, sent[0].id));
    stalled.send(&ack(0x50, sent[1].id));
    stalled.expect(&ack(0x62, sent[1].id));
    stalled.send(&ack(0x70, sent[1].id));
    broker.turn(Duration::from_secs(3));
    [&mut stalled, &mut other].into_iter().for_each(|member| member.expect_nothing_pending());
}

#[test]
fn also_a_message_too_large_for_a_member_goes_to_another() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut small = case.says("small", Properties::new().int(property::MAXIMUM_PACKET_SIZE, 200));
    small.subscribe(&[(&format!("$share/g/{topic}"), 1)]);
    let mut large = case.five("large");
    large.subscribe(&[(&format!("$share/g/{topic}"), 1)]);
    let long = "x".repeat(200);
    for _ in 0..4 {
        publisher.publish(&Publish::new(&topic, &long).qos(1));
        assert_eq!(large.take().text(), long);
    }
    small.expect_nothing_pending();
}

#[test]
fn also_each_policy_chooses_its_members() {
    use SharedSubscriptions::*;
    for policy in [RoundRobin, Random, Sticky, HashClient, HashTopic] {
        let broker = with_policy(policy);
        let mut members = ["a", "b", "c"].map(|id| {
            let mut member = client_of(&broker, id);
            member.subscribe(&[("$share/g/t/#", 1)]);
            member
        });
        // 15 publishers, 15 topics
        for id in 0..15 {
            let mut publisher = client_of(&broker, &format!("pub{id}"));
            for topic in 0..15 {
                publisher.publish(&Publish::new(&format!("t/{topic}"), &format!("{id} {topic}")).qos(1));
            }
        }
        let came = drain(&mut members, 225);
        let counts: Vec<_> = came.iter().map(Vec::len).collect();
        // The number of members that received messages with this in their payload.
        let members_with = |has: &dyn Fn(&str) -> bool| came.iter().filter(|came| came.iter().any(|p| has(p))).count();
        let same_client = (0..15).all(|id| members_with(&|p| p.starts_with(&format!("{id} "))) == 1);
        let same_topic = (0..15).all(|topic| members_with(&|p| p.ends_with(&format!(" {topic}"))) == 1);
        match policy {
            RoundRobin => assert_eq!(counts, [75; 3]),
            Random => assert!(counts.iter().all(|count| (40..=110).contains(count)), "{counts:?}"),
            Sticky => {
                assert_eq!(counts.iter().filter(|count| **count == 225).count(), 1, "{counts:?}");
                // until it is gone
                let sticky = counts.iter().position(|count| *count == 225).unwrap();
                let mut rest: Vec<_> = members.into_iter().collect();
                rest.remove(sticky).leave();
                numbered(&mut client_of(&broker, "pub"), "t/a", 10, 1);
                let counts: Vec<_> = drain(&mut rest, 10).iter().map(Vec::len).collect();
                assert!(counts == [10, 0] || counts == [0, 10], "{counts:?}");
            }
            HashClient => assert!(same_client && !same_topic, "{came:?}"),
            HashTopic => assert!(same_topic && !same_client, "{came:?}"),
            Off => unreachable!("it is not among those"),
        }
    }
}

#[test]
fn also_off_refuses_new_groups_and_keeps_existing_ones() {
    let mut broker = with_policy(SharedSubscriptions::RoundRobin);
    let (mut member, connack) = Five::connect(broker.address(), &Connect::new("member"));
    assert_eq!(connack.properties.number(property::SHARED_AVAILABLE), None);
    member.subscribe(&[("$share/g/t", 1)]);
    broker.reload(|config| config.limits.shared_subscriptions = SharedSubscriptions::Off);
    let (mut client, connack) = Five::connect(broker.address(), &Connect::new("new"));
    assert_eq!(connack.properties.number(property::SHARED_AVAILABLE), Some(0));
    assert_eq!(client.ask(&Properties::new(), &[("$share/g/t", 1), ("$share//t", 1), ("t", 0)]), [0x9E, 0x8F, 0]);
    let mut old = broker.client("old");
    old.send(&raw::subscribe(1, &[("$share/g/t", 1)]));
    old.expect(&raw::suback(1, &[0x80]));
    client.publish(&Publish::new("t", "still").qos(1));
    member.expect_payloads(&["still"]);
    assert_eq!(member.give_up(&["$share/g/t"]), [0]);
}

/// No client subscribes outside of `open`, and `b` receives nothing of `open/a/…`.
#[derive(Debug)]
struct Open;

struct OpenFor(bool);

impl Authorize for Open {
    fn rights(&self, client: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        Some(Arc::new(OpenFor(client.as_str() == "b")))
    }
}

impl Rights for OpenFor {
    fn may_publish(&self, _: &TopicName) -> bool {
        true
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        filter.as_str().starts_with("open")
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        !(self.0 && topic.as_str().starts_with("open/a"))
    }

    fn limits_reading(&self) -> bool {
        true
    }
}

#[test]
fn also_rules_see_the_filter_behind_the_group_and_pass_over_members_that_may_not_read() {
    let broker = Broker::build(config(), |builder| builder.authorize(Arc::new(Open)));
    let [mut a, mut b] = ["a", "b"].map(|id| client_of(&broker, id));
    let asked = [("$share/g/open/#", 1), ("$share/open/closed", 1), ("$share/g/#", 1)];
    for member in [&mut a, &mut b] {
        assert_eq!(member.ask(&Properties::new(), &asked), [1, 0x87, 0x87]);
    }
    let mut publisher = client_of(&broker, "pub");
    numbered(&mut publisher, "open/a", 4, 1);
    numbered(&mut publisher, "open/b", 4, 1);
    let came = drain([&mut a, &mut b], 8);
    assert_eq!(came[0].len(), 6, "{came:?}");
    // without the authorized member, no member gets it
    a.leave();
    publisher.publish(&Publish::new("open/a", "closed").qos(1));
    publisher.publish(&Publish::new("open/b", "open").qos(1));
    b.expect_payloads(&["open"]);
}

#[test]
fn also_limits_see_the_filter_behind_the_group() {
    let limits = Limits { max_topic_length: 10, max_topic_levels: 3, max_subscriptions: 2, ..Limits::default() };
    let Some(case) = case_with!(limits) else { return };
    let mut client = case.five("sub");
    let long_name = format!("$share/{}/t", "g".repeat(1_100));
    let asked =
        [("$share/group/0123456789x", 1), ("$share/group/a/b/c/d", 1), (&long_name, 1), ("$share/group/a/b/c", 1)];
    assert_eq!(client.ask(&Properties::new(), &asked), [0x8F, 0x8F, 0x8F, 1]);
    let asked = [("a", 1), ("b", 1), ("$share/h/b", 1), ("$share/group/a/b/c", 0), ("a", 0)];
    assert_eq!(client.ask(&Properties::new(), &asked), [1, 0x97, 0x97, 0, 0]);
    assert_eq!(client.give_up(&["$share/group/a/b/c"]), [0]);
    assert_eq!(client.ask(&Properties::new(), &[("$share/h/b", 1)]), [1]);
}

#[test]
fn also_a_client_may_be_of_any_version_in_any_group() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let filter = format!("$share/g/{topic}");
    let mut new = case.five("new");
    new.subscribe(&[(&filter, 1)]);
    let mut old = case.client("old");
    old.subscribe(&[(&filter, 1)]);
    let mut oldest = case.connect(&raw::Connect::new("oldest31").protocol("MQIsdp", 3), 0);
    oldest.subscribe(&[(&filter, 1)]);
    numbered(&mut publisher, &topic, 3, 1);
    let mut came = vec![new.take().text().to_owned(), old.take().text().to_owned(), oldest.take().text().to_owned()];
    came.sort_unstable();
    assert_eq!(came, ["0", "1", "2"]);
    for member in [&mut old, &mut oldest] {
        member.unsubscribe(&[&filter]);
    }
    numbered(&mut publisher, &topic, 3, 1);
    new.expect_payloads(&["0", "1", "2"]);
    new.send(&disconnect(0));
    new.expect_closed();
}

#[test]
fn also_groups_and_their_messages_survive_a_restart() {
    let directory = tempfile::tempdir().expect("a folder");
    let start = || Broker::new(Config { data_dir: Some(directory.path().into()), ..config() });
    let broker = start();
    let small = Properties::new().short(property::RECEIVE_MAXIMUM, 2).int(property::SESSION_EXPIRY, 1_000);
    let mut one = Five::accepted(broker.address(), &Connect::new("one").with(small).resume(), 0);
    one.subscribe_as(11, "$share/g/t", 2 | RETAIN_AS_PUBLISHED);
    // beside an ordinary filter: messages through that are not the group's
    one.subscribe(&[("t/own", 2), ("$share/g/t/own", 2)]);
    let mut publisher = client_of(&broker, "pub");
    for (payload, qos) in [("sent 1", 1), ("sent 2", 2), ("waits 1", 1), ("waits 2", 2)] {
        publisher.publish(&Publish::new("t", payload).qos(qos));
    }
    publisher.publish(&Publish::new("t/own", "both").qos(2));
    assert_eq!([one.receive().text(), one.receive().text()], ["sent 1", "sent 2"]);
    let mut two = lasting(&broker, "two", 0);
    two.subscribe_as(22, "$share/g/t", 2);
    two.leave();
    one.leave();
    publisher.leave();
    shut_down(broker.server);

    let broker = start();
    // both are still members: new messages go to the connected one
    let mut two = lasting(&broker, "two", 1);
    client_of(&broker, "pub").publish(&Publish::new("t", "later").qos(1));
    let came = two.take();
    assert_eq!((came.text(), came.properties.identifiers()), ("later", vec![22]));
    // and messages queued for the other one go to it
    broker.turn(Duration::from_secs(3));
    assert_eq!([two.take().text(), two.take().text()], ["waits 1", "waits 2"]);
    two.expect_nothing_pending();
    two.subscribe(&[("$share/g/t/own", 2)]);
    // and the group of the other's messages is known when its session ends
    client_of(&broker, "one").leave();
    assert_eq!([two.take().text(), two.take().text()], ["sent 1", "both"]);
    two.expect_nothing_pending();
}
