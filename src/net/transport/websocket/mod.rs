//! WebSocket (RFC 6455) below MQTT (MQTT 3.1.1 section 6): [`upgrade`] answers the request that a connection begins
//! with, [`WebSocket`] is the stream of bytes that its frames carry, [`sender`] knows where a request comes from.
//!
//! The request and the frames' headers are read by `tungstenite`. Its own reading of whole messages is not used: MQTT
//! does not care where frames end, so that payloads are unmasked where they were read to and written from where they
//! are; a connection that waits holds no buffer.

mod frames;
mod sender;
mod stream;
mod upgrade;

pub(crate) use upgrade::{UpgradeError, upgrade};
