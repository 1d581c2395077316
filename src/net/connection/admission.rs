//! What stands between a client's CONNECT and its CONNACK: the verdict on who it is, which may take its time. Until
//! then nothing more is read from the client, and what it sent behind its CONNECT waits.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use super::{
    super::{deadlines::Tick, transport::Stream, worker::Worker},
    task::{Connection, Phase, keep_alive_deadline},
    waiting::Waiting,
};
use crate::{
    codec::{self, Connect, Cut, Packet, ReasonCode},
    router::{HEALTH_CHECK, Identity, Pending, Refusal, Verdict},
    session::CloseReason,
    types::{ClientId, ProtocolVersion},
};

impl<S: Stream> Connection<S> {
    /// A CONNECT, and its frame with what came behind it: its client is accepted, refused, or waits for the verdict.
    pub(crate) fn ask(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        connect: &Connect<'_>,
        frame: &[u8],
        behind: &[u8],
    ) -> Result<(), CloseReason> {
        let peer = self.peer();
        let certificate = (self.socket.certificate_name(), self.socket.names_in_certificates());
        let asked = worker.shared.router.authenticate(&mut worker.local, connect, peer, certificate);
        let (mut client, verdict) =
            asked.inspect_err(|reason| self.say_refused(worker, connect, connect.client_id, reason, false))?;
        let check = behind.is_empty() && self.is_health_check(worker, connect);
        if !check && connect.client_id == HEALTH_CHECK {
            let why =
                "$health is the Client Identifier of dunlin health, which says nothing else and is on this machine";
            let refusal = Refusal::new(ReasonCode::ClientIdentifierNotValid, why);
            let reason = worker.shared.router.refuse(&worker.local, refusal);
            self.say_refused(worker, connect, connect.client_id, &reason, false);
            return Err(reason);
        }
        if check {
            client = Self::health_check_id(worker);
        }
        match verdict {
            Verdict::Decided(verdict) => self.decide(worker, cx, connect, client, verdict, check),
            Verdict::Later(pending) => {
                self.await_verdict(cx, client, check, frame, pending);
                Ok(())
            }
            Verdict::Queued(pending) => {
                self.read_by = Tick::NEVER;
                self.await_verdict(cx, client, check, frame, pending);
                Ok(())
            }
        }
    }

    fn await_verdict(
        &mut self,
        cx: &Context<'_>,
        client: ClientId,
        only_checks_health: bool,
        frame: &[u8],
        pending: Pending,
    ) {
        let (connect, behind) = (frame.to_vec(), Vec::new());
        let Phase::Connecting(ticket) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            unreachable!("a CONNECT is asked about once")
        };
        let waiting = Waiting { pending, ticket, client, connect, behind, ended: false, only_checks_health };
        self.phase = Phase::Asking(Box::new(waiting));
        // the turn goes on with asking for the verdict: who is to wake this task has to know it
        cx.waker().wake_by_ref();
    }

    /// Where a verdict is awaited: is it there? Then what waited behind the CONNECT has its turn.
    pub(crate) fn ask_again(
        &mut self,
        worker: &mut Worker,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let Phase::Asking(waiting) = &mut self.phase else { return Ok(()) };
        let Poll::Ready(verdict) = waiting.pending.as_mut().poll(cx) else { return Ok(()) };
        let Phase::Asking(waiting) = std::mem::replace(&mut self.phase, Phase::Ended) else { return Ok(()) };
        let Waiting { ticket, client, connect, behind, only_checks_health, .. } = *waiting;
        self.phase = Phase::Connecting(ticket);
        // it was decoded before it was asked about
        let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::default(), &connect, connect.len()) else {
            return Err(CloseReason::ConnectionLost);
        };
        let Packet::Connect(connect) = codec::decode(ProtocolVersion::default(), frame)? else {
            return Err(CloseReason::ConnectionLost);
        };
        self.decide(worker, cx, &connect, client, verdict, only_checks_health && behind.is_empty())?;
        if let Phase::Open(open) = &self.phase {
            self.read_by = keep_alive_deadline(worker, open.keep_alive, now);
        }
        if behind.is_empty() { Ok(()) } else { self.handle(worker, cx, &behind, now) }
    }

    fn decide(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        connect: &Connect<'_>,
        client: ClientId,
        verdict: Result<Identity, Refusal>,
        check: bool,
    ) -> Result<(), CloseReason> {
        let identity = verdict.map_err(|refusal| worker.shared.router.refuse(&worker.local, refusal));
        let accepted = identity.and_then(|identity| self.accept(worker, cx, connect, client.clone(), identity, check));
        accepted.inspect_err(|reason| self.say_refused(worker, connect, client.as_str(), reason, check))
    }
}
