//! Writing: sends a session's output in as few system calls as possible, and limits how long a socket may accept
//! nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::AsyncWrite;

use super::{
    super::{
        deadlines::Tick,
        transport::Stream,
        worker::{A_TURN, LARGE, Worker},
    },
    farewell::Farewell,
    task::{Connection, Phase, go_on_later, network},
};
use crate::{
    codec::{self, PacketType, PropertiesBuf, PropertyId, ReasonCode},
    router::{Count, Flush},
    session::{CloseReason, OutBuf},
};

/// Consecutive writes before other connections have their turn.
const WRITES_A_TURN: usize = 16;
/// Pieces in one gathering write.
const SLICES: usize = 64;

impl<S: Stream> Connection<S> {
    /// Writes output from the session while the socket accepts it.
    pub(crate) fn write(&mut self, worker: &mut Worker, cx: &mut Context<'_>, now: Instant) -> Result<(), CloseReason> {
        for _ in 0..WRITES_A_TURN {
            self.write_held(worker, cx, now)?;
            let Phase::Open(open) = &mut self.phase else { return Ok(()) };
            // an empty buffer that is not flushed counts as unwritten
            let unwritten = self.writing.as_ref().map_or(0, |w| w.len().max(1));
            let Worker { shared, local, replies, .. } = worker;
            match shared.router.flush(local, &mut open.client, replies, unwritten) {
                Flush::Close(reason) => return Err(reason),
                Flush::Write(None) => return Ok(()),
                Flush::Write(out) => {
                    self.writing = out;
                    if self.is_traced() {
                        self.trace_output(worker, 0);
                    }
                }
            }
        }
        go_on_later(cx);
        Ok(())
    }

    /// Writes output that was taken from the session, as far as the socket accepts it.
    fn write_held(&mut self, worker: &mut Worker, cx: &mut Context<'_>, now: Instant) -> Result<(), CloseReason> {
        let Some(out) = &mut self.writing else { return Ok(()) };
        let mut written = 0;
        while !out.is_empty() {
            if out.len() >= LARGE
                && worker.large_writes.is_over(written)
                && let Some(key) = self.deadline
            {
                worker.large_writes.wait(key);
                return Ok(());
            }
            match write_some(Pin::new(&mut self.socket), cx, out) {
                Poll::Ready(Ok(0)) => return Err(CloseReason::ConnectionLost),
                Poll::Ready(Ok(n)) => {
                    out.advance(n);
                    written += n;
                    worker.large_writes.note(n);
                    self.write_by = Tick::NEVER;
                    worker.unwritten = worker.unwritten.saturating_sub(n);
                    worker.writes = worker.writes.wrapping_add(1);
                    worker.local.count(Count::BytesSent, n as u64);
                }
                Poll::Ready(Err(error)) => return Err(network(&error)),
                Poll::Pending => {
                    self.begin_to_wait(worker, now);
                    return Ok(());
                }
            }
        }
        // flushes TLS; for TCP it does nothing
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(flushed) => flushed.map_err(|error| network(&error))?,
            Poll::Pending => {
                self.begin_to_wait(worker, now);
                return Ok(());
            }
        }
        self.write_by = Tick::NEVER;
        if let Some(done) = self.writing.take() {
            worker.written += u64::from(done.messages());
            if let Some(began) = done.marked() {
                worker.local.was_delivered(worker.now().saturating_duration_since(began));
            }
            worker.local.pool.put(done);
        }
        Ok(())
    }

    /// Sends an MQTT 5 client a DISCONNECT with the reason (MQTT 5 section 3.14), after pending output and as far as
    /// the socket accepts it; not if the client closes the connection, or was not accepted [MQTT-3.14.0-1].
    pub(crate) fn say_why(&mut self, worker: &mut Worker, cx: &mut Context<'_>, now: Instant, reason: &CloseReason) {
        let Phase::Open(open) = &self.phase else { return };
        if open.farewell == Farewell::Written || !open.client.is_told_why_it_ends() {
            return;
        }
        let Some(mut code) = reason.disconnect_code() else { return };
        let mut more = PropertiesBuf::default();
        let reference = worker.local.limits().says.server_reference.as_deref();
        let said = match (reason, reference) {
            (CloseReason::ServerShutdown, Some(reference)) => more.text(PropertyId::ServerReference, reference),
            (CloseReason::Administrator(closed), _) if !closed.reason.is_empty() => {
                more.text(PropertyId::ReasonString, &closed.reason)
            }
            _ => false,
        };
        // leaves out properties that would make the packet too large for the client
        if said && !worker.shared.router.takes(&open.client, codec::encode::disconnect_len(&more.as_properties())) {
            more = PropertiesBuf::default();
        } else if said && *reason == CloseReason::ServerShutdown {
            code = ReasonCode::UseAnotherServer;
        }
        let out = self.writing.get_or_insert_with(|| worker.local.pool.take());
        let at = out.bytes_mut().len();
        codec::encode::disconnect(out.bytes_mut(), code, &more.as_properties());
        worker.local.said(PacketType::Disconnect);
        if self.is_traced() {
            self.trace_output(worker, at);
        }
        // the connection ends in any case
        let _ = self.write_held(worker, cx, now);
    }

    /// The socket accepts nothing: sets the write deadline. A transport may collect output, so only bytes that the
    /// socket accepts count as progress.
    pub(crate) fn begin_to_wait(&mut self, worker: &Worker, now: Instant) {
        if self.socket.take_sent() || self.write_by == Tick::NEVER {
            self.write_by = worker.deadlines.tick(now + worker.shared.limits.load().write_timeout);
        }
    }
}

/// Writes the next pieces of output in one call, as much as a turn allows.
fn write_some(
    socket: Pin<&mut (impl AsyncWrite + Unpin)>,
    cx: &mut Context<'_>,
    out: &OutBuf,
) -> Poll<io::Result<usize>> {
    if let Some(bytes) = out.contiguous() {
        return socket.poll_write(cx, &bytes[..bytes.len().min(A_TURN)]);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let filled = out.io_slices(&mut slices, A_TURN);
    Poll::Ready(ready!(socket.poll_write_vectored(cx, &slices[..filled])))
}
