//! [`Sync`]: when a store acknowledges.

use std::time::Duration;

/// When something counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When it is on the disk: a power cut loses nothing that was acknowledged.
    BeforeAck,
    /// When the operating system has it. An fsync follows within this interval: the end of the process loses nothing, a
    /// power cut loses at most this interval.
    Interval(Duration),
}
