//! Connections to other servers: TCP, TLS, WebSocket and HTTP as a client, and the wait before the next try. The rooms
//! that connect (`bridge`, `hooks`, `auth`) own the protocols above, except the first packets of MQTT (`mqtt`).
//!
//! | module | owns |
//! |---|---|
//! | `target` | a server: its address, its transport, the local address |
//! | `line` | an open connection, and why one failed |
//! | `connect` | connects to a target |
//! | `tls`, `no_tls` | TLS as a client: its files and settings; the replacement in a build without TLS |
//! | `websocket` | WebSocket as a client |
//! | `mqtt` | CONNECT and CONNACK as a client |
//! | `http` | HTTP as a client |
//! | `backoff` | the wait before the next try |
//! | `thread` | a thread for the tasks of connections |

mod backoff;
mod connect;
#[cfg(feature = "http")]
mod http;
mod line;
mod mqtt;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod target;
mod thread;
#[cfg(feature = "tls")]
mod tls;
mod websocket;

pub(crate) use backoff::Backoff;
pub(crate) use connect::connect;
#[cfg(feature = "http")]
pub(crate) use http::{HttpAnswer, HttpBounds, HttpClient, HttpRequest};
pub(crate) use line::{ConnectError, Line};
pub(crate) use mqtt::{Accepted, NotAccepted, log_in, reason_string};
#[cfg(not(feature = "tls"))]
pub use no_tls::ClientTls;
#[cfg(not(feature = "tls"))]
pub(crate) use no_tls::load_tls;
pub(crate) use target::USER_TIMEOUT;
pub use target::{Target, TlsOptions};
pub(crate) use thread::TaskThread;
#[cfg(feature = "tls")]
pub use tls::ClientTls;
#[cfg(feature = "tls")]
pub(crate) use tls::load_tls;
