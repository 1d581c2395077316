//! Imports sessions and retained messages of another broker, or of an earlier time, while this one runs. Existing ones
//! stay as they are.

use super::{
    super::{
        Record, RestoredRetained, RestoredSession, Router, RouterThread, SessionOwner, WillLeft,
        sessions::SlotRef,
        subscriptions::{RetainedBounds, RetainedBy},
        thread::Refused,
    },
    subscribe::Added,
};
use crate::{
    session::{Expiry, RestoredMessage, RestoredState, Session, SessionChange, SessionNumber, Stored},
    topic::{SharedFilter, TopicFilter},
    types::{ClientId, PacketId, SubscriptionOptions},
};

/// Why something was not brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdopted {
    /// There is such a session, or a retained message of this topic.
    Exists,
    /// The session is one of a client within a broker.
    Inside,
    /// There is no room: why.
    Full(&'static str),
}

impl Router {
    /// Imports a session of an away client. Returns when this is durable. Left out are its Will, because the client is
    /// not connected here, and messages of which only the PUBREL is missing.
    pub(crate) fn adopt_session(
        &self,
        local: &mut RouterThread,
        adopted: RestoredSession,
    ) -> Result<Stored, NotAdopted> {
        local.finish(|local| self.together(|| self.adopt(local, adopted))).0
    }

    fn adopt(&self, local: &mut RouterThread, mut adopted: RestoredSession) -> Result<Stored, NotAdopted> {
        if adopted.client.as_str().starts_with('$') {
            return Err(NotAdopted::Inside);
        }
        let user = adopted.owner.as_ref().map(|owner| owner.user.as_str());
        if let Some(why) = self.sessions.no_room(&adopted.client, user, local.limits.max_sessions) {
            return Err(NotAdopted::Full(why));
        }
        if self.store_refuses(local).is_some() {
            return Err(NotAdopted::Full("there is no room in data_dir"));
        }
        adopted.messages.retain(|message| !matches!(message.state, RestoredState::Released { .. }));
        let subscriptions = std::mem::take(&mut adopted.subscriptions);
        let (slot, mut stored) = self.begin_adopted(local, adopted)?;
        for (text, options) in &subscriptions {
            stored = stored.and(self.adopt_subscription(local, &slot, text, *options));
        }
        self.note_restored(&slot, local.observers.now);
        Ok(stored)
    }

    /// The session without its subscriptions, under the lock of the map's shard.
    fn begin_adopted(
        &self,
        local: &mut RouterThread,
        adopted: RestoredSession,
    ) -> Result<(SlotRef, Stored), NotAdopted> {
        let RestoredSession { client, owner, lasts, away, messages, received, .. } = adopted;
        let held = self.sessions.hold(&client);
        if held.get().is_some() {
            return Err(NotAdopted::Exists);
        }
        let number = self.new_session_number().ok_or(NotAdopted::Full("there is no data_dir"))?;
        let stored = self.store_adopted((number, &client), owner.as_ref(), lasts, (&messages, &received));
        let expiry = Expiry::of_seconds(Some(lasts.unwrap_or(u32::MAX)));
        let mut session = Session::restore(client.clone(), number, messages, received);
        session.set_expiry(expiry);
        session.tell_backlog(&mut self.recorder(&mut local.observers));
        let slot = SlotRef::restored(session);
        let left = expiry.within(local.limits.session_expiry).map(|expiry| expiry.saturating_sub(away));
        let ends = left.and_then(|left| local.observers.now.checked_add(left));
        let key = {
            let mut state = slot.lock();
            state.whose = owner.map(Box::new);
            self.list_expiring(&slot, &mut state);
            state.leave(ends, None, None, self.sessions.new_connection().0)
        };
        if let Some(key) = key {
            self.sessions.expire_at(key, slot.clone());
        }
        // the owner is known when the client returns
        self.sessions.owners.add(None);
        held.set(slot.clone());
        Ok((slot, stored))
    }

    /// The records of a session.
    fn store_adopted(
        &self,
        (session, client): (SessionNumber, &ClientId),
        owner: Option<&SessionOwner>,
        lasts: Option<u32>,
        (messages, received): (&[RestoredMessage], &[PacketId]),
    ) -> Stored {
        let owner = owner.cloned().map(Box::new);
        let mut stored = self.store(|| Record::SessionStarted { session, client: client.clone(), owner, will: None });
        if lasts.is_some() {
            stored = stored.and(self.store(|| Record::Lasts { session, seconds: lasts }));
        }
        for RestoredMessage { number, state } in messages {
            let (sent, message, qos, retain, shared, identifiers) = match state {
                RestoredState::Queued { message, qos, retain, shared, identifiers } => {
                    (None, message, *qos, *retain, *shared, identifiers)
                }
                RestoredState::Sent { sent, message, qos, retain, shared, identifiers } => {
                    (Some(*sent), message, *qos, *retain, *shared, identifiers)
                }
                RestoredState::Released { .. } => continue,
            };
            let (number, identifiers) = (*number, &**identifiers);
            let change = SessionChange::Queued { number, message, qos, retain, shared, identifiers, sent };
            stored = stored.and(self.store(|| Record::of(session, change)));
        }
        for packet_id in received {
            let change = SessionChange::Received { packet_id: *packet_id };
            stored = stored.and(self.store(|| Record::of(session, change)));
        }
        stored.and(self.store(|| Record::Detached { session, will: WillLeft::Gone }))
    }

    fn adopt_subscription(
        &self,
        local: &RouterThread,
        slot: &SlotRef,
        text: &str,
        options: SubscriptionOptions,
    ) -> Stored {
        // it was checked when it was read
        let Ok(filter) = TopicFilter::new(text) else { return Stored::Done };
        let added = match SharedFilter::of(filter) {
            None => {
                let added = self.subscriptions.change().subscribe(filter, slot, options);
                Added { filters: added.into_iter().collect(), groups: Vec::new() }
            }
            Some(Ok(shared)) => {
                Added { filters: Vec::new(), groups: vec![(self.subscriptions.claim(filter, shared), options)] }
            }
            Some(Err(_)) => return Stored::Done,
        };
        match self.own_subscriptions(local, slot, added) {
            true => self.store_subscription(slot, filter, Some(options)),
            // its client connected meanwhile and began another session
            false => Stored::Done,
        }
    }

    /// Brings in a retained message: when it is durable. Subscribers are not told.
    pub(crate) fn adopt_retained(
        &self,
        local: &mut RouterThread,
        adopted: RestoredRetained,
    ) -> Result<Stored, NotAdopted> {
        let RestoredRetained { message, publisher, .. } = adopted;
        let topic = message.topic();
        if self.retained.get(topic).is_some() {
            return Err(NotAdopted::Exists);
        }
        if self.store_refuses(local).is_some() {
            return Err(NotAdopted::Full("there is no room in data_dir"));
        }
        let no_memory = local.observers.refuses(Refused::Newcomers);
        let messages = if no_memory { 0 } else { local.limits.max_retained_messages };
        let bounds = RetainedBounds { messages, bytes: local.limits.max_retained_bytes };
        let shared = publisher.clone().map(|publisher| local.shared_publisher(publisher));
        let by = RetainedBy { at: Some(local.observers.now), publisher: shared };
        let record = || self.store(|| Record::Retained { message: message.clone(), publisher });
        let set = self.retained.set(topic, (message.clone(), by), bounds, record);
        set.map_err(|_full| NotAdopted::Full("limits.max_retained_messages, max_retained_bytes or max_memory"))
    }
}
