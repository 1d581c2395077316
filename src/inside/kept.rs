//! Waits until a message is as safe as after a PUBACK.

use std::{future::poll_fn, sync::Arc, task::Poll};

use crate::{
    router::{Condition, Router},
    session::{CloseReason, Stored},
};

/// Waits until `stored` is durable. Error: it is not durable, and it is unknown when it will be.
pub async fn until_kept(router: Arc<Router>, stored: Stored) -> Result<(), CloseReason> {
    let Stored::By(commit) = stored else { return Ok(()) };
    poll_fn(|cx| {
        let Some(store) = router.plugged_store() else { return Poll::Ready(Ok(())) };
        // in this order: a commit that is not done after the store reported "stuck" is stuck
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
