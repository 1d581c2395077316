//! Connections to other servers, as bridges make them: TCP, TLS, WebSocket, and how long to wait before the next try.
//! The rooms that connect handle what is spoken on them, but for CONNECT and CONNACK.
//!
//! | module | owns |
//! |---|---|
//! | `target` | a server: its address, what is spoken below, from where |
//! | `line` | an open connection, and why there is none |
//! | `connect` | from a target to a line |
//! | `tls`, `no_tls` | TLS as a client: its files and its settings; what stands in its place |
//! | `websocket` | WebSocket as a client |
//! | `mqtt` | CONNECT and CONNACK as a client |
//! | `http` | HTTP as a client |
//! | `backoff` | how long to wait before the next try |
//! | `thread` | a thread for their tasks |

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
pub use target::{Target, TlsOptions};
pub(crate) use thread::TaskThread;
#[cfg(feature = "tls")]
pub use tls::ClientTls;
