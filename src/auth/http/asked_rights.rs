//! [`AskedRights`]: the rights of a client about whose topics a service is asked (mosquitto-go-auth's `aclcheck`).

use std::{sync::Arc, task::Waker};

use super::{
    Asked, Service, Shown,
    checks::{Access, Checks, Said},
};
use crate::{
    router::{Identity, Right, Rights},
    topic::{TopicFilter, TopicName},
    types::ClientId,
};

/// The rights of one client.
pub(in super::super) struct AskedRights {
    shown: Arc<Shown>,
    /// The service as it is configured now.
    service: Arc<Service>,
    checks: Arc<Checks>,
    asked: Arc<Asked>,
    /// The broker's own rules, for `on_error = "next"`.
    rest: Option<Arc<dyn Rights>>,
}

impl AskedRights {
    pub(in super::super) fn new(
        shown: Arc<Shown>,
        (service, checks): (Arc<Service>, Arc<Checks>),
        (client, identity): (&ClientId, &Identity),
        rest: Option<Arc<dyn Rights>>,
    ) -> Self {
        let asked = Asked {
            client: client.as_str().into(),
            user: identity.user.clone(),
            password: Vec::new(),
            address: shown.address.unwrap_or_else(|| [0; 4].into()),
            listener: identity.origin.listener,
            version: identity.version,
            is_token: false,
            will: None,
        };
        Self { shown, service, checks, asked: Arc::new(asked), rest }
    }

    /// Does this answer allow it? `rest`: do the broker's own rules?
    fn allows(&self, said: Said, rest: impl Fn(&dyn Rights) -> bool) -> bool {
        match said {
            Said::Yes => true,
            Said::No => false,
            Said::Nothing if self.service.settings.next_if_down => self.rest.as_ref().is_none_or(|own| rest(&**own)),
            Said::Nothing => false,
        }
    }
}

impl Rights for AskedRights {
    fn may_publish(&self, topic: &TopicName) -> bool {
        match self.checks.last(&self.asked, Access::Write, topic.as_str()) {
            Some(said) => self.allows(said, |own| own.may_publish(topic)),
            None => self.shown.will.as_deref() == Some(topic.as_str()),
        }
    }

    // so that every message is looked at
    fn reads_messages(&self) -> bool {
        true
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        let said = self.checks.last(&self.asked, Access::Subscribe, filter.as_str());
        said.is_some_and(|said| self.allows(said, |own| own.may_subscribe(filter)))
    }

    // whatever is not refused is queued, and asked about before it is sent
    fn may_receive(&self, topic: &TopicName) -> bool {
        !self.checks.refuses(&self.asked, Access::Read, topic.as_str())
    }

    fn limits_reading(&self) -> bool {
        true
    }

    fn asks(&self) -> bool {
        true
    }

    fn ask(&self, right: Right<'_>, waker: &Waker) -> Option<bool> {
        let what = match right {
            Right::Publish(topic) => (Access::Write, topic.as_str()),
            Right::Subscribe(filter) => (Access::Subscribe, filter.as_str()),
            Right::Receive(topic) => (Access::Read, topic.as_str()),
        };
        let said = self.checks.ask(&self.service, &self.asked, what, waker)?;
        Some(self.allows(said, |own| match right {
            Right::Publish(topic) => own.may_publish(topic),
            Right::Subscribe(filter) => own.may_subscribe(filter),
            Right::Receive(topic) => own.may_receive(topic),
        }))
    }
}
