//! Sections 3.1 and 3.2: CONNECT, CONNACK, and the lifetime of a session.

use std::time::Duration;

use dunlin::config::Limits;

use crate::support::{
    five::{Connack, Connect, Five, Properties, Publish, disconnect_with, property, refused},
    raw::{DISCONNECT, PINGREQ, frame, text},
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn connack_has_the_server_s_deviations_from_defaults() {
    let case = case!();
    let (mut client, connack) = Five::connect(case.address(), &Connect::new(&case.id("new")));
    let Connack { flags, code, properties } = connack;
    assert_eq!((flags, code), (0, 0));
    let expected = [property::MAXIMUM_PACKET_SIZE, property::TOPIC_ALIAS_MAXIMUM];
    assert_eq!(properties.ids(), expected);
    let numbers = expected.map(|id| properties.number(id).expect("it is there"));
    assert_eq!(numbers, [2_000_000, 10]);
    client.expect_nothing_pending();
}

#[test]
fn connack_has_response_information_only_on_request() {
    let case = case!();
    for asked in [None, Some(0)] {
        let properties = asked
            .map_or(Properties::new(), |asked| Properties::new().byte(property::REQUEST_RESPONSE_INFORMATION, asked));
        let (_, connack) = Five::connect(case.address(), &Connect::new(&case.id("asks")).with(properties));
        assert_eq!(connack.properties.string(property::RESPONSE_INFORMATION), None);
    }
}

#[test]
fn limits_of_the_configuration_show_in_connack() {
    let limits = Limits {
        receive_maximum: 7,
        topic_alias_maximum: 0,
        max_packet_size: 5_000,
        session_expiry: Some(60 * SECOND),
        ..Limits::default()
    };
    let Some(case) = case_with!(limits) else { return };
    let (_, connack) = Five::connect(case.address(), &Connect::new(&case.id("asks")).lasting(61));
    let number = |id| connack.properties.number(id);
    assert_eq!(number(property::RECEIVE_MAXIMUM), Some(7));
    assert_eq!(number(property::TOPIC_ALIAS_MAXIMUM), None);
    assert_eq!(number(property::MAXIMUM_PACKET_SIZE), Some(5_000));
    assert_eq!(number(property::SESSION_EXPIRY), Some(60));
    let (_, connack) = Five::connect(case.address(), &Connect::new(&case.id("other")).lasting(60));
    assert_eq!(connack.properties.number(property::SESSION_EXPIRY), None, "it gets what it asks for");
}

#[test]
fn an_empty_client_identifier_gets_a_unique_one_in_connack() {
    let case = case!();
    let mut assigned = Vec::new();
    for _ in 0..3 {
        let (mut client, connack) = Five::connect(case.address(), &Connect::new("").lasting(1_000));
        assert_eq!((connack.flags, connack.code), (0, 0));
        let id = connack.properties.string(property::ASSIGNED_CLIENT_IDENTIFIER).expect("an identifier");
        client.subscribe(&[(&case.topic(&id), 1)]);
        assigned.push((id, client));
    }
    for (id, client) in assigned {
        client.leave();
        let mut client = case.accepted(&Connect::new(&id).lasting(1_000), 1);
        client.publish(&Publish::new(&case.topic(&id), "mine"));
        client.expect_payloads(&["mine"]);
    }
    let (_, connack) = Five::connect(case.address(), &Connect::new(&case.id("named")));
    assert_eq!(connack.properties.string(property::ASSIGNED_CLIENT_IDENTIFIER), None);
}

#[test]
fn client_identifiers_of_letters_and_digits_identify_sessions() {
    let case = case!();
    let ids = ["0123456789abcdefghijklm", "ABCDEFGHIJKLMNOPQRSTUVW", "nopqrstuvwxyzXYZ", "a"];
    for id in ids {
        case.accepted(&Connect::new(id).lasting(1_000), 0).subscribe(&[(&case.topic(id), 1)]);
    }
    for id in ids {
        let mut client = case.accepted(&Connect::new(id).lasting(1_000), 1);
        for other in ids {
            client.publish(&Publish::new(&case.topic(other), other));
        }
        // those that stay behind are taken over in their turn, or are away
        assert_eq!(client.take().text(), id);
        client.expect_nothing_pending();
        client.leave_with(&disconnect_with(0, &Properties::new().int(property::SESSION_EXPIRY, 0)));
    }
}

#[test]
fn a_session_is_kept_for_its_expiry_interval_and_not_longer() {
    let Some(case) = case_with!(Limits::default()) else { return };
    let connect = |expiry| Connect::new(&case.id("away")).lasting(expiry);
    let mut client = case.accepted(&connect(100), 0);
    client.subscribe(&[(&case.topic("t"), 1)]);
    // as long as its client is connected it does not end
    case.turn(200 * SECOND);
    client.expect_nothing_pending();
    client.leave();
    // the seconds of a busy machine count too
    case.turn(70 * SECOND);
    let mut client = case.accepted(&connect(100), 1);
    client.publish(&Publish::new(&case.topic("t"), "still subscribed"));
    client.expect_payloads(&["still subscribed"]);
    client.leave();
    case.turn(101 * SECOND);
    // the interval of the last connection counts
    case.accepted(&connect(1_000), 0).leave();
    case.turn(970 * SECOND);
    case.accepted(&connect(10), 1).leave();
    case.turn(11 * SECOND);
    case.accepted(&connect(10), 0);
}

#[test]
fn without_an_expiry_interval_a_session_ends_with_its_connection() {
    let case = case!();
    for properties in [Properties::new(), Properties::new().int(property::SESSION_EXPIRY, 0)] {
        let connect = Connect::new(&case.id("short")).resume().with(properties);
        let mut client = case.accepted(&connect, 0);
        client.subscribe(&[(&case.topic("t"), 1)]);
        client.leave();
        let mut client = case.accepted(&connect, 0);
        // nor does a take-over resume it
        client.subscribe(&[(&case.topic("t"), 1)]);
        let mut other = case.accepted(&connect, 0);
        client.expect_disconnect(0x8E);
        other.publish(&Publish::new(&case.topic("t"), "nobody's"));
        other.expect_nothing_pending();
        other.leave();
    }
}

#[test]
fn disconnect_changes_the_session_expiry_interval() {
    let Some(case) = case_with!(Limits::default()) else { return };
    let leave = |expiry| disconnect_with(0, &Properties::new().int(property::SESSION_EXPIRY, expiry));
    case.lasting("away", 0).leave_with(&leave(0));
    case.lasting("away", 0).leave_with(&leave(5_000));
    case.turn(4_000 * SECOND);
    case.lasting("away", 1).leave_with(&leave(10));
    case.turn(11 * SECOND);
    case.lasting("away", 0);
}

#[test]
fn also_disconnect_does_not_raise_an_expiry_interval_of_0() {
    let case = case!();
    let mut client = case.five("short");
    client.send(&disconnect_with(0, &Properties::new().int(property::SESSION_EXPIRY, 5)));
    client.expect_disconnect(0x82);
    case.accepted(&Connect::new(&case.id("short")).resume(), 0);
}

#[test]
fn clean_start_discards_the_session_and_without_it_the_session_resumes() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut client = case.lasting("sub", 0);
    client.subscribe(&[(&topic, 1)]);
    client.leave();
    publisher.publish(&Publish::new(&topic, "queued").qos(1));
    let mut client = case.lasting("sub", 1);
    client.expect_payloads(&["queued"]);
    client.leave();
    publisher.publish(&Publish::new(&topic, "lost").qos(1));
    let mut client = case.five("sub");
    assert_eq!(publisher.publish(&Publish::new(&topic, "nobody's").qos(1)), 0x10);
    client.expect_nothing_pending();
    client.leave();
    case.lasting("sub", 0);
}

#[test]
fn clean_start_0_without_a_session_begins_one() {
    let case = case!();
    let mut client = case.lasting("first", 0);
    client.subscribe(&[(&case.topic("t"), 0)]);
    client.publish(&Publish::new(&case.topic("t"), "mine"));
    client.expect_payloads(&["mine"]);
}

#[test]
fn connack_comes_once_and_before_messages_of_the_session() {
    let case = case!();
    let (topic, mut publisher) = (case.topic("t"), case.five("pub"));
    let mut client = case.lasting("sub", 0);
    client.subscribe(&[(&topic, 1)]);
    client.leave();
    for payload in ["1", "2", "3"] {
        publisher.publish(&Publish::new(&topic, payload).qos(1));
    }
    case.lasting("sub", 1).expect_payloads(&["1", "2", "3"]);
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let case = case!();
    let mut client = case.five("twice");
    client.send(&Connect::new(&case.id("twice")).frame());
    client.expect_disconnect(0x82);
}

#[test]
fn a_first_packet_other_than_connect_closes_silently() {
    let case = case!();
    let publish = Publish::new(&case.topic("t"), "early").retain().frame();
    for bytes in [PINGREQ, DISCONNECT, &publish, &[0xF0, 0], &[0x20, 3, 0, 0, 0]] {
        case.assert_connect_closes(bytes);
    }
    assert_eq!(case.retained(&case.topic("t"), 0), []);
}

#[test]
fn a_connect_of_another_protocol_is_closed() {
    let case = case!();
    let body = |name: &str| [&text(name)[..], &[5, 2, 0, 0, 0, 0, 0]].concat();
    for name in ["MQTX", "mqtt", "MQT", "MQTTT", ""] {
        case.assert_connect_closes(&frame(0x10, &body(name)));
    }
    for level in [0, 1, 2, 6, 7, 127] {
        let mut client = case.open();
        client.send(&Connect { level, ..Connect::new("version") }.frame());
        // the answer that clients of all versions understand: "unacceptable protocol version"
        client.expect_refused(1);
    }
    // that of a bridge which sets the bit that those of 3.1.1 do: it speaks MQTT 5
    let mut client = case.open();
    client.send(&Connect { level: 0x85, ..Connect::new("version") }.frame());
    client.expect(&refused(0x84));
    client.expect_closed();
}

#[test]
fn a_malformed_connect_gets_a_reason_and_closes() {
    let case = case!();
    let good = Connect::new(&case.id("bad"));
    let will = good.clone().will(&Publish::new("w", "w"));
    let flags = |flags| Connect { flags, ..good.clone() };
    let connects = [
        ("the reserved flag", flags(0x03)),
        ("Will QoS 1 without a Will", flags(0x0A)),
        ("Will QoS 2 without a Will", flags(0x12)),
        ("Will Retain without a Will", flags(0x22)),
        ("a Will without its fields", flags(0x06)),
        ("Will QoS 3", Connect { flags: 0x1E, ..will.clone() }),
        ("a User Name without its flag", Connect { user: text("u"), ..good.clone() }),
        ("no User Name with its flag", flags(0x82)),
        ("a Password without its flag", Connect { flags: 0x82, user: [text("u"), text("p")].concat(), ..good.clone() }),
        ("no Password with its flag", Connect { flags: 0xC2, user: text("u"), ..good.clone() }),
        ("an ill-formed Client Identifier", Connect { client_id: b"\xC3(".to_vec(), ..good.clone() }),
        ("U+0000 in the Client Identifier", Connect { client_id: b"a\0".to_vec(), ..good.clone() }),
        ("a surrogate in the Client Identifier", Connect { client_id: b"\xED\xA0\x80".to_vec(), ..good.clone() }),
        ("an ill-formed Will Topic", Connect { will: [&[0][..], &text(b"\xFF"), &text("w")].concat(), ..will.clone() }),
        ("a Will Topic with a wildcard", Connect { will: [&[0][..], &text("w/#"), &text("w")].concat(), ..will }),
        ("an ill-formed User Name", Connect { flags: 0x82, user: text(b"\xFF"), ..good.clone() }),
    ];
    for (what, connect) in connects {
        let mut client = case.open();
        client.context = what.to_owned();
        client.send(&connect.frame());
        client.expect(&refused(0x81));
        client.expect_closed();
    }
    // cut at any byte: before the version is known, there is no way to answer
    let whole = good.frame();
    let version = 2 + text("MQTT").len() + 1;
    for cut in 2..version {
        case.assert_connect_closes(&frame(0x10, &whole[2..cut]));
    }
    let longer = [&whole[2..], &[0]].concat();
    for body in (version..whole.len()).map(|cut| &whole[2..cut]).chain([&longer[..]]) {
        let mut client = case.open();
        client.send(&frame(0x10, body));
        client.expect(&refused(0x81));
        client.expect_closed();
    }
}

#[test]
fn also_a_connect_beyond_the_limits_gets_a_reason() {
    let limits = Limits { max_connect_size: 200, max_topic_length: 100, ..Limits::default() };
    let Some(case) = case_with!(limits) else { return };
    let long = "x".repeat(101);
    let will = Publish::new(&long, "w");
    let told = |bytes: &[u8], code| {
        let mut client = case.open();
        client.send(bytes);
        client.expect(&refused(code));
        client.expect_closed();
    };
    told(&Connect::new("will").will(&will).frame(), 0x90);
    // before all of it has come
    told(&Connect::new(&"x".repeat(1_000)).frame()[..20], 0x95);
    // CONNACK is larger than the client takes: this one is as small as any
    let least = |most| Connect::new("least").with(Properties::new().int(property::MAXIMUM_PACKET_SIZE, most)).frame();
    told(&least(5), 0x95);
    case.assert_connect_closes(&least(4));
}

#[test]
fn an_unknown_authentication_method_is_refused_and_later_packets_are_ignored() {
    let case = case!();
    let topic = case.topic("t");
    let properties = Properties::new().text(property::AUTHENTICATION_METHOD, "SCRAM-SHA-1");
    let mut client = case.open();
    let connect = Connect::new(&case.id("refused")).with(properties).frame();
    client.send(&[connect, Publish::new(&topic, "ignored").retain().frame()].concat());
    client.expect(&[0x20, 3, 0, 0x8C, 0]);
    client.expect_closed();
    assert_eq!(case.retained(&topic, 0), []);
}

#[test]
fn a_refusal_has_no_session_present_and_a_client_identifier_that_is_too_long_is_refused() {
    let Some(case) = case_with!(Limits { max_client_id_length: 60, ..Limits::default() }) else { return };
    let id = "0123456789".repeat(6);
    case.accepted(&Connect::new(&id).lasting(1_000), 0).leave();
    let method = Properties::new().text(property::AUTHENTICATION_METHOD, "none");
    let too_long = format!("{id}0");
    for (connect, code) in [(Connect::new(&id).resume().with(method), 0x8C), (Connect::new(&too_long), 0x85)] {
        let (mut client, connack) = Five::connect(case.address(), &connect);
        assert_eq!((connack.flags, connack.code, connack.properties), (0, code, Properties::new()));
        client.expect_closed();
    }
    case.accepted(&Connect::new(&id).lasting(1_000), 1);
}

#[test]
fn also_a_password_without_a_user_name_is_well_formed() {
    let case = case!();
    case.accepted(&Connect { flags: 0x42, user: text("token"), ..Connect::new(&case.id("token")) }, 0);
}
