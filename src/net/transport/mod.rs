//! What a connection is spoken over: a type for each way, and what has to be read before MQTT on it.
//!
//! | module | owns |
//! |---|---|
//! | `stream` | [`Stream`]: what a connection needs of them |
//! | `cork`, `proxied` | TCP; TCP behind a PROXY header |
//! | `tls`, `handshake`, `subject`, `tls_stream` | TLS: its settings, its handshake, names in certificates, its stream |
//! | `judges` | certificates of connected clients that are judged once more |
//! | `websocket` | WebSocket |
//! | `proxy` | PROXY headers |
//! | `packets` | where packets end in what is written, for transports that send each by itself |
//! | `spoken` | what a client speaks, by its first bytes |

mod cork;
mod handshake;
mod judges;
mod packets;
mod proxied;
pub(crate) mod proxy;
mod spoken;
mod stream;
mod subject;
#[cfg(test)]
mod test_socket;
mod tls;
mod tls_stream;
mod websocket;

pub(crate) use cork::Cork;
pub(crate) use handshake::{ANSWERS_A_TURN, HandshakeError, handshake};
pub(crate) use judges::{Judged, Judges};
pub(crate) use proxied::Proxied;
pub(crate) use proxy::ProxyError;
pub use proxy::{Certificate, Header, ProxyOptions, header};
pub(crate) use spoken::{MQTT, spoken};
pub(crate) use stream::Stream;
pub use tls::{CertificateName, ClientFiles, TlsError, TlsFiles, TlsSettings};
pub(crate) use tls_stream::Tls;
pub use websocket::WebSocketOptions;
pub(crate) use websocket::{UpgradeError, upgrade};
