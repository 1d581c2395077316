//! WebSocket (RFC 6455) below MQTT (MQTT 3.1.1 section 6): [`upgrade`] answers the request at the beginning of a
//! connection, [`WebSocket`] is the stream of bytes in its frames, [`sender`] finds out where a request comes from.
//!
//! `tungstenite` parses the request and the headers of frames. Its reading of whole messages is not used: MQTT ignores
//! the ends of frames, so payloads are unmasked in place and written without a copy, and a waiting connection has no
//! buffer.

mod frames;
mod sender;
mod stream;
mod upgrade;

pub(crate) use upgrade::{UpgradeError, upgrade};
