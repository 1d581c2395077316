//! A start on what is there: from the bytes of the log to the [`Index`](super::index::Index), and from that to the
//! router.
//!
//! | module | owns |
//! |---|---|
//! | `recover` | reads segment after segment, tells a torn end from damage |
//! | `replay` | from records to the index |
//! | `progress` | how far that is, for people |
//! | `restore` | from the index to what the router takes back |

pub(super) mod progress;
pub(super) mod recover;
pub(super) mod replay;
pub(super) mod restore;

pub(crate) use progress::Progress;
pub(crate) use recover::{Found, Position, Recovered, recover};
pub use replay::Dangling;
pub(crate) use restore::{down_time, restored};
