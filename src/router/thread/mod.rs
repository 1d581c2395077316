//! What a thread has for itself of the router, and whom it tells of what happens.
//!
//! | module | owns |
//! |---|---|
//! | `local` | what each thread has for itself |
//! | `recorder` | what a store and observers are told of a session's messages |
//! | `counters`, `denials` | what happened, in numbers; what clients are denied, as lines of the log |

mod counters;
mod denials;
mod local;
mod recorder;

pub use counters::{Count, Counters};
pub(crate) use denials::Action;
pub(crate) use local::Observers;
pub use local::RouterThread;
pub(crate) use recorder::{Copies, Recorder};
