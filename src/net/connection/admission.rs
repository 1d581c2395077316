//! From CONNECT to CONNACK: the login, which may take a while. Until it is decided nothing more is read from the
//! client, and packets that it sent after CONNECT wait.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use super::{
    super::{deadlines::Tick, transport::Stream, worker::Worker},
    task::{Connection, Phase, keep_alive_deadline},
    waiting::{Applicant, Waiting},
};
use crate::{
    codec::{self, Connect, Cut, Packet, ReasonCode},
    router::{Admitted, HEALTH_CHECK, LoginMethod, Pending, Refusal, Verdict},
    session::CloseReason,
    types::{ClientId, ProtocolVersion},
};

/// A client that asks for admission.
pub(crate) struct Applies<'a> {
    pub(crate) connect: &'a Connect<'a>,
    /// The frame of the CONNECT.
    pub(crate) frame: &'a [u8],
    /// Its Client Identifier, from the CONNECT or assigned.
    pub(crate) client: ClientId,
    /// Is it a health check?
    pub(crate) check: bool,
    /// Arrival of the CONNECT.
    pub(crate) since: Instant,
}

impl<S: Stream> Connection<S> {
    /// Handles a CONNECT: the client is accepted, refused, or waits for the verdict. The frame has the bytes that
    /// followed it.
    pub(crate) fn ask(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        connect: &Connect<'_>,
        frame: &[u8],
        behind: &[u8],
    ) -> Result<(), CloseReason> {
        self.trace_connect(worker, connect, frame);
        let (peer, since) = (self.peer(), worker.now());
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
        self.follow(worker, cx, Applies { connect, frame, client, check, since }, verdict)
    }

    /// Carries out the verdict on a client in [`Phase::Connecting`].
    fn follow(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        applies: Applies<'_>,
        verdict: Verdict,
    ) -> Result<(), CloseReason> {
        match verdict {
            Verdict::Decided(verdict) => self.decide(worker, cx, applies, verdict),
            Verdict::Later(pending) => self.await_verdict(cx, applies, pending),
            Verdict::Queued(pending) => {
                self.read_by = Tick::NEVER;
                self.await_verdict(cx, applies, pending)
            }
            Verdict::Continue { data, exchange } => self.challenge(worker, applies, &data, exchange),
        }
    }

    fn await_verdict(&mut self, cx: &Context<'_>, applies: Applies<'_>, pending: Pending) -> Result<(), CloseReason> {
        let waiting = Waiting { pending, applicant: self.applicant(applies), behind: Vec::new(), ended: false };
        self.phase = Phase::Asking(Box::new(waiting));
        // the next turn asks for the verdict, and so registers this task's waker
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// The state of a client whose CONNECT is not answered now.
    pub(crate) fn applicant(&mut self, applies: Applies<'_>) -> Applicant {
        let Phase::Connecting(ticket) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            unreachable!("a CONNECT is asked about once, and each AUTH")
        };
        let Applies { frame, client, check, since, .. } = applies;
        Applicant { ticket, client, connect: frame.to_vec(), only_checks_health: check, since }
    }

    /// Asks for a pending verdict. Once it arrives, packets after the CONNECT are handled.
    pub(crate) fn ask_again(
        &mut self,
        worker: &mut Worker,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let Phase::Asking(waiting) = &mut self.phase else { return Ok(()) };
        let Poll::Ready(verdict) = waiting.pending.as_mut().poll(cx) else { return Ok(()) };
        let Phase::Asking(waiting) = std::mem::replace(&mut self.phase, Phase::Ended) else { return Ok(()) };
        let Waiting { applicant, behind, .. } = *waiting;
        self.resume(worker, cx, applicant, behind.is_empty(), || verdict)?;
        if let Phase::Open(open) = &self.phase {
            self.read_by = keep_alive_deadline(worker, open.keep_alive, now);
        }
        if behind.is_empty() { Ok(()) } else { self.handle(worker, cx, &behind, now) }
    }

    /// Carries out a verdict that was pending. `is_all`: the client sent nothing more.
    pub(crate) fn resume(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        applicant: Applicant,
        is_all: bool,
        verdict: impl FnOnce() -> Verdict,
    ) -> Result<(), CloseReason> {
        let Applicant { ticket, client, connect: frame, only_checks_health, since } = applicant;
        self.phase = Phase::Connecting(ticket);
        let connect = decoded(&frame)?;
        let check = only_checks_health && is_all;
        let applies = Applies { connect: &connect, frame: &frame, client, check, since };
        self.follow(worker, cx, applies, verdict())
    }

    fn decide(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        applies: Applies<'_>,
        verdict: Result<Admitted, Refusal>,
    ) -> Result<(), CloseReason> {
        let Applies { connect, client, check, since, .. } = applies;
        if !check {
            let identity = verdict.as_ref().ok().map(|admitted| &admitted.identity);
            let method = LoginMethod::of(connect, self.socket.certificate_name(), identity);
            let took = worker.now().saturating_duration_since(since);
            worker.local.login(method, identity.is_some(), took);
        }
        let admitted = verdict.map_err(|refusal| worker.shared.router.refuse(&worker.local, refusal));
        let accepted = admitted.and_then(|admitted| self.accept(worker, cx, connect, client.clone(), admitted, check));
        accepted.inspect_err(|reason| self.say_refused(worker, connect, client.as_str(), reason, check))
    }
}

/// Decodes the CONNECT of a client with a pending verdict again: it was valid the first time.
pub(crate) fn decoded(frame: &[u8]) -> Result<Box<Connect<'_>>, CloseReason> {
    let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::default(), frame, frame.len()) else {
        return Err(CloseReason::ConnectionLost);
    };
    match codec::decode(ProtocolVersion::default(), frame)? {
        Packet::Connect(connect) => Ok(connect),
        _ => Err(CloseReason::ConnectionLost),
    }
}
