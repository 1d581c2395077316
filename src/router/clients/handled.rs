//! [`Handled`]: how much of a client's bytes a call handled.

use crate::codec::Frame;

/// How much of a client's bytes was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// Number of packets.
    pub frames: u64,
    /// Their bytes.
    pub bytes: usize,
}

impl Handled {
    /// One frame.
    pub fn one(frame: Frame<'_>) -> Self {
        Self { frames: 1, bytes: frame.len }
    }
}
