//! A test for each normative statement of MQTT 3.1.1 that a server must meet, over a raw socket; `five` has those of
//! MQTT 5.
//!
//! [`statements`] is the table of all statements, and [`coverage`] fails when a statement has neither a test nor a
//! reason. A test `mqtt_3_1_0_2_…` belongs to `[MQTT-3.1.0-2]`; a test `also_…` to a requirement without a number, or
//! to a promise of dunlin beyond the standard. With `DUNLIN_CONFORMANCE_ADDR=host:port` the tests run against the
//! broker at that address, without those that need special settings.

#[macro_use]
mod case;

mod coverage;
mod statements;

mod bridges;
mod connack;
mod connect;
mod connect_flags;
mod five;
mod fixed_header;
mod limits;
mod ordering;
mod packet_id;
mod ping_disconnect;
mod publish;
mod qos;
mod qos2;
mod retained;
mod session;
mod session_resend;
mod subscribe;
mod topics;
mod topics_match;
mod transport;
mod unsubscribe;
mod utf8;
mod v31;
mod will;
