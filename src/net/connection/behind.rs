//! Packets left over from a turn: one that was begun, and the ones that were read after it. The next turns handle them
//! before anything more is read.

use std::{task::Context, time::Instant};

use super::{
    super::{transport::Stream, worker::Worker},
    task::{Connection, Phase, go_on_later, keep_alive_deadline},
};
use crate::session::CloseReason;

impl<S: Stream> Connection<S> {
    /// Is there work left from an earlier turn?
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.reader.has_unhandled() || matches!(&self.phase, Phase::Open(open) if open.client.is_busy())
    }

    /// Leaves the rest to the next turn: soon, or when an answer about the client's rights wakes this task. Returns
    /// `false`: there is nothing that the client must read first.
    #[cold]
    pub(crate) fn leave_rest(&self, cx: &mut Context<'_>) -> bool {
        if !matches!(&self.phase, Phase::Open(open) if open.client.waits_for_rights()) {
            go_on_later(cx);
        }
        false
    }

    /// Continues it. `false`: this turn was too short as well.
    #[cold]
    pub(crate) fn catch_up(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        now: Instant,
    ) -> Result<bool, CloseReason> {
        if let Phase::Open(open) = &mut self.phase {
            // the client was not silent: its packets waited
            self.read_by = keep_alive_deadline(worker, open.keep_alive, now);
            let Worker { shared, local, replies, .. } = worker;
            shared.router.resume(local, &mut open.client, replies)?;
            if open.client.is_busy() {
                return Ok(false);
            }
        }
        if let Some(unhandled) = self.reader.take_unhandled()
            && let Some(handled) = self.handle_frames(worker, cx, unhandled.bytes(), now)?
        {
            self.reader.put_back(unhandled, handled);
            return Ok(!self.is_behind());
        }
        Ok(true)
    }
}
