//! [`Clock`]: the time, and every wait for a time. Each room gets one as an argument, so that a test can advance it
//! ([`TestClock`]) instead of waiting.
//!
//! A [`Stopwatch`] measures how long this machine takes; it ignores a [`TestClock`].
//!
//! | module | owns |
//! |---|---|
//! | `system` | the clock of the system; nothing else reads it |
//! | `turned` | a clock that tests advance |
//! | `stopwatch` | measures how long the machine takes |

mod stopwatch;
mod system;
mod turned;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Condvar, MutexGuard};

pub(crate) use stopwatch::Stopwatch;
pub use turned::TestClock;
use turned::Turned;

/// The clock of a broker: the system's, or one that a test advances.
#[derive(Clone, Debug, Default)]
pub struct Clock(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    System,
    Turned(Arc<Turned>),
    /// The same while it is not paused.
    Unpaused(Arc<Turned>),
}

/// The time was reached before the awaited event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// 1 January 2026, before the first release of this program.
const BORN: Duration = Duration::from_secs(1_767_225_600);
/// How often a thread that waits by a [`TestClock`] looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// The monotonic time; comparable only with other times of this clock.
    #[inline]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => system::now(),
            Kind::Turned(turned) => turned.now(),
            Kind::Unpaused(turned) => turned.now_unpaused(),
        }
    }

    /// The time of day, for times that outlive this process or come from another one.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::System => system::wall(),
            Kind::Turned(turned) | Kind::Unpaused(turned) => turned.wall(),
        }
    }

    /// Is the [`wall`](Self::wall) clock set? A machine without a battery-backed clock starts in 1970, or at the
    /// time of its last write to the disk, until it has synchronized.
    pub fn is_set(&self) -> bool {
        self.wall().duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since >= BORN)
    }

    /// Waits until that time.
    pub async fn sleep_until(&self, at: Instant) {
        match &self.0 {
            Kind::System => system::sleep_until(at).await,
            Kind::Turned(turned) | Kind::Unpaused(turned) => turned.sleep_until(at).await,
        }
    }

    /// Waits for this duration.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.after(time)).await;
    }

    /// Waits for a future, which the caller has pinned, at most until that time.
    pub async fn timeout_at<F: Future + Unpin>(&self, at: Instant, mut future: F) -> Result<F::Output, TimedOut> {
        let mut sleep = pin!(self.sleep_until(at));
        poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| Err(TimedOut)),
        })
        .await
    }

    /// Waits for a future, which the caller has pinned, at most for this duration.
    pub async fn timeout<F: Future + Unpin>(&self, time: Duration, future: F) -> Result<F::Output, TimedOut> {
        self.timeout_at(self.after(time), future).await
    }

    /// Blocks until `condvar` is notified or that time is reached. May return earlier: the caller checks its
    /// condition and the clock.
    pub fn wait_until<T>(&self, condvar: &Condvar, guard: &mut MutexGuard<'_, T>, at: Instant) {
        match &self.0 {
            Kind::System => system::wait_until(condvar, guard, at),
            Kind::Turned(_) | Kind::Unpaused(_) => {
                let left = at.saturating_duration_since(self.now());
                _ = condvar.wait_for(guard, left.min(LOOK_AGAIN));
            }
        }
    }

    /// Blocks until this thread is unparked or that time is reached.
    pub fn park_until(&self, at: Instant) {
        match &self.0 {
            Kind::System => system::park(at.saturating_duration_since(system::now())),
            Kind::Turned(_) | Kind::Unpaused(_) => turned::park_until(self, at),
        }
    }

    /// The same clock for a thread that works on while a test has paused it: a wait that gathers work, for example,
    /// must end all the same.
    pub(crate) fn unpaused(&self) -> Self {
        match &self.0 {
            Kind::System => Self::system(),
            Kind::Turned(turned) | Kind::Unpaused(turned) => Self(Kind::Unpaused(turned.clone())),
        }
    }

    /// An overflow counts as a time that is never reached.
    fn after(&self, time: Duration) -> Instant {
        const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
        let now = self.now();
        now.checked_add(time).unwrap_or_else(|| now + NEVER)
    }
}

#[cfg(test)]
mod tests;
