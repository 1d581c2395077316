//! [`TestClock`]: a clock that tests turn. It goes on as the system's does; a turn moves it forward, and wakes those
//! whose time has come.

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

use parking_lot::Mutex;

use super::{Clock, Kind, LOOK_AGAIN, Stopwatch, system};

/// Turns the clock of a broker, for tests: what happens after an hour happens at once. Give its [`clock`](Self::clock)
/// to [`Builder::clock`](crate::Builder::clock).
///
/// Make sure first that the broker has seen what the time is to run from, for example by the answer to a PINGREQ.
#[derive(Clone, Debug, Default)]
pub struct TestClock(Arc<Turned>);

impl TestClock {
    /// One that shows what the system's shows, until it is turned.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that stands still unless it is turned: what happens by it happens alike each time.
    #[cfg(test)]
    pub(crate) fn still() -> Self {
        Self(Arc::new(Turned { stands: Some((system::now(), system::wall())), ..Turned::default() }))
    }

    /// The clock that this turns.
    pub fn clock(&self) -> Clock {
        Clock(Kind::Turned(self.0.clone()))
    }

    /// Moves it forward by so much, and wakes all that is due by then, in the order in which it is due. What something
    /// that was woken sets anew counts from the new time on.
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

    /// Sets what it tells people to this many seconds from what it says now, as an operator or NTP does. Nobody is
    /// woken: for everything that waits, time goes on as before.
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
    /// Of the system's clock, in nanoseconds.
    ahead: AtomicU64,
    /// What people are told is this many seconds ahead of that.
    set_by: AtomicI64,
    timers: Mutex<Timers>,
    /// What the system's clock counts as showing all the time.
    stands: Option<(Instant, SystemTime)>,
}

/// Those who wait, by when they are due.
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
        self.stands.map_or_else(system::now, |(now, _)| now) + self.ahead()
    }

    pub(super) fn wall(&self) -> SystemTime {
        let set_by = self.set_by.load(Ordering::SeqCst);
        let by = Duration::from_secs(set_by.unsigned_abs());
        let wall = self.stands.map_or_else(system::wall, |(_, wall)| wall) + self.ahead();
        if set_by < 0 { wall - by } else { wall + by }
    }

    pub(super) fn left_until(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.now())
    }

    pub(super) async fn sleep_until(&self, at: Instant) {
        let mut sleep = pin!(system::sleep(self.left_until(at)));
        let mut timer = Timer { turned: self, key: None };
        poll_fn(|cx| {
            // a turn from now on wakes it, one from before shows
            timer.set(at, cx.waker());
            if self.now() >= at { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }
        })
        .await;
    }

    pub(super) fn park_until(&self, at: Instant) {
        loop {
            let slice = self.left_until(at).min(LOOK_AGAIN);
            let parked = Stopwatch::start();
            system::park(slice);
            if slice.is_zero() || parked.took() < slice {
                // it has come, or this thread was unparked
                return;
            }
        }
    }
}

/// One who waits; no longer where this is dropped.
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
