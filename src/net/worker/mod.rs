//! The state of the worker threads, which serve connections: of each, and shared by all.
//!
//! | module | owns |
//! |---|---|
//! | `state` | [`Worker`], [`NetShared`] |
//! | `limits`, `gate` | the limits of connections; their number |
//! | `connecting` | connections whose CONNECT is not answered yet |
//! | `rates` | rate limits of publishing and connecting |
//! | `large_writes` | turns of connections with much to write |
//! | `lines`, `flapping` | log lines about connections; summaries of frequent ones |

mod connecting;
mod flapping;
mod gate;
mod large_writes;
mod limits;
mod lines;
mod rates;
mod state;

pub(crate) use connecting::{NoPlace, Ticket};
pub(crate) use gate::{Gate, Through};
pub(crate) use large_writes::{A_TURN, LARGE};
pub use limits::NetLimits;
pub(crate) use lines::{About, Beginning, Ending, Lines, Refused, Told, first_size_limit};
pub use rates::ListenerRates;
pub(crate) use rates::{ConnectRate, PublishRates, SMALLEST_PUBLISH};
pub(crate) use state::{NetShared, Worker};
