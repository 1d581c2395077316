//! Strict mode: finds what clients do against the specification, with the normative statement, and legal behaviour that
//! other brokers reject.
//!
//! | module | owns |
//! |---|---|
//! | `track` | [`Track`]: follows one client and checks its packets |
//! | `report` | [`Strict`]: collects the violations of all clients |

mod report;
mod track;

pub(super) use report::Strict;
pub use report::{Mode, Violation};
