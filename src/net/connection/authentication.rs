//! Exchanges of AUTH packets (MQTT 5 section 4.12): of a client that is not accepted yet, which may only send AUTH and
//! DISCONNECT, and of a connected client that re-authenticates.

use std::task::Context;

use super::{
    super::{
        deadlines::Tick,
        transport::Stream,
        worker::{About, Worker},
    },
    admission::{Applies, decoded},
    task::{Connection, Phase},
    waiting::Challenged,
};
use crate::{
    codec::{self, Frame, Packet, PacketType, PropertyId, ReasonCode},
    router::{CameFrom, Count, Exchange, Refusal, auth_properties},
    session::{CloseReason, ProtocolError},
    types::ProtocolVersion,
};

/// The reason for closing a client that did not answer.
const TOO_LATE: &str = "no AUTH within the connect timeout (limits.connect_timeout)";

impl<S: Stream> Connection<S> {
    /// The client must prove more before it is accepted: sends it an AUTH [MQTT-4.12.0-2].
    pub(crate) fn challenge(
        &mut self,
        worker: &mut Worker,
        applies: Applies<'_>,
        data: &[u8],
        exchange: Box<dyn Exchange>,
    ) -> Result<(), CloseReason> {
        let properties = &applies.connect.properties;
        let refused = match properties.text(PropertyId::AuthenticationMethod) {
            Some(method) => {
                let most = properties.number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX) as usize;
                let told = auth_properties(method, Some(data)).ok();
                match told.filter(|told| codec::encode::auth_len(&told.as_properties()) <= most) {
                    Some(told) => {
                        let out = self.writing.get_or_insert_with(|| worker.local.pool.take());
                        let at = out.bytes_mut().len();
                        codec::encode::auth(out.bytes_mut(), ReasonCode::ContinueAuthentication, &told.as_properties());
                        worker.local.said(PacketType::Auth);
                        if self.is_traced() {
                            self.trace_output(worker, at);
                        }
                        None
                    }
                    None => Some(CloseReason::from(ProtocolError::AnswerTooLarge)),
                }
            }
            // [MQTT-4.12.0-6]
            None => {
                let why = "its plug-in asks for AUTH, and its CONNECT has no Authentication Method";
                Some(worker.shared.router.refuse(&worker.local, Refusal::new(ReasonCode::NotAuthorized, why)))
            }
        };
        if let Some(reason) = refused {
            self.say_refused(worker, applies.connect, applies.client.as_str(), &reason, false);
            return Err(reason);
        }
        if self.read_by == Tick::NEVER {
            // so far the client waited for the server
            let now = worker.now();
            self.read_by = worker.deadlines.tick(now + worker.shared.limits.load().connect_timeout);
        }
        self.phase = Phase::Challenged(Box::new(Challenged { exchange, applicant: self.applicant(applies) }));
        self.note_held(worker);
        Ok(())
    }

    /// Handles a frame of a client that owes an AUTH. Another packet, Reason Code or method is an error.
    pub(crate) fn hear_answer(
        &mut self,
        worker: &mut Worker,
        cx: &Context<'_>,
        frame: Frame<'_>,
    ) -> Result<(), CloseReason> {
        let auth = match codec::decode_from_client(ProtocolVersion::V5, frame)? {
            Packet::Auth(auth) => auth,
            Packet::Disconnect(_) => return Err(CloseReason::ClientDisconnect),
            Packet::Connect(_) => return Err(ProtocolError::SecondConnect.into()),
            _ => return Err(ProtocolError::NotAuthenticated.into()),
        };
        let Phase::Challenged(challenged) = &self.phase else { return Ok(()) };
        let method = decoded(&challenged.applicant.connect)?.properties.text(PropertyId::AuthenticationMethod);
        if auth.properties.text(PropertyId::AuthenticationMethod) != method {
            return Err(CloseReason::BadAuthenticationMethod);
        }
        if auth.reason != ReasonCode::ContinueAuthentication {
            return Err(ProtocolError::AuthOutOfTurn.into());
        }
        let Phase::Challenged(challenged) = std::mem::replace(&mut self.phase, Phase::Ended) else { return Ok(()) };
        let Challenged { exchange, applicant } = *challenged;
        let data = auth.properties.bytes(PropertyId::AuthenticationData).unwrap_or_default();
        self.resume(worker, cx, applicant, true, || exchange.answer(data))
    }

    /// Ends the exchange of a client that is not accepted, without a verdict: the CONNACK (MQTT 5 section 4.13) and the
    /// log have the reason.
    pub(crate) fn give_up_exchange(&mut self, worker: &mut Worker, reason: &CloseReason) {
        if !matches!(self.phase, Phase::Challenged(_)) {
            return;
        }
        let Phase::Challenged(challenged) = std::mem::replace(&mut self.phase, Phase::Refused) else { return };
        let Ok(connect) = decoded(&challenged.applicant.connect) else { return };
        if reason.connack_code(connect.version).is_some() {
            self.say_refused(worker, &connect, challenged.applicant.client.as_str(), reason, false);
            return;
        }
        let user = self.socket.certificate_name().or(connect.username);
        let about = About { client: challenged.applicant.client.as_str(), user, version: connect.version };
        worker.shared.lines.gone_while_authenticating(&self.peer(), &about, reason);
    }

    /// The time by which a connected client must have re-authenticated, if it is doing so.
    #[inline]
    pub(crate) fn authenticates_by(&self, worker: &Worker) -> Option<Tick> {
        let Phase::Open(open) = &self.phase else { return None };
        let since = open.client.authenticates_since()?;
        Some(worker.deadlines.tick(since + worker.shared.limits.load().connect_timeout))
    }

    /// Continues the re-authentication of a connected client.
    #[inline]
    pub(crate) fn authenticate_again(&mut self, worker: &mut Worker, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        match &mut self.phase {
            Phase::Open(open) if open.client.authenticates() => {}
            _ => return Ok(()),
        }
        self.go_on_authenticating(worker, cx)
    }

    #[cold]
    fn go_on_authenticating(&mut self, worker: &mut Worker, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let peer = self.peer();
        let certificate = (self.socket.certificate_name(), self.socket.names_in_certificates());
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        let Worker { shared, local, replies, .. } = worker;
        let from = CameFrom { peer, certificate };
        let renewed = shared.router.authenticate_again(local, &mut open.client, from, cx, replies)?;
        if let Some(until) = renewed.filter(|_| !worker.draining) {
            let until = until.map_or(Tick::NEVER, |until| worker.end_of_token(until));
            if let Phase::Open(open) = &mut self.phase {
                open.until = until;
            }
        }
        Ok(())
    }
}

/// The exchange took too long.
#[cold]
pub(crate) fn too_late(worker: &Worker) -> CloseReason {
    worker.local.count(Count::ConnectTimeouts, 1);
    CloseReason::AuthenticationFailed(TOO_LATE.into())
}
