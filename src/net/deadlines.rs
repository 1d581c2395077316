//! [`Deadlines`]: for each connection of a thread, when to wake it although nothing arrived. Setting a deadline is a
//! store into an array, for every read; once a second a pass over that array finds those that are due.

use std::{
    num::NonZeroU32,
    task::Waker,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The deadlines of one thread's connections.
#[derive(Debug)]
pub(crate) struct Deadlines {
    start: Instant,
    /// Index: the place of a key. [`Tick::NEVER`]: no deadline.
    at: Vec<Tick>,
    /// When each connection's client was accepted.
    since: Vec<Tick>,
    wakers: Vec<Option<Waker>>,
    /// The wall clock at `start`, in milliseconds since 1970, computed from its latest reading.
    wall_start: i64,
    free: Vec<Key>,
}

/// Identifies a connection: its place plus 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(NonZeroU32);

impl Key {
    fn new(place: usize) -> Self {
        let number = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("fewer than 2^32 connections"))
    }

    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A time in tenths of a second since the thread began: small, because every connection has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

const TICK: Duration = Duration::from_millis(100);

impl Tick {
    /// Later than all others.
    pub(crate) const NEVER: Self = Self(u32::MAX);

    /// The tick after this duration, rounded down.
    pub(super) fn later(self, by: Duration) -> Self {
        let ticks = u32::try_from(by.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
        Self(self.0.saturating_add(ticks))
    }
}

impl Deadlines {
    pub(super) fn new(start: Instant) -> Self {
        let (at, since) = (Vec::new(), Vec::new());
        Self { start, at, since, wakers: Vec::new(), wall_start: 0, free: Vec::new() }
    }

    /// Adds a connection, whose task is woken when its deadline has passed.
    pub(super) fn insert(&mut self, waker: Waker) -> Key {
        if let Some(key) = self.free.pop() {
            self.wakers[key.place()] = Some(waker);
            return key;
        }
        self.at.push(Tick::NEVER);
        self.since.push(Tick::NEVER);
        self.wakers.push(Some(waker));
        Key::new(self.at.len() - 1)
    }

    /// Removes a connection that ended.
    pub(super) fn remove(&mut self, key: Key) {
        self.at[key.place()] = Tick::NEVER;
        self.wakers[key.place()] = None;
        self.free.push(key);
    }

    /// Notes that the connection's client was accepted.
    pub(super) fn connected(&mut self, key: Key, now: Instant) {
        self.since[key.place()] = self.last(now);
    }

    /// How long ago the client was accepted.
    pub(super) fn connected_for(&self, key: Key, now: Instant) -> Duration {
        TICK * self.last(now).0.saturating_sub(self.since[key.place()].0)
    }

    /// The first tick at or after `at`.
    pub(super) fn tick(&self, at: Instant) -> Tick {
        let since = at.saturating_duration_since(self.start).as_millis().div_ceil(TICK.as_millis());
        u32::try_from(since).map_or(Tick::NEVER, Tick)
    }

    /// The clock was turned forward by this much, and these deadlines go by real time: those that are set are due as
    /// much later.
    pub(super) fn skip(&mut self, by: Duration) {
        self.start += by;
    }

    /// The wall clock shows `wall`. `true`: it was set since the last call, and all connections must be looked at.
    pub(super) fn set_wall(&mut self, now: Instant, wall: SystemTime) -> bool {
        let milliseconds = |of: Duration| i64::try_from(of.as_millis()).unwrap_or(i64::MAX);
        let since_1970 = match wall.duration_since(UNIX_EPOCH) {
            Ok(since) => milliseconds(since),
            Err(before) => -milliseconds(before.duration()),
        };
        let start = since_1970.saturating_sub(milliseconds(now.saturating_duration_since(self.start)));
        // the clock is also adjusted a little all the time
        let was_set = start.abs_diff(self.wall_start) > 1000;
        if was_set {
            self.wall_start = start;
        }
        was_set
    }

    /// The expiry of a token, which is by the wall clock in seconds, as a [`Tick`] for
    /// [`tick_of_token`](Self::tick_of_token) only, because that clock may be set meanwhile.
    pub(super) fn end_of_token(&self, until: Instant) -> Tick {
        let left = i64::try_from(until.saturating_duration_since(self.start).as_millis());
        let end = left.ok().and_then(|left| self.wall_start.checked_add(left)?.checked_add(999));
        end.and_then(|end| u32::try_from(end / 1000).ok()).map_or(Tick::NEVER, Tick)
    }

    /// When a token with this expiry ends, by the current wall clock.
    #[inline]
    pub(super) fn tick_of_token(&self, end: Tick) -> Tick {
        if end == Tick::NEVER {
            return end;
        }
        let left = (i64::from(end.0) * 1000).saturating_sub(self.wall_start);
        let ticks = left.max(0).unsigned_abs() / TICK.as_millis() as u64;
        u32::try_from(ticks).map_or(Tick::NEVER, Tick)
    }

    /// Has this tick passed?
    pub(super) fn has_passed(&self, tick: Tick, now: Instant) -> bool {
        tick <= self.last(now)
    }

    /// The last tick at or before `now`.
    fn last(&self, now: Instant) -> Tick {
        let since = now.saturating_duration_since(self.start).as_millis() / TICK.as_millis();
        Tick(u32::try_from(since).unwrap_or(u32::MAX - 1))
    }

    /// Sets the deadline of a connection.
    #[inline]
    pub(super) fn set(&mut self, key: Key, at: Tick) {
        self.at[key.place()] = at;
    }

    /// Takes the wakers of connections that are due (each is due again after it sets a new deadline). Returns the next
    /// deadline.
    pub(super) fn due(&mut self, now: Instant, due: &mut Vec<Waker>) -> Option<Instant> {
        let limit = self.last(now);
        let mut next = Tick::NEVER;
        for (at, waker) in self.at.iter_mut().zip(&self.wakers) {
            if *at <= limit {
                *at = Tick::NEVER;
                due.extend(waker.clone());
            }
            next = next.min(*at);
        }
        (next != Tick::NEVER).then(|| self.start + TICK * next.0)
    }

    /// The waker of a connection, unless it has ended.
    pub(super) fn waker(&self, key: Key) -> Option<Waker> {
        self.wakers[key.place()].clone()
    }

    /// The wakers of all connections.
    pub(super) fn all(&self) -> impl Iterator<Item = Waker> + '_ {
        self.wakers.iter().flatten().cloned()
    }

    /// Number of connections.
    pub(super) fn len(&self) -> usize {
        self.at.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn due_entries_are_returned_once_with_the_next_deadline() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let keys: Vec<Key> = (0..4).map(|_| deadlines.insert(Waker::noop().clone())).collect();
        for (key, ms) in keys.iter().zip([100, 150, 300]) {
            deadlines.set(*key, deadlines.tick(start + Duration::from_millis(ms)));
        }
        let mut due = Vec::new();
        assert_eq!(deadlines.due(start, &mut due), Some(start + Duration::from_millis(100)));
        assert!(due.is_empty());
        assert_eq!(
            deadlines.due(start + Duration::from_millis(200), &mut due),
            Some(start + Duration::from_millis(300))
        );
        assert_eq!(due.len(), 2);
        deadlines.remove(keys[2]);
        assert_eq!(deadlines.due(start + Duration::from_secs(9), &mut due), None);
        assert_eq!((due.len(), deadlines.len()), (2, 3));
        assert_eq!(deadlines.insert(Waker::noop().clone()), keys[2], "a place is used again");
    }

    #[test]
    fn a_turned_clock_moves_all_deadlines_but_those_of_tokens() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let hour = Duration::from_secs(3600);
        deadlines.set_wall(start, UNIX_EPOCH + 10 * hour);
        let key = deadlines.insert(Waker::noop().clone());
        let (keep_alive, token) = (deadlines.tick(start + hour), deadlines.end_of_token(start + hour));
        deadlines.set(key, keep_alive);
        deadlines.skip(25 * hour);
        let now = start + 25 * hour;
        assert!(deadlines.set_wall(now, UNIX_EPOCH + 35 * hour));
        assert!(!deadlines.has_passed(keep_alive, now) && deadlines.has_passed(keep_alive, now + hour));
        assert_eq!(deadlines.due(now, &mut Vec::new()), Some(now + hour));
        assert!(deadlines.has_passed(deadlines.tick_of_token(token), now));
    }

    #[test]
    fn how_long_a_client_was_connected() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let [first, second] = [(); 2].map(|()| deadlines.insert(Waker::noop().clone()));
        let at = |ms| start + Duration::from_millis(ms);
        deadlines.connected(first, at(250));
        deadlines.connected(second, at(90_061_000));
        assert_eq!(deadlines.connected_for(first, at(250)), Duration::ZERO);
        assert_eq!(deadlines.connected_for(first, at(3_660_200)), Duration::from_secs(3660));
        assert_eq!(deadlines.connected_for(second, at(90_062_300)), Duration::from_millis(1300));
    }

    #[test]
    fn a_token_ends_by_a_clock_that_is_set() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let (now, wall) = (start + Duration::from_secs(100), |seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        // first 1970, then the real time
        assert!(deadlines.set_wall(now, wall(150)));
        let end = deadlines.end_of_token(now + Duration::from_secs(1_800_000_000));
        assert_eq!(deadlines.tick_of_token(end), Tick::NEVER, "beyond what ticks can say");
        assert!(!deadlines.set_wall(now + Duration::from_secs(5), wall(155)));
        assert!(deadlines.set_wall(now, wall(1_799_999_000)));
        assert_eq!(deadlines.tick_of_token(end), deadlines.tick(now + Duration::from_secs(1_150)));
        // back again: it is not over yet
        assert!(deadlines.set_wall(now, wall(1_799_990_000)));
        assert_eq!(deadlines.tick_of_token(end), deadlines.tick(now + Duration::from_secs(10_150)));
        assert!(deadlines.set_wall(now, wall(1_900_000_000)));
        assert!(deadlines.has_passed(deadlines.tick_of_token(end), now));
        assert_eq!(deadlines.tick_of_token(Tick::NEVER), Tick::NEVER);
    }
}
