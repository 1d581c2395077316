//! [`Turn`]: the context of each call of a session: its limits, its journal and the time.

use std::time::Instant;

use super::{BufPool, SessionLimits};

/// The time, the limits, the buffers and the journal of one turn: all that a session needs and does not own.
#[derive(Debug)]
pub struct Turn<'a, J> {
    /// When the turn began: the session knows no other clock.
    pub now: Instant,
    /// The limits in force.
    pub limits: &'a SessionLimits,
    /// Gives the buffers for what goes out.
    pub pool: &'a mut BufPool,
    /// Is told what becomes of messages.
    pub journal: J,
}
