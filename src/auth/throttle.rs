//! [`Throttle`]: slows down clients that guess passwords. It counts credentials that were compared and were wrong; the
//! same ones again are [`known`](super::known) and do not count. A few are free. After them each refusal is delayed,
//! and when the maximum is delayed, further unknown credentials wait.
//!
//! Each scope is a bucket: a wrong guess fills it by one, time empties it. So its rate is bounded by what time empties
//! and, within the first minute, what it holds.
//!
//! | scope | free | delayed at once | emptied in a minute | guesses in any minute, at most |
//! |---|---|---|---|---|
//! | a user at an address | 3 | 16 | by `auth.failed_login_delay` | those of the address |
//! | an address (IPv6: a /64) | 30 | 16 | 480 | 526 |
//! | an IPv6 /48 | 300 | 160 | 4,800 | 5,260 |
//! | a user name, wherever it is guessed | 30 | 16 | 480 | 526 |

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When each becomes empty; missing ones are empty.
    buckets: HashMap<Scope, Instant>,
    addresses: HashMap<IpAddr, Busy>,
}

/// The current logins of an address.
#[derive(Debug, Default)]
struct Busy {
    /// When its delayed refusals are due.
    refusals: Vec<Instant>,
    /// Number of its credentials that are being compared.
    compared: usize,
}

/// What guesses are counted for. A user is identified by a hash of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    UserAt(IpAddr, Option<u64>),
    Address(IpAddr),
    Site(Ipv6Addr),
    User(u64),
}

/// The limit of a scope.
struct Bound {
    /// The time after which one guess is forgotten.
    every: Duration,
    free: u32,
    delayed: u32,
}

/// The client of a login: its address from [`group`], and a hash of its user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    pub(super) address: IpAddr,
    /// `None`: no user name.
    pub(super) user: Option<u64>,
}

/// Unknown credentials must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// When to ask again.
    pub(super) until: Instant,
    /// All other logins of the address must wait too.
    pub(super) address: bool,
}

/// Most refusals of an address that are delayed at the same time.
const DELAYED: u32 = 16;
const EVERY: Duration = Duration::from_millis(125);
/// A /48 has the limit of this number of /64 networks.
const SITE: u32 = 10;
/// Most non-empty buckets. Beyond that, the ones that become empty first are forgotten.
const ENTRIES: usize = 20_000;

impl Throttle {
    /// May unknown credentials be compared now? `first`: the time that empties the bucket of a user at an address, and
    /// the least delay.
    pub(super) fn may(&mut self, whose: Whose, first: Duration, now: Instant) -> Result<(), Held> {
        if let Some(busy) = self.addresses.get_mut(&whose.address) {
            busy.refusals.retain(|due| *due > now);
            // without failures there is no limit
            if let Some(next) = busy.refusals.iter().min()
                && busy.refusals.len() + busy.compared >= DELAYED as usize
            {
                return Err(Held { until: *next, address: true });
            }
        }
        for (scope, bound) in scopes(whose, first) {
            let room = bound.every * (bound.free + bound.delayed - 1);
            // the subtraction fails only for a bucket that becomes empty right after the machine started: no limit
            let until = self.buckets.get(&scope).and_then(|empty| empty.checked_sub(room));
            if let Some(until) = until.filter(|until| *until > now) {
                return Err(Held { until, address: matches!(scope, Scope::Address(_) | Scope::Site(_)) });
            }
        }
        Ok(())
    }

    /// Begins a comparison, which counts as a guess until its result is known.
    pub(super) fn begin(&mut self, whose: Whose, first: Duration, now: Instant) {
        self.make_room(now);
        self.addresses.entry(whose.address).or_default().compared += 1;
        for (scope, bound) in scopes(whose, first) {
            let empty = self.buckets.entry(scope).or_insert(now);
            *empty = (*empty).max(now) + bound.every;
        }
    }

    /// The credentials were right: it was not a guess.
    pub(super) fn succeed(&mut self, whose: Whose, first: Duration) {
        self.end(whose, None);
        for (scope, bound) in scopes(whose, first) {
            if let Some(empty) = self.buckets.get_mut(&scope) {
                *empty = empty.checked_sub(bound.every).unwrap_or(*empty);
            }
        }
    }

    /// The credentials were wrong. Returns the delay of the refusal.
    pub(super) fn fail(&mut self, whose: Whose, first: Duration, now: Instant) -> Duration {
        let over = scopes(whose, first).map(|(scope, bound)| {
            let left = self.buckets.get(&scope).map_or(Duration::ZERO, |empty| empty.saturating_duration_since(now));
            left.saturating_sub(bound.every * bound.free)
        });
        let over = over.max().unwrap_or_default();
        let delay = if over.is_zero() { over } else { over.max(first) };
        self.end(whose, (!delay.is_zero()).then(|| now + delay));
        delay
    }

    fn end(&mut self, whose: Whose, delayed: Option<Instant>) {
        if let Some(busy) = self.addresses.get_mut(&whose.address) {
            busy.compared = busy.compared.saturating_sub(1);
            busy.refusals.extend(delayed);
            if busy.compared == 0 && busy.refusals.is_empty() {
                self.addresses.remove(&whose.address);
            }
        }
    }

    /// Forgets empty buckets, and if that is not enough, a tenth of the others.
    fn make_room(&mut self, now: Instant) {
        if self.buckets.len() + 4 > ENTRIES {
            self.buckets.retain(|_, empty| *empty > now);
            if self.buckets.len() + 4 > ENTRIES {
                let mut ends: Vec<_> = self.buckets.values().copied().collect();
                let (_, &mut first, _) = ends.select_nth_unstable(ENTRIES / 10);
                self.buckets.retain(|_, empty| *empty > first);
            }
        }
        if self.addresses.len() >= ENTRIES {
            // comparisons are limited by the number of threads
            self.addresses.retain(|_, busy| busy.compared > 0 || busy.refusals.iter().any(|due| *due > now));
            if self.addresses.len() >= ENTRIES {
                self.addresses.retain(|_, busy| busy.compared > 0);
            }
        }
    }
}

/// The scopes that a guess counts for.
fn scopes(whose: Whose, first: Duration) -> impl Iterator<Item = (Scope, Bound)> {
    let Whose { address, user } = whose;
    let site = match address {
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            let site = Scope::Site(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0));
            Some((site, Bound { every: EVERY / SITE, free: 30 * SITE, delayed: DELAYED * SITE }))
        }
        IpAddr::V4(_) => None,
    };
    let bound = |every| Bound { every, free: 30, delayed: DELAYED };
    let named = user.map(|user| (Scope::User(user), bound(EVERY)));
    let at_address = (Scope::UserAt(address, user), Bound { free: 3, ..bound(first) });
    // limits of the whole address come first
    [(Scope::Address(address), bound(EVERY))].into_iter().chain(site).chain([at_address]).chain(named)
}

/// The network of one customer: an IPv4 address, or an IPv6 /64.
pub(super) fn group(address: IpAddr) -> IpAddr {
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
    const MINUTE: Duration = Duration::from_secs(60);

    fn whose(address: IpAddr, user: u64) -> Whose {
        Whose { address: group(address), user: Some(user) }
    }

    fn v4(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    /// Guesses that are compared within a minute, when `next` always has more to try.
    fn in_a_minute(mut next: impl FnMut(u32) -> Whose) -> (u32, usize) {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let (mut count, mut most, mut now) = (0, 0, start);
        while now < start + MINUTE {
            for n in 0..40 {
                let whose = next(count + n);
                if throttle.may(whose, FIRST, now).is_ok() {
                    throttle.begin(whose, FIRST, now);
                    throttle.fail(whose, FIRST, now);
                    count += 1;
                    most = most.max(throttle.addresses.get(&whose.address).map_or(0, |busy| busy.refusals.len()));
                }
            }
            now += Duration::from_millis(20);
        }
        (count, most)
    }

    #[test]
    fn guesses_are_bounded() {
        let (count, most) = in_a_minute(|n| whose(v4(1), n.into()));
        assert!((450..=600).contains(&count) && most <= DELAYED as usize, "an address: {count}, {most}");
        let (count, most) = in_a_minute(|_| whose(v4(1), 7));
        assert!((200..=300).contains(&count) && most <= DELAYED as usize, "a user at an address: {count}, {most}");
        let (count, _) = in_a_minute(|n| whose(v4(n), 7));
        assert!((450..=600).contains(&count), "a user name: {count}");
        let network = |n: u32| [0x2001, 0xDB8, 7, (n % 5_000) as u16, 0, 0, 0, n as u16];
        let (count, _) = in_a_minute(|n| whose(IpAddr::from(network(n)), n.into()));
        assert!((4_500..=6_000).contains(&count), "a /48: {count}");
        let (count, _) = in_a_minute(|n| whose(IpAddr::from([0x2001, 0xDB8, 7, 1, 0, 0, 0, n as u16]), n.into()));
        assert!((450..=600).contains(&count), "a /64: {count}");
    }

    #[test]
    fn a_successful_login_does_not_count_as_a_guess() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..10_000 {
            let whose = whose(v4(1), n);
            throttle.may(whose, FIRST, now).unwrap();
            throttle.begin(whose, FIRST, now);
            throttle.succeed(whose, FIRST);
        }
        assert!(throttle.addresses.is_empty());
    }

    #[test]
    fn guesses_delay_no_other_users_and_addresses() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let mut guess = |whose| {
            throttle.may(whose, FIRST, now).ok()?;
            throttle.begin(whose, FIRST, now);
            Some(throttle.fail(whose, FIRST, now).as_millis())
        };
        let delays: Vec<_> = std::iter::from_fn(|| guess(whose(v4(1), 7))).collect();
        assert_eq!(delays[..6], [0, 0, 0, 250, 500, 750]);
        assert_eq!(delays.len(), 3 + DELAYED as usize);
        assert_eq!(guess(whose(v4(2), 7)), Some(0), "the same user elsewhere");
        assert_eq!(guess(whose(v4(2), 8)), Some(0), "another user elsewhere");
        assert_eq!(guess(whose("::ffff:0.0.0.1".parse().unwrap(), 8)), None, "the same address");
        let held = throttle.may(whose(v4(1), 8), FIRST, now).unwrap_err();
        assert_eq!(held, Held { until: now + FIRST, address: true }, "there is a place when the first refusal is due");
        assert!(throttle.may(whose(v4(1), 8), FIRST, held.until).is_ok());
    }

    #[test]
    fn the_tables_are_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..2 * ENTRIES as u32 {
            throttle.begin(whose(v4(n), n.into()), FIRST, now);
            throttle.fail(whose(v4(n), n.into()), FIRST, now);
            assert!(throttle.buckets.len() <= ENTRIES && throttle.addresses.len() <= ENTRIES);
        }
    }
}
