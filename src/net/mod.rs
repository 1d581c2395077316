//! The shell around the protocol: sockets, threads, time.
//!
//! | module | owns |
//! |---|---|
//! | `worker` | the threads: each a runtime of its own, with connections dealt out to them |
//! | `bind`, `passed` | binding addresses and Unix sockets; sockets that systemd passes |
//! | `listener` | accepting, and the bounds on how many |
//! | `arrival` | what stands between accepting and MQTT: `proxy` headers, `tls`, its `handshake`, the `subject` of a certificate, `websocket` |
//! | `stream`, `proxied` | what a connection is spoken over, a type for each transport; `tls_stream` is that of TLS |
//! | `packets` | where packets end in what is written, for transports that send each by itself |
//! | `cork` | a socket that sends at a flush what was written since the last |
//! | `connection` | the task that drives one connection |
//! | `writing` | its writing half |
//! | `lines` | the lines of the log about connections; `flapping`: whose are summed up |
//! | `health` | connections that only ask whether the broker answers |
//! | `spoken` | what a client speaks, by its first bytes |
//! | `ending` | its end |
//! | `farewell` | its last turns, when the server shuts down |
//! | `reader` | bytes from a socket, cut into whole frames |
//! | `deadlines` | when connections have to be looked at although nothing arrived |
//! | `memory` | how much of it the process has, for `$SYS` |

mod accept;
mod admission;
mod arrival;
mod bind;
mod connection;
mod cork;
mod deadlines;
mod draining;
mod ending;
mod farewell;
mod flapping;
mod gate;
mod handshake;
mod health;
mod limits;
mod lines;
mod memory;
mod options;
mod packets;
mod passed;
mod proxied;
mod proxy;
mod reader;
mod socket;
mod spoken;
mod stream;
mod subject;
mod threads;
mod tls;
mod tls_stream;
mod turn;
mod waiting;
mod websocket;
mod worker;
mod writing;

pub use bind::{BindOptions, bind};
pub use health::HEALTH_CHECK;
pub use limits::NetLimits;
pub use options::Entrance;
pub use passed::PassedSockets;
pub use proxy::{Certificate as ProxyCertificate, Header as ProxyHeader, ProxyOptions, header as proxy_header};
pub use socket::Listener;
pub use threads::{Pings, Workers};
pub use tls::{CertificateName, ClientFiles, TlsError, TlsFiles, TlsSettings};
pub use websocket::WebSocketOptions;
