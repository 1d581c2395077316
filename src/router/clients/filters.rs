//! [`Filters`]: the Topic Filters of one packet, borrowed from it or copied. [`Seen`]: which of them were looked up
//! already.

use std::{fmt, hash::BuildHasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::{topic::TopicFilter, types::SubscriptionOptions};

/// The filters of a SUBSCRIBE, in order, with their options.
#[derive(Clone, Copy)]
pub(crate) enum Filters<'a> {
    Packet(&'a [(&'a TopicFilter, SubscriptionOptions)]),
    Kept(&'a KeptFilters),
}

/// Copies of filters, without the packet.
#[derive(Debug)]
pub(crate) struct KeptFilters {
    text: String,
    /// The end of each filter in the text.
    ends: Vec<(usize, SubscriptionOptions)>,
}

/// The filters that were looked up with their QoS, by index.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    places: HashTable<usize>,
    hasher: RandomState,
}

impl KeptFilters {
    pub(crate) fn new<'a>(filters: impl Iterator<Item = (&'a TopicFilter, SubscriptionOptions)>) -> Self {
        let mut kept = Self { text: String::new(), ends: Vec::with_capacity(filters.size_hint().0) };
        for (filter, options) in filters {
            kept.text.push_str(filter.as_str());
            kept.ends.push((kept.text.len(), options));
        }
        kept
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The filter with this index.
    pub(crate) fn get(&self, place: usize) -> (&TopicFilter, SubscriptionOptions) {
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let (end, options) = self.ends[place];
        (TopicFilter::from_valid(&self.text[begin..end]), options)
    }
}

impl Filters<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Packet(filters) => filters.len(),
            Self::Kept(kept) => kept.len(),
        }
    }

    /// The filter with this index.
    pub(crate) fn get(&self, place: usize) -> (&TopicFilter, SubscriptionOptions) {
        match self {
            Self::Packet(filters) => filters[place],
            Self::Kept(kept) => kept.get(place),
        }
    }

    /// Does one of them have a wildcard?
    pub(crate) fn have_wildcards(&self) -> bool {
        self.iter().any(|(filter, _)| filter.has_wildcard())
    }

    /// All filters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TopicFilter, SubscriptionOptions)> {
        (0..self.len()).map(|place| self.get(place))
    }
}

/// Values for the log, separated by commas.
pub(crate) fn listed(values: impl Iterator<Item = impl fmt::Display>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

impl Seen {
    /// Notes that the filter with this index is looked up. `false`: the same filter was looked up with the same QoS.
    pub(crate) fn add(&mut self, filters: &Filters<'_>, place: usize) -> bool {
        if filters.len() == 1 {
            return true;
        }
        let key = |place: usize| {
            let (filter, options) = filters.get(place);
            (filter.as_str(), options.qos)
        };
        let Self { places, hasher } = self;
        let hash = hasher.hash_one(key(place).0);
        if places.find(hash, |&seen| key(seen) == key(place)).is_some() {
            return false;
        }
        places.insert_unique(hash, place, |&seen| hasher.hash_one(key(seen).0));
        true
    }
}

/// Approximate number of steps to find this filter in the trie: one for each level.
pub(crate) fn steps_of(filter: &TopicFilter) -> usize {
    1 + memchr::memchr_iter(b'/', filter.as_str().as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::QoS;

    #[test]
    fn filters_of_a_packet_are_deduplicated_by_qos() {
        let filter = |text| TopicFilter::new(text).unwrap();
        let packet: Vec<_> = [("a/+", 0), ("#", 1), ("a/+", 1), ("a/+", 0), ("/", 2), ("#", 1)]
            .into_iter()
            .map(|(text, qos)| (filter(text), SubscriptionOptions::from(QoS::from_bits(qos).unwrap())))
            .collect();
        let kept = KeptFilters::new(packet.iter().copied());
        let (packet, kept) = (Filters::Packet(&packet), Filters::Kept(&kept));
        assert!(packet.iter().eq(kept.iter()));
        let mut seen = Seen::default();
        let new: Vec<_> = (0..kept.len()).filter(|&place| seen.add(&kept, place)).collect();
        assert_eq!(new, [0, 1, 2, 4]);
        assert_eq!(packet.iter().count(), 6);
    }
}
