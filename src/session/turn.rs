//! [`Turn`]: the context of each call of a session: its limits, its journal and the time.

use std::time::Instant;

use super::{BufPool, SessionLimits};

/// The context of one turn: everything that a session uses and does not own.
#[derive(Debug)]
pub struct Turn<'a, J> {
    /// When the turn began. A session has no other clock.
    pub now: Instant,
    /// The limits in force.
    pub limits: &'a SessionLimits,
    /// Provides buffers for output.
    pub pool: &'a mut BufPool,
    /// Is told about sent, dropped and stored messages.
    pub journal: J,
}
