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
//! | `faults` | faults between clients and the broker |
//! | `expect` | waiting until something is true |
//! | `forget`, `reset` | what is forgotten; forgetting it |
//! | `packets` | packets on their way |
//! | `restart` | ending the broker and starting it again |
//! | `strict` | what clients do that no client may do |
//! | `recording` | recordings of packets, and what two of them differ in |
//! | `span`, `shown` | durations as JSON has them; what happened, as JSON |
//! | `parent` | the end of the process that started this one |
//! | `http` | `/test/v1/` |

mod bench;
mod broker;
mod clock;
mod expect;
mod faults;
mod forget;
mod http;
mod journal;
mod options;
mod packets;
mod parent;
mod quiet;
mod recording;
mod reset;
mod restart;
mod shown;
mod span;
mod strict;

pub use broker::Broker;
pub use clock::Turn;
pub use expect::{Expect, Met, Missed};
pub use faults::{Does, Fault, Shown, When, preset};
pub use forget::Reset;
pub use journal::Entry;
pub use options::{Options, TestError};
pub use packets::Direction;
pub use parent::{Parent, parent};
pub use recording::{Differences, RecordingError, diff};
pub use restart::Restart;
pub use span::Span;
pub use strict::{Mode, Violation};
