//! A broker to test clients against: `dunlin test`, and [`Broker`] for tests in Rust. It is the production broker with
//! a clock that tests turn, faults, and routes below `/test/v1/`.
//!
//! | module | owns |
//! |---|---|
//! | `broker` | [`Broker`]: the interface for tests in Rust |
//! | `bench` | the running server, its clock and its journal |
//! | `options` | options of a start |
//! | `journal` | events |
//! | `clock` | turns the clock |
//! | `quiet` | detects that the broker is idle |
//! | `faults` | faults between clients and the broker |
//! | `expect` | waits until an expectation is met |
//! | `forget`, `reset` | selects what a reset removes; removes it |
//! | `restart` | ends the broker and starts it again |
//! | `seed` | state from a file |
//! | `strict` | finds violations by clients |
//! | `replay` | publishes the messages of a recording again |
//! | `junit` | the report for CI services |
//! | `recording` | records packets, and compares recordings |
//! | `span`, `shown` | durations and events as JSON |
//! | `parent` | detects the end of the parent process |
//! | `http` | `/test/v1/` |

mod bench;
mod broker;
mod clock;
mod expect;
mod faults;
mod forget;
mod http;
mod journal;
mod junit;
mod options;
#[cfg_attr(not(target_os = "linux"), path = "no_parent.rs")]
mod parent;
mod quiet;
mod recording;
mod replay;
mod reset;
mod restart;
mod seed;
mod shown;
mod span;
mod strict;

pub use crate::trace::Direction;
pub use broker::Broker;
pub use clock::Turn;
pub use expect::{Expect, Met, Missed};
pub use faults::{Does, Fault, Shown, When, preset};
pub use forget::Reset;
pub use journal::Entry;
pub use options::{Options, TestError};
pub use parent::{Parent, parent};
pub use recording::{Differences, RecordingError, diff};
pub use replay::{ReplayError, Replayed, replay};
pub use restart::Restart;
pub use span::Span;
pub use strict::{Mode, Violation};
