//! A start on an existing log: reads it into the [`Index`](super::index::Index), and gives the router its state.
//!
//! | module | owns |
//! |---|---|
//! | `recover` | reads segment after segment, tells a torn end from damage |
//! | `replay` | from records to the index |
//! | `progress` | progress reports for the operator |
//! | `restore` | from the index to the router's sessions and retained messages |

pub(super) mod progress;
pub(super) mod recover;
pub(super) mod replay;
pub(super) mod restore;

pub(crate) use progress::Progress;
pub(crate) use recover::{Found, Position, Recovered, recover};
pub use replay::Dangling;
pub(crate) use restore::{down_time, restored};
