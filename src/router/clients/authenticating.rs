//! [`Authenticating`]: the Authentication Method of a connection, and the state of a re-authentication. It does not
//! call plug-ins.

use std::{fmt, time::Instant};

use super::super::ports::{Exchange, Pending};
use crate::{
    codec::{Auth, Connect, PropertyId, ReasonCode},
    session::{CloseReason, ProtocolError},
};

/// The Authentication Method of a connection, and the exchange of a re-authentication.
pub(crate) struct Authenticating {
    pub(super) method: Box<str>,
    pub(super) step: Step,
    /// When the time for the client's answer began; `None` while the server works.
    pub(super) since: Option<Instant>,
}

pub(super) enum Step {
    /// There is no exchange.
    Idle,
    /// An AUTH with this Authentication Data arrived: the exchange begins.
    Asked(Option<Box<[u8]>>),
    /// A challenge was sent.
    Challenged(Box<dyn Exchange>),
    /// The client answered.
    Answered(Box<dyn Exchange>, Box<[u8]>),
    /// The verdict is pending.
    Judged(Pending),
}

impl fmt::Debug for Authenticating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticating").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Authenticating {
    /// For a new connection; `None`: its CONNECT has no Authentication Method.
    pub(crate) fn of(connect: &Connect<'_>) -> Option<Box<Self>> {
        let method = connect.properties.text(PropertyId::AuthenticationMethod)?.into();
        Some(Box::new(Self { method, step: Step::Idle, since: None }))
    }

    /// Handles an AUTH of the client.
    pub(crate) fn hear(&mut self, auth: &Auth<'_>, now: Instant) -> Result<(), CloseReason> {
        if auth.properties.text(PropertyId::AuthenticationMethod) != Some(&*self.method) {
            return Err(CloseReason::BadAuthenticationMethod);
        }
        let data = auth.properties.bytes(PropertyId::AuthenticationData);
        self.step = match (std::mem::replace(&mut self.step, Step::Idle), auth.reason) {
            (Step::Idle, ReasonCode::ReAuthenticate) => {
                self.since = Some(now);
                Step::Asked(data.map(Into::into))
            }
            (Step::Challenged(exchange), ReasonCode::ContinueAuthentication) => {
                Step::Answered(exchange, data.unwrap_or_default().into())
            }
            _ => return Err(ProtocolError::AuthOutOfTurn.into()),
        };
        Ok(())
    }

    /// Is there work, other than waiting for the client?
    pub(super) fn is_due(&self) -> bool {
        !matches!(self.step, Step::Idle | Step::Challenged(_))
    }
}
