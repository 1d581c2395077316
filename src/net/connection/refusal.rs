//! Refused clients: the CONNACK has the reason, if the client's version has a code for it, and so does the log.

use super::{
    super::{
        transport::Stream,
        worker::{About, Refused, Told, Worker, first_size_limit},
    },
    task::{Connection, Phase},
};
use crate::{
    codec::{self, Connack, Connect, DecodeError, PacketType, Properties, PropertiesBuf, PropertyId, ReasonCode},
    router::{ClientInfo, Event},
    session::CloseReason,
    types::ProtocolVersion,
};

impl<S: Stream> Connection<S> {
    /// Sends a CONNACK with the reason, if the version allows it, and logs the refusal. The end of the connection is
    /// not logged again. `check`: it is a health check.
    pub(crate) fn say_refused(
        &mut self,
        worker: &mut Worker,
        connect: &Connect<'_>,
        client: &str,
        reason: &CloseReason,
        check: bool,
    ) {
        let Some(code) = reason.connack_code(connect.version) else { return };
        let most = connect.properties.number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX);
        let code = self.answer_refused(worker, connect.version, code, most);
        let user = self.socket.certificate_name().or(connect.username);
        let about = Some(About { client, user, version: connect.version });
        match check {
            true => worker.shared.lines.health_check(&self.peer(), code),
            false => {
                let refused = Refused { about, version: Some(connect.version), code };
                worker.shared.lines.refused(&self.peer(), &refused, reason);
                let (client, peer) = (Some(client).filter(|client| !client.is_empty()), self.peer());
                let info = ClientInfo::new(user, peer.listener, connect.version);
                worker.local.observe(&Event::Refuse { client, info, peer: peer.address, reason });
            }
        }
    }

    /// The client's first bytes are not a CONNECT of a supported version. If the version has a Reason Code for it, the
    /// client gets a CONNACK (MQTT 5 section 4.13) [MQTT-3.1.2-2].
    #[cold]
    pub(crate) fn refuse_malformed(&mut self, worker: &mut Worker, bytes: &[u8], error: DecodeError) -> CloseReason {
        let reason = CloseReason::from(error);
        let version = codec::version_of_connect(bytes);
        if !matches!(self.phase, Phase::Connecting(_)) {
            return reason;
        }
        if let Some(code) = reason.connack_code(version.unwrap_or_default()) {
            let told = Told { reason: &reason, size_limit: first_size_limit(&worker.shared.limits.load()) };
            let refused = Refused { about: None, version, code };
            worker.shared.lines.refused(&self.peer(), &refused, &told);
            self.answer_refused(worker, version.unwrap_or_default(), code, u32::MAX);
        }
        reason
    }

    /// Writes the refusing CONNACK before the connection closes. `most`: the client's Maximum Packet Size. Returns the
    /// Reason Code in it: an MQTT 5 client may be redirected to another server, if configured.
    fn answer_refused(
        &mut self,
        worker: &mut Worker,
        version: ProtocolVersion,
        code: ReasonCode,
        most: u32,
    ) -> ReasonCode {
        self.phase = Phase::Refused;
        let fits = |properties: &Properties<'_>| codec::encode::connack_len_5(properties) <= most as usize;
        let mut connack = Connack::refused(code);
        let mut elsewhere = PropertiesBuf::default();
        if version == ProtocolVersion::V5 {
            if let (true, Some(reference)) =
                (code.is_for_another_server(), &worker.local.limits().says.server_reference)
            {
                elsewhere.text(PropertyId::ServerReference, reference);
            }
            if !elsewhere.as_properties().is_empty() && fits(&elsewhere.as_properties()) {
                connack =
                    Connack { properties: elsewhere.as_properties(), ..Connack::refused(ReasonCode::UseAnotherServer) };
            }
            if !fits(&connack.properties) {
                return connack.reason;
            }
        }
        let mut out = self.writing.take().unwrap_or_else(|| worker.local.pool.take());
        let (at, said) = (out.bytes_mut().len(), connack.reason);
        if codec::encode::connack(out.bytes_mut(), version, &connack) {
            worker.local.said(PacketType::Connack);
        }
        self.writing = Some(out);
        if self.is_traced() {
            self.trace_output(worker, at);
        }
        said
    }
}
