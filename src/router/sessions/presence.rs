//! [`Presence`]: figures of a connection, for inspection: since when and from where it is connected, and its traffic.
//! Its worker thread writes them a few times in a turn, without a lock.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use super::super::ports::{Peer, PeerAddress};
use crate::types::UserName;

/// The figures of a connection. The default is for clients within this process, which have none.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    since: Tick,
    last_packet: AtomicU32,
    /// Used while there is no `activity`.
    few: Few,
    /// `None`: a Unix socket.
    ip: Option<IpAddr>,
    port: u16,
    listener: u16,
    keep_alive: u16,
    /// From CONNECT: after a take-over, the session may belong to another user.
    user: Option<UserName>,
    /// Set when there were messages, or many packets.
    activity: ArcSwapOption<Activity>,
}

const _: () = assert!(size_of::<Presence>() <= 64, "every connection has one");

/// The counts of an idle connection, without messages.
#[derive(Debug, Default)]
struct Few {
    received_packets: AtomicU16,
    sent_packets: AtomicU16,
    received_bytes: AtomicU32,
    sent_bytes: AtomicU32,
}

/// The counts of a connection that is not idle.
#[derive(Debug, Default)]
struct Activity {
    received: Counted,
    sent: Counted,
}

#[derive(Debug, Default)]
struct Counted {
    packets: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// The traffic in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// MQTT packets of any type.
    pub packets: u64,
    /// PUBLISH packets: accepted from the client, or written to it.
    pub messages: u64,
    /// Bytes of packets, without those of TLS or WebSocket.
    pub bytes: u64,
}

/// A time in tenths of a second since the router's first connection: small, because every connection has several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

/// Converts between times and ticks.
#[derive(Debug, Default)]
pub(crate) struct Moments(OnceLock<Instant>);

const TICKS_A_SECOND: u32 = 10;

impl Moments {
    #[inline]
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        let since = at.saturating_duration_since(*self.0.get_or_init(|| at));
        let ticks = since.as_secs() * u64::from(TICKS_A_SECOND) + u64::from(since.subsec_millis() / 100);
        // the largest value, reached after thirteen years
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// The time at the beginning of a tick. `None`: there was none yet.
    pub(crate) fn at(&self, tick: Tick) -> Option<Instant> {
        self.0.get()?.checked_add(Duration::from_millis(u64::from(tick.0) * 100))
    }
}

impl Tick {
    /// As a number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The one with that number.
    pub(crate) fn of(number: u32) -> Self {
        Self(number)
    }
}

impl Presence {
    /// For a new connection.
    pub(crate) fn new(now: Tick, peer: Peer, keep_alive: u16, user: Option<UserName>) -> Self {
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
            user,
            ..Self::default()
        }
    }

    /// When it was accepted.
    pub(crate) fn since(&self) -> Tick {
        self.since
    }

    /// Time of its client's last packet.
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

    /// In seconds.
    pub(crate) fn keep_alive(&self) -> u16 {
        self.keep_alive
    }

    /// The User Name in force when it connected.
    #[inline]
    pub(crate) fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// Traffic from the client, and to it.
    pub(crate) fn flows(&self) -> (Flow, Flow) {
        match &*self.activity.load() {
            Some(activity) => (activity.received.get(), activity.sent.get()),
            None => self.few.get(),
        }
    }

    // ---- call on the connection's own thread ----

    /// Packets of the client arrived.
    pub(crate) fn heard(&self, now: Tick) {
        self.last_packet.store(now.0, Ordering::Relaxed);
    }

    /// Adds traffic.
    pub(crate) fn add(&self, received: Flow, sent: Flow) {
        match &*self.activity.load() {
            Some(activity) => activity.add(received, sent),
            None if self.few.add(received, sent) => {}
            None => {
                let activity = Activity::default();
                let (before, written) = self.few.get();
                activity.add(before, written);
                activity.add(received, sent);
                self.activity.store(Some(Arc::new(activity)));
            }
        }
    }
}

impl Few {
    fn get(&self) -> (Flow, Flow) {
        let flow = |packets: &AtomicU16, bytes: &AtomicU32| Flow {
            packets: packets.load(Ordering::Relaxed).into(),
            messages: 0,
            bytes: bytes.load(Ordering::Relaxed).into(),
        };
        (flow(&self.received_packets, &self.received_bytes), flow(&self.sent_packets, &self.sent_bytes))
    }

    /// `false`: it does not fit.
    fn add(&self, received: Flow, sent: Flow) -> bool {
        let (before, written) = self.get();
        let sum = |now: Flow, more: Flow| {
            let packets = u16::try_from(now.packets + more.packets).ok()?;
            let bytes = u32::try_from(now.bytes + more.bytes).ok()?;
            (more.messages == 0).then_some((packets, bytes))
        };
        let (Some(received), Some(sent)) = (sum(before, received), sum(written, sent)) else { return false };
        self.received_packets.store(received.0, Ordering::Relaxed);
        self.received_bytes.store(received.1, Ordering::Relaxed);
        self.sent_packets.store(sent.0, Ordering::Relaxed);
        self.sent_bytes.store(sent.1, Ordering::Relaxed);
        true
    }
}

impl Activity {
    fn add(&self, received: Flow, sent: Flow) {
        if received != Flow::default() {
            self.received.add(received);
        }
        if sent != Flow::default() {
            self.sent.add(sent);
        }
    }
}

impl Counted {
    fn get(&self) -> Flow {
        let [packets, messages, bytes] =
            [&self.packets, &self.messages, &self.bytes].map(|counter| counter.load(Ordering::Relaxed));
        Flow { packets, messages, bytes }
    }

    /// There is one writer, so no locked instruction is needed.
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
    fn a_connection_that_is_no_longer_idle_has_counted_all_that_was_before() {
        let (none, presence) = (Flow::default(), Presence::default());
        let flow = |packets, messages, bytes| Flow { packets, messages, bytes };
        presence.add(flow(1, 0, 20), flow(1, 0, 4));
        presence.add(flow(1, 0, 2), none);
        assert_eq!(presence.flows(), (flow(2, 0, 22), flow(1, 0, 4)));
        assert!(presence.activity.load().is_none());
        presence.add(none, flow(3, 2, 100));
        assert_eq!(presence.flows(), (flow(2, 0, 22), flow(4, 2, 104)));
        let many = Presence::default();
        for _ in 0..3 {
            many.add(flow(40_000, 0, 3 << 30), none);
        }
        assert_eq!(many.flows(), (flow(120_000, 0, 9 << 30), none));
    }

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
