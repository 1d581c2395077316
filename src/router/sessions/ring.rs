//! [`Ring`]: consistent hashing of keys to the members of a group: few keys move when a member joins or leaves.

use std::collections::BTreeMap;

/// The place of a session, without access to it.
pub(crate) trait Place: Clone + Eq {
    /// Its address in memory, which is unique.
    fn address(&self) -> usize;

    /// Is the session stored?
    fn is_kept(&self) -> bool;
}

/// Members at many points of a circle: a key belongs to the member at the next point. Connected members and those that
/// are away have separate circles.
pub(super) struct Ring<S> {
    connected: BTreeMap<u64, S>,
    away: BTreeMap<u64, S>,
}

/// Points of a member: with this number, mostly no member has twice as many keys as another.
const POINTS: u64 = 64;

impl<S> Default for Ring<S> {
    fn default() -> Self {
        Self { connected: BTreeMap::new(), away: BTreeMap::new() }
    }
}

impl<S: Place> Ring<S> {
    fn circle(&mut self, is_connected: bool) -> &mut BTreeMap<u64, S> {
        if is_connected { &mut self.connected } else { &mut self.away }
    }

    pub(super) fn add(&mut self, slot: &S, is_connected: bool) {
        let circle = self.circle(is_connected);
        points(slot).for_each(|point| _ = circle.insert(point, slot.clone()));
    }

    pub(super) fn remove(&mut self, slot: &S, is_connected: bool) {
        let circle = self.circle(is_connected);
        points(slot).for_each(|point| _ = circle.remove(&point));
    }

    /// The `n`th member after this point.
    pub(super) fn nth(&self, from: u64, is_connected: bool, n: usize) -> Option<&S> {
        let circle = if is_connected { &self.connected } else { &self.away };
        let mut passed: Vec<&S> = Vec::new();
        for (_, slot) in circle.range(from..).chain(circle.range(..from)) {
            if passed.contains(&slot) {
                continue;
            }
            if passed.len() == n {
                return Some(slot);
            }
            passed.push(slot);
        }
        None
    }
}

fn points<S: Place>(slot: &S) -> impl Iterator<Item = u64> + use<S> {
    let address = mixed(slot.address() as u64);
    (0..POINTS).map(move |n| mixed(address.wrapping_add(n)))
}

/// A hash of a number: each bit of the result depends on all bits of `n`.
pub(super) fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}
