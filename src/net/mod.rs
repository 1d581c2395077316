//! The shell around the protocol: sockets, threads, time.
//!
//! Its rooms import from one another one way, transport ← worker ← connection ← listen ← threads, and only what a room
//! shows in its `mod.rs`.
//!
//! | module | owns |
//! |---|---|
//! | `threads` | the worker threads, each with its own runtime; connections are dealt out to them |
//! | `adopted` | connections that something else accepted |
//! | `listen` | from an address to connections |
//! | `connection` | one connection |
//! | `worker` | the state of a worker thread, and the state that all share |
//! | `transport` | TCP, TLS, WebSocket, and the PROXY protocol |
//! | `deadlines` | when to wake connections although nothing arrived |
//! | `memory` | the resident memory of the process |
//! | `trim` | returns freed memory to the system |

mod adopted;
mod connection;
mod deadlines;
mod listen;
mod memory;
#[cfg(test)]
mod stepped;
mod threads;
mod transport;
mod trim;
mod worker;

#[cfg(test)]
pub(crate) use stepped::{Line, Stepped};

pub use connection::HEALTH_CHECK;
pub(crate) use deadlines::{Deadlines, Tick};
pub use listen::{BindOptions, Listener, ListenerOptions, PassedSockets, bind};
pub use threads::{Pings, Workers};
pub use transport::{
    Certificate as ProxyCertificate, Header as ProxyHeader, ProxyOptions, TlsError, TlsSettings, WebSocketOptions,
    header as proxy_header,
};
#[cfg(feature = "tls")]
pub use transport::{CertificateName, ClientFiles, TlsFiles};
pub(crate) use transport::{Judges, Stream, Tap};
pub use worker::{ListenerRates, NetLimits};
