//! Section 4.6: message ordering.

use crate::support::raw::{Message, puback, pubcomp, pubrec, pubrel};

fn numbered(topic: &str, number: u16) -> Message {
    Message::new(topic, &number.to_string()).id(number)
}

#[test]
fn mqtt_4_6_0_1_resent_messages_keep_their_order() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    let mut sent = Vec::new();
    for number in 1..=12 {
        publisher.publish(numbered(&topic, number).qos(1 + (number % 2) as u8));
        sent.push(subscriber.receive());
    }
    // One in the middle is done, and one is released.
    subscriber.send(&puback(sent.remove(5).id));
    subscriber.expect_nothing_pending();
    subscriber.abort();
    let mut subscriber = case.resume("sub");
    for first in sent {
        assert_eq!(subscriber.receive(), first.dup());
    }
    subscriber.expect_nothing_pending();
}

#[test]
fn mqtt_4_6_0_2_pubacks_keep_the_order_of_the_messages() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("pub"));
    let ids = [9, 3, 700, 1, 2, 65_535, 8];
    let stream: Vec<u8> = ids.into_iter().flat_map(|id| numbered(&topic, id).qos(1).frame()).collect();
    client.send(&stream);
    for id in ids {
        client.expect(&puback(id));
    }
}

#[test]
fn mqtt_4_6_0_3_pubrecs_keep_the_order_of_the_messages() {
    let case = case!();
    let (topic, mut client) = (case.topic("t"), case.client("pub"));
    let ids = [9, 3, 700, 1, 2, 65_535, 8];
    let stream: Vec<u8> = ids.into_iter().flat_map(|id| numbered(&topic, id).qos(2).frame()).collect();
    client.send(&stream);
    for id in ids {
        client.expect(&pubrec(id));
    }
    client.send(&ids.into_iter().flat_map(pubrel).collect::<Vec<u8>>());
    for id in ids {
        client.expect(&pubcomp(id));
    }
}

#[test]
fn mqtt_4_6_0_4_pubrels_keep_the_order_of_the_pubrecs() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.client("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    let mut ids = Vec::new();
    for number in 1..=8 {
        publisher.publish(numbered(&topic, number).qos(2));
        ids.push(subscriber.receive().id);
    }
    ids.rotate_left(3);
    subscriber.send(&ids.iter().copied().flat_map(pubrec).collect::<Vec<u8>>());
    for id in ids {
        subscriber.expect(&pubrel(id));
    }
}

#[test]
fn mqtt_4_6_0_5_every_topic_is_ordered() {
    let case = case!();
    let (mut subscriber, mut publisher) = (case.client("sub"), case.client("pub"));
    let topics = [case.topic("a"), case.topic("b/c"), case.topic("")];
    subscriber.subscribe(&[(&case.topic("#"), 1)]);
    for topic in &topics {
        let stream: Vec<u8> = (1..=50).flat_map(|number| numbered(topic, number).qos(1).frame()).collect();
        publisher.send(&stream);
        for number in 1..=50 {
            publisher.expect(&puback(number));
            subscriber.expect_message(topic, &number.to_string(), 1);
        }
    }
}

#[test]
fn mqtt_4_6_0_6_each_qos_arrives_in_order() {
    let case = case!();
    for qos in 0..=2 {
        let topic = case.topic(&qos.to_string());
        let mut subscribers: Vec<_> = (0..3).map(|number| case.client(&format!("sub{qos}{number}"))).collect();
        for (subscriber, granted) in subscribers.iter_mut().zip(0..) {
            subscriber.subscribe(&[(&topic, granted)]);
        }
        let mut publisher = case.client(&format!("pub{qos}"));
        for number in 1..=15 {
            publisher.publish(numbered(&topic, number).qos(qos));
        }
        // Fifteen are below the window, so that the acknowledgements may stay away.
        for (subscriber, granted) in subscribers.iter_mut().zip(0..) {
            for number in 1..=15 {
                let message = subscriber.receive();
                assert_eq!((message.text(), message.qos), (number.to_string().as_str(), qos.min(granted)));
            }
        }
    }
}

#[test]
fn mqtt_4_6_0_6_queued_messages_arrive_in_order() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 2)]);
    subscriber.disconnect();
    for number in 1..=50 {
        publisher.publish(numbered(&topic, number).qos(2));
    }
    let mut subscriber = case.resume("sub");
    // The window is smaller than the queue: it moves on with each PUBCOMP, and messages come between PUBREC and PUBREL.
    let mut expected = 1..=50;
    let mut completed = 0;
    while completed < 50 {
        let frame = subscriber.expect_any();
        match frame.message() {
            Some(message) => {
                assert_eq!(Some(message.text()), expected.next().map(|number| number.to_string()).as_deref());
                subscriber.send(&pubrec(message.id));
            }
            None => {
                let id = u16::from_be_bytes([frame.body[0], frame.body[1]]);
                assert_eq!(frame.bytes(), pubrel(id));
                subscriber.send(&pubcomp(id));
                completed += 1;
            }
        }
    }
    subscriber.expect_nothing_pending();
}

#[test]
fn also_new_messages_do_not_overtake_queued_ones() {
    let case = case!();
    let (topic, mut subscriber, mut publisher) = (case.topic("t"), case.begin("sub"), case.client("pub"));
    subscriber.subscribe(&[(&topic, 1)]);
    subscriber.disconnect();
    for number in 1..=30 {
        publisher.publish(numbered(&topic, number).qos(1));
    }
    let mut subscriber = case.resume("sub");
    subscriber.expect_message(&topic, "1", 1);
    for number in 31..=40 {
        publisher.publish(numbered(&topic, number).qos(1));
    }
    for number in 2..=40 {
        subscriber.expect_message(&topic, &number.to_string(), 1);
    }
    subscriber.expect_nothing_pending();
}
