//! The shell around the protocol: sockets, threads, time.
//!
//! | module | owns |
//! |---|---|
//! | `worker` | the threads: each a runtime of its own, with connections dealt out to them |
//! | `listener` | accepting, and the bounds on how many |
//! | `connection` | the task that drives one connection |
//! | `writing` | its writing half |
//! | `farewell` | its last turns, when the server shuts down |
//! | `reader` | bytes from a socket, cut into whole frames |
//! | `deadlines` | when connections have to be looked at although nothing arrived |

mod admission;
mod connection;
mod deadlines;
mod farewell;
mod listener;
mod reader;
mod worker;
mod writing;

pub use listener::{Listener, bind};
pub use worker::{NetLimits, Workers};
