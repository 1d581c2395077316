//! Retained messages that are due to the other broker of a bridge.

use super::{
    super::{
        Router, RouterThread,
        sessions::{SlotRef, SlotState},
        subscriptions::FoundRetained,
    },
    client::Client,
    relay::Relaying,
};
use crate::{
    session::{Change, Extras, Journal, Message, Session, Turn},
    topic::{TopicFilter, TopicName},
    types::{BRIDGES, ClientId, QoS},
};

/// Topics of one step.
const STEP: usize = 256;

/// What a step of [`Router::bring_due`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// All that is due is queued.
    All,
    /// Some: there is more.
    Some,
    /// The queue or the disk is full, for now.
    NoRoom,
}

impl Relaying<'_> {
    /// Number of topics whose retained messages are due, as far as they are in the list.
    pub fn due(&self) -> usize {
        self.session.due()
    }

    /// Are retained messages due that are not queued?
    pub fn due_waits(&self) -> bool {
        self.session.due_waits()
    }

    /// Are all retained messages due, and not known to be read?
    pub fn all_are_due(&self) -> bool {
        self.session.all_are_due()
    }

    /// Messages of QoS 0 that are due were taken: the number of the last message that was taken.
    pub fn due_taken(&self) -> Option<u64> {
        self.session.due_taken()
    }

    /// The other broker has read all messages of QoS 0 up to this number.
    pub fn due_arrived(&mut self, up_to: u64) {
        self.session.due_arrived(up_to, &mut self.turn);
    }

    /// Was a topic added to the list since the last call, although no message was delivered?
    pub fn take_due_news(&mut self) -> bool {
        self.session.take_due_news()
    }

    /// Calls `each` with all messages with RETAIN that are queued or in flight.
    pub fn retained_changes(&self, each: &mut dyn FnMut(&TopicName, Change)) {
        self.session.retained_changes(&mut |message, change| each(message.topic(), change));
    }

    /// The lowest number of a message that is queued or in flight.
    pub fn first_open(&self) -> Option<u64> {
        self.session.first_open()
    }
}

/// A bridge's session.
pub(in super::super) struct BridgeSession {
    slot: SlotRef,
    /// The Topic Filters of its subscriptions here.
    filters: Vec<Box<str>>,
}

impl BridgeSession {
    fn sends(&self, topic: &TopicName) -> bool {
        self.filters.iter().any(|filter| TopicFilter::new(filter).is_ok_and(|filter| filter.matches(topic)))
    }
}

impl Router {
    /// The sessions of bridges that send messages, with the topics of these.
    pub(in super::super) fn bridges(&self) -> Vec<BridgeSession> {
        let session = |client: ClientId| {
            let filters = self.subscriptions_of(&client, 0, usize::MAX)?;
            let filters: Vec<_> = filters.into_iter().map(|subscription| subscription.filter).collect();
            let slot = self.sessions.get(&client).filter(|_| !filters.is_empty())?;
            Some(BridgeSession { slot, filters })
        };
        self.sessions.parts(BRIDGES).into_iter().filter_map(session).collect()
    }

    /// The retained messages of these topics were removed, and no subscriber was told: this is due to the other brokers
    /// of bridges.
    pub(in super::super) fn note_removed<'t>(
        &self,
        local: &mut RouterThread,
        bridges: &[BridgeSession],
        topics: impl Iterator<Item = &'t TopicName> + Clone,
    ) {
        for bridge in bridges {
            let mut state = bridge.slot.lock();
            let SlotState { session, ended: false, .. } = &mut *state else { continue };
            let mut turn = self.turn(local);
            for topic in topics.clone().filter(|topic| bridge.sends(topic)) {
                // a newer message was delivered to the bridge, or will be
                if self.retained.get(topic).is_none() {
                    session.note_removed(topic.as_str(), &mut turn);
                }
            }
            drop(turn);
            bridge.slot.signal(&state, &mut local.wakes);
        }
    }

    /// Queues retained messages that are due, or an empty message for each topic that has none any more, in a step of
    /// bounded length. `walk`: where to continue among all retained messages. `qos`: the highest QoS of a topic;
    /// `None`: it is not sent.
    pub fn bring_due(
        &self,
        local: &mut RouterThread,
        client: &Client,
        walk: &mut u32,
        qos: &dyn Fn(&TopicName) -> Option<QoS>,
    ) -> Brought {
        if self.store_refuses(local).is_some() {
            return Brought::NoRoom;
        }
        let mut bring = |local: &mut RouterThread| match self.bring_listed(local, client, qos) {
            Brought::All => self.bring_walked(local, client, walk, qos),
            other => other,
        };
        local.finish(|local| self.together(|| bring(local))).0
    }

    /// The topics of the list.
    fn bring_listed(
        &self,
        local: &mut RouterThread,
        client: &Client,
        qos: &dyn Fn(&TopicName) -> Option<QoS>,
    ) -> Brought {
        let mut state = client.slot.lock();
        let mut turn = self.turn(local);
        if !state.session.has_room_for_due() {
            return if state.session.due_waits() { Brought::NoRoom } else { Brought::All };
        }
        let mut brought = Brought::Some;
        for _ in 0..STEP {
            let Some(topic) = state.session.next_due() else {
                brought = Brought::All;
                break;
            };
            self.bring_one(&mut state.session, TopicName::from_valid(&topic), true, qos, &mut turn);
        }
        drop(turn);
        self.list_expiring(&client.slot, &mut state);
        brought
    }

    /// If all retained messages are due: those behind `walk`.
    fn bring_walked(
        &self,
        local: &mut RouterThread,
        client: &Client,
        walk: &mut u32,
        qos: &dyn Fn(&TopicName) -> Option<QoS>,
    ) -> Brought {
        match client.slot.lock().session.queue_all() {
            None => return Brought::All,
            Some(true) => *walk = 0,
            Some(false) => {}
        }
        let Ok(all) = TopicFilter::new("#") else { return Brought::All };
        let mut found = Vec::new();
        let next = self.retained.scan(all, *walk, STEP as u32, &mut found);
        let mut state = client.slot.lock();
        let mut turn = self.turn(local);
        // looked up again with the session locked: a newer message is delivered behind this one
        for (_, retained) in &found {
            self.bring_one(&mut state.session, retained.message.topic(), false, qos, &mut turn);
        }
        if next.is_none() {
            state.session.all_are_queued();
        }
        drop(turn);
        self.list_expiring(&client.slot, &mut state);
        match next {
            None => Brought::All,
            Some(next) => {
                *walk = next;
                Brought::Some
            }
        }
    }

    /// Queues the retained message of a topic. If it is `listed` and has none any more: an empty one.
    fn bring_one(
        &self,
        session: &mut Session,
        topic: &TopicName,
        listed: bool,
        qos: &dyn Fn(&TopicName) -> Option<QoS>,
        turn: &mut Turn<'_, impl Journal>,
    ) {
        let found = self.retained.get(topic);
        // what came from the other broker is there
        let is_theirs = found.as_ref().is_some_and(|found| is_by(found, session.id()));
        let Some(qos) = qos(topic).filter(|_| !is_theirs) else {
            return session.forget_due(topic.as_str(), turn);
        };
        let message = match found.map(|found| found.message).filter(|message| !message.is_expired(turn.now)) {
            Some(message) => message,
            None if listed => Message::with(topic, &[], QoS::AtLeastOnce, Extras::default()),
            None => return,
        };
        session.bring_due(&message, qos, turn);
    }

    /// Is a message retained for this topic that another client than this one published?
    pub fn retains_of_others(&self, client: &Client, topic: &TopicName) -> bool {
        self.retained.get(topic).is_some_and(|found| !is_by(&found, client.id()))
    }
}

/// Did this client publish the retained message?
fn is_by(found: &FoundRetained, client: &ClientId) -> bool {
    found.by.publisher.as_ref().is_some_and(|publisher| publisher.client == *client)
}
