//! [`caught`]: catches the panic of a plug-in, so that the router can finish what it began.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls a plug-in during work that must be finished in any case: the end of a connection, its Will, the housekeeping.
/// `None`: it panicked, which the panic hook reported.
///
/// Elsewhere a panic ends the task of the connection in whose turn it happens.
#[inline(never)]
pub(crate) fn caught<R>(call: impl FnOnce() -> R) -> Option<R> {
    // the state of the plug-in is its own responsibility
    catch_unwind(AssertUnwindSafe(call)).ok()
}
