//! Strict mode: what clients do that no client may do, with the normative statement, and what is legal and breaks
//! elsewhere.
//!
//! | module | owns |
//! |---|---|
//! | `track` | [`Track`]: what one client has under way, and what of it is wrong |
//! | `report` | [`Strict`]: what was found, of all clients |

mod report;
mod track;

pub(super) use report::Strict;
pub use report::{Mode, Violation};
