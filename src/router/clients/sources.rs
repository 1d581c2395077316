//! [`Sources`]: whether those who published retained messages may still do so (`auth.check_retain_source`).

use std::{collections::HashMap, sync::Arc};

use super::super::{
    Router, RouterThread,
    ports::{Authorize, Identity, Publisher, Rights},
    subscriptions::RetainedBy,
    thread::Observers,
};
use crate::topic::TopicName;

/// The present rights of the publishers of retained messages, while these are looked up.
pub(super) struct Sources<'a> {
    authorize: &'a dyn Authorize,
    /// By the address of the publisher; `None`: it may do everything.
    known: HashMap<*const Publisher, Option<Arc<dyn Rights>>>,
}

impl Router {
    /// `None`: retained messages are sent whatever their publishers may do now.
    pub(super) fn sources(&self, local: &RouterThread) -> Option<Sources<'_>> {
        let authorize = self.ports.authorize.as_deref().filter(|_| local.limits.check_retain_source)?;
        Some(Sources { authorize, known: HashMap::new() })
    }
}

impl Sources<'_> {
    /// May the publisher of this retained message publish to its topic now? The broker itself may.
    pub(super) fn may_still_publish(&mut self, topic: &TopicName, by: &RetainedBy, observers: &Observers) -> bool {
        let Some(publisher) = &by.publisher else { return true };
        let rights = self.known.entry(Arc::as_ptr(publisher)).or_insert_with(|| {
            let identity =
                Identity { user: publisher.user.as_ref().map(|user| user.as_str().into()), ..Identity::default() };
            observers.call(None, || self.authorize.rights(&publisher.client, &identity))
        });
        rights.as_ref().is_none_or(|rights| observers.call(false, || rights.may_publish(topic)))
    }
}
