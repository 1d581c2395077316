//! [`Connecting`]: the connections whose CONNECT is not answered yet: their number, addresses and memory. Clients that
//! have not logged in must not exhaust the resources of others: one address gets at most half of the places, and a
//! connection that uses much memory for long is closed to make space.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::limits::NetLimits;
use crate::router::SHARE_AT_LEAST;

/// The connections whose CONNECT is not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Connecting {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By number. Numbers rise.
    places: HashMap<u64, Held>,
    /// Connections that may be closed, by memory: the last one uses most, and of several the oldest.
    closable: BTreeSet<(usize, Reverse<u64>)>,
    /// Number of connections of each address; see [`block`].
    addresses: HashMap<IpAddr, usize>,
    /// Bytes of all connections.
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    closable: bool,
    since: Instant,
    from: Option<IpAddr>,
    watch: Watch,
}

/// A connection as seen by the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    /// It must end, because others need the space.
    closed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// The place of one connection. It is freed when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    all: Arc<Connecting>,
    number: u64,
    /// Bytes that it uses without data from its client.
    base: usize,
    watch: Watch,
}

/// Why a connection gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// `max_connecting` is reached.
    Full,
    /// The address has reached its share.
    AddressFull,
}

/// A connection that was accepted more recently is not closed to make space.
const YOUNG: Duration = Duration::from_secs(3);
/// How many of the largest connections are searched for one that is not young.
const LOOKED_AT: usize = 64;
/// A client that waits for its verdict is not closed, unless it uses more than this.
const MAY_WAIT: usize = 4 << 10;

impl NoPlace {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Full => "limits.max_connecting is reached",
            Self::AddressFull => {
                "half of limits.max_connecting is used, and its address (IPv6: its /64) has as many as one may have"
            }
        }
    }
}

/// The address that is counted: an IPv6 network of a customer's usual size, or one IPv4 address.
pub(crate) fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

impl Connecting {
    /// Adds a connection from this address, unless that is a trusted proxy. `base`: bytes that it uses without data
    /// from its client.
    pub(crate) fn enter(
        self: &Arc<Self>,
        from: Option<IpAddr>,
        base: usize,
        limits: &NetLimits,
        now: Instant,
    ) -> Result<Ticket, NoPlace> {
        let mut inner = self.inner.lock();
        if inner.places.len() >= limits.max_connecting {
            return Err(NoPlace::Full);
        }
        let from = from.map(block);
        inner.count_address(from, limits)?;
        let (number, watch) = (inner.next, Watch::default());
        inner.next += 1;
        inner.bytes += base;
        inner.places.insert(number, Held { bytes: base, closable: true, since: now, from, watch: watch.clone() });
        inner.closable.insert((base, Reverse(number)));
        Ok(Ticket { all: self.clone(), number, base, watch })
    }

    /// Is there space for another connection with `base` bytes? An eighth is reserved for received data. If there is
    /// none, the largest connection that is not young is closed.
    pub(crate) fn has_room(&self, base: usize, limits: &NetLimits, now: Instant) -> bool {
        let most = limits.max_connecting_bytes - limits.max_connecting_bytes / 8;
        let mut inner = self.inner.lock();
        if inner.places.is_empty() || inner.bytes + base <= most {
            return true;
        }
        let is_young = |number: &u64| inner.places.get(number).is_none_or(|held| now < held.since + YOUNG);
        let heaviest = inner.closable.iter().rev().take(LOOKED_AT).map(|(_, Reverse(number))| *number);
        let Some(closed) = heaviest.into_iter().find(|number| !is_young(number)) else { return false };
        let waker = inner.close(closed);
        let has_room = inner.bytes + base <= most;
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
        has_room
    }
}

impl Inner {
    /// Counts a connection of this address, unless the address has reached its share.
    fn count_address(&mut self, from: Option<IpAddr>, limits: &NetLimits) -> Result<(), NoPlace> {
        let Some(from) = from else { return Ok(()) };
        let has = self.addresses.get(&from).copied().unwrap_or(0);
        let half = limits.max_connecting / 2;
        if self.places.len() > half && has >= half.max(SHARE_AT_LEAST) {
            return Err(NoPlace::AddressFull);
        }
        self.addresses.insert(from, has + 1);
        Ok(())
    }

    fn uncount_address(&mut self, from: Option<IpAddr>) {
        let Some(from) = from else { return };
        match self.addresses.get_mut(&from) {
            Some(has) if *has > 1 => *has -= 1,
            _ => _ = self.addresses.remove(&from),
        }
    }

    fn remove(&mut self, number: u64) -> Option<Held> {
        let held = self.places.remove(&number)?;
        self.bytes -= held.bytes;
        self.closable.remove(&(held.bytes, Reverse(number)));
        self.uncount_address(held.from);
        Some(held)
    }

    /// Frees the connection's space and lets it end in its next turn.
    fn close(&mut self, number: u64) -> Option<Waker> {
        let held = self.remove(number)?;
        held.watch.0.closed.store(true, Ordering::Release);
        held.watch.0.waker.lock().take()
    }
}

impl Watch {
    /// Registers the task that ends the connection if others need the space.
    pub(crate) fn wake(&self, waker: &Waker) {
        let mut place = self.0.waker.lock();
        match &mut *place {
            Some(known) if known.will_wake(waker) => {}
            place => *place = Some(waker.clone()),
        }
    }

    /// Must it end, because others need the space?
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }
}

impl Ticket {
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The connection uses this many bytes for its client. `waits`: for its verdict. If all connections together use
    /// too much, the largest ones must end.
    pub(crate) fn hold(&self, bytes: usize, waits: bool, limits: &NetLimits) {
        let mut wakers = Vec::new();
        let mut inner = self.all.inner.lock();
        let Some(held) = inner.places.get_mut(&self.number) else { return };
        let before = (held.bytes, Reverse(self.number));
        held.bytes = self.base + bytes;
        held.closable = !waits || bytes > MAY_WAIT;
        let (now, closable) = ((held.bytes, Reverse(self.number)), held.closable);
        inner.bytes = inner.bytes - before.0 + now.0;
        inner.closable.remove(&before);
        if closable {
            inner.closable.insert(now);
        }
        while inner.bytes > limits.max_connecting_bytes
            && let Some(&(_, Reverse(number))) = inner.closable.last()
        {
            wakers.extend(inner.close(number));
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A proxy reports the client's address.
    pub(crate) fn came_from(&self, address: IpAddr, limits: &NetLimits) -> Result<(), NoPlace> {
        let mut inner = self.all.inner.lock();
        let Some(before) = inner.places.get(&self.number).map(|held| held.from) else { return Ok(()) };
        let from = Some(block(address));
        if from == before {
            return Ok(());
        }
        inner.count_address(from, limits)?;
        inner.uncount_address(before);
        if let Some(held) = inner.places.get_mut(&self.number) {
            held.from = from;
        }
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let removed = self.all.inner.lock().remove(self.number);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::worker::limits::tests::limits;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn all_are_gone(all: &Connecting) {
        let inner = all.inner.lock();
        assert_eq!((inner.places.len(), inner.closable.len(), inner.addresses.len(), inner.bytes), (0, 0, 0, 0));
    }

    #[test]
    fn an_address_gets_half_of_the_places_and_a_trusted_proxy_all() {
        let all = Arc::new(Connecting::default());
        let (limits, now) = (NetLimits { max_connecting: 3_000, ..limits() }, Instant::now());
        let enter = |from| all.enter(from, 1, &limits, now);
        let first: Vec<_> = (0..1_501).map(|n| enter(ip(&format!("2001:db8::{n:x}"))).unwrap()).collect();
        assert_eq!(enter(ip("2001:db8::ffff:1:2:3")).unwrap_err(), NoPlace::AddressFull);
        // its neighbour, an address of the other family and a proxy are others
        let others = [ip("2001:db8:0:1::1"), ip("192.0.2.1"), None].map(|from| enter(from).unwrap());
        assert_eq!(others[2].came_from("2001:db8::5".parse().unwrap(), &limits), Err(NoPlace::AddressFull));
        assert_eq!(others[2].came_from("192.0.2.1".parse().unwrap(), &limits), Ok(()));
        let rest: Vec<_> = (0..1_496).map(|_| enter(None).unwrap()).collect();
        assert_eq!(enter(ip("192.0.2.1")).unwrap_err(), NoPlace::Full);
        drop((first, others, rest));
        all_are_gone(&all);
    }

    #[test]
    fn an_address_may_have_a_thousand_in_any_case() {
        let all = Arc::new(Connecting::default());
        let (limits, now) = (NetLimits { max_connecting: 1_200, ..limits() }, Instant::now());
        let entered: Vec<_> = (0..1_000).map(|_| all.enter(ip("192.0.2.1"), 1, &limits, now).unwrap()).collect();
        assert_eq!(all.enter(ip("::ffff:192.0.2.1"), 1, &limits, now).unwrap_err(), NoPlace::AddressFull);
        drop(entered);
        all_are_gone(&all);
    }

    #[test]
    fn the_attempts_that_hold_most_are_closed_but_none_during_its_login() {
        let all = Arc::new(Connecting::default());
        let (limits, now) = (NetLimits { max_connecting_bytes: 100_000, ..limits() }, Instant::now());
        let tickets: Vec<_> = (0..5).map(|_| all.enter(ip("192.0.2.1"), 1_000, &limits, now).unwrap()).collect();
        let closed = || tickets.iter().map(|ticket| ticket.watch.is_closed()).collect::<Vec<_>>();
        for (ticket, bytes, waits) in [(0, 40_000, false), (1, 30_000, false), (2, 25_000, true), (3, 1_000, true)] {
            tickets[ticket].hold(bytes, waits, &limits);
        }
        assert_eq!(closed(), [true, false, false, false, false], "the sum is 101,000");
        tickets[4].hold(50_000, false, &limits);
        assert_eq!(closed(), [true, false, false, false, true], "the one that grows holds most itself");
        // it gets smaller, and is not the one
        tickets[1].hold(0, false, &limits);
        assert!(all.has_room(50_000, &limits, now));
        assert!(!all.has_room(70_000, &limits, now), "young ones are not closed for a new one");
        let later = now + YOUNG;
        assert!(all.has_room(70_000, &limits, later));
        assert_eq!(closed(), [true, false, true, false, true], "it held more than a CONNECT that is waited for");
        assert!(!all.has_room(86_000, &limits, later), "one that waits is not closed");
        assert_eq!(closed(), [true, true, true, false, true]);
        drop(tickets);
        all_are_gone(&all);
    }
}
