//! [`SubIds`]: the Subscription Identifiers that a message is sent with (MQTT 5 section 3.3.4). They differ between the
//! subscribers that share the message, so each queue entry has its own, in four bytes. [`IdSets`] holds sets of
//! several.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use smallvec::SmallVec;

use crate::codec::{PropertyId, encode};

/// Subscription Identifiers, as properties on the wire.
pub type Identifiers = SmallVec<[u8; 16]>;

/// The identifier, if these properties are exactly one.
pub fn one_identifier(wire: &[u8]) -> Option<NonZeroU32> {
    let (&id, value) = wire.split_first()?;
    let (last, first) = value.split_last()?;
    let is_one = id == PropertyId::SubscriptionIdentifier as u8
        && value.len() <= 4
        && *last < 0x80
        && first.iter().all(|&byte| byte >= 0x80);
    let number = value.iter().rev().fold(0, |number, &byte| number << 7 | u32::from(byte & 0x7F));
    NonZeroU32::new(number).filter(|_| is_one)
}

/// An identifier as a property on the wire.
pub fn wire_of(identifier: NonZeroU32) -> Identifiers {
    let mut wire = Identifiers::new();
    encode::identifier(&mut wire, identifier.get());
    wire
}

/// The Subscription Identifiers of one message for one session: none, one, or the index of a set in the session's
/// [`IdSets`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SubIds(u32);

/// A flag: an identifier has 28 bits.
const SEVERAL: u32 = 1 << 31;

impl SubIds {
    pub(super) const NONE: Self = Self(0);

    /// The index in the [`IdSets`].
    fn place(self) -> Option<usize> {
        (self.0 & SEVERAL != 0).then_some((self.0 & !SEVERAL) as usize)
    }

    /// Are they a set in the [`IdSets`]?
    pub(super) fn are_several(self) -> bool {
        self.place().is_some()
    }
}

/// The sets of Subscription Identifiers of one session's messages, each set once.
#[derive(Debug, Default)]
pub(super) struct IdSets {
    /// By index.
    sets: Vec<Option<Arc<[u8]>>>,
    places: BTreeMap<Arc<[u8]>, u32>,
    free: Vec<u32>,
    bytes: usize,
    /// With this number of sets, unused ones are looked for.
    crowd: usize,
}

impl IdSets {
    /// Finds or adds the set with these properties.
    #[inline]
    pub(super) fn find(all: &mut Option<Box<Self>>, wire: &[u8]) -> SubIds {
        match wire.is_empty() {
            true => SubIds::NONE,
            false => Self::find_some(all, wire),
        }
    }

    fn find_some(all: &mut Option<Box<Self>>, wire: &[u8]) -> SubIds {
        if let Some(one) = one_identifier(wire) {
            return SubIds(one.get());
        }
        let all = all.get_or_insert_default();
        if let Some(&place) = all.places.get(wire) {
            return SubIds(SEVERAL | place);
        }
        let set: Arc<[u8]> = wire.into();
        all.bytes += set.len();
        let place = all.free.pop().unwrap_or_else(|| {
            all.sets.push(None);
            all.sets.len() as u32 - 1
        });
        all.sets[place as usize] = Some(set.clone());
        all.places.insert(set, place);
        SubIds(SEVERAL | place)
    }

    /// The properties on the wire.
    pub(super) fn wire(all: &Option<Box<Self>>, ids: SubIds) -> Identifiers {
        match (ids.place(), all) {
            (Some(place), Some(all)) => all.sets.get(place).and_then(Option::as_deref).unwrap_or_default().into(),
            _ => NonZeroU32::new(ids.0).map_or_else(Identifiers::new, wire_of),
        }
    }

    /// Are there so many sets that [unused ones](Self::keep_used) should be removed?
    pub(super) fn are_crowded(&self) -> bool {
        self.places.len() >= self.crowd.max(LEAST_CROWD)
    }

    /// Removes all sets that `each` does not name.
    pub(super) fn keep_used(&mut self, each: impl FnOnce(&mut dyn FnMut(SubIds))) {
        let mut used = vec![false; self.sets.len()];
        each(&mut |ids| ids.place().into_iter().for_each(|place| used[place] = true));
        for (place, set) in self.sets.iter_mut().enumerate().filter(|(place, _)| !used[*place]) {
            if let Some(gone) = set.take() {
                self.bytes -= gone.len();
                self.places.remove(&gone);
                self.free.push(place as u32);
            }
        }
        self.crowd = 2 * self.places.len();
    }

    /// Approximate bytes of memory.
    pub(super) fn cost(&self) -> usize {
        self.bytes + self.sets.len() * SET_COST
    }
}

/// With fewer sets, unused ones are not looked for.
const LEAST_CROWD: usize = 64;
/// Bytes of memory of a set besides its contents: the allocation, and its entries in the list and the tree.
const SET_COST: usize = 32 + 16 + 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(identifiers: &[u32]) -> Identifiers {
        let mut wire = Identifiers::new();
        identifiers.iter().for_each(|&identifier| encode::identifier(&mut wire, identifier));
        wire
    }

    #[test]
    fn subscription_identifiers_are_returned_unchanged() {
        let mut all = None;
        assert_eq!((IdSets::find(&mut all, &[]), IdSets::wire(&all, SubIds::NONE)), (SubIds::NONE, wire(&[])));
        for one in [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455] {
            let ids = IdSets::find(&mut all, &wire(&[one]));
            assert_eq!((IdSets::wire(&all, ids), one_identifier(&wire(&[one]))), (wire(&[one]), NonZeroU32::new(one)));
            assert!(!ids.are_several() && all.is_none());
        }
        for several in [&[1, 2][..], &[268_435_455, 1], &[5; 40]] {
            let ids = IdSets::find(&mut all, &wire(several));
            assert_eq!((IdSets::wire(&all, ids), one_identifier(&wire(several))), (wire(several), None));
            assert!(ids.are_several());
            assert_eq!(IdSets::find(&mut all, &wire(several)), ids);
        }
    }

    #[test]
    fn unused_identifier_sets_are_removed() {
        let mut all = None;
        let mut kept = Vec::new();
        for n in 1..10_000 {
            let ids = IdSets::find(&mut all, &wire(&[n, n + 1]));
            if n % 500 == 0 {
                kept.push((n, ids));
            }
            let all = all.as_mut().unwrap();
            if all.are_crowded() {
                all.keep_used(|name| kept.iter().for_each(|(_, ids)| name(*ids)));
            }
            assert!(all.sets.len() <= 2 * kept.len() + LEAST_CROWD + 1, "{} sets", all.sets.len());
        }
        for (n, ids) in &kept {
            assert_eq!(IdSets::wire(&all, *ids), wire(&[*n, n + 1]));
        }
        let all = all.as_mut().unwrap();
        all.keep_used(|_| {});
        assert_eq!((all.bytes, all.places.len()), (0, 0));
    }
}
