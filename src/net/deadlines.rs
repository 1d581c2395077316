//! [`Deadlines`]: for each connection of a thread, when it has to be looked at although nothing arrived. Setting one is
//! a store into an array, done for every read; finding those that are due is a pass over that array, done once a second.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

/// Deadlines of one thread's connections.
#[derive(Debug)]
pub(super) struct Deadlines {
    start: Instant,
    /// Milliseconds since `start`, for each key; [`NEVER`] where there is none.
    at: Vec<u64>,
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
}

/// Names one connection's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

const NEVER: u64 = u64::MAX;

impl Deadlines {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, at: Vec::new(), wakers: Vec::new(), free: Vec::new() }
    }

    /// A place for one more connection, whose task is woken when its deadline has passed.
    pub(super) fn insert(&mut self, waker: Waker) -> Key {
        if let Some(at) = self.free.pop() {
            self.wakers[at as usize] = Some(waker);
            return Key(at);
        }
        self.at.push(NEVER);
        self.wakers.push(Some(waker));
        Key(u32::try_from(self.at.len() - 1).expect("fewer than 2^32 connections"))
    }

    /// The connection is no more.
    pub(super) fn remove(&mut self, key: Key) {
        self.at[key.0 as usize] = NEVER;
        self.wakers[key.0 as usize] = None;
        self.free.push(key.0);
    }

    /// When this connection is to be looked at; `None`: never.
    #[inline]
    pub(super) fn set(&mut self, key: Key, at: Option<Instant>) {
        self.at[key.0 as usize] = at.map_or(NEVER, |at| millis(at.saturating_duration_since(self.start)));
    }

    /// Takes the wakers of those that are due (each is due again when it sets a new deadline) and says when the next
    /// is.
    pub(super) fn due(&mut self, now: Instant, due: &mut Vec<Waker>) -> Option<Instant> {
        let limit = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(NEVER);
        let mut next = NEVER;
        for (at, waker) in self.at.iter_mut().zip(&self.wakers) {
            if *at <= limit {
                *at = NEVER;
                due.extend(waker.clone());
            }
            next = next.min(*at);
        }
        (next != NEVER).then(|| self.start + Duration::from_millis(next))
    }

    /// The wakers of all.
    pub(super) fn all(&self) -> impl Iterator<Item = Waker> + '_ {
        self.wakers.iter().flatten().cloned()
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.at.len() - self.free.len()
    }
}

/// Rounded up: a deadline is not found due before it has passed.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_is_due_is_found_once_and_the_next_is_told() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let keys: Vec<Key> = (0..4).map(|_| deadlines.insert(Waker::noop().clone())).collect();
        for (key, ms) in keys.iter().zip([10, 20, 30]) {
            deadlines.set(*key, Some(start + Duration::from_millis(ms)));
        }
        let mut due = Vec::new();
        assert_eq!(deadlines.due(start, &mut due), Some(start + Duration::from_millis(10)));
        assert!(due.is_empty());
        assert_eq!(deadlines.due(start + Duration::from_millis(20), &mut due), Some(start + Duration::from_millis(30)));
        assert_eq!(due.len(), 2);
        deadlines.remove(keys[2]);
        assert_eq!(deadlines.due(start + Duration::from_secs(9), &mut due), None);
        assert_eq!((due.len(), deadlines.len()), (2, 3));
        assert_eq!(deadlines.insert(Waker::noop().clone()), keys[2], "a place is used again");
    }
}
