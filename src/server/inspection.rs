//! Inspection of a running broker, and operator actions: see [`inspect`](crate::inspect). No call blocks.

use std::{
    ops::ControlFlow,
    time::{Instant, SystemTime},
};

use super::Server;
use crate::{
    router::{
        EventKinds,
        inspect::{
            ByAdministrator, ClientView, Closed, Cursor, Ended, EventStream, InFlightMessage, QueuedMessage, Removed,
            RetainedMessage, SubscriberView, SubscriptionView, Wanted,
        },
    },
    topic::{TopicFilter, TopicName},
    types::ClientId,
};

impl Server {
    /// Shows clients and their sessions: those behind `after` that are `wanted`, until `each` breaks or `budget`
    /// sessions, at most [`SESSIONS_A_STEP`](crate::inspect::SESSIONS_A_STEP), were visited. Gives where to go on;
    /// `None`: there are no more.
    ///
    /// `each` is called with that session locked: it must be quick, and not call the server.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use dunlin::inspect::{Cursor, SESSIONS_A_STEP, Wanted};
    ///
    /// fn names(server: &dunlin::Server) -> Vec<String> {
    ///     let (mut names, mut next) = (Vec::new(), Some(Cursor::default()));
    ///     while let Some(after) = next {
    ///         next = server.clients(after, Wanted::Connected, SESSIONS_A_STEP, &mut |client| {
    ///             names.push(client.client.to_string());
    ///             ControlFlow::Continue(())
    ///         });
    ///     }
    ///     names
    /// }
    /// ```
    pub fn clients(
        &self,
        after: Cursor,
        wanted: Wanted,
        budget: usize,
        each: &mut dyn FnMut(&ClientView<'_>) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        self.router.clients(after, wanted, budget, each)
    }

    /// Shows one client; `None`: there is no session of that name. `show` is called with that session locked: it must
    /// be quick, and not call the server.
    pub fn inspect_client<R>(&self, client: &ClientId, show: impl FnOnce(&ClientView<'_>) -> R) -> Option<R> {
        self.router.client(client, show)
    }

    /// The first `limit` of the messages that wait for a client, in their order; `None`: there is no session of that
    /// name.
    pub fn queue(&self, client: &ClientId, limit: usize) -> Option<Vec<QueuedMessage>> {
        self.router.queue(client, limit)
    }

    /// The first `limit` of the messages that were sent to a client and are not completed, in the order in which they
    /// were sent; `None`: there is no session of that name.
    pub fn inflight(&self, client: &ClientId, limit: usize) -> Option<Vec<InFlightMessage>> {
        self.router.inflight(client, limit)
    }

    /// The subscriptions of a client: `limit` of them behind the first `skip`, shared ones last; `None`: there is no
    /// session of that name.
    pub fn subscriptions_of(&self, client: &ClientId, skip: usize, limit: usize) -> Option<Vec<SubscriptionView>> {
        self.router.subscriptions_of(client, skip, limit)
    }

    /// Who would get a message of this topic: `limit` of them at most, and how many there are in all.
    pub fn subscribers(&self, topic: &TopicName, limit: usize) -> (Vec<SubscriberView>, usize) {
        self.router.subscribers(topic, limit)
    }

    /// Shows the retained messages behind `after` that a filter matches, those of the broker itself among them, until
    /// `each` breaks or about `budget` topics were looked at. Gives where to go on; `None`: there are no more.
    pub fn retained(
        &self,
        filter: &TopicFilter,
        after: Cursor,
        budget: usize,
        each: &mut dyn FnMut(&RetainedMessage) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        self.router.retained(filter, after, budget, each)
    }

    /// Removes the retained messages of clients behind `after` that a filter matches; about `budget` topics are looked
    /// at. Subscribers are not told.
    pub fn remove_retained(&self, filter: &TopicFilter, after: Cursor, budget: usize) -> Removed {
        self.router.remove_retained(filter, after, budget)
    }

    /// Closes the connection of a client, which is told so if it speaks MQTT 5 (DISCONNECT with Reason Code 0x98). Its
    /// session waits for it as it asked for; it may come back at once.
    pub fn close(&self, client: &ClientId, closed: &ByAdministrator) -> Closed {
        self.router.close(client, closed)
    }

    /// Ends the session of a client, and its connection if it is connected.
    pub fn end_session(&self, client: &ClientId, closed: &ByAdministrator) -> Ended {
        self.operator.end_session(self.clock.now(), client, closed)
    }

    /// What happens from now on, of these kinds, for a task of the embedding program; payloads where
    /// [`EventKinds::PAYLOADS`] is among them. What the task is too slow for is lost, and counted.
    pub fn events(&self, kinds: EventKinds) -> EventStream {
        self.events.open(kinds)
    }

    /// What the clock that people read showed, or will show, at a moment that a view names.
    pub fn wall_time(&self, at: Instant) -> SystemTime {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        match now.checked_duration_since(at) {
            Some(ago) => wall - ago,
            None => wall + at.saturating_duration_since(now),
        }
    }
}
