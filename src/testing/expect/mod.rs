//! Waiting until something is true.
//!
//! | module | owns |
//! |---|---|
//! | `asked` | [`Expect`]: what is waited for, as a test says it |
//! | `criteria` | which of the things that happened are meant |
//! | `wait` | looking until it is true, or the time is over |
//! | `clients` | what is true of one client |

mod asked;
mod clients;
mod criteria;
mod wait;

pub use asked::Expect;
pub use wait::{Met, Missed};
