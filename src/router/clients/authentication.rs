//! Re-authentication of connected clients (MQTT 5 section 4.12.1), by an exchange of AUTH packets. Other packets are
//! handled meanwhile.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use super::{
    super::{
        Router, RouterThread,
        ports::{Admitted, Authenticate, Authentication, Credentials, Identity, Peer, Refusal, Verdict},
        thread::{Count, LoginMethod},
    },
    authenticating::{Authenticating, Step},
    client::Client,
};
use crate::{
    codec::{self, PacketType, PropertiesBuf, PropertyId, PropertyValue, ReasonCode},
    session::{CloseReason, ProtocolError},
    types::ProtocolVersion,
};

/// The origin of a client that re-authenticates: see [`Router::authenticate`].
#[derive(Clone, Copy)]
pub struct CameFrom<'a> {
    /// Its connection.
    pub peer: Peer,
    /// The fields `certificate_name` and `names_in_certificates` of [`Credentials`].
    pub certificate: (Option<&'a str>, bool),
}

impl Client {
    /// Does the client re-authenticate, and is there work for the server?
    #[inline]
    pub fn authenticates(&self) -> bool {
        self.authenticating().is_some_and(Authenticating::is_due)
    }

    /// When the time for the client's answer began; `None`: there is no exchange, or the server works.
    #[inline]
    pub fn authenticates_since(&self) -> Option<Instant> {
        self.authenticating()?.since
    }

    #[inline]
    fn authenticating(&self) -> Option<&Authenticating> {
        self.awaited.as_ref()?.authenticating.as_deref()
    }
}

impl Router {
    /// Continues the re-authentication of a client that [`authenticates`](Client::authenticates). An AUTH for the
    /// client goes to `replies`. `Some`: it has succeeded, and the connection now ends at this time. An error ends the
    /// connection.
    #[cold]
    pub fn authenticate_again(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        from: CameFrom<'_>,
        cx: &mut Context<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<Option<Option<Instant>>, CloseReason> {
        let taken = client.awaited.as_mut().and_then(|awaited| awaited.authenticating.take());
        let (Some(mut authenticating), Some(plug_in)) = (taken, &self.ports.authenticate) else { return Ok(None) };
        let outcome = loop {
            let verdict = match std::mem::replace(&mut authenticating.step, Step::Idle) {
                Step::Asked(data) => {
                    let authentication = Authentication { method: &authenticating.method, data: data.as_deref() };
                    self.ask_again(&**plug_in, client, from, authentication)
                }
                Step::Answered(exchange, data) => exchange.answer(&data),
                Step::Judged(mut pending) => match pending.as_mut().poll(cx) {
                    Poll::Ready(verdict) => verdict,
                    Poll::Pending => {
                        authenticating.step = Step::Judged(pending);
                        break Ok(None);
                    }
                },
                waits => {
                    authenticating.step = waits;
                    break Ok(None);
                }
            };
            match verdict {
                Verdict::Later(pending) => authenticating.step = Step::Judged(pending),
                Verdict::Queued(pending) => {
                    authenticating.since = None;
                    authenticating.step = Step::Judged(pending);
                }
                Verdict::Continue { data, exchange } => {
                    authenticating.since.get_or_insert(local.observers.now);
                    authenticating.step = Step::Challenged(exchange);
                    let reason = ReasonCode::ContinueAuthentication;
                    self.write_auth(local, client, &authenticating.method, (reason, Some(&data)), replies)?;
                }
                Verdict::Decided(Ok(Admitted { identity, data })) => {
                    let took = authenticating.since.take().map(|since| local.observers.now - since);
                    local.observers.login(LoginMethod::Enhanced, true, took);
                    let until = identity.until;
                    self.admit_again(client, identity)?;
                    let told = (ReasonCode::Success, data.as_deref());
                    self.write_auth(local, client, &authenticating.method, told, replies)?;
                    break Ok(Some(until));
                }
                Verdict::Decided(Err(Refusal { why, .. })) => {
                    local.count(Count::RefusedLogins, 1);
                    let took = authenticating.since.take().map(|since| local.observers.now - since);
                    local.observers.login(LoginMethod::Enhanced, false, took);
                    break Err(CloseReason::AuthenticationFailed(why));
                }
            }
        };
        client.awaited.get_or_insert_default().authenticating = Some(authenticating);
        outcome
    }

    fn ask_again(
        &self,
        plug_in: &dyn Authenticate,
        client: &Client,
        from: CameFrom<'_>,
        authentication: Authentication<'_>,
    ) -> Verdict {
        let CameFrom { peer, certificate: (certificate_name, names_in_certificates) } = from;
        let mut properties = PropertiesBuf::default();
        properties.text(PropertyId::AuthenticationMethod, authentication.method);
        plug_in.authenticate(&Credentials {
            client_id: client.id.as_str(),
            username: client.user(),
            certificate_name,
            names_in_certificates,
            password: None,
            authentication: Some(authentication),
            peer,
            version: ProtocolVersion::V5,
            will: None,
            properties: properties.as_properties(),
        })
    }

    /// Accepts a re-authenticated client. Its rights may change, but not its name, because its session belongs to a
    /// user.
    fn admit_again(&self, client: &mut Client, mut identity: Identity) -> Result<(), CloseReason> {
        if identity.user.as_deref() != client.user() {
            let why = "it proves to be another user than the one that it connected as";
            return Err(CloseReason::AuthenticationFailed(why.into()));
        }
        let permissions = self.permissions.version();
        identity.version = ProtocolVersion::V5;
        {
            let state = self.own(client)?;
            identity.origin = state.origin;
            identity.properties = state.access.as_ref().and_then(|access| access.identity.properties.clone());
        }
        let access = self.access(&client.id, identity);
        if access.as_ref().is_some_and(|access| access.is_revoked()) {
            return Err(CloseReason::UserGone);
        }
        {
            let mut state = self.own(client)?;
            self.set_access(&mut state, access);
            if self.permissions.version() != permissions {
                self.recompile(&mut state);
            }
        }
        // it may be allowed to publish and receive other topics than before
        (client.last, client.flush_due) = (None, true);
        Ok(())
    }

    fn write_auth(
        &self,
        local: &RouterThread,
        client: &Client,
        method: &str,
        (reason, data): (ReasonCode, Option<&[u8]>),
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let properties = auth_properties(method, data)?;
        let properties = properties.as_properties();
        if !self.takes(client, codec::encode::auth_len(&properties)) {
            return Err(ProtocolError::AnswerTooLarge.into());
        }
        local.said(PacketType::Auth);
        codec::encode::auth(replies, reason, &properties);
        Ok(())
    }
}

/// The properties of CONNACK and AUTH in an exchange.
pub fn auth_properties(method: &str, data: Option<&[u8]>) -> Result<PropertiesBuf, ProtocolError> {
    let mut properties = PropertiesBuf::default();
    add_authentication(&mut properties, method, data)?;
    Ok(properties)
}

/// Adds them to other properties. `Err`: a plug-in returned more than 65,535 bytes.
pub(crate) fn add_authentication(
    properties: &mut PropertiesBuf,
    method: &str,
    data: Option<&[u8]>,
) -> Result<(), ProtocolError> {
    properties.text(PropertyId::AuthenticationMethod, method);
    let fits = data.is_none_or(|data| properties.push(PropertyId::AuthenticationData, PropertyValue::Bytes(data)));
    if fits { Ok(()) } else { Err(ProtocolError::AnswerTooLarge) }
}
