//! [`Flapping`]: finds clients and addresses that connect and disconnect so often that their log lines are summed up
//! once a minute. It is called for each connection, not for packets, and remembers a fixed number of clients and
//! addresses.

use std::{
    collections::hash_map::RandomState,
    fmt::Display,
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use crate::router::{Peer, PeerAddress};

/// Number of short connections of a client or address in one minute whose lines are written.
const SHOWN: u32 = 20;
/// How often sums are written. A connection that lasts this long does not count as flapping.
const MINUTE: Duration = Duration::from_secs(60);
/// Number of clients and addresses that are remembered.
const PLACES: usize = 1024;
/// Number of places that a client or address may be in.
const WAYS: usize = 4;
/// Characters of a Client Identifier or a reason in a summary.
const LONGEST_TEXT: usize = 200;

/// Counts the short connections of each client and address.
#[derive(Default)]
pub(crate) struct Flapping {
    hasher: RandomState,
    /// Empty until the first short connection, then [`PLACES`] long.
    places: Vec<Option<Entry>>,
    /// Summaries of entries that were replaced.
    sums: Vec<Sum>,
}

/// A client or an address.
struct Entry {
    /// The hash of its [`Source`].
    key: u64,
    /// When its minute began.
    since: Instant,
    /// Its short connections in this minute.
    ended: u32,
    /// The previous minute had more connections than are shown, so none is shown in this one.
    sums_up: bool,
    left_out: Option<Box<Sum>>,
}

#[derive(Clone, Copy, Hash)]
enum Source<'a> {
    Client(&'a str),
    /// For IPv6, a /64, which is what one customer has; `None`: Unix sockets.
    Address(Option<IpAddr>),
}

/// The summary of the lines about a client or address that were not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) client: Option<Box<str>>,
    pub(crate) address: Option<Box<str>>,
    /// Number of connections that ended.
    pub(crate) connections: u32,
    pub(crate) lines: u32,
    /// Why the last of them ended.
    pub(crate) last_reason: Box<str>,
}

impl Flapping {
    /// A client's connection begins. Returns whether its line is written.
    pub(crate) fn begins(&mut self, client: &str, peer: &Peer) -> bool {
        if self.places.is_empty() {
            return true;
        }
        for source in [Source::Client(client), Source::of(peer)] {
            let key = self.hasher.hash_one(source);
            let entry = self.set(key).iter_mut().flatten().find(|entry| entry.key == key);
            if let Some(entry) = entry.filter(|entry| entry.sums_up || entry.ended >= SHOWN) {
                entry.leave_out(source).lines += 1;
                return false;
            }
        }
        true
    }

    /// A connection ended after `duration`, zero if no client was let in. Returns whether its line is written. One that
    /// is left out because of its client does not count for the address, which other clients may share.
    pub(crate) fn ends(
        &mut self,
        client: Option<&str>,
        peer: &Peer,
        duration: Duration,
        reason: &dyn Display,
        now: Instant,
    ) -> bool {
        if duration >= MINUTE {
            return true;
        }
        for source in client.map(Source::Client).into_iter().chain([Source::of(peer)]) {
            let entry = self.entry(source, now);
            entry.ended = entry.ended.saturating_add(1);
            if entry.sums_up || entry.ended > SHOWN {
                let sum = entry.leave_out(source);
                sum.connections += 1;
                sum.lines += 1;
                sum.last_reason = shortened(&reason.to_string());
                return false;
            }
        }
        true
    }

    /// The sums of clients and addresses whose minute is over. To be called every second or so.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Sum> {
        let mut sums = std::mem::take(&mut self.sums);
        for place in &mut self.places {
            let Some(entry) = place.as_mut().filter(|entry| now.duration_since(entry.since) >= MINUTE) else {
                continue;
            };
            sums.extend(entry.left_out.take().map(|sum| *sum));
            if entry.ended == 0 {
                *place = None;
                continue;
            }
            entry.sums_up = entry.ended > SHOWN;
            entry.ended = 0;
            entry.since = now;
        }
        sums
    }

    /// All sums, also of minutes that are not over.
    pub(crate) fn rest(&mut self) -> Vec<Sum> {
        let left_out = self.places.iter_mut().flatten().filter_map(|entry| entry.left_out.take());
        self.sums.drain(..).chain(left_out.map(|sum| *sum)).collect()
    }

    fn set(&mut self, key: u64) -> &mut [Option<Entry>] {
        let first = key as usize % (PLACES / WAYS) * WAYS;
        &mut self.places[first..first + WAYS]
    }

    /// Finds the entry or makes one. If its places are taken, it replaces the entry with the fewest connections.
    fn entry(&mut self, source: Source<'_>, now: Instant) -> &mut Entry {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let key = self.hasher.hash_one(source);
        let set = self.set(key);
        let known = set.iter().position(|place| place.as_ref().is_some_and(|entry| entry.key == key));
        let at = known.unwrap_or_else(|| {
            let counts = |place: &Option<Entry>| place.as_ref().map(|entry| (entry.sums_up, entry.ended));
            (0..WAYS).min_by_key(|&at| counts(&set[at])).unwrap_or_default()
        });
        if known.is_none() {
            let new = Entry { key, since: now, ended: 0, sums_up: false, left_out: None };
            let before = set[at].replace(new).and_then(|entry| entry.left_out);
            self.sums.extend(before.map(|sum| *sum));
        }
        self.set(key)[at].as_mut().expect("it was there, or was put there")
    }
}

impl Entry {
    fn leave_out(&mut self, source: Source<'_>) -> &mut Sum {
        self.left_out.get_or_insert_with(|| {
            let (client, address) = match source {
                Source::Client(client) => (Some(shortened(client)), None),
                Source::Address(None) => (None, Some("unix".into())),
                Source::Address(Some(IpAddr::V6(prefix))) => (None, Some(format!("{prefix}/64").into())),
                Source::Address(Some(address)) => (None, Some(address.to_string().into())),
            };
            Box::new(Sum { client, address, ..Sum::default() })
        })
    }
}

impl Source<'_> {
    fn of(peer: &Peer) -> Self {
        if peer.address == PeerAddress::Unix {
            return Self::Address(None);
        }
        Self::Address(Some(match peer.address.ip().to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 => v4,
        }))
    }
}

fn shortened(text: &str) -> Box<str> {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer(address: &str) -> Peer {
        let address = match address {
            "unix" => PeerAddress::Unix,
            ip => PeerAddress::Ip(ip.parse().unwrap()),
        };
        Peer { address, loopback_listener: false, listener: 0 }
    }

    /// A short connection: are its two lines written?
    fn comes_and_goes(flapping: &mut Flapping, client: &str, address: &str, now: Instant) -> [bool; 2] {
        let begins = flapping.begins(client, &peer(address));
        [begins, flapping.ends(Some(client), &peer(address), SECOND, &"it went", now)]
    }

    fn sum(client: Option<&str>, address: Option<&str>, connections: u32, lines: u32) -> Sum {
        let [client, address] = [client, address].map(|text| text.map(Into::into));
        Sum { client, address, connections, lines, last_reason: "it went".into() }
    }

    #[test]
    fn a_client_that_flaps_is_summed_up_each_minute_until_it_has_stopped() {
        let mut flapping = Flapping::default();
        let mut now = Instant::now();
        // from addresses of many networks
        let address = |n: u32| format!("10.{}.{}.1:7", n / 250, n % 250);
        for n in 0..SHOWN {
            assert_eq!(comes_and_goes(&mut flapping, "lamp", &address(n), now), [true; 2], "{n}");
        }
        for minute in 1..4 {
            for n in 0..100 {
                assert_eq!(comes_and_goes(&mut flapping, "lamp", &address(n), now), [false; 2], "{minute} {n}");
                assert_eq!(flapping.due(now), []);
            }
            now += MINUTE;
            assert_eq!(flapping.due(now), [sum(Some("lamp"), None, 100, 200)]);
        }
        // less often than before: the connections of that minute are still summed up
        for n in 0..SHOWN {
            assert_eq!(comes_and_goes(&mut flapping, "lamp", &address(n), now), [false; 2]);
        }
        now += MINUTE;
        assert_eq!(flapping.due(now), [sum(Some("lamp"), None, SHOWN, 2 * SHOWN)]);
        assert_eq!(comes_and_goes(&mut flapping, "lamp", &address(0), now), [true; 2]);
        flapping.due(now + MINUTE);
        flapping.due(now + 2 * MINUTE);
        assert!(flapping.places.iter().all(Option::is_none), "those that stay away are forgotten");
    }

    #[test]
    fn clients_with_changing_names_are_summed_up_by_address() {
        let table = [
            ("192.0.2.1:1", "192.0.2.1:2", "192.0.2.1"),
            ("[2001:db8::1]:1", "[2001:db8::ffff:1]:2", "2001:db8::/64"),
            ("unix", "unix", "unix"),
        ];
        for (one, other, name) in table {
            let (mut flapping, now) = (Flapping::default(), Instant::now());
            for n in 0..SHOWN {
                let address = if n % 2 == 0 { one } else { other };
                assert_eq!(comes_and_goes(&mut flapping, &format!("c{n}"), address, now), [true; 2]);
            }
            assert_eq!(comes_and_goes(&mut flapping, "another", one, now), [false; 2]);
            // before its CONNECT
            assert!(!flapping.ends(None, &peer(other), SECOND, &"it went", now));
            assert_eq!(comes_and_goes(&mut flapping, "another", "192.0.2.9:1", now), [true; 2]);
            assert_eq!(flapping.rest(), [sum(None, Some(name), 2, 3)]);
            assert_eq!(flapping.rest(), []);
        }
    }

    #[test]
    fn a_flapping_client_hides_no_lines_of_others_at_its_address() {
        let (mut flapping, mut now) = (Flapping::default(), Instant::now());
        for _ in 0..3 {
            (0..100).for_each(|_| _ = comes_and_goes(&mut flapping, "lamp", "192.0.2.1:1", now));
            now += MINUTE;
            assert_eq!(flapping.due(now).len(), 1);
        }
        assert_eq!(comes_and_goes(&mut flapping, "other", "192.0.2.1:1", now), [true; 2]);
    }

    #[test]
    fn connections_that_last_are_shown() {
        let (mut flapping, now) = (Flapping::default(), Instant::now());
        for n in 0..1000 {
            let client = format!("c{n}");
            assert!(flapping.begins(&client, &peer("192.0.2.1:1")));
            assert!(flapping.ends(Some(&client), &peer("192.0.2.1:1"), MINUTE, &"it went", now));
        }
        assert!(flapping.places.is_empty(), "nothing is remembered of them");
    }

    #[test]
    fn the_memory_about_flapping_clients_is_bounded() {
        let (mut flapping, now) = (Flapping::default(), Instant::now());
        let long = "x".repeat(60_000);
        (0..100).for_each(|_| _ = comes_and_goes(&mut flapping, &long, "192.0.2.1:1", now));
        for n in 0..20 * PLACES {
            comes_and_goes(&mut flapping, &format!("c{n}"), &format!("10.{}.{}.1:7", n / 250, n % 250), now);
        }
        assert_eq!(flapping.places.len(), PLACES);
        assert_eq!(comes_and_goes(&mut flapping, &long, "192.0.2.1:1", now), [false; 2]);
        let sums = flapping.rest();
        assert_eq!(sums.iter().map(|sum| sum.connections).sum::<u32>(), 101 - SHOWN);
        assert!(sums.iter().all(|sum| sum.client.as_ref().is_some_and(|client| client.len() < 300)));
    }
}
