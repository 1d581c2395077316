//! What stands between a client's CONNECT and its CONNACK: the verdict on who it is, which may take its time. Until then
//! nothing more is read from the client, and what it sent behind its CONNECT waits.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use super::{
    connection::{Connection, Phase},
    lines::About,
    stream::Stream,
    worker::Worker,
};
use crate::{
    codec::{self, Connect, Cut, Packet},
    router::{Identity, Pending, Refusal, Verdict},
    session::CloseReason,
    types::{ClientId, ProtocolVersion},
};

/// A client whose verdict is awaited.
pub(super) struct Waiting {
    pending: Pending,
    /// The Client Identifier that it has or was given.
    client: ClientId,
    /// The frame of its CONNECT.
    connect: Vec<u8>,
    /// What it sent behind that.
    behind: Vec<u8>,
}

impl Waiting {
    /// Bytes that came behind the CONNECT.
    pub(super) fn keep(&mut self, behind: &[u8]) {
        self.behind.extend_from_slice(behind);
    }
}

impl<S: Stream> Connection<S> {
    /// A CONNECT, in `frame`: its client is accepted, refused, or waits for the verdict.
    pub(super) fn ask(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        connect: &Connect<'_>,
        frame: &[u8],
    ) -> Result<(), CloseReason> {
        let peer = self.peer();
        let certificate = (self.socket.certificate_name(), self.socket.names_in_certificates());
        let asked = worker.shared.router.authenticate(&mut worker.local, connect, peer, certificate);
        match asked.inspect_err(|reason| self.say_refused(worker, connect, connect.client_id, reason))? {
            (client, Verdict::Decided(verdict)) => self.decide(worker, cx, connect, client, verdict),
            (client, Verdict::Later(pending)) => {
                let waiting = Waiting { pending, client, connect: frame.to_vec(), behind: Vec::new() };
                self.phase = Phase::Asking(Box::new(waiting));
                // the turn goes on with asking for the verdict: who is to wake this task has to know it
                cx.waker().wake_by_ref();
                Ok(())
            }
        }
    }

    /// Where a verdict is awaited: is it there? Then what waited behind the CONNECT has its turn.
    pub(super) fn ask_again(
        &mut self,
        worker: &mut Worker,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let Phase::Asking(waiting) = &mut self.phase else { return Ok(()) };
        let Poll::Ready(verdict) = waiting.pending.as_mut().poll(cx) else { return Ok(()) };
        let Phase::Asking(waiting) = std::mem::replace(&mut self.phase, Phase::Connecting) else { return Ok(()) };
        let Waiting { client, connect, behind, .. } = *waiting;
        // it was decoded before it was asked about
        let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::default(), &connect, connect.len()) else {
            return Err(CloseReason::ConnectionLost);
        };
        let Packet::Connect(connect) = codec::decode(ProtocolVersion::default(), frame)? else {
            return Err(CloseReason::ConnectionLost);
        };
        self.decide(worker, cx, &connect, client, verdict)?;
        if behind.is_empty() { Ok(()) } else { self.handle(worker, cx, &behind, now) }
    }

    fn decide(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        connect: &Connect<'_>,
        client: ClientId,
        verdict: Result<Identity, Refusal>,
    ) -> Result<(), CloseReason> {
        let identity = verdict.map_err(|refusal| worker.shared.router.refuse(&worker.local, refusal));
        let accepted = identity.and_then(|identity| self.accept(worker, cx, connect, (client.clone(), identity)));
        accepted.inspect_err(|reason| self.say_refused(worker, connect, client.as_str(), reason))
    }

    /// CONNACK says why, where it can; the log does, with who it was: that the connection ends needs no line of its own.
    fn say_refused(&mut self, worker: &mut Worker, connect: &Connect<'_>, client: &str, reason: &CloseReason) {
        if let CloseReason::Refused { code, why } = *reason {
            let user = self.socket.certificate_name().or(connect.username);
            let about = About { client, user, version: connect.version };
            worker.shared.lines.refused(&self.peer(), Some(&about), code, &why);
            self.refuse(worker, code);
        }
    }
}
