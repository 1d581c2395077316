//! [`Connections`]: counts connections by listener and by reason of their end, and logins by method. All threads share
//! it, because it counts rare events.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use super::{
    super::ports::{Identity, Proof},
    spread::Times,
};
use crate::codec::{Connect, PropertyId};

/// What happened to connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    counted: Mutex<Counted>,
    /// From CONNECT to the verdict.
    pub(super) logins: Times,
}

/// The counters.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// By the number of the listener.
    pub listeners: BTreeMap<u16, OfListener>,
    /// Connections of clients that ended, by the [word](crate::session::CloseReason::kind) for why.
    pub closed: BTreeMap<&'static str, u64>,
    /// Logins, by method and result.
    pub logins: BTreeMap<(LoginMethod, bool), u64>,
}

/// Connections of one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfListener {
    /// Since the start.
    pub opened: u64,
    /// At this moment.
    pub open: u64,
}

/// The method of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoginMethod {
    /// It does not, or did not have to.
    None,
    /// By a password.
    Password,
    /// By a token.
    Token,
    /// By a certificate.
    Certificate,
    /// By an Authentication Method of MQTT 5.
    Enhanced,
}

impl LoginMethod {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Password, Self::Token, Self::Certificate, Self::Enhanced];

    /// Of a login with this result.
    pub(crate) fn of(connect: &Connect<'_>, certificate: Option<&str>, identity: Option<&Identity>) -> Self {
        if connect.properties.has(PropertyId::AuthenticationMethod) {
            return Self::Enhanced;
        }
        match identity.map(|identity| identity.proof) {
            Some(Proof::None) => Self::None,
            Some(Proof::Password | Proof::Http) => Self::Password,
            Some(Proof::Token) => Self::Token,
            Some(Proof::Certificate) => Self::Certificate,
            None if certificate.is_some() => Self::Certificate,
            // an object of JSON, in base64, begins so
            None if connect.password.is_some_and(|password| password.starts_with(b"eyJ")) => Self::Token,
            None if connect.password.is_some() => Self::Password,
            None => Self::None,
        }
    }

    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Enhanced => "enhanced",
        }
    }
}

impl Connections {
    pub(super) fn opened(&self, listener: u16) {
        let mut counted = self.counted.lock();
        let of_listener = counted.listeners.entry(listener).or_default();
        of_listener.opened += 1;
        of_listener.open += 1;
    }

    pub(super) fn closed(&self, listener: u16, why: &'static str) {
        let mut counted = self.counted.lock();
        if let Some(of_listener) = counted.listeners.get_mut(&listener) {
            of_listener.open = of_listener.open.saturating_sub(1);
        }
        *counted.closed.entry(why).or_default() += 1;
    }

    pub(super) fn login(&self, method: LoginMethod, admitted: bool, took: Option<Duration>) {
        *self.counted.lock().logins.entry((method, admitted)).or_default() += 1;
        if let Some(took) = took {
            self.logins.add(took);
        }
    }

    pub(super) fn get(&self) -> Counted {
        self.counted.lock().clone()
    }
}
