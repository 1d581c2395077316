//! Shutdown of a connection: sends the queued messages, reads nothing but acknowledgements, then closes. The wait is
//! brief for a client that neither acknowledges nor reads, or that does not close its end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    super::{deadlines::Tick, transport::Stream, worker::Worker},
    farewell::Farewell,
    task::{Connection, Open, Phase, network},
};
use crate::{router::Unfinished, session::CloseReason};

impl<S: Stream> Connection<S> {
    /// Serves a client during shutdown: it gets its queued messages and acknowledges them, which frees places for more.
    /// Other packets are ignored.
    pub(crate) fn drain(&mut self, worker: &mut Worker, cx: &mut Context<'_>, now: Instant) -> Result<(), CloseReason> {
        let Phase::Open(Open { farewell, until, .. }) = &self.phase else { return Err(CloseReason::ServerShutdown) };
        let (farewell, until) = (*farewell, *until);
        if farewell == Farewell::Written {
            // an error may be the client's answer to the server's end; nothing is answered any more
            let read = self.read(worker, cx, now);
            worker.replies.clear();
            let closes = read.is_err() || worker.deadlines.has_passed(until, now);
            return if closes { Err(CloseReason::ServerShutdown) } else { Ok(()) };
        }
        let writes = worker.writes;
        self.exchange(worker, cx, now)?;
        let is_behind = self.is_behind();
        let Phase::Open(open) = &self.phase else { return Err(CloseReason::ServerShutdown) };
        let wrote = worker.writes != writes;
        let patience = worker.deadlines.tick(now + worker.patience);
        let next = match worker.shared.router.unfinished(&open.client, self.writing.is_some()) {
            _ if is_behind => (Farewell::Busy, Tick::NEVER),
            Unfinished::Here => (Farewell::Busy, Tick::NEVER),
            Unfinished::Client if open.farewell == Farewell::Waiting && !wrote => {
                if worker.deadlines.has_passed(until, now) {
                    return Err(CloseReason::ServerShutdown);
                }
                (Farewell::Waiting, until)
            }
            Unfinished::Client => (Farewell::Waiting, patience),
            Unfinished::Nothing if open.farewell == Farewell::Idle && !wrote => {
                return Err(CloseReason::ServerShutdown);
            }
            Unfinished::Nothing | Unfinished::Kept => {
                self.say_why(worker, cx, now, &CloseReason::ServerShutdown);
                if let Poll::Ready(Err(error)) = Pin::new(&mut self.socket).poll_shutdown(cx) {
                    return Err(network(&error));
                }
                (Farewell::Written, patience)
            }
        };
        if let Phase::Open(open) = &mut self.phase {
            (open.farewell, open.until) = next;
        }
        Ok(())
    }
}

/// How long an inactive client is waited for, if the whole shutdown may take `grace`.
pub(crate) fn patience(grace: Duration) -> Duration {
    grace / 10
}
