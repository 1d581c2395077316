//! [`Presence`]: what a connection remembers of itself, for those who ask: since when, from where, and what went both
//! ways. Its own thread writes it, a few times in a turn; nobody locks it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::super::ports::{Peer, PeerAddress};

/// What a connection remembers of itself.
#[derive(Debug)]
pub(crate) struct Presence {
    since: Tick,
    last_packet: AtomicU32,
    /// `None`: a Unix socket.
    ip: Option<IpAddr>,
    port: u16,
    listener: u16,
    keep_alive: u16,
    received: Counted,
    sent: Counted,
}

const _: () = assert!(size_of::<Presence>() <= 80, "every connection has one");

#[derive(Debug, Default)]
struct Counted {
    packets: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// MQTT packets of any type.
    pub packets: u64,
    /// PUBLISH packets: from the client those that were accepted, to the client those that were written.
    pub messages: u64,
    /// Bytes: those of the packets, without what TLS or WebSocket add.
    pub bytes: u64,
}

/// A moment, in tenths of a second since the first connection of the router: small, since every connection has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

/// From moments to ticks and back.
#[derive(Debug, Default)]
pub(crate) struct Moments(OnceLock<Instant>);

const TICKS_A_SECOND: u32 = 10;

impl Moments {
    #[inline]
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        let since = at.saturating_duration_since(*self.0.get_or_init(|| at));
        let ticks = since.as_secs() * u64::from(TICKS_A_SECOND) + u64::from(since.subsec_millis() / 100);
        // after thirteen years they stand still
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// The beginning of that tick; `None`: there was none yet.
    pub(crate) fn at(&self, tick: Tick) -> Option<Instant> {
        self.0.get()?.checked_add(Duration::from_millis(u64::from(tick.0) * 100))
    }
}

impl Presence {
    /// Of a connection that begins now.
    pub(crate) fn new(now: Tick, peer: Peer, keep_alive: u16) -> Self {
        let (ip, port) = match peer.address {
            PeerAddress::Ip(address) => (Some(address.ip()), address.port()),
            PeerAddress::Unix => (None, 0),
        };
        Self {
            since: now,
            last_packet: AtomicU32::new(now.0),
            ip,
            port,
            listener: peer.listener,
            keep_alive,
            received: Counted::default(),
            sent: Counted::default(),
        }
    }

    /// When it was accepted.
    pub(crate) fn since(&self) -> Tick {
        self.since
    }

    /// When its client's last packet came.
    pub(crate) fn last_packet(&self) -> Tick {
        Tick(self.last_packet.load(Ordering::Relaxed))
    }

    pub(crate) fn peer(&self) -> PeerAddress {
        self.ip.map_or(PeerAddress::Unix, |ip| PeerAddress::Ip(SocketAddr::new(ip, self.port)))
    }

    /// The number of its listener.
    pub(crate) fn listener(&self) -> u16 {
        self.listener
    }

    /// Seconds.
    pub(crate) fn keep_alive(&self) -> u16 {
        self.keep_alive
    }

    /// From the client.
    pub(crate) fn received(&self) -> Flow {
        self.received.get()
    }

    /// To the client.
    pub(crate) fn sent(&self) -> Flow {
        self.sent.get()
    }

    // ---- to be called by the connection's own thread ----

    /// Packets came from the client.
    pub(crate) fn heard(&self, now: Tick) {
        self.last_packet.store(now.0, Ordering::Relaxed);
    }

    /// So much more came.
    pub(crate) fn add_received(&self, flow: Flow) {
        self.received.add(flow);
    }

    /// So much more was written.
    pub(crate) fn add_sent(&self, flow: Flow) {
        self.sent.add(flow);
    }
}

impl Counted {
    fn get(&self) -> Flow {
        let [packets, messages, bytes] =
            [&self.packets, &self.messages, &self.bytes].map(|counter| counter.load(Ordering::Relaxed));
        Flow { packets, messages, bytes }
    }

    /// One writer: no locked instruction is needed.
    fn add(&self, Flow { packets, messages, bytes }: Flow) {
        for (counter, n) in [(&self.packets, packets), (&self.messages, messages), (&self.bytes, bytes)] {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_tenth_of_a_second() {
        let (moments, now) = (Moments::default(), Instant::now());
        assert_eq!(moments.at(Tick(0)), None);
        assert_eq!(moments.tick(now), Tick(0));
        for (after, tick) in [(99, 0), (100, 1), (1_000, 10), (61_234, 612)] {
            assert_eq!(moments.tick(now + Duration::from_millis(after)), Tick(tick));
            assert_eq!(moments.at(Tick(tick)), Some(now + Duration::from_millis(after / 100 * 100)));
        }
        assert_eq!(moments.tick(now + Duration::from_secs(1 << 30)), Tick(u32::MAX));
    }
}
