//! Clients of MQTT 5 and of 3.1.1 that share a session, and that exchange messages.

use crate::support::{
    five::{Connect, Properties, Publish, ack_with, property, suback, subscribe, unsubscribe},
    raw::{self, Connect as OldConnect, Message, ack, frame, text},
};

#[test]
fn also_a_session_resumes_in_another_version() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let old = |present| case.connect(&OldConnect::new(&case.id("both")).persistent(), present);
    let mut new = case.lasting("both", 0);
    new.subscribe_as(300, &topic, 1);
    new.leave();
    let properties = Properties::new().user("a", "b").text(property::CONTENT_TYPE, "text");
    publisher.publish(&Publish::new(&topic, "queued").qos(1).with(properties.clone()).expires(1_000));
    publisher.publish(&Publish::new(&topic, "too").qos(1).with(properties.clone()));
    let mut client = old(1);
    // not a byte of MQTT 5
    let message = client.receive();
    assert_eq!((message.text(), message.dup), ("queued", false));
    let too = client.take();
    assert_eq!(too.text(), "too");
    client.disconnect();
    // a message in flight is resent with all its properties
    let mut new = case.lasting("both", 1);
    let again = new.receive();
    assert_eq!((again.text(), again.dup, again.id), ("queued", true, message.id));
    assert_eq!(again.properties.identifiers(), [300]);
    assert_eq!(
        again.properties.ids()[..3],
        [property::MESSAGE_EXPIRY, property::USER_PROPERTY, property::CONTENT_TYPE]
    );
    new.send(&ack(0x40, again.id));
    new.leave();
    // the subscription exists without an answer for its identifier, and with one again
    let mut client = old(1);
    publisher.publish(&Publish::new(&topic, "live").qos(1).with(properties.clone()));
    client.expect_message(&topic, "live", 1);
    client.expect_nothing_pending();
    client.disconnect();
    // a session of 3.1.1 without an expiry gets that of MQTT 5: here it ends with its connection
    let mut new = case.accepted(&Connect::new(&case.id("both")).resume(), 1);
    publisher.publish(&Publish::new(&topic, "last").qos(1).with(properties));
    assert_eq!(new.take().properties.identifiers(), [300]);
    new.leave();
    old(0).expect_nothing_pending();
}

#[test]
fn also_answers_have_the_form_of_each_clients_version() {
    let case = case!();
    let topic = case.topic("t");
    let mut new = case.five("new");
    new.send(&subscribe(1, &Properties::new().user("a", "b"), &[(&topic, 1), ("$share//t", 1)]));
    new.expect(&suback(1, &[1, 0x8F]));
    let body = [&2_u16.to_be_bytes()[..], &[5, 0x26, 0, 0, 0, 0], &text("none")].concat();
    new.send(&frame(0xA2, &body));
    new.expect(&[0xB0, 4, 0, 2, 0, 0x11]);
    new.send(&unsubscribe(3, &[&topic]));
    new.expect(&[0xB0, 4, 0, 3, 0, 0]);
    for version in [3, 4] {
        let name = if version == 3 { "MQIsdp" } else { "MQTT" };
        let mut old = case.connect(&OldConnect::new(&format!("old{version}")).protocol(name, version), 0);
        old.send(&raw::subscribe(1, &[(&topic, 1)]));
        old.expect(&raw::suback(1, &[1]));
        old.send(&raw::unsubscribe(2, &[&topic, "none"]));
        old.expect(&raw::ack(0xB0, 2));
        old.publish(Message::new(&topic, "m").qos(2));
    }
}

#[test]
fn also_acknowledgements_may_contain_success_explicitly() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut subscriber = case.says("sub", Properties::new().short(property::RECEIVE_MAXIMUM, 1));
    subscriber.subscribe(&[(&topic, 2)]);
    let full = |first, id: u16| frame(first, &[&id.to_be_bytes()[..], &[0, 5, 0x26, 0, 0, 0, 0]].concat());
    for round in 0..3 {
        let says = |first, id| if round == 0 { full(first, id) } else { ack_with(first, id, 0) };
        for qos in [1, 2] {
            publisher.publish(&Publish::new(&topic, "m").qos(qos));
            let came = subscriber.receive();
            if qos == 1 {
                subscriber.send(&says(0x40, came.id));
                continue;
            }
            subscriber.send(&says(0x50, came.id));
            subscriber.expect(&ack(0x62, came.id));
            subscriber.send(&says(0x70, came.id));
        }
    }
    publisher.send(&Publish::new(&topic, "m").qos(2).id(9).frame());
    publisher.expect(&ack(0x50, 9));
    publisher.send(&full(0x62, 9));
    publisher.expect(&ack(0x70, 9));
    assert_eq!(subscriber.take().text(), "m");
    subscriber.expect_nothing_pending();
}
