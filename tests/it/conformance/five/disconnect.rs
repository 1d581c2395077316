//! Section 3.14 and 4.13: the server sends the reason before it closes a connection.

use std::time::Duration;

use dunlin::config::Limits;

use super::client_of;
use crate::support::{
    Broker, config,
    five::{Connect, Five, Properties, Publish, disconnect, disconnect_with, property},
    raw::{Connect as OldConnect, PINGREQ},
    shut_down,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_older_of_two_connections_gets_session_taken_over() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut first = case.lasting("twice", 0);
    first.subscribe(&[(&topic, 1)]);
    publisher.publish(&Publish::new(&topic, "in flight").qos(1));
    let sent = first.receive();
    // not even with the same packet behind it
    let mut second = case.lasting("twice", 1);
    first.expect_disconnect(0x8E);
    assert_eq!(second.take(), sent.dup());
    // by a client of 3.1.1, too, which hears nothing of that itself
    let mut old = case.connect(&OldConnect::new(&case.id("twice")).persistent(), 1);
    second.expect_disconnect(0x8E);
    let mut third = case.lasting("twice", 1);
    old.expect_closed();
    third.expect_nothing_pending();
}

#[test]
fn a_silent_client_gets_keep_alive_timeout() {
    let Some(case) = case_with!(Limits::default()) else { return };
    let mut watcher = case.five("watcher");
    watcher.subscribe(&[(&case.topic("will"), 1)]);
    let connect =
        Connect::new(&case.id("silent")).keep_alive(10).will(&Publish::new(&case.topic("will"), "gone").qos(1));
    let (mut client, connack) = Five::connect(case.address(), &connect);
    assert_eq!(connack.properties.number(property::SERVER_KEEP_ALIVE), None);
    case.turn(13 * SECOND);
    client.expect_nothing_pending();
    case.turn(13 * SECOND);
    client.expect_nothing_pending();
    watcher.expect_nothing_pending();
    case.turn(17 * SECOND);
    client.expect_disconnect(0x8D);
    watcher.expect_payloads(&["gone"]);
}

#[test]
fn clients_are_told_that_the_server_shuts_down_and_nothing_comes_behind_that() {
    let broker = Broker::new(config());
    let mut clients: Vec<_> = (0..5).map(|number| client_of(&broker, &format!("client {number}"))).collect();
    let mut old = broker.client("old");
    let Broker { server, .. } = broker;
    let ends = std::thread::spawn(|| shut_down(server));
    for client in &mut clients {
        client.expect_disconnect(0x8B);
    }
    old.expect_closed();
    drop((clients, old));
    ends.join().expect("it ends");
}

#[test]
fn a_packet_that_is_too_large_gets_packet_too_large() {
    let Some(case) = case_with!(Limits { max_packet_size: 1_000, ..Limits::default() }) else { return };
    let mut watcher = case.five("watcher");
    watcher.subscribe(&[("t", 0)]);
    let mut client = case.five("large");
    let whole = |payload: usize| Publish::new("t", &"x".repeat(payload));
    let fits = 1_000 - whole(900).frame().len() + 900;
    client.publish(&whole(fits));
    assert_eq!(watcher.take().payload.len(), fits);
    client.send(&whole(fits + 1).frame());
    client.expect_disconnect(0x95);
    watcher.expect_nothing_pending();
}

#[test]
fn auth_without_a_method_is_a_protocol_error() {
    let case = case!();
    let method = Properties::new().text(property::AUTHENTICATION_METHOD, "m");
    let auth = [&[0xF0, 6, 0x19, 4][..], &method.0].concat();
    for bytes in [&[0xF0, 0][..], &[0xF0, 2, 0x18, 0], &auth] {
        let mut client = case.five("auth");
        client.send(bytes);
        client.expect_disconnect(0x82);
    }
    for flags in 1..16 {
        let mut client = case.five("auth");
        client.send(&[0xF0 | flags, 0]);
        client.expect_disconnect(0x81);
    }
}

#[test]
fn a_client_s_disconnect_is_not_answered() {
    let case = case!();
    let reason = Properties::new().text(0x1F, "done").user("a", "b");
    for code in [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99] {
        case.five("leaves").leave_with(&disconnect(code));
        case.five("leaves").leave_with(&disconnect_with(code, &reason));
    }
    // packets after a DISCONNECT are ignored
    let mut watcher = case.five("watcher");
    watcher.subscribe(&[(&case.topic("t"), 0)]);
    let behind = Publish::new(&case.topic("t"), "behind").frame();
    case.five("leaves").leave_with(&[&[0xE0, 0][..], &behind, PINGREQ].concat());
    watcher.expect_nothing_pending();
}

#[test]
fn also_a_client_of_3_1_1_gets_no_disconnect() {
    let case = case!();
    for bytes in [&[0xF0, 0][..], &[0x30, 3, 0, 1, b'+'], &[0xE0, 1, 0x04], &[0xE0, 2, 0, 0]] {
        case.assert_closes(bytes);
    }
}

#[test]
fn a_packet_identifier_of_0_is_malformed() {
    let case = case!();
    let none = Properties::new();
    let packets = [
        Publish::new("t", "m").qos(1).frame(),
        Publish::new("t", "m").qos(2).frame(),
        crate::support::five::subscribe(0, &none, &[("t", 0)]),
        crate::support::five::unsubscribe(0, &["t"]),
    ];
    for packet in packets {
        let mut client = case.five("zero");
        client.send(&packet);
        client.expect_disconnect(0x81);
    }
}
