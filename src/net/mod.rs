//! The shell around the protocol: sockets, threads, time.
//!
//! Its rooms import from one another one way, transport ← worker ← connection ← listen ← threads, and only what a room
//! shows in its `mod.rs`.
//!
//! | module | owns |
//! |---|---|
//! | `threads` | the threads: each a runtime of its own, with connections dealt out to them |
//! | `listen` | from an address to connections |
//! | `connection` | one connection |
//! | `worker` | what a thread has, and what all of them share |
//! | `transport` | what a connection is spoken over |
//! | `deadlines` | when connections have to be looked at although nothing arrived |
//! | `memory` | how much of it the process has, for `$SYS` |

mod connection;
mod deadlines;
mod listen;
mod memory;
mod threads;
mod transport;
mod worker;

pub use connection::HEALTH_CHECK;
pub use listen::Listener;
pub use listen::ListenerOptions;
pub use listen::PassedSockets;
pub use listen::{BindOptions, bind};
pub use threads::{Pings, Workers};
pub use transport::WebSocketOptions;
pub use transport::{Certificate as ProxyCertificate, Header as ProxyHeader, ProxyOptions, header as proxy_header};
pub use transport::{CertificateName, ClientFiles, TlsError, TlsFiles, TlsSettings};
pub use worker::{ListenerRates, NetLimits};
