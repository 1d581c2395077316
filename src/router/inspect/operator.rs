//! [`Operator`]: actions in a router from a thread that serves no clients.

use std::{sync::Arc, task::Waker, time::Instant};

use parking_lot::Mutex;

use super::{
    super::{
        RestoredRetained, RestoredSession, Router, RouterThread,
        clients::{NotAdopted, NotSubscribed},
    },
    actions::Ended,
    retained::Removed,
    views::Cursor,
};
use crate::{
    session::{ByAdministrator, Stored},
    topic::TopicFilter,
    types::{ClientId, SubscriptionOptions},
};

/// Performs actions in a router from any thread, one at a time.
pub struct Operator {
    router: Arc<Router>,
    thread: Mutex<RouterThread>,
}

impl Operator {
    /// For this router. `now`: the current time.
    pub fn new(router: Arc<Router>, now: Instant) -> Self {
        let thread = Mutex::new(router.local(now));
        Self { router, thread }
    }

    /// The router, for inspection.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// See [`Router::end_session`].
    pub fn end_session(&self, now: Instant, client: &ClientId, closed: &ByAdministrator) -> Ended {
        self.act(now, |router, thread| router.end_session(thread, client, closed))
    }

    /// See [`Router::clear_queue`].
    pub fn clear_queue(&self, now: Instant, client: &ClientId) -> Option<(usize, Stored)> {
        self.act(now, |router, thread| router.clear_queue(thread, client))
    }

    /// See [`Router::remove_retained`].
    pub fn remove_retained(
        &self,
        now: Instant,
        filter: &TopicFilter,
        after: Cursor,
        budget: usize,
    ) -> (Removed, Stored) {
        self.act(now, |router, thread| router.remove_retained(thread, filter, after, budget))
    }

    /// Subscribes a client without telling it. Returns when this is durable.
    pub fn subscribe(
        &self,
        now: Instant,
        client: &ClientId,
        filter: &TopicFilter,
        options: SubscriptionOptions,
    ) -> Result<Stored, NotSubscribed> {
        self.act(now, |router, thread| router.subscribe_for(thread, client, filter, options))
    }

    /// Ends a subscription of a client without telling it. Returns when this is durable; `None`: it has no such
    /// subscription.
    pub fn unsubscribe(&self, client: &ClientId, filter: &TopicFilter) -> Result<Option<Stored>, NotSubscribed> {
        self.router.unsubscribe_for(client, filter)
    }

    /// Imports a session of an away client unless it exists. Returns when this is durable.
    pub fn adopt_session(&self, now: Instant, session: RestoredSession) -> Result<Stored, NotAdopted> {
        self.act(now, |router, thread| router.adopt_session(thread, session))
    }

    /// Brings in a retained message, unless there is one of its topic: when it is durable. Subscribers are not told.
    pub fn adopt_retained(&self, now: Instant, retained: RestoredRetained) -> Result<Stored, NotAdopted> {
        self.act(now, |router, thread| router.adopt_retained(thread, retained))
    }

    /// Performs an action, and wakes the connections that it affects.
    fn act<R>(&self, now: Instant, act: impl FnOnce(&Router, &mut RouterThread) -> R) -> R {
        let mut thread = self.thread.lock();
        self.router.refresh(&mut thread, now);
        let result = act(&self.router, &mut thread);
        let wakes = std::mem::take(&mut thread.wakes);
        drop(thread);
        wakes.into_iter().for_each(Waker::wake);
        self.router.ports.observe.iter().for_each(|observe| observe.turn_ended());
        result
    }
}
