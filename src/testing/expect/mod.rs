//! Waits until an expectation is met.
//!
//! | module | owns |
//! |---|---|
//! | `asked` | [`Expect`]: what a test waits for |
//! | `criteria` | selects messages or packets |
//! | `wait` | waits until the expectation is met or the time is over |
//! | `clients` | the state of one client |

mod asked;
mod clients;
mod criteria;
mod wait;

pub use asked::Expect;
pub use wait::{Met, Missed};
