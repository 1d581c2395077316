//! [`Reconnects`]: finds clients that reconnect too often. Only connections with a proved user name are counted, by
//! user and Client Identifier: so a client cannot get another user's client banned by using its name.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    time::Instant,
};

use parking_lot::Mutex;

use crate::types::Frequency;

/// Counts the connections of each client.
#[derive(Default)]
pub(crate) struct Reconnects {
    hasher: RandomState,
    /// When the bucket of each client is empty; those that are not here are.
    buckets: Mutex<HashMap<u64, Instant>>,
}

/// Clients that are remembered. Beyond, all of them begin anew.
const CLIENTS: usize = 50_000;

impl Reconnects {
    /// Counts a login. `true`: the client reconnects too often.
    pub(crate) fn are_too_many(&self, user: &str, client: &str, may: Frequency, now: Instant) -> bool {
        let key = self.hasher.hash_one((user, client));
        let (every, most) = (may.within / may.most.max(1), may.within);
        let mut buckets = self.buckets.lock();
        if buckets.len() >= CLIENTS && !buckets.contains_key(&key) {
            buckets.retain(|_, empty| *empty > now);
            if buckets.len() >= CLIENTS {
                buckets.clear();
            }
        }
        let empty = buckets.entry(key).or_insert(now);
        let full = (*empty).max(now) + every;
        if full > now + most {
            // once its ban is over it begins anew
            buckets.remove(&key);
            return true;
        }
        *empty = full;
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const MAY: Frequency = Frequency { most: 20, within: MINUTE };

    #[test]
    fn a_client_that_reconnects_too_often_is_found() {
        let (reconnects, now) = (Reconnects::default(), Instant::now());
        let comes = |user, client, now| reconnects.are_too_many(user, client, MAY, now);
        for n in 0..20 {
            assert!(!comes("ann", "lamp", now), "{n}");
        }
        assert!(!comes("eve", "lamp", now) && !comes("ann", "lamp2", now));
        assert!(comes("ann", "lamp", now));
        assert!(!comes("ann", "lamp", now), "it begins anew");
        for n in 0..200 {
            assert!(!comes("ann", "slow", now + n * MINUTE / 20), "{n}");
        }
    }

    #[test]
    fn the_number_of_remembered_reconnects_is_bounded() {
        let (reconnects, now) = (Reconnects::default(), Instant::now());
        for n in 0..2 * CLIENTS {
            reconnects.are_too_many("ann", &n.to_string(), MAY, now);
            assert!(reconnects.buckets.lock().len() <= CLIENTS);
        }
    }
}
