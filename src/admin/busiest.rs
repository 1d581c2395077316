//! [`Busiest`]: the names with the largest sums, in bounded memory: the algorithm "space-saving" (Metwally, Agrawal and
//! El Abbadi, 2005). A name without a place takes the place and the sum of the name with the least sum. Each sum is too
//! high by at most its error, and a name with more than a thousandth of the total has a place.

use std::collections::{BTreeSet, HashMap};

/// Number of places.
pub(super) const PLACES: usize = 1_000;

/// Names and their sums.
#[derive(Debug, Default)]
pub(super) struct Busiest {
    places: Vec<Place>,
    by_name: HashMap<Box<str>, usize>,
    /// Sum and place.
    by_count: BTreeSet<(u64, usize)>,
}

/// A name and its sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub name: Box<str>,
    /// Upper bound of the sum.
    pub count: u64,
    /// How much of it may belong to other names.
    pub error: u64,
}

impl Busiest {
    pub fn add(&mut self, name: &str, more: u64) {
        let (place, before) = match self.by_name.get(name) {
            Some(&place) => (place, self.places[place].count),
            None => self.place_for(name),
        };
        self.by_count.remove(&(before, place));
        let count = before.saturating_add(more);
        self.places[place].count = count;
        self.by_count.insert((count, place));
    }

    /// Finds a place for a new name, and the sum that it inherits.
    fn place_for(&mut self, name: &str) -> (usize, u64) {
        let least = self.by_count.first().copied().filter(|_| self.places.len() >= PLACES);
        let (place, count) = match least {
            Some((count, place)) => {
                self.by_name.remove(&self.places[place].name);
                self.places[place] = Place { name: name.into(), count, error: count };
                (place, count)
            }
            None => {
                self.places.push(Place { name: name.into(), count: 0, error: 0 });
                (self.places.len() - 1, 0)
            }
        };
        self.by_name.insert(name.into(), place);
        (place, count)
    }

    /// The `most` busiest, the busiest first.
    pub fn first(&self, most: usize) -> Vec<Place> {
        self.by_count.iter().rev().take(most).map(|&(_, place)| self.places[place].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_names_keep_their_places_among_many_others() {
        let mut busiest = Busiest::default();
        for n in 0..20_000_u64 {
            busiest.add(&format!("rare/{n}"), 1);
            if n % 4 == 0 {
                busiest.add("often", 2);
            }
            if n % 10 == 0 {
                busiest.add("seldom", 1);
            }
        }
        assert_eq!((busiest.places.len(), busiest.by_name.len(), busiest.by_count.len()), (PLACES, PLACES, PLACES));
        let first = busiest.first(2);
        let names: Vec<_> = first.iter().map(|place| &*place.name).collect();
        assert_eq!(names, ["often", "seldom"]);
        for (place, true_count) in first.iter().zip([10_000, 2_000]) {
            assert!(place.count >= true_count && place.count - place.error <= true_count, "{place:?}");
        }
    }

    #[test]
    fn fewer_names_than_places_are_counted_exactly() {
        let mut busiest = Busiest::default();
        [("a", 1), ("b", 5), ("a", 1), ("c", 0)].into_iter().for_each(|(name, more)| busiest.add(name, more));
        let place = |name: &str, count| Place { name: name.into(), count, error: 0 };
        assert_eq!(busiest.first(9), [place("b", 5), place("a", 2), place("c", 0)]);
        assert_eq!(busiest.first(1).len(), 1);
    }
}
