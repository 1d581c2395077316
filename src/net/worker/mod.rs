//! What a thread that serves connections has, and what all of them share.
//!
//! | module | owns |
//! |---|---|
//! | `state` | [`Worker`], [`NetShared`] |
//! | `limits`, `gate` | the bounds that connections hold to; how many there are |
//! | `lines`, `flapping` | the lines of the log about connections; whose are summed up |

mod flapping;
mod gate;
mod limits;
mod lines;
mod state;

pub(crate) use gate::Gate;
pub use limits::NetLimits;
pub(crate) use lines::{About, Beginning, Ending, Lines, Told, first_size_limit};
pub(crate) use state::{NetShared, Worker};
