//! [`Places`]: the number of logins that wait, of all and of one address, so that one machine does not keep the logins
//! of others from waiting.

use std::{collections::HashMap, net::IpAddr};

use parking_lot::Mutex;

use super::super::throttle::group;

/// The logins that wait.
#[derive(Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// One of them.
pub(super) struct Place<'a> {
    places: &'a Places,
    from: IpAddr,
}

/// Logins that wait, at most.
const MOST: usize = 1_000;
/// Those of one address (IPv6: of a /64).
const MOST_OF_ONE: usize = 500;

impl Places {
    /// `None`: as many as may wait do so.
    pub(super) fn take(&self, from: IpAddr) -> Option<Place<'_>> {
        let from = group(from);
        let mut taken = self.taken.lock();
        let of_one = taken.of.get(&from).copied().unwrap_or(0);
        if taken.all >= MOST || of_one >= MOST_OF_ONE {
            return None;
        }
        taken.all += 1;
        taken.of.insert(from, of_one + 1);
        Some(Place { places: self, from })
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.taken.lock().all
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= 1;
        match taken.of.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = taken.of.remove(&self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_to_others() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..MOST_OF_ONE).map(|_| places.take([192, 0, 2, 1].into()).unwrap()).collect();
        assert!(places.take([192, 0, 2, 1].into()).is_none());
        let others = (0..MOST - MOST_OF_ONE).map(|n| places.take([10, 0, 0, (n % 250) as u8].into()).unwrap());
        taken.extend(others);
        assert!(places.take([10, 0, 1, 1].into()).is_none());
        assert_eq!(places.count(), MOST);
        taken.remove(0);
        assert!(places.take([192, 0, 2, 1].into()).is_some());
        taken.clear();
        assert!(places.count() == 0 && places.taken.lock().of.is_empty());
    }
}
