//! Packet Identifiers from a running number: message `n` of a session has the identifier `(n - 1) % 65,535 + 1`. So
//! order of sending, identifier and place in a sorted list are one number.

use crate::types::PacketId;

/// Number of identifiers.
pub(super) const COUNT: u64 = 65_535;

/// The identifier of the message with this number, which is at least 1.
pub(super) fn of(seq: u64) -> PacketId {
    u16::try_from((seq - 1) % COUNT + 1).ok().and_then(PacketId::new).expect("1 to 65,535")
}

/// The numbers below `before` with this identifier, in descending order.
pub(super) fn numbers_of(id: PacketId, before: u64) -> impl Iterator<Item = u64> {
    let residue = u64::from(id.get());
    let newest = (before > residue).then(|| before - 1 - (before - 1 - residue) % COUNT);
    std::iter::successors(newest, |&seq| (seq > COUNT).then(|| seq - COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_numbers_are_converted_both_ways() {
        for seq in [1, 2, 65_534, 65_535, 65_536, 65_537, 131_070, 131_071, 10_000_000_000] {
            let id = of(seq);
            assert_eq!(numbers_of(id, seq + 1).next(), Some(seq));
            assert_eq!(numbers_of(id, seq + COUNT).next(), Some(seq));
            assert_eq!(numbers_of(id, seq).next(), (seq > COUNT).then(|| seq - COUNT));
            assert!(numbers_of(id, seq + 1).take(5).all(|n| of(n) == id && n >= 1));
        }
        assert_eq!(of(65_536), PacketId::MIN);
    }
}
