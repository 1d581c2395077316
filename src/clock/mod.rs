//! [`Clock`]: what time it is, and every wait for a time. Rooms that do something at a time are given one, so that a
//! test can turn it ([`TestClock`]) where it would have to wait.
//!
//! How long this machine takes for something does not turn: that is for a [`Stopwatch`].
//!
//! | module | owns |
//! |---|---|
//! | `system` | the clock of the system; nothing else reads it |
//! | `turned` | a clock that tests turn |
//! | `stopwatch` | how long the machine takes |

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

/// The clock of a broker: the system's, unless a test has one that it turns.
#[derive(Clone, Debug, Default)]
pub struct Clock(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    System,
    Turned(Arc<Turned>),
}

/// The time came before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// 1 January 2026: before that there was no such program.
const BORN: Duration = Duration::from_secs(1_767_225_600);
/// How often a thread that waits for a turned clock looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Clock {
    /// The system's.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// Now, to be compared with other moments of this clock alone.
    #[inline]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => system::now(),
            Kind::Turned(turned) => turned.now(),
        }
    }

    /// Now, as people tell it: for moments that outlive this process, or come from another.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::System => system::wall(),
            Kind::Turned(turned) => turned.wall(),
        }
    }

    /// Does [`wall`](Self::wall) tell a time at all? A machine without a battery for its clock starts in 1970, or when
    /// its disk was last written, until it has asked others.
    pub fn is_set(&self) -> bool {
        self.wall().duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since >= BORN)
    }

    /// Waits until that moment has come.
    pub async fn sleep_until(&self, at: Instant) {
        match &self.0 {
            Kind::System => system::sleep_until(at).await,
            Kind::Turned(turned) => turned.sleep_until(at).await,
        }
    }

    /// Waits for so long.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.after(time)).await;
    }

    /// Waits for a future, which the caller has pinned, until that moment has come at most.
    pub async fn timeout_at<F: Future + Unpin>(&self, at: Instant, mut future: F) -> Result<F::Output, TimedOut> {
        let mut sleep = pin!(self.sleep_until(at));
        poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| Err(TimedOut)),
        })
        .await
    }

    /// Waits for a future, which the caller has pinned, for so long at most.
    pub async fn timeout<F: Future + Unpin>(&self, time: Duration, future: F) -> Result<F::Output, TimedOut> {
        self.timeout_at(self.after(time), future).await
    }

    /// Blocks until `condvar` is notified or that moment has come, and sometimes less long: the caller looks at what it
    /// waits for, and at the clock.
    pub fn wait_until<T>(&self, condvar: &Condvar, guard: &mut MutexGuard<'_, T>, at: Instant) {
        match &self.0 {
            Kind::System => system::wait_until(condvar, guard, at),
            Kind::Turned(turned) => _ = condvar.wait_for(guard, turned.left_until(at).min(LOOK_AGAIN)),
        }
    }

    /// Blocks until this thread is unparked or that moment has come.
    pub fn park_until(&self, at: Instant) {
        match &self.0 {
            Kind::System => system::park(at.saturating_duration_since(system::now())),
            Kind::Turned(turned) => turned.park_until(at),
        }
    }

    /// A time that no clock can tell is as good as never.
    fn after(&self, time: Duration) -> Instant {
        const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
        let now = self.now();
        now.checked_add(time).unwrap_or_else(|| now + NEVER)
    }
}

#[cfg(test)]
mod tests;
