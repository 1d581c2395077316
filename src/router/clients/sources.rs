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
    /// By the address of the publisher.
    known: HashMap<*const Publisher, Found>,
}

/// Its rights; `None`: it may do everything.
type Found = Result<Option<Arc<dyn Rights>>, Failed>;

/// The plug-in failed: the publisher may do nothing.
struct Failed;

/// Client Identifiers of what publishes within the process begin so; those of clients from the network do not.
const INSIDE: char = '$';

impl Router {
    /// `None`: retained messages are sent whatever their publishers may do now.
    pub(super) fn sources(&self, local: &RouterThread) -> Option<Sources<'_>> {
        let authorize = self.ports.authorize.as_deref().filter(|_| local.limits.check_retain_source)?;
        Some(Sources { authorize, known: HashMap::new() })
    }
}

impl Sources<'_> {
    /// May the publisher of this retained message publish to its topic now? The broker itself may, and so may bridges
    /// and what else publishes within its process: the rules are for clients.
    pub(super) fn may_still_publish(&mut self, topic: &TopicName, by: &RetainedBy, observers: &Observers) -> bool {
        let is_client = |publisher: &&Arc<Publisher>| !publisher.client.as_str().starts_with(INSIDE);
        let Some(publisher) = by.publisher.as_ref().filter(is_client) else { return true };
        let rights = self.known.entry(Arc::as_ptr(publisher)).or_insert_with(|| {
            let identity =
                Identity { user: publisher.user.as_ref().map(|user| user.as_str().into()), ..Identity::default() };
            observers.call(Err(Failed), || Ok(self.authorize.rights(&publisher.client, &identity)))
        });
        let may = |rights: &Arc<dyn Rights>| observers.call(false, || rights.may_publish(topic));
        rights.as_ref().is_ok_and(|rights| rights.as_ref().is_none_or(may))
    }
}
