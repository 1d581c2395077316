//! The event `message.acknowledged`.

use dunlin::Builder;
use serde_json::{Value, json};

use super::{
    client, hooked,
    service::{Does, Service},
    types, wait_until_sent,
};
use crate::support::{
    five::{self, Five, Properties, Publish},
    raw::{Client, Connect, Message, ack, pubcomp, pubrec, pubrel},
    shut_down, start,
};

const ACKNOWLEDGED: &str = "'message.acknowledged'";

fn data(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["data"].clone()).collect()
}

#[test]
fn puback_and_pubcomp_are_webhook_events_of_the_subscriber() {
    let service = Service::new(|_| Does::Answers(200));
    let server = start(Builder::new(hooked(&service, ACKNOWLEDGED, "payload = 'text'")));
    let (mut sub, mut publisher) = (client(&server, "sub"), client(&server, "pub"));
    sub.subscribe(&[("t/#", 2)]);
    publisher.publish(Message::new("t/0", "none for QoS 0"));
    publisher.publish(Message::new("t/1", "one").qos(1));
    publisher.publish(Message::new("t/2", "four").qos(2));
    sub.expect_message("t/0", "none for QoS 0", 0);
    let (one, two) = (sub.receive(), sub.receive());
    sub.send(&pubrec(two.id));
    sub.expect(&pubrel(two.id));
    // the message of QoS 2 is acknowledged by PUBCOMP, not by PUBREC
    sub.send(&ack(0x40, one.id));
    wait_until_sent(&server, 1);
    sub.send(&pubcomp(two.id));
    // none of them is in flight any more
    sub.send(&pubcomp(two.id));
    sub.expect_nothing_pending();
    wait_until_sent(&server, 2);
    shut_down(server);
    let events = service.events();
    assert_eq!(types(&events), ["dunlin.message.acknowledged"; 2]);
    assert_eq!((&events[0]["subject"], &events[1]["subject"]), (&json!("t/1"), &json!("t/2")));
    assert!(events[0]["source"].as_str().unwrap().ends_with("/clients/sub"), "{}", events[0]);
    let expected = [
        json!({ "client_id": "sub", "topic": "t/1", "qos": 1, "size": 3 }),
        json!({ "client_id": "sub", "topic": "t/2", "qos": 2, "size": 4 }),
    ];
    assert_eq!(data(&events), expected);
}

#[test]
fn a_webhook_event_has_the_reason_code_with_which_a_client_refuses_a_message() {
    const ACCEPTED: u8 = 0x00;
    const QUOTA: u8 = 0x97;
    let service = Service::new(|_| Does::Answers(200));
    let server = start(Builder::new(hooked(&service, ACKNOWLEDGED, "")));
    let mut sub = Five::accepted(server.local_addrs()[0], &five::Connect::new("sub"), 0);
    sub.subscribe(&[("t", 2)]);
    let mut publisher = Five::accepted(server.local_addrs()[0], &five::Connect::new("pub"), 0);
    let content_type = Properties::new().text(0x03, "text/plain");
    publisher.publish(&Publish::new("t", "1").qos(1).with(content_type));
    publisher.publish(&Publish::new("t", "2").qos(1));
    publisher.publish(&Publish::new("t", "3").qos(2));
    let [one, two, three] = [(); 3].map(|()| sub.receive());
    sub.send(&five::ack_with(0x40, one.id, QUOTA));
    sub.send(&five::ack_with(0x40, two.id, ACCEPTED));
    // PUBREC with an error completes a message of QoS 2
    sub.send(&five::ack_with(0x50, three.id, QUOTA));
    wait_until_sent(&server, 3);
    shut_down(server);
    let expected = [
        json!({
            "client_id": "sub", "topic": "t", "qos": 1, "size": 1, "reason_code": QUOTA, "content_type": "text/plain"
        }),
        json!({ "client_id": "sub", "topic": "t", "qos": 1, "size": 1 }),
        json!({ "client_id": "sub", "topic": "t", "qos": 2, "size": 1, "reason_code": QUOTA }),
    ];
    assert_eq!(data(&service.events()), expected);
}

#[test]
fn acknowledgements_are_chosen_by_topic_and_subscriber() {
    let service = Service::new(|_| Does::Answers(200));
    let more = "filter = ['t/+']\nclients = 'dev-*'";
    let server = start(Builder::new(hooked(&service, ACKNOWLEDGED, more)));
    let mut subscribers = ["other", "dev-1"].map(|id| client(&server, id));
    for sub in &mut subscribers {
        sub.subscribe(&[("#", 1), ("$other/#", 1)]);
    }
    // its publisher is not asked for
    let mut publisher = client(&server, "pub");
    for topic in ["u", "$other/x", "t/x"] {
        publisher.publish(Message::new(topic, "1").qos(1));
        subscribers.iter_mut().for_each(|sub| sub.expect_message(topic, "1", 1));
    }
    wait_until_sent(&server, 1);
    subscribers.iter_mut().for_each(Client::expect_nothing_pending);
    shut_down(server);
    let expected = json!({ "client_id": "dev-1", "topic": "t/x", "qos": 1, "size": 1 });
    assert_eq!(data(&service.events()), [expected]);
}

#[test]
fn messages_that_are_sent_again_to_a_returning_client_are_acknowledged_once() {
    let service = Service::new(|_| Does::Answers(200));
    let server = start(Builder::new(hooked(&service, ACKNOWLEDGED, "")));
    let connect = Connect::new("sub").persistent();
    let mut sub = Client::accepted(server.local_addrs()[0], &connect, 0);
    sub.subscribe(&[("t", 2)]);
    let mut publisher = client(&server, "pub");
    publisher.publish(Message::new("t", "1").qos(1));
    publisher.publish(Message::new("t", "22").qos(2));
    let (_, two) = (sub.receive(), sub.receive());
    sub.send(&pubrec(two.id));
    sub.expect(&pubrel(two.id));
    sub.disconnect();
    // it is queued while the client is away
    publisher.publish(Message::new("t", "333").qos(1));
    let mut sub = Client::accepted(server.local_addrs()[0], &connect, 1);
    sub.expect_message("t", "1", 1);
    sub.expect(&pubrel(two.id));
    sub.send(&pubcomp(two.id));
    sub.expect_message("t", "333", 1);
    wait_until_sent(&server, 3);
    shut_down(server);
    let events = service.events();
    let sizes: Vec<_> = events.iter().map(|event| event["data"]["size"].clone()).collect();
    assert_eq!((sizes, &events[1]["data"]["qos"]), (vec![json!(1), json!(2), json!(3)], &json!(2)));
}
