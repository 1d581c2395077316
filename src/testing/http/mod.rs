//! `/test/v1/`, in front of the broker's routes.
//!
//! | module | owns |
//! |---|---|
//! | `front` | the thread, its listener, the limits of requests |
//! | `table` | every route |
//! | `call` | decodes a body |
//! | `expecting` | waits for an expectation |
//! | `faults` | sets and removes faults |
//! | `replaying` | publishes the messages of a recording |
//! | `steering` | clock, resets, restarts, events |

mod call;
mod expecting;
mod faults;
mod front;
mod replaying;
mod steering;
mod table;

pub(super) use front::Front;
