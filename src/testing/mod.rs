//! The broker that clients are tested against: `dunlin test`, and [`Broker`] for tests in Rust. It is the broker as it
//! is, with a clock that is turned, and with routes below `/test/v1/` by which a test waits for what happens.
//!
//! | module | owns |
//! |---|---|
//! | `broker` | [`Broker`]: what a test in Rust calls |
//! | `bench` | the server that runs, its clock, and what a test may do with both |
//! | `options` | how it starts |
//! | `journal` | what happened |
//! | `clock` | turning the clock |
//! | `quiet` | when nothing is under way |
//! | `expect` | waiting until something is true |
//! | `forget`, `reset` | what is forgotten; forgetting it |
//! | `span`, `shown` | durations as JSON has them; what happened, as JSON |
//! | `parent` | the end of the process that started this one |
//! | `http` | `/test/v1/` |

mod bench;
mod broker;
mod clock;
mod expect;
mod forget;
mod http;
mod journal;
mod options;
mod parent;
mod quiet;
mod reset;
mod shown;
mod span;

pub use broker::Broker;
pub use clock::Turn;
pub use expect::{Expect, Met, Missed};
pub use forget::Reset;
pub use journal::Entry;
pub use options::{Options, TestError};
pub use parent::{Parent, parent};
