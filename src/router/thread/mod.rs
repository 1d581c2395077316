//! The router's state of one thread, and its reports to observers and the store.
//!
//! | module | owns |
//! |---|---|
//! | `local` | the state of each thread |
//! | `work` | the work of a turn |
//! | `properties` | the properties of the last PUBLISH that had some |
//! | `recorder` | reports of a session's changes to the store and to observers |
//! | `tally` | the counts of one turn of a connection |
//! | `pressure` | limits of memory |
//! | `counters`, `denials` | counters; log lines about denied clients |

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
