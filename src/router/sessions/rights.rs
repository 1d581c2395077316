//! [`Access`]: the user of a client and its rights, stored with its session.

use std::{sync::Arc, task::Waker};

use super::super::ports::{Identity, Proof, Right, Rights};
use crate::{
    session::{CloseReason, Outgoing},
    topic::{TopicFilter, TopicName},
};

/// The user and the rights of a client. It is stored with the session, for deliveries while the client is away. It is
/// missing if there are neither rules nor a user.
pub(crate) struct Access {
    pub(crate) identity: Identity,
    /// `None`: everything.
    pub(crate) rights: Option<Arc<dyn Rights>>,
    pub(crate) limits_reading: bool,
    /// Every message that it publishes must be checked.
    pub(crate) reads_messages: bool,
    /// Rights are asked about elsewhere.
    pub(crate) asks: bool,
    /// The user, password or token was removed: no more packets are accepted and the connection closes. The session may
    /// live on: messages already queued keep the old rules; a returning client gets new ones.
    pub(crate) revoked: bool,
    /// Set if the connection must end for another reason.
    pub(super) closing: Option<Box<Closing>>,
}

/// A connection that was told to end.
#[derive(Clone)]
pub(super) struct Closing {
    pub(super) reason: CloseReason,
    /// The access before that, which is restored when the connection has ended.
    pub(super) before: Option<Arc<Access>>,
}

impl Access {
    /// For a client whose rights cannot be determined: it may do nothing.
    pub(crate) fn nothing(user: Option<Box<str>>) -> Self {
        let identity = Identity { user, ..Identity::default() };
        Self { limits_reading: true, revoked: true, ..Self::new(identity, Some(Arc::new(Nothing))) }
    }

    /// For a client with rights that need no check of each message.
    pub(crate) fn new(identity: Identity, rights: Option<Arc<dyn Rights>>) -> Self {
        Self {
            identity,
            rights,
            limits_reading: false,
            reads_messages: false,
            asks: false,
            revoked: false,
            closing: None,
        }
    }

    /// The same client, whose connection must end.
    pub(super) fn that_closes(before: Option<Arc<Self>>, nobody: Identity, reason: CloseReason) -> Self {
        let (identity, rights) = match &before {
            Some(access) => (access.identity.clone(), access.rights.clone()),
            None => (nobody, None),
        };
        let limits_reading = before.as_ref().is_some_and(|access| access.limits_reading);
        let closing = Some(Box::new(Closing { reason, before }));
        Self { limits_reading, revoked: true, closing, ..Self::new(identity, rights) }
    }

    pub(crate) fn may_publish(&self, topic: &TopicName) -> bool {
        !self.revoked && self.all(|rights| rights.may_publish(topic))
    }

    /// May it publish this message, whose topic it may publish to?
    pub(crate) fn may_publish_message(&self, message: &Outgoing<'_>) -> bool {
        !self.reads_messages || self.all(|rights| rights.may_publish_message(message))
    }

    pub(crate) fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        !self.revoked && self.all(|rights| rights.may_subscribe(filter))
    }

    #[inline]
    pub(crate) fn may_receive(&self, topic: &TopicName) -> bool {
        !self.limits_reading || self.all(|rights| rights.may_receive(topic))
    }

    pub(crate) fn may_receive_some(&self, filter: &TopicFilter) -> bool {
        !self.limits_reading || self.all(|rights| rights.may_receive_some(filter))
    }

    /// Has it this right? `None`: that is asked about, and `waker` is called when it is known.
    pub(crate) fn ask(&self, right: Right<'_>, waker: &Waker) -> Option<bool> {
        let mut all = true;
        for rights in self.rights.iter().chain(&self.identity.narrowed) {
            all &= rights.ask(right, waker)?;
        }
        Some(all && !self.revoked)
    }

    /// The User Name in force.
    pub(crate) fn user(&self) -> Option<&str> {
        self.identity.user.as_deref()
    }

    /// The owner of the client's sessions: the user, if it is authenticated.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.user().filter(|_| self.identity.proof != Proof::None)
    }

    pub(crate) fn limits_reading(&self) -> bool {
        self.limits_reading
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Both the rules and the token's claims must agree.
    fn all(&self, agrees: impl Fn(&dyn Rights) -> bool) -> bool {
        self.rights.iter().chain(&self.identity.narrowed).all(|rights| agrees(&**rights))
    }
}

/// Is this a topic of events, or a filter that matches only such topics? A wildcard in the first level matches none.
pub(crate) fn is_of_events(text: &str) -> bool {
    text.strip_prefix("$events").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// For a client without rules while events are published: everything but reading events.
pub(crate) struct NoEvents;

impl Rights for NoEvents {
    fn may_publish(&self, _: &TopicName) -> bool {
        true
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        true
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        !is_of_events(topic.as_str())
    }

    fn may_receive_some(&self, filter: &TopicFilter) -> bool {
        !is_of_events(filter.as_str())
    }

    fn limits_reading(&self) -> bool {
        true
    }
}

struct Nothing;

impl Rights for Nothing {
    fn may_publish(&self, _: &TopicName) -> bool {
        false
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        false
    }

    fn may_receive(&self, _: &TopicName) -> bool {
        false
    }

    fn limits_reading(&self) -> bool {
        true
    }
}
