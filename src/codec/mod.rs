//! Bytes ↔ packets. Pure: no sockets, no clock. A packet type is a struct with the fields of MQTT 5; 3.1 and 3.1.1
//! leave the properties empty.

mod packet;

pub use packet::*;
