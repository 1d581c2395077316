//! Rate limits of publishing ([`PublishRates`], [`Paced`]) and of connecting ([`ConnectRate`]), as token buckets. Time
//! is an argument.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::limits::NetLimits;

/// The rates of a listener that differ from the general ones. The inner `None`: without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerRates {
    /// Messages in a second.
    pub messages: Option<Option<u32>>,
    /// Bytes of PUBLISH packets in a second.
    pub bytes: Option<Option<usize>>,
}

/// The rates of publishing, for the connections.
#[derive(Default)]
pub(crate) struct PublishRates {
    /// Is there any rate?
    are_set: AtomicBool,
    /// By the listener's number.
    listeners: ArcSwap<HashMap<u16, ListenerRates>>,
}

impl PublishRates {
    /// Is there any rate? Asked at each read.
    #[inline]
    pub(crate) fn are_set(&self) -> bool {
        self.are_set.load(Ordering::Relaxed)
    }

    /// Sets the general limits.
    pub(crate) fn limits_changed(&self, limits: &NetLimits) {
        let general = limits.publish_rate.is_some() || limits.publish_bytes_rate.is_some();
        let is_set = |rates: &ListenerRates| rates.messages.flatten().is_some() || rates.bytes.flatten().is_some();
        self.are_set.store(general || self.listeners.load().values().any(is_set), Ordering::Relaxed);
    }

    /// Sets the rates of a listener.
    pub(crate) fn listener_changed(&self, number: u16, rates: ListenerRates, limits: &NetLimits) {
        self.listeners.rcu(|before| {
            let mut listeners = HashMap::clone(before);
            listeners.insert(number, rates);
            Arc::new(listeners)
        });
        self.limits_changed(limits);
    }

    /// The rates for the clients of a listener.
    pub(crate) fn of(&self, listener: u16, limits: &NetLimits) -> ClientRates {
        let own = self.listeners.load().get(&listener).copied().unwrap_or_default();
        let messages = own.messages.unwrap_or(limits.publish_rate).map(f64::from);
        let bytes = own.bytes.unwrap_or(limits.publish_bytes_rate).map(|bytes| bytes as f64);
        let rate = |per_second: f64| Rate::new(per_second, limits.publish_burst);
        ClientRates { messages: messages.map(rate), bytes: bytes.map(rate) }
    }
}

/// The rates of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientRates {
    messages: Option<Rate>,
    bytes: Option<Rate>,
}

/// A rate and the largest burst.
#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    most: f64,
}

impl Rate {
    fn new(per_second: f64, burst: Duration) -> Self {
        Self { per_second, most: (per_second * burst.as_secs_f64()).max(1.0) }
    }
}

/// The remaining burst; negative if it was exceeded.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.most, at: now }
    }

    /// What is left now.
    fn left(&mut self, rate: Rate, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate.per_second;
        (self.left, self.at) = ((self.left + gained).min(rate.most), self.at.max(now));
        self.left
    }

    /// Uses some of it, possibly more than is left.
    fn take(&mut self, rate: Rate, taken: f64, now: Instant) {
        self.left = self.left(rate, now) - taken;
    }

    /// How long until one is left; `None`: it is now.
    fn wait(&mut self, rate: Rate, now: Instant) -> Option<Duration> {
        let left = self.left(rate, now);
        // a millisecond more: the sum of many small parts may be slightly less than one
        (left < 1.0).then(|| Duration::from_secs_f64((1.0 - left) / rate.per_second) + Duration::from_millis(1))
    }
}

/// The state of a client with rates.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    /// The client is paused, and woken at this time.
    pub(crate) waits_until: Option<Instant>,
    /// When it was last found to exceed its rates.
    slowed: Option<Instant>,
}

/// The smallest PUBLISH: a topic of one character at QoS 0.
pub(crate) const SMALLEST_PUBLISH: usize = 5;
/// A client that was not slowed down for this long is logged again.
const NEWS_AFTER: Duration = Duration::from_secs(60);

impl Paced {
    /// Number of bytes that may be read in addition to the rest of a packet that has begun, so that they contain no
    /// more messages than allowed. `Err`: how long nothing may be read.
    pub(crate) fn room(&mut self, rates: ClientRates, now: Instant) -> Result<usize, Duration> {
        let mut room = usize::MAX;
        let mut wait = None;
        // a float that is too large becomes the largest integer
        for (bucket, rate, each) in
            [(&mut self.messages, rates.messages, SMALLEST_PUBLISH), (&mut self.bytes, rates.bytes, 1)]
        {
            let Some(rate) = rate else {
                *bucket = None;
                continue;
            };
            let bucket = bucket.get_or_insert_with(|| Bucket::full(rate, now));
            wait = wait.max(bucket.wait(rate, now));
            room = room.min((bucket.left.max(1.0) as usize).saturating_mul(each));
        }
        wait.map_or(Ok(room.max(SMALLEST_PUBLISH)), Err)
    }

    /// Counts published messages. `false`: more than allowed.
    pub(crate) fn take(&mut self, rates: ClientRates, messages: u32, bytes: usize, now: Instant) -> bool {
        let mut is_within = true;
        for (bucket, rate, taken) in
            [(&mut self.messages, rates.messages, f64::from(messages)), (&mut self.bytes, rates.bytes, bytes as f64)]
        {
            let Some(rate) = rate else { continue };
            let bucket = bucket.get_or_insert_with(|| Bucket::full(rate, now));
            bucket.take(rate, taken, now);
            is_within &= bucket.left >= 0.0;
        }
        is_within
    }

    /// The client exceeded its rates. Should that be logged?
    pub(crate) fn slowed(&mut self, now: Instant) -> bool {
        let before = self.slowed.replace(now);
        before.is_none_or(|before| now.saturating_duration_since(before) >= NEWS_AFTER)
    }
}

/// The rate of new connections, on all listeners together.
#[derive(Debug, Default)]
pub(crate) struct ConnectRate(Mutex<Option<Bucket>>);

impl ConnectRate {
    /// How long nothing may be accepted, at this number of connections a second; `None`: accept now.
    pub(crate) fn wait(&self, per_second: u32, now: Instant) -> Option<Duration> {
        let rate = Self::rate(per_second);
        self.0.lock().get_or_insert_with(|| Bucket::full(rate, now)).wait(rate, now)
    }

    /// A connection was accepted.
    pub(crate) fn take(&self, per_second: u32, now: Instant) {
        let rate = Self::rate(per_second);
        self.0.lock().get_or_insert_with(|| Bucket::full(rate, now)).take(rate, 1.0, now);
    }

    /// The burst is that of one second.
    fn rate(per_second: u32) -> Rate {
        Rate::new(per_second.into(), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::limits::tests::limits, *};

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn rates(messages: Option<f64>, bytes: Option<f64>, burst: Duration) -> ClientRates {
        let rate = |per_second| Rate::new(per_second, burst);
        ClientRates { messages: messages.map(rate), bytes: bytes.map(rate) }
    }

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let (now, rates, mut paced) = (Instant::now(), rates(Some(10.0), None, ms(2_000)), Paced::default());
        assert_eq!(paced.room(rates, now), Ok(20 * SMALLEST_PUBLISH));
        assert!(paced.take(rates, 20, 0, now));
        assert_eq!(paced.room(rates, now), Err(ms(101)));
        assert_eq!(paced.room(rates, now + ms(50)), Err(ms(51)));
        assert_eq!(paced.room(rates, now + ms(101)), Ok(SMALLEST_PUBLISH));
        assert!(paced.take(rates, 1, 0, now + ms(101)));
        assert!(!paced.take(rates, 1, 0, now + ms(101)));
        // at most the burst, after any silence; time does not go back
        assert_eq!(paced.room(rates, now + ms(1_000_000)), Ok(20 * SMALLEST_PUBLISH));
        assert_eq!(paced.room(rates, now), Ok(20 * SMALLEST_PUBLISH));
    }

    #[test]
    fn a_message_that_is_larger_than_the_burst_is_waited_for_afterwards() {
        let (now, rates, mut paced) = (Instant::now(), rates(None, Some(1_000.0), ms(1_000)), Paced::default());
        assert_eq!(paced.room(rates, now), Ok(1_000));
        assert!(!paced.take(rates, 1, 5_000, now));
        assert_eq!(paced.room(rates, now), Err(ms(4_002)));
        assert!(paced.room(rates, now + ms(4_002)).is_ok());
    }

    #[test]
    fn both_rates_apply_and_a_removed_one_does_not() {
        let (now, mut paced) = (Instant::now(), Paced::default());
        let both = rates(Some(100.0), Some(40.0), ms(1_000));
        assert_eq!(paced.room(both, now), Ok(40));
        assert!(paced.take(both, 2, 40, now));
        assert!(paced.room(both, now).is_err());
        assert_eq!(paced.room(rates(Some(100.0), None, ms(1_000)), now), Ok(98 * SMALLEST_PUBLISH));
        assert_eq!(paced.room(rates(None, None, ms(1_000)), now), Ok(usize::MAX));
    }

    #[test]
    fn a_slowed_client_is_reported_once() {
        let (now, mut paced) = (Instant::now(), Paced::default());
        let news = [0, 1, 59, 118, 178, 179].map(|s| paced.slowed(now + ms(s * 1_000)));
        assert_eq!(news, [true, false, false, false, true, false]);
    }

    #[test]
    fn connections_are_accepted_at_the_configured_rate() {
        let (now, connects) = (Instant::now(), ConnectRate::default());
        for _ in 0..4 {
            assert_eq!(connects.wait(4, now), None);
            connects.take(4, now);
        }
        assert_eq!(connects.wait(4, now), Some(ms(251)));
        assert_eq!(connects.wait(4, now + ms(251)), None);
        // a reload to twice as many
        connects.take(4, now + ms(251));
        assert!(connects.wait(8, now + ms(251)).is_some_and(|wait| wait <= ms(126)));
    }

    #[test]
    fn a_listener_s_rates_override_the_global_ones() {
        let limits = |publish_rate| NetLimits { publish_rate, ..limits() };
        let shared = PublishRates::default();
        assert!(!shared.are_set());
        let some = ListenerRates { messages: Some(Some(7)), bytes: None };
        shared.listener_changed(1, some, &limits(None));
        assert!(shared.are_set() && shared.of(0, &limits(None)).messages.is_none());
        assert!(shared.of(1, &limits(Some(3))).messages.is_some_and(|rate| rate.per_second == 7.0));
        assert!(shared.of(2, &limits(Some(3))).messages.is_some_and(|rate| rate.per_second == 3.0));
        shared.listener_changed(1, ListenerRates { messages: Some(None), bytes: None }, &limits(None));
        assert!(!shared.are_set() && shared.of(1, &limits(Some(3))).messages.is_none());
        shared.limits_changed(&limits(Some(3)));
        assert!(shared.are_set());
    }
}
