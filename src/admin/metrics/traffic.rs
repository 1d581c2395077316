//! Packets by type; messages by QoS and by version of MQTT; latencies.

use std::fmt;

use super::numbers::Numbers;
use crate::{
    codec::PacketType::{self, *},
    router::{Load, Router},
};

/// Packets that clients send.
const RECEIVED: [(&str, PacketType); 11] = [
    ("connect", Connect),
    ("publish", Publish),
    ("puback", Puback),
    ("pubrec", Pubrec),
    ("pubrel", Pubrel),
    ("pubcomp", Pubcomp),
    ("subscribe", Subscribe),
    ("unsubscribe", Unsubscribe),
    ("pingreq", Pingreq),
    ("disconnect", Disconnect),
    ("auth", Auth),
];

/// Packets that the server sends.
const SENT: [(&str, PacketType); 11] = [
    ("connack", Connack),
    ("publish", Publish),
    ("puback", Puback),
    ("pubrec", Pubrec),
    ("pubrel", Pubrel),
    ("pubcomp", Pubcomp),
    ("suback", Suback),
    ("unsuback", Unsuback),
    ("pingresp", Pingresp),
    ("disconnect", Disconnect),
    ("auth", Auth),
];

/// MQTT 3.1 and 3.1.1, and MQTT 5.
const VERSIONS: [&str; 2] = ["3", "5"];

const QOS: [&str; 3] = ["0", "1", "2"];

pub(super) fn collect(out: &mut Numbers<'_>, router: &Router) -> fmt::Result {
    let loads = router.counters().loads();
    let received = RECEIVED.iter().map(|(name, packet)| (*name, loads.packets_received[*packet as usize]));
    out.counters("packets_received", "MQTT packets from clients", "type", received)?;
    let sent = SENT.iter().map(|(name, packet)| (*name, loads.packets_sent[*packet as usize]));
    out.counters("packets_sent", "MQTT packets to clients", "type", sent)?;
    for (way, help, bytes, bytes_help, counted) in [
        (
            "messages_received",
            "PUBLISH packets accepted from clients",
            "message_bytes_received",
            "Payload bytes accepted from clients",
            &loads.received,
        ),
        (
            "messages_sent",
            "PUBLISH packets to clients, without repeated ones",
            "message_bytes_sent",
            "Payload bytes to clients, without repeated ones",
            &loads.sent,
        ),
    ] {
        by_qos(out, way, help, counted, |load| load.messages)?;
        by_qos(out, bytes, bytes_help, counted, |load| load.bytes)?;
    }
    let samples = router.counters().samples();
    let help = "Time from reading a PUBLISH to writing it to a connected subscriber; one in 64 is measured";
    out.histogram("publish_to_deliver_seconds", help, &samples.deliveries.distribution())?;
    let help = "Time from reading a PUBLISH to writing its PUBACK or PUBREC; one in 64 is measured";
    out.histogram("publish_to_ack_seconds", help, &samples.acknowledgements.distribution())
}

fn by_qos(
    out: &mut Numbers<'_>,
    name: &str,
    help: &str,
    counted: &[[Load; 3]; 2],
    number: fn(&Load) -> u64,
) -> fmt::Result {
    let of_version = |(version, loads): (&'static str, &[Load; 3])| {
        let loads = *loads;
        QOS.into_iter().zip(loads).map(move |(qos, load)| ([qos, version], number(&load)))
    };
    out.counters_by_two(name, help, ["qos", "version"], VERSIONS.into_iter().zip(counted).flat_map(of_version))
}
