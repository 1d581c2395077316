//! The codec's tests: `tables` of packets written out by hand, `tables_5` those of
//! MQTT 5, `malformed` bytes as data, `properties` of all packets.

mod malformed;
mod properties;
mod tables;
mod tables_5;

use crate::types::ProtocolVersion;

use super::*;

/// The first packet of `bytes`, which must be all of them.
fn decode_whole(version: ProtocolVersion, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    match frame(version, bytes, usize::MAX)? {
        Cut::Frame(frame) => {
            assert_eq!(frame.len, bytes.len(), "the frame is not the whole of {bytes:02x?}");
            decode(version, frame)
        }
        Cut::Need(needed) => panic!("{needed} bytes needed, {} there: {bytes:02x?}", bytes.len()),
    }
}

fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(version, packet, &mut out).unwrap();
    out
}
