//! What a thread has for itself of the router, and whom it tells of what happens.
//!
//! | module | owns |
//! |---|---|
//! | `local` | what each thread has for itself |
//! | `work` | what was done in a turn |
//! | `properties` | what the last PUBLISH with properties said by them |
//! | `recorder` | what a store and observers are told of a session's messages |
//! | `tally` | what a turn of one connection counted |
//! | `pressure` | whether there is memory for more |
//! | `counters`, `denials` | what happened, in numbers; what clients are denied, as lines of the log |

mod counters;
mod denials;
mod local;
mod pressure;
mod properties;
mod recorder;
mod tally;
mod work;

pub use counters::{Count, Counters, LongestTurn};
pub(crate) use denials::Action;
pub(crate) use local::Observers;
pub use local::RouterThread;
pub(crate) use pressure::Refused;
pub(crate) use recorder::{Copies, Recorder};
pub use tally::Tally;
pub use work::{DELIVERIES_A_TURN, NODES_A_TURN, WHOLE_FANOUT, WHOLE_MATCH, Work};
