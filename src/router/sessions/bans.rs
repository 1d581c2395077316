//! [`Bans`]: refused clients. Each CONNECT is checked before its login; without bans, this is one look at a flag.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Instant, SystemTime},
};

use parking_lot::RwLock;
use thiserror::Error;

use crate::types::Network;

/// The clients that a ban applies to: those that meet all given conditions. Without conditions it applies to no client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BanTarget {
    /// Its Client Identifier.
    pub client: Option<Box<str>>,
    /// User name: that of the CONNECT, and that of the login.
    pub user: Option<Box<str>>,
    /// Network of its address. Clients on Unix sockets are in no network.
    pub network: Option<Network>,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Its conditions.
    pub target: BanTarget,
    /// Why; may be empty.
    pub reason: Box<str>,
    /// The administrator who added it, for the log.
    pub by: Box<str>,
    /// Its end; `None`: an administrator ends it.
    pub until: Option<SystemTime>,
}

/// There are as many bans as there may be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("there are {MOST_BANS} bans, as many as there may be: end some of them, or ban a network")]
pub struct TooManyBans;

/// Bans that there may be at once.
pub const MOST_BANS: usize = 10_000;

/// All bans.
#[derive(Default)]
pub(crate) struct Bans {
    /// Does it exist?
    any: AtomicBool,
    version: AtomicU64,
    banned: RwLock<Banned>,
}

/// Each is found by the most special thing that is given of it.
#[derive(Default)]
struct Banned {
    clients: HashMap<Box<str>, Vec<Held>>,
    users: HashMap<Box<str>, Vec<Held>>,
    networks: HashMap<Network, Vec<Held>>,
    /// How many bans of networks with such a prefix there are, of IPv4 and others.
    prefixes: [HashMap<u8, usize>; 2],
    len: usize,
}

struct Held {
    ban: Ban,
    ends: Option<Instant>,
}

impl BanTarget {
    /// A client of this identifier, of any user.
    pub fn client(client: &str) -> Self {
        Self { client: Some(client.into()), ..Self::default() }
    }

    /// All clients of a user.
    pub fn user(user: &str) -> Self {
        Self { user: Some(user.into()), ..Self::default() }
    }

    /// All clients in this network.
    pub fn network(network: Network) -> Self {
        Self { network: Some(network), ..Self::default() }
    }

    /// Does it apply to this client? `address`: of a TCP client.
    pub fn concerns(&self, client: &str, user: Option<&str>, address: Option<IpAddr>) -> bool {
        *self != Self::default()
            && self.client.as_deref().is_none_or(|banned| banned == client)
            && self.user.as_deref().is_none_or(|banned| user == Some(banned))
            && self.network.is_none_or(|banned| address.is_some_and(|address| banned.contains(address)))
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client.as_ref().map(|client| format!("client {client:?}"));
        let user = self.user.as_ref().map(|user| format!("user {user:?}"));
        let network = self.network.map(|network| format!("network {network}"));
        let all: Vec<_> = [client, user, network].into_iter().flatten().collect();
        f.write_str(if all.is_empty() { "nobody" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

impl Bans {
    /// Does it exist?
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Another number after each change.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Adds a ban, which ends at that moment; one of the same target is replaced.
    pub(crate) fn add(&self, ban: Ban, ends: Option<Instant>, now: Instant) -> Result<(), TooManyBans> {
        let mut banned = self.banned.write();
        banned.retain(|held| held.is_in_force(now) && held.ban.target != ban.target);
        let room = banned.len < MOST_BANS;
        if room {
            banned.insert(Held { ban, ends });
        }
        self.changed(&banned);
        room.then_some(()).ok_or(TooManyBans)
    }

    /// Ends a ban: was there one?
    pub(crate) fn remove(&self, target: &BanTarget, now: Instant) -> bool {
        let mut banned = self.banned.write();
        let mut found = false;
        banned.retain(|held| {
            let is_it = held.ban.target == *target;
            found |= is_it && held.is_in_force(now);
            !is_it && held.is_in_force(now)
        });
        self.changed(&banned);
        found
    }

    /// All that are in force, in an order that stays.
    pub(crate) fn all(&self, now: Instant) -> Vec<Ban> {
        let banned = self.banned.read();
        let in_force = banned.each().filter(|held| held.is_in_force(now));
        let mut all: Vec<_> = in_force.map(|held| held.ban.clone()).collect();
        drop(banned);
        crate::types::sort_by(&mut all, |one, other| one.target.cmp(&other.target));
        all
    }

    /// A ban that concerns this client.
    pub(crate) fn find(&self, client: &str, user: Option<&str>, address: Option<IpAddr>, now: Instant) -> Option<Ban> {
        let banned = self.banned.read();
        let concerns = |held: &&Held| held.is_in_force(now) && held.ban.target.concerns(client, user, address);
        let by_name = banned.clients.get(client).into_iter().chain(user.and_then(|user| banned.users.get(user)));
        let found = by_name.flatten().find(concerns).or_else(|| {
            let address = address?.to_canonical();
            let prefixes = banned.prefixes[usize::from(address.is_ipv6())].keys();
            let networks = prefixes.filter_map(|bits| banned.networks.get(&Network::around(address, *bits)?));
            networks.flatten().find(concerns)
        });
        found.map(|held| held.ban.clone())
    }

    fn changed(&self, banned: &Banned) {
        self.any.store(banned.len > 0, Ordering::Release);
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}

impl Banned {
    fn insert(&mut self, held: Held) {
        let target = &held.ban.target;
        let place = match (&target.client, &target.user, target.network) {
            (Some(client), ..) => self.clients.entry(client.clone()).or_default(),
            (None, Some(user), _) => self.users.entry(user.clone()).or_default(),
            (None, None, Some(network)) => {
                *self.prefixes[usize::from(!network.is_v4())].entry(network.bits()).or_default() += 1;
                self.networks.entry(network).or_default()
            }
            (None, None, None) => return,
        };
        place.push(held);
        self.len += 1;
    }

    fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) {
        let mut emptied = |held: &mut Vec<Held>| {
            held.retain(&mut keep);
            !held.is_empty()
        };
        self.clients.retain(|_, held| emptied(held));
        self.users.retain(|_, held| emptied(held));
        self.networks.retain(|_, held| emptied(held));
        self.prefixes = <[HashMap<u8, usize>; 2]>::default();
        for (network, held) in &self.networks {
            *self.prefixes[usize::from(!network.is_v4())].entry(network.bits()).or_default() += held.len();
        }
        self.len = self.each().count();
    }

    fn each(&self) -> impl Iterator<Item = &Held> {
        self.clients.values().chain(self.users.values()).chain(self.networks.values()).flatten()
    }
}

impl Held {
    fn is_in_force(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ban(target: BanTarget) -> Ban {
        Ban { target, reason: "noise".into(), by: "ann".into(), until: None }
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_ban_applies_to_clients_that_meet_all_its_conditions() {
        let (bans, now) = (Bans::default(), Instant::now());
        let both = BanTarget { user: Some("eve".into()), ..BanTarget::client("shared") };
        let at = BanTarget { network: Some(network("192.0.2.7")), ..BanTarget::user("tom") };
        let targets = [
            BanTarget::client("lamp"),
            BanTarget::user("mallory"),
            BanTarget::network(network("10.0.0.0/8")),
            BanTarget::network(network("2001:db8::/32")),
            both,
            at,
            BanTarget::default(),
        ];
        assert!(!bans.any());
        targets.into_iter().for_each(|target| bans.add(ban(target), None, now).unwrap());
        assert!(bans.any());
        let table = [
            ("lamp", None, "192.0.2.1", true),
            ("lamp2", None, "192.0.2.1", false),
            ("x", Some("mallory"), "192.0.2.1", true),
            ("x", Some("ann"), "192.0.2.1", false),
            ("x", None, "10.200.1.1", true),
            ("x", None, "::ffff:10.200.1.1", true),
            ("x", None, "11.0.0.1", false),
            ("x", None, "2001:db8:1::1", true),
            ("x", None, "2001:db9::1", false),
            ("shared", Some("eve"), "192.0.2.1", true),
            ("shared", Some("ann"), "192.0.2.1", false),
            ("shared", None, "192.0.2.1", false),
            ("other", Some("eve"), "192.0.2.1", false),
            ("x", Some("tom"), "192.0.2.7", true),
            ("x", Some("tom"), "192.0.2.8", false),
        ];
        for (client, user, address, banned) in table {
            let found = bans.find(client, user, Some(address.parse().unwrap()), now);
            assert_eq!(found.is_some(), banned, "{client} {user:?} {address}");
        }
        assert!(bans.find("x", Some("tom"), None, now).is_none(), "by a Unix socket");
        assert_eq!(bans.all(now).len(), 6, "one for nobody is none");
    }

    #[test]
    fn expired_bans_are_removed() {
        let (bans, now) = (Bans::default(), Instant::now());
        let (lamp, net) = (BanTarget::client("lamp"), BanTarget::network(network("10.0.0.0/8")));
        let hour = Duration::from_secs(3600);
        bans.add(ban(lamp.clone()), Some(now + hour), now).unwrap();
        bans.add(ban(net.clone()), None, now).unwrap();
        let version = bans.version();
        assert!(bans.find("lamp", None, None, now).is_some());
        assert!(bans.find("lamp", None, None, now + hour).is_none());
        assert!(!bans.remove(&lamp, now + hour), "it has ended");
        assert!(bans.remove(&net, now + hour) && !bans.any());
        assert_ne!(bans.version(), version);
        assert!(bans.banned.read().prefixes.iter().all(HashMap::is_empty));

        bans.add(ban(lamp.clone()), Some(now + hour), now).unwrap();
        bans.add(ban(lamp.clone()), Some(now + 2 * hour), now).unwrap();
        assert_eq!(bans.all(now).len(), 1, "the later one is in the place of the earlier one");
        assert!(bans.find("lamp", None, None, now + hour).is_some());
    }

    #[test]
    fn the_number_of_bans_is_bounded() {
        let (bans, now) = (Bans::default(), Instant::now());
        let mut held = bans.banned.write();
        for n in 0..MOST_BANS {
            held.insert(Held { ban: ban(BanTarget::client(&n.to_string())), ends: None });
        }
        drop(held);
        assert_eq!(bans.add(ban(BanTarget::client("one more")), None, now), Err(TooManyBans));
        bans.add(ban(BanTarget::client("7")), None, now).unwrap();
        assert_eq!(bans.all(now).len(), MOST_BANS);
    }
}
