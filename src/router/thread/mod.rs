//! The router's state of one thread, and its reports to observers and the store.
//!
//! | module | owns |
//! |---|---|
//! | `local` | the state of each thread |
//! | `work` | the work of a turn |
//! | `properties` | the properties of the last PUBLISH that had some |
//! | `recorder` | reports of a session's changes to the store and to observers |
//! | `tally` | the counts of one turn of a connection |
//! | `sampler` | which messages' times are taken |
//! | `pressure` | limits of memory |
//! | `counters`, `traffic`, `connections`, `spread` | counters: of what happened, of packets and messages, of connections; of times and sizes |
//! | `denials` | log lines about denied clients |

mod connections;
mod counters;
mod denials;
mod local;
mod pressure;
mod properties;
mod recorder;
mod sampler;
mod spread;
mod tally;
mod traffic;
mod work;

pub use connections::{LoginMethod, OfListener};
pub use counters::{Count, Counters, LongestTurn, Samples};
pub(crate) use denials::Action;
pub(crate) use local::Observers;
pub use local::RouterThread;
pub(crate) use pressure::Refused;
pub(crate) use recorder::{Coalescing, Copies, Recorder};
pub use spread::{Sizes, Times};
pub use tally::Tally;
pub use traffic::{Load, Loads};
pub use work::{DELIVERIES_A_TURN, NODES_A_TURN, WHOLE_FANOUT, WHOLE_MATCH, Work};
