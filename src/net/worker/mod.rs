//! What a thread that serves connections has, and what all of them share.
//!
//! | module | owns |
//! |---|---|
//! | `state` | [`Worker`], [`NetShared`] |
//! | `limits`, `gate` | the bounds that connections hold to; how many there are |
//! | `connecting` | those whose CONNECT is not answered yet, and what they hold |
//! | `rates` | how much clients may publish, and how many may connect, in a time |
//! | `large_writes` | connections with much to write take turns |
//! | `lines`, `flapping` | the lines of the log about connections; whose are summed up |

mod connecting;
mod flapping;
mod gate;
mod large_writes;
mod limits;
mod lines;
mod rates;
mod state;

pub(crate) use connecting::{NoPlace, Ticket};
pub(crate) use gate::Gate;
pub(crate) use large_writes::{A_TURN, LARGE};
pub use limits::NetLimits;
pub(crate) use lines::{About, Beginning, Ending, Lines, Refused, Told, first_size_limit};
pub use rates::ListenerRates;
pub(crate) use rates::{ConnectRate, PublishRates, SMALLEST_PUBLISH};
pub(crate) use state::{NetShared, Worker};
