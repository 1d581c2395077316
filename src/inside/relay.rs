//! [`Relay`]: a client within this process that relays messages to and from another broker. Its calls do not wait: they
//! return the commit of their effects, and [`Relay::rings`] completes when further commits are durable.

use std::{
    ops::ControlFlow,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use super::{
    Ack, Client, Received,
    client::{Open, Shared},
    kept::until_kept,
};
use crate::{
    clock::Clock,
    codec::{Properties, PropertyId},
    router::{Brought, Condition, Event, Relaying, inspect::Cursor},
    session::{CloseReason, CommitSeq, Extras, Missed, Outgoing, Stored, ToRelay},
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS},
};

/// Such a client. When it is dropped, its session stays.
pub struct Relay {
    client: Client,
}

/// A turn of it.
pub struct RelayTurn<'a> {
    open: &'a mut Open,
    now: Instant,
}

/// A message of the other broker.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// Topic Name, here.
    pub topic: &'a TopicName,
    /// Application Message.
    pub payload: &'a [u8],
    /// Its QoS.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// Its Packet Identifier, if it is of QoS 2.
    pub once: Option<PacketId>,
    /// Its other properties, including the Message Expiry Interval.
    pub properties: Properties<'a>,
}

/// Properties that end here.
const NOT_PASSED_ON: &[PropertyId] =
    &[PropertyId::MessageExpiryInterval, PropertyId::TopicAlias, PropertyId::SubscriptionIdentifier];

impl Relay {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.client.shared()
    }

    /// The broker's clock.
    pub fn clock(&self) -> &Clock {
        self.shared().clock()
    }

    /// Some steps; connections are woken behind them. `None`: the server has stopped.
    pub fn turn<R>(&self, steps: impl FnOnce(&mut RelayTurn<'_>) -> R) -> Option<R> {
        let now = self.clock().now();
        self.shared().with(|open| steps(&mut RelayTurn { open, now }))
    }

    /// Tells observers about an event.
    pub fn tell(&self, event: &Event<'_>) {
        let router = self.shared().with(|open| open.router.clone());
        router.into_iter().for_each(|router| router.tell_observers(event));
    }

    /// Takes messages that are there now: at most `most`, and not many more than these bytes. Returns when those of QoS
    /// 2 may be passed on. `None`: the server has stopped.
    pub fn take(&self, most: usize, bytes: usize, into: &mut Vec<Received>) -> Option<Stored> {
        let (now, wall) = (self.clock().now(), self.clock().wall());
        let take = |session: &mut Relaying<'_>| {
            let (mut stored, mut size, mut left) = (Stored::Done, 0, most);
            while left > 0 && size < bytes {
                match session.take() {
                    Some(ToRelay::Publish(taken, _, by)) => {
                        stored = stored.and(by);
                        size += taken.message.size();
                        left -= 1;
                        into.push(Received::at(taken, wall, now));
                    }
                    // of a client of the network that had the session
                    Some(ToRelay::Release(_, ack, _)) => _ = session.acknowledge(ack),
                    None => break,
                }
            }
            stored
        };
        self.turn(|turn| turn.session(take)).flatten()
    }

    /// Acknowledges messages that were taken.
    pub fn acknowledge(&self, acks: impl Iterator<Item = Ack>) {
        self.turn(|turn| turn.session(|session| acks.for_each(|Ack(ack)| _ = session.acknowledge(ack))));
    }

    /// Waits until this is durable. Error: it is unknown when it will be.
    pub async fn kept(&self, stored: Stored) -> Result<(), CloseReason> {
        match self.shared().with(|open| open.router.clone()) {
            Some(router) => until_kept(router, stored).await,
            None => Err(CloseReason::ServerShutdown),
        }
    }

    /// The number of its session in the store; `None`: it is not stored.
    pub fn session_number(&self) -> Option<u64> {
        self.turn(|turn| turn.session(|session| session.number())).flatten().flatten()
    }

    /// Ends when there is something to be sent, or when more is durable, perhaps.
    pub async fn rings(&self) {
        self.shared().rings().await;
    }

    /// A waker that makes it ring.
    pub fn waker(&self) -> Waker {
        self.shared().waker()
    }

    /// Number of messages that its queue dropped since the start.
    pub fn missed(&self) -> Missed {
        self.client.missed()
    }

    /// Ends the client and its session, and discards the queue.
    pub fn end_session(self) {
        self.client.end_session();
    }
}

impl RelayTurn<'_> {
    /// Some steps with its session locked. `None`: it has none any more.
    pub fn session<R>(&mut self, steps: impl FnOnce(&mut Relaying<'_>) -> R) -> Option<R> {
        let Open { router, thread, client, .. } = &mut *self.open;
        router.relay(thread, client, steps)
    }

    /// The last durable commit. An error: pending commits will not become durable.
    pub fn done(&self) -> Result<CommitSeq, CloseReason> {
        let Some(store) = self.open.router.plugged_store() else { return Ok(CommitSeq(u64::MAX)) };
        // in this order: a commit that is not done after the store reported that it is stuck, is stuck
        let condition = store.condition();
        let done = store.done();
        match condition {
            Condition::Failed => Err(CloseReason::StoreFailed),
            Condition::Stuck => Err(CloseReason::StoreFull),
            Condition::Ready | Condition::Busy | Condition::Full => Ok(done),
        }
    }

    /// As much as may be waits for the disk: nothing more is to be read.
    pub fn is_behind(&self) -> bool {
        self.open.router.plugged_store().is_some_and(|store| store.is_behind())
    }

    /// Rings when this commit is durable.
    pub fn ring_when_done(&self, commit: CommitSeq, waker: &Waker) {
        if let Some(store) = self.open.router.plugged_store() {
            store.wake_when_done(commit, waker);
        }
    }

    /// Bytes of the largest packet that this broker takes.
    pub fn max_packet_size(&self) -> usize {
        self.open.thread.limits().max_packet_size
    }

    /// Calls `each` with the topics of retained messages that this client published, of about `budget` messages behind
    /// `after`. Returns where to continue; `None`: there are no more.
    pub fn retained(&self, after: Cursor, budget: usize, each: &mut dyn FnMut(&TopicName)) -> Option<Cursor> {
        let (router, own) = (&self.open.router, self.open.client.id());
        let all = TopicFilter::new("#").ok()?;
        router.retained(all, after, budget, &mut |retained| {
            if retained.publisher().is_some_and(|publisher| publisher == own) {
                each(retained.topic());
            }
            ControlFlow::Continue(())
        })
    }

    /// Queues retained messages that are due, in a step: see [`bring_due`](crate::router::Router::bring_due).
    pub fn bring_due(&mut self, walk: &mut u32, qos: &dyn Fn(&TopicName) -> Option<QoS>) -> Brought {
        let Open { router, thread, client, .. } = &mut *self.open;
        router.bring_due(thread, client, walk, qos)
    }

    /// Is a message retained for this topic that another client published?
    pub fn retains_of_others(&self, topic: &TopicName) -> bool {
        self.open.router.retains_of_others(&self.open.client, topic)
    }

    /// Publishes a message of the other broker: gives when it is kept. An error: it was not published.
    pub fn publish(&mut self, incoming: &Incoming<'_>) -> Result<Stored, CloseReason> {
        let Incoming { topic, payload, qos, retain, once, properties } = *incoming;
        let seconds = properties.number(PropertyId::MessageExpiryInterval);
        let expires = seconds.and_then(|left| self.now.checked_add(Duration::from_secs(left.into())));
        let Open { router, thread, client, .. } = &mut *self.open;
        let own;
        let properties = match NOT_PASSED_ON.iter().any(|id| properties.has(*id)) {
            true => {
                own = properties.without(NOT_PASSED_ON);
                own.as_properties()
            }
            false => properties,
        };
        let mut outgoing = Outgoing::new(topic, payload, qos).with_retain(retain);
        outgoing.extras = Extras { properties, expires };
        let id = client.id().clone();
        outgoing.from = Some(&id);
        router.publish_relayed(thread, client, once, &outgoing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        inside::{Inside, InsideClient},
        router::{Ports, Router, RouterLimits},
        types::ClientId,
    };

    #[test]
    fn a_step_over_retained_messages_is_bounded_and_finds_only_its_own() {
        let inside = Inside::new(Arc::new(Router::new(RouterLimits::default(), Ports::default(), 1)), Clock::system());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let [relay, other] = ["$bridge/a", "$bridge/b"].map(|id| {
            let id = ClientId::from(id).to_string();
            let (filters, queue) = Default::default();
            let asked = InsideClient {
                id,
                filters,
                qos: QoS::ExactlyOnce,
                queue,
                no_local: true,
                retain_as_published: true,
                durable: false,
            };
            runtime.block_on(inside.relay(asked, &[])).unwrap()
        });
        for n in 0..400 {
            for (relay, room) in [(&relay, "own"), (&other, "other")] {
                let topic = format!("{room}/{n}");
                let (topic, qos) = (TopicName::new(&topic).unwrap(), QoS::AtLeastOnce);
                let properties = Properties::default();
                let retained = Incoming { topic, payload: b"x", qos, retain: true, once: None, properties };
                let _ = relay.turn(|turn| turn.publish(&retained)).unwrap().unwrap();
            }
        }
        let (mut topics, mut next) = (std::collections::BTreeSet::new(), Some(Cursor::default()));
        while let Some(at) = next {
            let before = topics.len();
            let mut each = |topic: &TopicName| assert!(topics.insert(topic.as_str().to_owned()));
            next = relay.turn(|turn| turn.retained(at, 100, &mut each)).unwrap();
            assert!(topics.len() <= before + 100);
        }
        assert_eq!(topics.len(), 400);
        assert!(topics.iter().all(|topic| topic.starts_with("own/")));
    }
}
