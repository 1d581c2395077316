//! Chapters 4.2, 6 and 7: the transports, and the requirements of a server for its clients.

use crate::support::raw::{
    DISCONNECT, Message, PINGREQ, PINGRESP, connack, frame, puback, pubcomp, pubrec, pubrel, suback,
};

#[test]
fn mqtt_7_0_0_2_bare_client_is_served() {
    let case = case!();
    let mut client = case.open();
    // The smallest of everything: no user, no will, no keep alive, an empty client id.
    client.send(b"\x10\x0C\0\x04MQTT\x04\x02\0\0\0\0");
    client.expect(&connack(0, 0));
    let topic = case.topic("t");
    client.subscribe(&[(&topic, 2)]);
    case.client("pub").publish(Message::new(&topic, "payload").qos(2));
    client.expect_message(&topic, "payload", 2);
    client.disconnect();
}

#[test]
fn mqtt_7_1_1_1_tcp_carries_every_packet_in_order() {
    let case = case!();
    let topic = case.topic("t");
    let mut client = case.client("tcp");
    let publish = |qos, id| Message::new(&topic, "payload").qos(qos).id(id).frame();
    let unsubscribe = crate::support::raw::unsubscribe(4, &[&topic]);
    let subscribe = crate::support::raw::subscribe(3, &[(&case.topic("other"), 0)]);
    let all = [publish(1, 1), publish(2, 2), pubrel(2), subscribe, unsubscribe, PINGREQ.to_vec(), DISCONNECT.to_vec()];
    client.send(&all.concat());
    for answer in [puback(1), pubrec(2), pubcomp(2), suback(3, &[0]), frame(0xB0, &[0, 4]), PINGRESP.to_vec()] {
        client.expect(&answer);
    }
    client.expect_closed();
}
