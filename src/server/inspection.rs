//! Inspection of a running broker, and operator actions: see [`inspect`](crate::inspect). No call blocks.

use std::{
    ops::ControlFlow,
    time::{Instant, SystemTime},
};

use super::Server;
use crate::{
    inside::until_kept,
    router::{
        EventKinds,
        inspect::{
            ByAdministrator, ClientView, Closed, Cursor, Ended, EventStream, InFlightMessage, QueuedMessage, Removed,
            RetainedMessage, SubscriberView, SubscriptionView, Wanted,
        },
    },
    session::CloseReason,
    topic::{TopicFilter, TopicName},
    types::ClientId,
};

impl Server {
    /// Calls `each` for `wanted` clients with their sessions behind `after`, until `each` breaks or `budget` sessions,
    /// at most [`SESSIONS_A_STEP`](crate::inspect::SESSIONS_A_STEP), were visited. Returns where to continue; `None`:
    /// there are no more.
    ///
    /// `each` is called with the session locked: it must be quick, and must not call the server.
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

    /// Calls `show` for one client. `None`: there is no session with this identifier. `show` is called with the session
    /// locked: it must be quick, and must not call the server.
    pub fn inspect_client<R>(&self, client: &ClientId, show: impl FnOnce(&ClientView<'_>) -> R) -> Option<R> {
        self.router.client(client, show)
    }

    /// The first `limit` queued messages of a client, in order. `None`: there is no session with this identifier.
    pub fn queue(&self, client: &ClientId, limit: usize) -> Option<Vec<QueuedMessage>> {
        self.router.queue(client, limit)
    }

    /// The first `limit` messages in flight to a client, in the order of sending. `None`: there is no session with this
    /// identifier.
    pub fn inflight(&self, client: &ClientId, limit: usize) -> Option<Vec<InFlightMessage>> {
        self.router.inflight(client, limit)
    }

    /// The subscriptions of a client: `limit` of them behind the first `skip`, shared ones last. `None`: there is no
    /// session with this identifier.
    pub fn subscriptions_of(&self, client: &ClientId, skip: usize, limit: usize) -> Option<Vec<SubscriptionView>> {
        self.router.subscriptions_of(client, skip, limit)
    }

    /// The first `limit` clients that would get a message with this topic, and their total number.
    pub fn subscribers(&self, topic: &TopicName, limit: usize) -> (Vec<SubscriberView>, usize) {
        self.router.subscribers(topic, limit)
    }

    /// Calls `each` for retained messages behind `after` that match a filter, including those of the broker itself,
    /// until `each` breaks or about `budget` topics were visited. Returns where to continue; `None`: there are no more.
    pub fn retained(
        &self,
        filter: &TopicFilter,
        after: Cursor,
        budget: usize,
        each: &mut dyn FnMut(&RetainedMessage) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        self.router.retained(filter, after, budget, each)
    }

    /// Removes clients' retained messages behind `after` that match a filter; visits about `budget` topics. Subscribers
    /// are not told, but bridges pass it on. Completes when the removal is durable; an error: they are removed, but it
    /// is unknown whether that will become durable.
    pub async fn remove_retained(
        &self,
        filter: &TopicFilter,
        after: Cursor,
        budget: usize,
    ) -> Result<Removed, CloseReason> {
        let (removed, stored) = self.operator.remove_retained(self.clock.now(), filter, after, budget);
        until_kept(self.router.clone(), stored).await.map(|()| removed)
    }

    /// Removes the queued messages of a client, except those that it may not receive now; messages in flight stay.
    /// Returns their number once this is durable; `None`: there is no such session.
    pub async fn clear_queue(&self, client: &ClientId) -> Result<Option<usize>, CloseReason> {
        let Some((messages, stored)) = self.operator.clear_queue(self.clock.now(), client) else { return Ok(None) };
        until_kept(self.router.clone(), stored).await.map(|()| Some(messages))
    }

    /// Closes the connection of a client. An MQTT 5 client gets a DISCONNECT with Reason Code 0x98. Its session is kept
    /// as it requested, and the client may reconnect at once.
    pub fn close(&self, client: &ClientId, closed: &ByAdministrator) -> Closed {
        self.router.close(client, closed)
    }

    /// Ends the session of a client, and its connection if it is connected.
    pub fn end_session(&self, client: &ClientId, closed: &ByAdministrator) -> Ended {
        self.operator.end_session(self.clock.now(), client, closed)
    }

    /// Events of these kinds from now on, for a task of the embedding program; with payloads if
    /// [`EventKinds::PAYLOADS`] is included. Events that the task is too slow for are lost, and counted.
    pub fn events(&self, kinds: EventKinds) -> EventStream {
        self.events.open(kinds)
    }

    /// The wall-clock time of a monotonic time in a view.
    pub fn wall_time(&self, at: Instant) -> SystemTime {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        match now.checked_duration_since(at) {
            Some(ago) => wall - ago,
            None => wall + at.saturating_duration_since(now),
        }
    }
}
