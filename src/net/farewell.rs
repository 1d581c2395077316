//! The end of a server, as its connections see it: what is on its way to a client is written and acknowledged, nothing
//! new is taken from it, then the connection closes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use super::{
    connection::{Connection, Open, Phase, network},
    stream::Stream,
    worker::Worker,
};
use crate::{codec::PacketType, session::CloseReason};

/// How far a client is served while the server shuts down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nothing is on its way in either direction, as far as is known.
    Idle,
    /// Something was, since the shutdown began.
    Busy,
    /// All was written, and the end of it too: the client's own end is awaited. To close before it has come could undo
    /// what was written, for a close while bytes arrive resets the connection.
    Written,
}

impl<S: Stream> Connection<S> {
    /// While the server shuts down: a client gets what waits for it, and acknowledges it, which makes room for more of
    /// that; nothing else is taken from it.
    pub(super) fn drain(&mut self, worker: &mut Worker, cx: &mut Context<'_>, now: Instant) -> Result<(), CloseReason> {
        let Phase::Open(Open { farewell, .. }) = &self.phase else { return Err(CloseReason::ServerShutdown) };
        if *farewell == Farewell::Written {
            // whatever ends it now is the answer to our end, and nothing is answered any more
            let read = self.read(worker, cx, now);
            worker.replies.clear();
            return read.map(|_| ()).map_err(|_| CloseReason::ServerShutdown);
        }
        self.exchange(worker, cx, now)?;
        let Phase::Open(open) = &mut self.phase else { return Err(CloseReason::ServerShutdown) };
        if self.writing.is_some() || worker.shared.router.has_unfinished(&open.client) {
            open.farewell = Farewell::Busy;
            return Ok(());
        }
        if open.farewell == Farewell::Idle {
            return Err(CloseReason::ServerShutdown);
        }
        open.farewell = Farewell::Written;
        match Pin::new(&mut self.socket).poll_shutdown(cx) {
            Poll::Ready(Err(error)) => Err(network(&error)),
            _ => Ok(()),
        }
    }
}

/// What a client may say still while the server shuts down: how far that is which is under way, and that it ends.
pub(super) fn is_served_last(packet: PacketType) -> bool {
    use PacketType::{Disconnect, Pingreq, Puback, Pubcomp, Pubrec, Pubrel};
    matches!(packet, Puback | Pubrec | Pubrel | Pubcomp | Pingreq | Disconnect)
}
