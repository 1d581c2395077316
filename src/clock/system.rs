//! The clock of the system. Clippy forbids other code to read it or wait by it (`clippy.toml`), because such code
//! would ignore a clock that a test advances.
#![allow(clippy::disallowed_methods)]

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Condvar, MutexGuard};

#[inline]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}

pub(super) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(super) async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

pub(super) fn park(time: Duration) {
    thread::park_timeout(time);
}

pub(super) fn wait_until<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, at: Instant) {
    condvar.wait_until(guard, at);
}
