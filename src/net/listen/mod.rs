//! From an address to connections.
//!
//! | module | owns |
//! |---|---|
//! | `socket`, `bind`, `passed` | listening sockets; binding addresses and paths; sockets that systemd passes |
//! | `options` | the options of a listener |
//! | `accept` | accepting connections |
//! | `arrival` | the steps between accept and MQTT: PROXY header, TLS handshake, WebSocket request |

mod accept;
mod arrival;
mod bind;
mod options;
mod passed;
mod socket;

pub(crate) use accept::{Accepted, accept};
pub(crate) use arrival::arrive;
pub use bind::{BindOptions, bind};
pub use options::ListenerOptions;
pub(crate) use options::ListenerState;
pub use passed::PassedSockets;
pub use socket::Listener;
