//! [`Subscribers`]: the subscribers of one filter, with their options.

use std::{hash::Hash, mem, slice};

use super::hash::{IdTable, Seed};
use crate::types::SubscriptionOptions;

/// The subscribers of one filter, at least one. One is stored in place, a few in a vector, many in a vector with a hash
/// table of indexes, so that each of 500,000 is removed in constant time.
#[derive(Debug)]
pub(super) enum Subscribers<S> {
    One(Subscription<S>),
    Few(Vec<Subscription<S>>),
    Many(Box<Many<S>>),
}

pub(super) type Subscription<S> = (S, SubscriptionOptions);

#[derive(Debug)]
pub(super) struct Many<S> {
    list: Vec<Subscription<S>>,
    /// Indexes in `list` by subscriber.
    places: IdTable,
}

/// The result of removing a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// It was not there.
    Absent,
    /// It was removed; others are left.
    Removed,
    /// It is the only one, and still in the list: the owner drops the list.
    Last,
}

impl<S: Clone + Eq + Hash> Subscribers<S> {
    /// All subscribers, in any order.
    #[inline]
    pub(super) fn as_slice(&self) -> &[Subscription<S>] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Few(list) => list,
            Self::Many(many) => &many.list,
        }
    }

    /// The options of a subscriber.
    pub(super) fn get(&self, subscriber: &S, seed: &Seed) -> Option<SubscriptionOptions> {
        self.place(subscriber, seed).map(|place| self.as_slice()[place].1)
    }

    /// Adds a subscriber, or replaces its options and returns the old ones.
    pub(super) fn insert(
        &mut self,
        subscriber: S,
        options: SubscriptionOptions,
        seed: &Seed,
    ) -> Option<SubscriptionOptions> {
        if let Some(place) = self.place(&subscriber, seed) {
            return Some(mem::replace(&mut self.as_mut_slice()[place].1, options));
        }
        match self {
            Self::One(one) => *self = Self::Few(vec![one.clone(), (subscriber, options)]),
            Self::Few(list) if list.len() < MAX_FEW => list.push((subscriber, options)),
            Self::Few(list) => {
                let mut many = Many { list: Vec::with_capacity(MAX_FEW * 2), places: IdTable::new() };
                for (subscriber, options) in list.drain(..).chain([(subscriber, options)]) {
                    many.push(subscriber, options, seed);
                }
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => many.push(subscriber, options, seed),
        }
        None
    }

    /// Removes a subscriber, unless it is the last.
    pub(super) fn remove(&mut self, subscriber: &S, seed: &Seed) -> Removal {
        let Some(place) = self.place(subscriber, seed) else { return Removal::Absent };
        match self {
            Self::One(_) => return Removal::Last,
            Self::Few(list) => {
                list.swap_remove(place);
                if let [one] = list.as_slice() {
                    *self = Self::One(one.clone());
                }
            }
            Self::Many(many) => {
                many.swap_remove(place, seed);
                if many.list.len() <= MIN_MANY {
                    *self = Self::Few(many.list.drain(..).collect());
                }
            }
        }
        Removal::Removed
    }

    fn place(&self, subscriber: &S, seed: &Seed) -> Option<usize> {
        match self {
            Self::Many(many) => many.place(subscriber, seed),
            _ => self.as_slice().iter().position(|(s, _)| s == subscriber),
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Subscription<S>] {
        match self {
            Self::One(one) => slice::from_mut(one),
            Self::Few(list) => list,
            Self::Many(many) => &mut many.list,
        }
    }
}

impl<S: Eq + Hash> Many<S> {
    fn place(&self, subscriber: &S, seed: &Seed) -> Option<usize> {
        let place = self.places.find(seed.value(subscriber), |place| self.list[place as usize].0 == *subscriber);
        place.map(|place| place as usize)
    }

    fn push(&mut self, subscriber: S, options: SubscriptionOptions, seed: &Seed) {
        // an index fits in 32 bits: a machine has less than four billion connections
        self.places.insert(seed.value(&subscriber), self.list.len() as u32);
        self.list.push((subscriber, options));
    }

    fn swap_remove(&mut self, place: usize, seed: &Seed) {
        let (gone, _) = self.list.swap_remove(place);
        self.places.remove(seed.value(&gone), place as u32);
        if let Some((moved, _)) = self.list.get(place) {
            self.places.renumber(seed.value(moved), self.list.len() as u32, place as u32);
        }
        if self.list.len() * 4 < self.list.capacity() {
            self.list.shrink_to(self.list.len() * 2);
        }
    }
}

/// Up to this length a scan is as fast as a hash table.
const MAX_FEW: usize = 16;
/// Well below `MAX_FEW`, so that a subscriber that joins and leaves repeatedly does not rebuild the list each time.
const MIN_MANY: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::QoS;

    #[test]
    fn a_list_keeps_what_a_map_keeps_while_it_grows_and_shrinks() {
        let seed = Seed::new(1);
        let options = |n: u64| SubscriptionOptions::from(QoS::from_bits((n % 3) as u8).unwrap());
        let mut subscribers = Subscribers::One((0_u64, options(0)));
        for n in 1..1_000 {
            assert_eq!(subscribers.insert(n, options(n), &seed), None);
            assert_eq!(subscribers.insert(n / 2, options(n / 2), &seed), Some(options(n / 2)));
            assert_eq!(subscribers.as_slice().len() as u64, n + 1);
        }
        assert!(matches!(subscribers, Subscribers::Many(_)));
        // 389 is prime to 1,000: all of them, in an order that is not theirs.
        for n in (0..999).map(|i| i * 389 % 1_000) {
            assert_eq!(subscribers.get(&n, &seed), Some(options(n)));
            assert_eq!(subscribers.remove(&n, &seed), Removal::Removed);
            assert_eq!(subscribers.remove(&n, &seed), Removal::Absent);
            if let Subscribers::Many(many) = &subscribers {
                assert_eq!(many.places.len(), many.list.len());
            }
        }
        let last = 999 * 389 % 1_000;
        assert_eq!(subscribers.as_slice(), [(last, options(last))]);
        assert!(matches!(subscribers, Subscribers::One(_)));
        assert_eq!(subscribers.remove(&last, &seed), Removal::Last);
    }

    #[test]
    fn a_list_in_a_node_takes_24_bytes() {
        assert_eq!(size_of::<Option<Subscribers<std::sync::Arc<u8>>>>(), 24);
    }
}
