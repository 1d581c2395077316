//! Strict mode: finds what clients do against the specification, with the normative statement, and legal behaviour that
//! other brokers reject.
//!
//! | module | owns |
//! |---|---|
//! | `track` | [`Track`]: follows one client and checks its packets |
//! | `closed` | reasons of closed connections that are violations |
//! | `report` | [`Strict`]: collects the violations of all clients |

mod closed;
mod report;
mod track;

pub(super) use report::Strict;
pub use report::{Mode, Violation};
