//! Waiting until what the router took is kept as a PUBACK promises.

use std::{future::poll_fn, sync::Arc, task::Poll};

use crate::{
    router::{Condition, Router},
    session::{CloseReason, Stored},
};

/// Ends when it is durable. An error: it is not, and nobody knows when it will be.
pub(super) async fn until_kept(router: Arc<Router>, stored: Stored) -> Result<(), CloseReason> {
    let Stored::By(commit) = stored else { return Ok(()) };
    poll_fn(|cx| {
        let Some(store) = router.plugged_store() else { return Poll::Ready(Ok(())) };
        // in this order: what is not done after the store said that it is stuck is stuck
        let condition = store.condition();
        if store.done() >= commit {
            return Poll::Ready(Ok(()));
        }
        match condition {
            Condition::Stuck => Poll::Ready(Err(CloseReason::StoreFull)),
            Condition::Failed => Poll::Ready(Err(CloseReason::StoreFailed)),
            Condition::Ready | Condition::Busy | Condition::Full => {
                store.wake_when_done(commit, cx.waker());
                Poll::Pending
            }
        }
    })
    .await
}
