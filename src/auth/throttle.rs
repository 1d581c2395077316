//! [`Throttle`]: who guesses passwords waits longer with each guess, by user and address first, by address alone after many
//! more. A login that waits keeps its place, and few logins of an address are looked at at once: many connections guess
//! no faster than one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// Failed logins by address and user, and by address; of IPv6 by /64, which is what one customer has.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failed: HashMap<Key, Failed>,
    places: HashMap<IpAddr, Arc<Semaphore>>,
    hasher: RandomState,
}

/// An address, and a user's name by its hash; without one, whoever it claims to be.
type Key = (IpAddr, Option<u64>);

#[derive(Debug)]
struct Failed {
    count: u32,
    last: Instant,
    /// When the next login is looked at.
    next: Instant,
}

/// What becomes of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is looked at after this long, mostly at once.
    After(Duration),
    /// It is not looked at.
    Refused,
}

/// Failures of a user without a delay: somebody looks for the right one of a few passwords.
const FREE: u32 = 3;
/// Failures of an address without a delay for all its users: a site behind one address has a few devices that are wrong.
const FREE_OF_ADDRESS: u32 = 30;
/// Logins of an address that are looked at at once; others wait.
const AT_ONCE: usize = 4;
/// A login is refused rather than wait longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The delay grows until here.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Failures are forgotten after this long without another one.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Failures remembered.
const ENTRIES: usize = 10_000;

impl Throttle {
    /// The place of a login from this address, to be had before [`ask`](Self::ask) and kept until it is decided.
    pub(super) fn place(&mut self, address: IpAddr) -> Arc<Semaphore> {
        if self.places.len() >= ENTRIES {
            // those that nobody has
            self.places.retain(|_, places| Arc::strong_count(places) > 1);
        }
        self.places.entry(group(address)).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }

    /// A login of this user from this address, now. `first` is the delay after the first failure that has one; it doubles
    /// with each.
    pub(super) fn ask(&mut self, address: IpAddr, user: &str, first: Duration, now: Instant) -> Turn {
        let keys = self.keys(address, user);
        let of = |failed: &HashMap<Key, Failed>, key| failed.get(key).map_or(now, |failed: &Failed| failed.next);
        let wait = keys.iter().map(|(key, _)| of(&self.failed, key).saturating_duration_since(now)).max();
        let wait = wait.unwrap_or_default();
        if wait > LONGEST_WAIT {
            return Turn::Refused;
        }
        // whoever asks next waits for this one too, if there is a wait at all
        for (key, free) in keys {
            if let Some(failed) = self.failed.get_mut(&key) {
                failed.next = failed.next.max(now) + delay(failed.count, free, first);
            }
        }
        Turn::After(wait)
    }

    /// It was right: others need not wait for it.
    pub(super) fn succeed(&mut self, address: IpAddr, user: &str, first: Duration, now: Instant) {
        for (key, free) in self.keys(address, user) {
            if let Some(failed) = self.failed.get_mut(&key) {
                let reserved = delay(failed.count, free, first);
                failed.next = failed.next.checked_sub(reserved).map_or(now, |next| next.max(now));
            }
        }
    }

    /// It failed.
    pub(super) fn fail(&mut self, address: IpAddr, user: &str, first: Duration, now: Instant) {
        let keys = self.keys(address, user);
        self.make_room(now);
        for (key, free) in keys {
            let failed = self.failed.entry(key).or_insert(Failed { count: 0, last: now, next: now });
            if now.saturating_duration_since(failed.last) >= FORGOTTEN {
                failed.count = 0;
            }
            failed.count = failed.count.saturating_add(1);
            failed.last = now;
            failed.next = failed.next.max(now + delay(failed.count, free, first));
        }
    }

    fn keys(&self, address: IpAddr, user: &str) -> [(Key, u32); 2] {
        let address = group(address);
        [((address, Some(self.hasher.hash_one(user))), FREE), ((address, None), FREE_OF_ADDRESS)]
    }

    /// A tenth at once: a failure costs little on average.
    fn make_room(&mut self, now: Instant) {
        if self.failed.len() + 2 <= ENTRIES {
            return;
        }
        self.failed.retain(|_, failed| now.saturating_duration_since(failed.last) < FORGOTTEN);
        if self.failed.len() + 2 > ENTRIES {
            let mut times: Vec<_> = self.failed.values().map(|failed| failed.last).collect();
            let (_, &mut oldest, _) = times.select_nth_unstable(ENTRIES / 10);
            self.failed.retain(|_, failed| failed.last > oldest);
        }
    }
}

/// How long the next login waits after this many failures, so many of them free.
fn delay(count: u32, free: u32, first: Duration) -> Duration {
    match count.checked_sub(free + 1) {
        None => Duration::ZERO,
        Some(doublings) => first.saturating_mul(1 << doublings.min(20)).min(LONGEST_DELAY),
    }
}

fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(250);

    fn after(ms: u64) -> Turn {
        Turn::After(Duration::from_millis(ms))
    }

    #[test]
    fn delays_grow_and_are_forgotten() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|a| a.parse::<IpAddr>().unwrap());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..9 {
            match throttle.ask(one, "u", FIRST, now) {
                Turn::After(wait) => {
                    waits.push(wait.as_millis());
                    now += wait;
                    throttle.fail(one, "u", FIRST, now);
                }
                Turn::Refused => panic!("{waits:?}"),
            }
        }
        // the place of the one that asked, and that of its failure, are one
        assert_eq!(waits, [0, 0, 0, 0, 250, 500, 1_000, 2_000, 4_000]);
        assert_eq!(throttle.ask(one, "u", FIRST, now), Turn::Refused);
        assert_eq!(throttle.ask(other, "u", FIRST, now), after(0));
        assert_eq!(throttle.ask(one, "another device behind that address", FIRST, now), after(0));
        now += FORGOTTEN;
        throttle.fail(one, "u", FIRST, now);
        assert_eq!(throttle.ask(one, "u", FIRST, now), after(0));
    }

    #[test]
    fn who_tries_many_users_waits_too() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        for n in 0..=FREE_OF_ADDRESS {
            assert_eq!(throttle.ask(address, &n.to_string(), FIRST, now), after(0));
            throttle.fail(address, &n.to_string(), FIRST, now);
        }
        assert_eq!(throttle.ask(address, "one more", FIRST, now), after(250));
        // a login that is right leaves its wait to nobody
        throttle.succeed(address, "one more", FIRST, now);
        assert_eq!(throttle.ask(address, "and one more", FIRST, now), after(250));
    }

    #[test]
    fn many_at_once_are_no_faster_than_one() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let address = |n: u16| IpAddr::from([0x2001, 0xDB8, 0, 7, n, n, n, n]);
        (0..5).for_each(|n| throttle.fail(address(n), "u", FIRST, now));
        let turns: Vec<_> = (5..17).map(|n| throttle.ask(address(n), "u", FIRST, now)).collect();
        assert_eq!(turns[..3], [after(500), after(1_000), after(1_500)]);
        assert_eq!(turns[10..], [Turn::Refused; 2]);
        let next = |n: u16| IpAddr::from([0x2001, 0xDB8, 0, 8, n, n, n, n]);
        assert_eq!(throttle.ask(next(1), "u", FIRST, now), after(0), "another /64");
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        (0..5).for_each(|_| throttle.fail(mapped, "u", FIRST, now));
        assert_eq!(throttle.ask("192.0.2.1".parse().unwrap(), "u", FIRST, now), after(500));
        // before anything failed, a few are looked at
        let places = throttle.place(address(1));
        let held: Vec<_> = (0..AT_ONCE).map(|_| places.try_acquire().unwrap()).collect();
        assert!(throttle.place(address(2)).try_acquire().is_err(), "the same /64");
        assert!(throttle.place(next(1)).try_acquire().is_ok());
        drop(held);
        assert!(throttle.place(address(2)).try_acquire().is_ok());
    }

    #[test]
    fn the_tables_are_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let last = ENTRIES as u32 + 100;
        for n in 0..=last {
            throttle.fail(address(n), "u", FIRST, now + Duration::from_nanos(n.into()));
            let _ = throttle.place(address(n));
            assert!(throttle.failed.len() <= ENTRIES && throttle.places.len() <= ENTRIES);
        }
        assert!(throttle.failed.len() > ENTRIES * 8 / 10);
        let knows = |n| throttle.failed.contains_key(&(address(n), None));
        assert!(!knows(0) && knows(last));
    }
}
