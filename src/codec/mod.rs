//! Bytes ↔ packets. Pure: no sockets, no clock. A packet type is a struct with the fields of MQTT 5; 3.1 and 3.1.1
//! leave the properties empty.
//!
//! The room, in the order a packet passes through it:
//!
//! - `frame`: [`frame()`] cuts the first packet off what was read, and checks its fixed header in one table;
//! - `cursor`: reads fields off the front of a body;
//! - `properties`: the properties of an MQTT 5 packet; `property`: the table of all properties;
//! - `decode`: [`decode()`] parses a frame into a [`Packet`], for MQTT 3.1, 3.1.1 and 5; for a PUBLISH
//!   with the previous topic, [`publish_topic_bytes`] and [`decode_publish_with_topic`];
//! - `packet`: the packets, borrowed from the bytes;
//! - `encode`: the reverse, [`encode()`] for any packet, and functions for the most frequent ones;
//! - `reason`: Reason Codes, and the corresponding codes of earlier versions;
//! - `error`: errors, with the violated normative statement.
//!
//! A connection's loop is: [`frame()`] → [`Cut::Need`], then read more; → [`Cut::Frame`], then [`decode_from_client`],
//! and continue `len` bytes later.

mod cursor;
mod decode;
pub mod encode;
mod error;
mod frame;
mod packet;
mod packet_type;
mod properties;
mod property;
mod reason;

pub use decode::{
    decode, decode_from_client, decode_publish, decode_publish_again, decode_publish_from_client,
    decode_publish_with_topic, publish_topic_bytes, version_of_connect,
};
pub use encode::{Alias, PublishFlags, PublishProperties, encode, properties_len, publish_len, publish_len_5};
pub use error::{DecodeError, EncodeError, Field};
pub use frame::{Cut, Frame, MAX_REMAINING_LENGTH, frame, packet_len};
use packet::BRIDGE;
pub use packet::*;
pub use packet_type::PacketType;
pub use properties::{Properties, PropertiesBuf, PropertyValue};
pub use property::{Carrier, PropertyId};
pub use reason::ReasonCode;

#[cfg(test)]
mod tests;
