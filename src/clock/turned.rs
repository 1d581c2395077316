//! [`TestClock`]: a clock that tests advance. It runs like the system's; a turn moves it forward and wakes all
//! timers that are due.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{Clock, Kind, LOOK_AGAIN, Stopwatch, system};

/// Advances the clock of a broker in a test: an hour passes at once. Give its [`clock`](Self::clock) to
/// [`Builder::clock`](crate::Builder::clock).
///
/// First make sure that the broker has processed the event from which the time counts, for example by a PINGREQ and
/// its answer.
#[derive(Clone, Debug, Default)]
pub struct TestClock(Arc<Turned>);

impl TestClock {
    /// A clock that shows the system's time until it is advanced.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that stands still unless it is advanced, so that a test always runs alike.
    #[cfg(test)]
    pub(crate) fn still() -> Self {
        let clock = Self::new();
        clock.pause();
        clock
    }

    /// The clock that this advances.
    pub fn clock(&self) -> Clock {
        Clock(Kind::Turned(self.0.clone()))
    }

    /// Advances it, and wakes all timers that are due, in the order of their times. Timers that a woken task sets
    /// count from the new time.
    pub fn turn(&self, by: Duration) {
        let Turned { ahead, timers, .. } = &*self.0;
        ahead.fetch_add(u64::try_from(by.as_nanos()).expect("less than 500 years"), Ordering::SeqCst);
        let now = self.0.now();
        let due = {
            let mut timers = timers.lock();
            let later = timers.by_time.split_off(&(now, u64::MAX));
            std::mem::replace(&mut timers.by_time, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Pauses the clock until it is [resumed](Self::resume). It can still be turned. A task that waits for a time waits
    /// as long by the system's clock, and then finds that the time has not come.
    pub fn pause(&self) {
        let hand = self.0.hand.load();
        if hand.stands.is_none() {
            let stands = Some((system::now(), system::wall()));
            self.0.hand.store(Arc::new(Hand { stands, behind: hand.behind }));
        }
    }

    /// Resumes the clock at the time at which it was paused.
    pub fn resume(&self) {
        let hand = self.0.hand.load();
        if let Some((since, _)) = hand.stands {
            let behind = hand.behind + system::now().saturating_duration_since(since);
            self.0.hand.store(Arc::new(Hand { stands: None, behind }));
        }
    }

    /// Is it stopped?
    pub fn is_paused(&self) -> bool {
        self.0.hand.load().stands.is_some()
    }

    /// How far it was turned, in all.
    pub fn turned(&self) -> Duration {
        self.0.ahead()
    }

    /// Changes the time of day by this many seconds, as an operator or NTP does. Wakes no timer: the monotonic time
    /// is not changed.
    pub fn set_wall(&self, by: i64) {
        self.0.set_by.fetch_add(by, Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.timers.lock().by_time.len()
    }
}

#[derive(Debug, Default)]
pub(super) struct Turned {
    /// How far it is ahead of the system's clock, in nanoseconds.
    ahead: AtomicU64,
    /// How far the time of day is ahead of that, in seconds.
    set_by: AtomicI64,
    timers: Mutex<Timers>,
    hand: ArcSwap<Hand>,
}

/// What pauses do to it.
#[derive(Clone, Copy, Debug, Default)]
struct Hand {
    /// The time that the wall clock shows while it is paused.
    stands: Option<(Instant, SystemTime)>,
    /// For so long it was paused before.
    behind: Duration,
}

/// The waiting timers, by the times at which they are due.
#[derive(Debug, Default)]
struct Timers {
    by_time: BTreeMap<(Instant, u64), Waker>,
    last: u64,
}

impl Turned {
    fn ahead(&self) -> Duration {
        Duration::from_nanos(self.ahead.load(Ordering::SeqCst))
    }

    pub(super) fn now(&self) -> Instant {
        let Hand { stands, behind } = **self.hand.load();
        stands.map_or_else(system::now, |(now, _)| now) + self.ahead() - behind
    }

    pub(super) fn now_unpaused(&self) -> Instant {
        system::now() + self.ahead()
    }

    pub(super) fn wall(&self) -> SystemTime {
        let set_by = self.set_by.load(Ordering::SeqCst);
        let by = Duration::from_secs(set_by.unsigned_abs());
        let Hand { stands, behind } = **self.hand.load();
        let wall = stands.map_or_else(system::wall, |(_, wall)| wall) + self.ahead() - behind;
        if set_by < 0 { wall - by } else { wall + by }
    }

    pub(super) fn left_until(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.now())
    }

    pub(super) async fn sleep_until(&self, at: Instant) {
        let mut sleep = pin!(system::sleep(self.left_until(at)));
        let mut timer = Timer { turned: self, key: None };
        poll_fn(|cx| {
            // a later turn wakes it; an earlier turn shows in the time that is compared below
            timer.set(at, cx.waker());
            if self.now() >= at { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }
        })
        .await;
    }
}

/// Blocks until this thread is unparked or the time of a turned clock is reached.
pub(super) fn park_until(clock: &Clock, at: Instant) {
    loop {
        let slice = at.saturating_duration_since(clock.now()).min(LOOK_AGAIN);
        let parked = Stopwatch::start();
        system::park(slice);
        if slice.is_zero() || parked.took() < slice {
            // the time was reached, or this thread was unparked
            return;
        }
    }
}

/// A waiting timer; dropping it removes it.
struct Timer<'a> {
    turned: &'a Turned,
    key: Option<(Instant, u64)>,
}

impl Timer<'_> {
    fn set(&mut self, at: Instant, waker: &Waker) {
        let mut timers = self.turned.timers.lock();
        let key = *self.key.get_or_insert_with(|| {
            timers.last += 1;
            (at, timers.last)
        });
        timers.by_time.insert(key, waker.clone());
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.turned.timers.lock().by_time.remove(&key);
        }
    }
}
