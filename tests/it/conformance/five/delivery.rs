//! Sections 4.3, 4.4, 4.6 and 4.9: QoS in both directions, redelivery, Receive Maximum and Maximum Packet Size.

use std::collections::BTreeSet;

use crate::support::{
    five::{Connect, Properties, Publish, ack_with, property, refused, suback, subscribe, unsubscribe},
    raw::{PINGREQ, PINGRESP, ack},
};

fn receive_maximum(number: u16) -> Properties {
    Properties::new().short(property::RECEIVE_MAXIMUM, number)
}

fn maximum_packet_size(bytes: u32) -> Properties {
    Properties::new().int(property::MAXIMUM_PACKET_SIZE, bytes)
}

#[test]
fn receive_maximum_bounds_messages_in_flight_and_no_other_packets() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut subscriber = case.says("sub", receive_maximum(2));
    subscriber.subscribe(&[(&topic, 2)]);
    for (payload, qos) in [("1", 1), ("2", 2), ("3", 1), ("4", 2), ("5", 1)] {
        publisher.publish(&Publish::new(&topic, payload).qos(qos));
    }
    let (one, two) = (subscriber.receive(), subscriber.receive());
    assert_eq!((one.text(), two.text()), ("1", "2"));
    subscriber.expect_nothing_pending();
    // all that is no PUBLISH of QoS 1 or 2 is answered
    subscriber.subscribe(&[(&case.topic("other"), 0)]);
    assert_eq!(subscriber.give_up(&["unknown"]), [0x11]);
    assert_eq!(subscriber.publish(&Publish::new(&case.topic("nobody"), "m").qos(2)), 0x10);
    publisher.publish(&Publish::new(&case.topic("other"), "m"));
    // PUBREC is no end
    subscriber.send(&ack(0x50, two.id));
    let mut came = Vec::new();
    for _ in 0..2 {
        let next = subscriber.expect_any();
        came.push(next.first >> 4);
        assert!(next.message().is_none_or(|message| message.qos == 0));
    }
    came.sort_unstable();
    assert_eq!(came, [3, 6]);
    subscriber.expect_nothing_pending();
    subscriber.send(&ack(0x70, two.id));
    let three = subscriber.receive();
    assert_eq!(three.text(), "3");
    subscriber.expect_nothing_pending();
    subscriber.send(&ack(0x40, one.id));
    let four = subscriber.receive();
    assert_eq!(four.text(), "4");
    subscriber.expect_nothing_pending();
    // an error is one
    subscriber.send(&ack_with(0x50, four.id, 0x80));
    assert_eq!(subscriber.receive().text(), "5");
    subscriber.expect_nothing_pending();
}

#[test]
fn receive_maximum_applies_to_resent_messages() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let connect = |number| Connect::new(&case.id("sub")).with(receive_maximum(number)).lasting(1_000);
    let mut subscriber = case.accepted(&connect(5), 0);
    subscriber.subscribe(&[(&topic, 2)]);
    let payloads = ["1", "2", "3", "4", "5", "6"];
    for (payload, qos) in payloads.into_iter().zip([1, 2, 1, 2, 1, 1]) {
        publisher.publish(&Publish::new(&topic, payload).qos(qos));
    }
    let ids: Vec<_> = (0..5).map(|_| subscriber.receive().id).collect();
    subscriber.expect_nothing_pending();
    subscriber.leave();
    let mut subscriber = case.accepted(&connect(1), 1);
    for (place, payload) in payloads.into_iter().enumerate() {
        let came = subscriber.receive();
        assert_eq!((came.text(), came.dup), (payload, place < 5));
        assert!(ids.get(place).is_none_or(|&id| id == came.id));
        // one at a time
        subscriber.expect_nothing_pending();
        match came.qos {
            1 => subscriber.send(&ack(0x40, came.id)),
            _ => {
                subscriber.send(&ack(0x50, came.id));
                subscriber.expect(&ack(0x62, came.id));
                subscriber.expect_nothing_pending();
                subscriber.send(&ack(0x70, came.id));
            }
        }
    }
    subscriber.expect_nothing_pending();
}

#[test]
fn a_message_larger_than_the_client_s_limit_counts_as_delivered() {
    let case = case!();
    let (topic, mut publisher, mut other) = (case.topic("t"), case.five("pub"), case.five("other"));
    other.subscribe(&[(&topic, 2)]);
    // as in a PUBLISH with a Remaining Length of two bytes
    let payload = "x".repeat(200);
    for qos in 0..3 {
        let whole = Publish::new(&topic, &payload).qos(qos).id(1).expires(1_000).frame().len() as u32;
        for waits in [false, true] {
            let properties = maximum_packet_size(whole).short(property::RECEIVE_MAXIMUM, 1);
            let connect = Connect::new(&case.id(&format!("sub {qos} {waits}"))).with(properties).lasting(1_000);
            let mut subscriber = Some(case.accepted(&connect, 0));
            if let Some(subscriber) = &mut subscriber {
                subscriber.subscribe(&[(&topic, qos)]);
            }
            if let Some(subscriber) = subscriber.take_if(|_| waits && qos > 0) {
                subscriber.leave();
            }
            for payload in [&payload[..], &format!("{payload}y"), "1", &format!("{payload}z"), "2"] {
                publisher.publish(&Publish::new(&topic, payload).qos(qos).expires(1_000));
                assert_eq!(other.take().text(), payload);
            }
            let mut subscriber = subscriber.unwrap_or_else(|| case.accepted(&connect, 1));
            // the window of one message has its place again
            subscriber.expect_payloads(&[&payload, "1", "2"]);
            subscriber.leave();
        }
    }
}

#[test]
fn an_answer_larger_than_the_client_s_limit_closes_the_connection() {
    let case = case!();
    let filters = [("a", 0); 30];
    let asks = [subscribe(1, &Properties::new(), &filters), unsubscribe(1, &filters.map(|(filter, _)| filter))];
    for client_id in ["", "small"] {
        let connect = |most| Connect::new(client_id).with(maximum_packet_size(most));
        let mut client = case.open();
        client.send(&connect(1_000).frame());
        let needed = client.expect_any().bytes().len() as u32;
        for most in [1, 5, needed - 1] {
            let mut client = case.open();
            client.send(&connect(most).frame());
            // a refusal is as small as a CONNACK can be
            if most >= 5 {
                client.expect(&refused(0x95));
            }
            client.expect_closed();
        }
        case.accepted(&connect(needed), 0);
    }
    for ask in asks {
        // two bytes of header, three in front of the Reason Codes
        let mut client = case.says("small", maximum_packet_size(34));
        client.send(&ask);
        client.expect_disconnect(0x95);
        let mut client = case.says("small", maximum_packet_size(35));
        client.send(&ask);
        assert_eq!(client.expect_any().bytes().len(), 35);
        client.expect_nothing_pending();
    }
}

#[test]
fn identifiers_of_messages_in_flight_are_not_used_for_others() {
    let case = case!();
    let (topic, mut publisher, mut subscriber) = (case.topic("t"), case.five("pub"), case.five("sub"));
    subscriber.subscribe(&[(&topic, 2)]);
    let mut used = BTreeSet::new();
    for round in 0..18 {
        let qos = 1 + round % 2;
        publisher.publish(&Publish::new(&topic, "m").qos(qos));
        let came = subscriber.receive();
        assert_eq!((came.qos, came.dup), (qos, false));
        assert!(came.id != 0 && used.insert(came.id), "the Packet Identifier {} again", came.id);
        if round % 3 == 1 && qos == 2 {
            subscriber.send(&ack(0x50, came.id));
            subscriber.expect(&ack(0x62, came.id));
        }
    }
}

#[test]
fn unacknowledged_messages_are_resent_only_on_the_next_connection() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut subscriber = case.lasting("sub", 0);
    subscriber.subscribe(&[(&topic, 2)]);
    for (payload, qos) in [("1", 1), ("2", 2), ("3", 2), ("4", 1), ("5", 2)] {
        publisher.publish(&Publish::new(&topic, payload).qos(qos));
    }
    let sent: Vec<_> = (0..5).map(|_| subscriber.receive()).collect();
    assert!(sent.iter().all(|publish| !publish.dup));
    let [_, _, three, four, five] = &sent[..] else { panic!("five messages") };
    // the third is released, the fourth and fifth are done
    subscriber.send(&[ack(0x50, three.id), ack(0x40, four.id), ack(0x50, five.id)].concat());
    subscriber.expect(&ack(0x62, three.id));
    subscriber.expect(&ack(0x62, five.id));
    subscriber.send(&ack(0x70, five.id));
    subscriber.expect_nothing_pending();
    subscriber.leave();
    let mut subscriber = case.lasting("sub", 1);
    for before in &sent[..2] {
        assert_eq!(subscriber.receive(), Publish { dup: true, ..before.clone() });
    }
    // PUBREL, and not the PUBLISH
    subscriber.expect(&ack(0x62, three.id));
    subscriber.expect_nothing_pending();
    subscriber.send(&ack(0x70, three.id));
    subscriber.expect_nothing_pending();
}

#[test]
fn an_acknowledged_identifier_of_qos_1_can_be_reused() {
    let case = case!();
    let (topic, mut publisher, mut subscriber) = (case.topic("t"), case.five("pub"), case.five("sub"));
    subscriber.subscribe(&[(&topic, 1)]);
    for (payload, dup) in [("1", false), ("2", false), ("3", true)] {
        publisher.send(&Publish { dup, ..Publish::new(&topic, payload).qos(1).id(5) }.frame());
        assert_eq!(publisher.expect_ack(0x40, 5), 0);
        let came = subscriber.take();
        assert_eq!((came.text(), came.dup), (payload, false));
    }
}

#[test]
fn a_message_of_qos_2_is_delivered_once_until_it_is_released() {
    let case = case!();
    let (topic, mut subscriber) = (case.topic("t"), case.five("sub"));
    let mut publisher = case.lasting("pub", 0);
    subscriber.subscribe(&[(&topic, 2)]);
    let first = Publish::new(&topic, "first").qos(2).id(5);
    for dup in [false, true, false] {
        publisher.send(&Publish { dup, ..first.clone() }.frame());
        assert_eq!(publisher.expect_ack(0x50, 5), 0);
    }
    // nor does another connection change that
    publisher.leave();
    let mut publisher = case.lasting("pub", 1);
    publisher.send(&first.clone().dup().frame());
    assert_eq!(publisher.expect_ack(0x50, 5), 0);
    for _ in 0..2 {
        publisher.send(&ack(0x62, 5));
        publisher.expect_any();
    }
    // the same identifier, released: it is a new message
    assert_eq!(publisher.publish(&Publish::new(&topic, "second").qos(2).id(5)), 0);
    subscriber.expect_payloads(&["first", "second"]);
}

#[test]
fn messages_of_a_publisher_arrive_in_order() {
    let case = case!();
    let (mut publisher, mut subscriber) = (case.five("pub"), case.says("sub", receive_maximum(3)));
    subscriber.subscribe(&[(&case.topic("#"), 2)]);
    for qos in 0..3 {
        let topic = case.topic(&qos.to_string());
        let payloads: Vec<_> = (0..90).map(|number| number.to_string()).collect();
        let frames =
            payloads.iter().zip(1..).map(|(payload, id)| Publish::new(&topic, payload).qos(qos).id(id).frame());
        publisher.send(&frames.collect::<Vec<_>>().concat());
        for payload in &payloads {
            let came = subscriber.take();
            assert_eq!((came.text(), came.qos), (payload.as_str(), qos));
        }
        for id in 1..=90 {
            match qos {
                0 => {}
                1 => publisher.expect(&ack(0x40, id)),
                _ => {
                    publisher.expect(&ack(0x50, id));
                    publisher.send(&ack(0x62, id));
                }
            }
        }
        for id in 1..=if qos == 2 { 90 } else { 0 } {
            publisher.expect(&ack(0x70, id));
        }
    }
}

#[test]
fn ping_is_answered() {
    let case = case!();
    let mut client = case.five("pinging");
    client.send(&PINGREQ.repeat(50));
    for _ in 0..50 {
        client.expect(PINGRESP);
    }
    // behind other packets, too
    client.send(&[&subscribe(1, &Properties::new(), &[("a", 1)])[..], PINGREQ].concat());
    client.expect(&suback(1, &[1]));
    client.expect(PINGRESP);
}

#[test]
fn also_resent_messages_respect_the_new_packet_size_limit() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    for qos in 1..3 {
        let id = case.id(&format!("sub {qos}"));
        let mut subscriber = case.accepted(&Connect::new(&id).lasting(1_000), 0);
        subscriber.subscribe(&[(&topic, qos)]);
        for payload in ["x".repeat(500), "small".to_owned()] {
            publisher.publish(&Publish::new(&topic, &payload).qos(qos));
            assert_eq!(subscriber.receive().text(), payload);
        }
        // neither is acknowledged
        subscriber.leave();
        let connect = Connect::new(&id).with(maximum_packet_size(100)).lasting(1_000);
        let mut subscriber = case.accepted(&connect, 1);
        assert_eq!(subscriber.receive().text(), "small");
        subscriber.leave();
    }
}
