//! Transports: a type for each, and what must be read before MQTT begins.
//!
//! | module | owns |
//! |---|---|
//! | `stream` | [`Stream`]: the interface that a connection uses |
//! | `cork`, `proxied` | TCP; TCP behind a PROXY header |
//! | `tls`, `handshake`, `subject`, `tls_stream` | TLS: its settings, its handshake, names in certificates, its stream |
//! | `key_log` | the secrets of TLS connections in a file |
//! | `undated` | verifies certificates without the dates in them |
//! | `judges` | verifies certificates of connected clients again after a reload |
//! | `mounted` | the prefix of topics and filters of a listener's clients |
//! | `websocket`, `websocket_options` | WebSocket; its options |
//! | `no_tls`, `no_websocket` | replacements if these are left out |
//! | `proxy` | PROXY headers |
//! | `packets` | the ends of packets in the output, for transports that send each separately |
//! | `spoken` | recognizes a client's protocol by its first bytes |

mod cork;
#[cfg(feature = "tls")]
mod handshake;
#[cfg(feature = "tls")]
mod judges;
#[cfg(feature = "tls")]
mod key_log;
mod mounted;
#[cfg(not(feature = "tls"))]
mod no_tls;
#[cfg(not(feature = "websocket"))]
mod no_websocket;
mod packets;
mod proxied;
pub(crate) mod proxy;
mod spoken;
mod stream;
#[cfg(feature = "tls")]
mod subject;
#[cfg(test)]
mod test_socket;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_stream;
#[cfg(feature = "tls")]
mod undated;
#[cfg(feature = "websocket")]
mod websocket;
mod websocket_options;

pub(crate) use cork::Cork;
#[cfg(feature = "tls")]
pub(crate) use handshake::{ANSWERS_A_TURN, HandshakeError, handshake};
#[cfg(feature = "tls")]
pub(crate) use judges::{Judged, Judges};
pub(crate) use mounted::between;
#[cfg(not(feature = "tls"))]
pub(crate) use no_tls::{ANSWERS_A_TURN, HandshakeError, Judges};
#[cfg(not(feature = "tls"))]
pub use no_tls::{TlsError, TlsSettings};
#[cfg(not(feature = "websocket"))]
pub(crate) use no_websocket::{Frames, UpgradeError, upgrade};
pub(crate) use proxied::Proxied;
pub(crate) use proxy::ProxyError;
pub use proxy::{Certificate, Header, ProxyOptions, header};
pub(crate) use spoken::{MQTT, spoken};
pub(crate) use stream::{Stream, Tap};
#[cfg(feature = "tls")]
pub use tls::{CertificateName, ClientFiles, TlsError, TlsFiles, TlsSettings};
#[cfg(feature = "tls")]
pub(crate) use tls_stream::Tls;
#[cfg(feature = "websocket")]
pub(crate) use websocket::{UpgradeError, upgrade};
pub use websocket_options::WebSocketOptions;
