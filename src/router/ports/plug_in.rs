//! [`caught`]: catches the panic of a plug-in, so that the router can finish what it began.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls a plug-in where something has to be finished whatever the plug-in does: the end of a connection, its Will, the
/// housekeeping. `None`: it panicked; the panic hook has told of it.
///
/// Elsewhere a panic goes its way, up to the task of the connection in whose turn it happens: that ends.
#[inline(never)]
pub(crate) fn caught<R>(call: impl FnOnce() -> R) -> Option<R> {
    // what a plug-in leaves half done in itself is its own affair
    catch_unwind(AssertUnwindSafe(call)).ok()
}
