//! [`Longest`]: sizes of the largest packets that can have faults.

use crate::codec::PacketType;

/// Sizes of the largest packets that can have faults. The broker closes at the header of larger ones.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Longest {
    pub(in super::super) connect: usize,
    pub(in super::super) other: usize,
}

/// Of packets to the client.
pub(super) const LONGEST: Longest = Longest { connect: MOST, other: MOST };
/// Largest packets in memory.
const MOST: usize = 16 << 20;

impl Longest {
    /// The size for a packet with this first byte.
    pub(super) fn of(self, first: u8) -> usize {
        if first >> 4 == PacketType::Connect as u8 { self.connect.min(MOST) } else { self.other.min(MOST) }
    }
}
