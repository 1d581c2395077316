//! `/test/v1/`, in front of what the broker has over HTTP.
//!
//! | module | owns |
//! |---|---|
//! | `front` | the thread, its listener, the bounds of requests |
//! | `table` | every route |
//! | `call` | from a body to what is asked for |
//! | `expecting` | waiting until something is true |
//! | `faults` | faults that are set |
//! | `steering` | the clock, resets, what happened |

mod call;
mod expecting;
mod faults;
mod front;
mod steering;
mod table;

pub(super) use front::Front;
