//! From an address to connections.
//!
//! | module | owns |
//! |---|---|
//! | `socket`, `bind`, `passed` | sockets that listen; addresses and Unix sockets that are bound; what systemd passes |
//! | `options` | what a listener asks of its connections |
//! | `accept` | accepting |
//! | `arrival` | what stands between accepting and MQTT: PROXY header, TLS handshake, request for a WebSocket |

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
