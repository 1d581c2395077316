//! Section 4.13: sends each malformed packet and each Protocol Error to a running broker.

use crate::support::{
    five::{Publish, refused},
    malformed::{MALFORMED_5, Malformed},
};

#[test]
fn each_malformed_packet_gets_a_reason_and_closes_only_its_connection() {
    let case = case!();
    let (topic, mut healthy) = (case.topic("t"), case.five("healthy"));
    healthy.subscribe(&[(&topic, 1)]);
    for (number, row) in MALFORMED_5.iter().enumerate() {
        if row.bytes[0] >> 4 == 1 {
            // not by DISCONNECT, before a CONNACK of success [MQTT-3.14.0-1]
            let mut bad = case.open();
            bad.context = row.name.to_owned();
            bad.send(row.bytes);
            bad.expect(&refused(code_of(row)));
            bad.expect_closed();
        } else {
            let mut bad = case.five(&format!("bad{number}"));
            bad.context = row.name.to_owned();
            bad.send(row.bytes);
            bad.expect_disconnect(code_of(row));
        }
        assert_eq!(healthy.publish(&Publish::new(&topic, row.name).qos(1)), 0);
        healthy.expect_payloads(&[row.name]);
    }
}

/// The Reason Code by which the standard would have it told.
fn code_of(row: &Malformed) -> u8 {
    match row.statement {
        // only servers send it, with any content
        _ if row.bytes[0] >> 4 == 9 => 0x82,
        // "0x94 (Topic Alias invalid)" in section 3.3.2.3.4, 0x81 in section 2.2.2.2, and Protocol Errors by name
        "MQTT-4.13.1-1" if row.name == "5: Topic Alias 0" => 0x94,
        "MQTT-4.13.1-1" if row.error.contains("may not have the property") => 0x81,
        "MQTT-4.13.1-1" | "MQTT-3.3.4-6" | "MQTT-3.8.3-3" | "MQTT-3.8.3-4" | "MQTT-3.10.3-2" => 0x82,
        _ => 0x81,
    }
}
