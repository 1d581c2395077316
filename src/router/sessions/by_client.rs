//! [`ByClient`]: the sessions by Client Identifier. A hash table in many small shards, each with a lock: clients that
//! connect at the same time seldom contend, and a walk over all sessions locks one shard briefly.
//!
//! Sessions are ordered by their places in the table. An interrupted walk continues behind its last place, even if the
//! tables have grown meanwhile.

use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicUsize, Ordering},
};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table};
use parking_lot::{RwLock, RwLockWriteGuard};

use super::slot::SlotRef;
use crate::types::ClientId;

/// Sessions by Client Identifier.
pub(super) struct ByClient {
    shards: Box<[ClientShard]>,
    hasher: RandomState,
    len: AtomicUsize,
}

#[derive(Default)]
struct ClientShard(RwLock<Table>);

type Table = HashTable<(ClientId, SlotRef)>;

/// The session of a Client Identifier, with its shard locked.
pub(crate) struct Held<'a> {
    shard: RwLockWriteGuard<'a, Table>,
    all: &'a ByClient,
    client: ClientId,
    hash: u64,
}

/// With a million sessions, a shard has about 500.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 11;

impl Default for ByClient {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| ClientShard::default()).collect();
        Self { shards, hasher: RandomState::default(), len: AtomicUsize::new(0) }
    }
}

impl ByClient {
    /// The session of a client. The shard is locked while the result lives.
    pub(super) fn hold(&self, client: &ClientId) -> Held<'_> {
        let hash = self.hasher.hash_one(client);
        Held { shard: self.shard(hash).write(), all: self, client: client.clone(), hash }
    }

    pub(super) fn get(&self, client: &ClientId) -> Option<SlotRef> {
        let hash = self.hasher.hash_one(client);
        self.shard(hash).read().find(hash, |(other, _)| other == client).map(|(_, slot)| slot.clone())
    }

    /// Removes a client's session if it is still this one.
    pub(super) fn remove(&self, client: &ClientId, slot: &SlotRef) {
        let hash = self.hasher.hash_one(client);
        let mut shard = self.shard(hash).write();
        if let Ok(found) = shard.find_entry(hash, |(other, now)| other == client && now == slot) {
            found.remove();
            self.len.fetch_sub(1, Ordering::Relaxed);
            let (hasher, most) = (&self.hasher, 4 * shard.len() + 64);
            if shard.capacity() > most {
                shard.shrink_to(0, |(client, _)| hasher.hash_one(client));
            }
        }
    }

    /// Number of sessions.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Adds the next sessions with their places to `found`, in the order of places from `from` on: at least `most` if
    /// there are as many, and few more. Returns the place to continue from. `None`: there are no more.
    pub(super) fn next(&self, from: u64, most: usize, found: &mut Vec<(u64, SlotRef)>) -> Option<u64> {
        let mut places = Vec::new();
        for (number, shard) in self.shards.iter().enumerate().skip(shard_of(from)) {
            let left = most.saturating_sub(found.len());
            if left == 0 {
                return Some((number as u64) << (u64::BITS - SHARD_BITS));
            }
            let shard = shard.0.read();
            places.clear();
            places.extend(shard.iter().map(|(client, _)| place_of(self.hasher.hash_one(client))));
            places.retain(|place| *place >= from);
            // the first place that is not taken now
            let behind = match places.len() > left {
                true => Some(*places.select_nth_unstable(left).1),
                false => None,
            };
            let first = found.len();
            let placed = |(client, slot): &(ClientId, SlotRef)| {
                let place = place_of(self.hasher.hash_one(client));
                // sessions with the same place are taken together
                let is_next = place >= from && behind.is_none_or(|behind| place < behind);
                is_next.then(|| (place, slot.clone()))
            };
            found.extend(shard.iter().filter_map(placed));
            drop(shard);
            found[first..].sort_unstable_by_key(|(place, _)| *place);
            if let Some(behind) = behind {
                return Some(behind);
            }
        }
        None
    }

    /// All sessions at this time.
    pub(super) fn all(&self) -> Vec<SlotRef> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.0.read().iter().map(|(_, slot)| slot.clone()));
        }
        all
    }

    fn shard(&self, hash: u64) -> &RwLock<Table> {
        &self.shards[shard_of(place_of(hash))].0
    }
}

impl Held<'_> {
    /// The session, if there is one.
    pub(crate) fn get(&self) -> Option<&SlotRef> {
        self.shard.find(self.hash, |(other, _)| *other == self.client).map(|(_, slot)| slot)
    }

    /// Makes this the client's session.
    pub(crate) fn set(mut self, slot: SlotRef) {
        let Self { shard, all, client, hash } = &mut self;
        let hasher = &all.hasher;
        match shard.entry(*hash, |(other, _)| *other == *client, |(other, _)| hasher.hash_one(other)) {
            hash_table::Entry::Occupied(mut there) => there.get_mut().1 = slot,
            hash_table::Entry::Vacant(place) => {
                place.insert((client.clone(), slot));
                all.len.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The place of a session in the order: the bits of its hash, those first that its table does not use.
const fn place_of(hash: u64) -> u64 {
    // a table uses the highest 7 bits, and as many of the lowest as it needs
    hash.rotate_left(7)
}

const fn shard_of(place: u64) -> usize {
    (place >> (u64::BITS - SHARD_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::session::{Expiry, Session};

    fn id(n: usize) -> ClientId {
        ClientId::from(format!("client{n}").as_str())
    }

    fn slot(n: usize) -> SlotRef {
        SlotRef::new(Session::new(id(n), Expiry::of_seconds(None), None))
    }

    fn name(slot: &SlotRef) -> String {
        slot.lock().session.id().as_str().to_owned()
    }

    #[test]
    fn a_client_has_the_session_that_was_set_last() {
        let map = ByClient::default();
        let (first, second) = (slot(1), slot(1));
        assert!(map.hold(&id(1)).get().is_none());
        map.hold(&id(1)).set(first.clone());
        assert!(map.get(&id(1)) == Some(first.clone()) && map.get(&id(2)).is_none());
        map.hold(&id(1)).set(second.clone());
        assert!(map.hold(&id(1)).get() == Some(&second));
        assert_eq!((map.len(), map.all().len()), (1, 1));
        map.remove(&id(1), &first);
        assert_eq!(map.len(), 1, "another session is the client's by now");
        map.remove(&id(1), &second);
        assert!(map.len() == 0 && map.get(&id(1)).is_none());
    }

    #[test]
    fn a_walk_visits_each_lasting_session_once() {
        let map = ByClient::default();
        (0..20_000).for_each(|n| map.hold(&id(n)).set(slot(n)));
        let (mut met, mut from, mut next) = (HashMap::<String, usize>::new(), Some(0), 20_000);
        let mut found = Vec::new();
        while let Some(place) = from {
            found.clear();
            from = map.next(place, 256, &mut found);
            assert!(found.len() <= 256);
            assert!(from.is_none() || found.len() == 256);
            assert!(found.is_sorted_by_key(|(place, _)| *place));
            found.iter().for_each(|(_, slot)| *met.entry(name(slot)).or_default() += 1);
            // tables grow meanwhile, and others shrink
            (next..next + 500).for_each(|n| map.hold(&id(n)).set(slot(n)));
            let gone: Vec<_> = (next - 20_000..next - 19_900).filter(|n| n % 2 == 1).collect();
            gone.iter().filter_map(|n| Some((n, map.get(&id(*n))?))).for_each(|(n, slot)| map.remove(&id(*n), &slot));
            next += 500;
        }
        assert!(met.values().all(|times| *times == 1));
        let stayed = (0..20_000).filter(|n| n % 2 == 0).filter(|n| !met.contains_key(id(*n).as_str())).count();
        assert_eq!(stayed, 0);
        assert_eq!(map.len(), map.all().iter().map(name).collect::<HashSet<_>>().len());
    }

    #[test]
    fn memory_of_removed_sessions_is_released() {
        let map = ByClient::default();
        let slots: Vec<_> = (0..100_000).map(|n| (n, slot(n))).collect();
        slots.iter().for_each(|(n, slot)| map.hold(&id(*n)).set(slot.clone()));
        slots.iter().for_each(|(n, slot)| map.remove(&id(*n), slot));
        assert!(map.shards.iter().all(|shard| shard.0.read().capacity() <= 64));
    }
}
