//! [`Throttle`]: addresses from which passwords are guessed wait longer with each guess. A client that waits keeps its place:
//! many connections at once guess no faster than one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Failed logins by address; IPv6 by /64, which is what one customer has.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failed: HashMap<IpAddr, Failed>,
}

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

/// Failures without a delay: somebody looks for the right one of a few passwords.
const FREE: u32 = 3;
/// A login is refused rather than wait longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The delay grows until here.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Failures are forgotten after this long without another one.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Addresses remembered.
const ADDRESSES: usize = 10_000;

impl Throttle {
    /// A login from this address, now. `first` is the delay after the first failure that has one; it doubles with each.
    pub(super) fn ask(&mut self, address: IpAddr, first: Duration, now: Instant) -> Turn {
        let Some(failed) = self.failed.get_mut(&group(address)) else { return Turn::After(Duration::ZERO) };
        let wait = failed.next.saturating_duration_since(now);
        if wait > LONGEST_WAIT {
            return Turn::Refused;
        }
        // whoever asks next waits for this one too, if there is a wait at all
        failed.next = failed.next.max(now) + delay(failed.count, first);
        Turn::After(wait)
    }

    /// It failed.
    pub(super) fn fail(&mut self, address: IpAddr, first: Duration, now: Instant) {
        let address = group(address);
        if self.failed.len() >= ADDRESSES && !self.failed.contains_key(&address) {
            self.make_room(now);
        }
        let failed = self.failed.entry(address).or_insert(Failed { count: 0, last: now, next: now });
        if now.saturating_duration_since(failed.last) >= FORGOTTEN {
            failed.count = 0;
        }
        failed.count = failed.count.saturating_add(1);
        failed.last = now;
        failed.next = failed.next.max(now + delay(failed.count, first));
    }

    fn make_room(&mut self, now: Instant) {
        self.failed.retain(|_, failed| now.saturating_duration_since(failed.last) < FORGOTTEN);
        if self.failed.len() >= ADDRESSES {
            // a pass over all of them costs less than the hash that was compared before
            let oldest = self.failed.iter().min_by_key(|(_, failed)| failed.last).map(|(address, _)| *address);
            oldest.map(|address| self.failed.remove(&address));
        }
    }
}

/// How long the next login waits after this many failures.
fn delay(count: u32, first: Duration) -> Duration {
    match count.checked_sub(FREE + 1) {
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
            match throttle.ask(one, FIRST, now) {
                Turn::After(wait) => {
                    waits.push(wait.as_millis());
                    now += wait;
                    throttle.fail(one, FIRST, now);
                }
                Turn::Refused => panic!("{waits:?}"),
            }
        }
        // the place of the one that asked, and that of its failure, are one
        assert_eq!(waits, [0, 0, 0, 0, 250, 500, 1_000, 2_000, 4_000]);
        assert_eq!(throttle.ask(one, FIRST, now), Turn::Refused);
        assert_eq!(throttle.ask(other, FIRST, now), after(0));
        now += FORGOTTEN;
        throttle.fail(one, FIRST, now);
        assert_eq!(throttle.ask(one, FIRST, now), after(0));
    }

    #[test]
    fn many_at_once_are_no_faster_than_one() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let address = |n: u16| IpAddr::from([0x2001, 0xDB8, 0, 7, n, n, n, n]);
        (0..5).for_each(|n| throttle.fail(address(n), FIRST, now));
        let turns: Vec<_> = (5..17).map(|n| throttle.ask(address(n), FIRST, now)).collect();
        assert_eq!(turns[..3], [after(500), after(1_000), after(1_500)]);
        assert_eq!(turns[10..], [Turn::Refused; 2]);
        let next = |n: u16| IpAddr::from([0x2001, 0xDB8, 0, 8, n, n, n, n]);
        assert_eq!(throttle.ask(next(1), FIRST, now), after(0), "another /64");
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        (0..5).for_each(|_| throttle.fail(mapped, FIRST, now));
        assert_eq!(throttle.ask("192.0.2.1".parse().unwrap(), FIRST, now), after(500));
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..ADDRESSES as u32 + 100 {
            throttle.fail(address(n), FIRST, now + Duration::from_nanos(n.into()));
        }
        assert_eq!(throttle.failed.len(), ADDRESSES);
        assert!(!throttle.failed.contains_key(&address(99)) && throttle.failed.contains_key(&address(100)));
    }
}
