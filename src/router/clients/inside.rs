//! Clients within this process: their sessions are like others, but without a connection. Messages wait in the queue
//! until the program takes them.

use std::{task::Waker, time::Instant};

use triomphe::Arc;

use super::{
    super::{
        Router, RouterThread,
        ports::{Peer, PeerAddress, Record},
        publish::Leave,
        sessions::{ConnectionId, Presence, SlotRef, SlotState},
    },
    client::Client,
    connect::TakenOver,
    filters::Filters,
    leave::note_standing,
    operation::Unsubscribing,
    welcome::{HEALTH_CHECK, refused},
};
use crate::{
    codec::{Properties, PropertiesBuf, ReasonCode, SubackCode, Subscribe},
    session::{Bound, CloseReason, Expiry, Missed, Outgoing, ProtocolError, Session, Stored, Taken},
    topic::TopicFilter,
    types::{ClientId, PacketId, ProtocolVersion, QoS, SubscriptionOptions, is_of_part},
};

/// The session of a client within this process.
#[derive(Clone, Debug)]
pub struct InsideSession {
    /// Its Client Identifier begins with `$`, which is reserved for these clients.
    pub id: ClientId,
    /// It outlives its client and, with a store, the process.
    pub durable: bool,
    /// The limits of its queue.
    pub bound: Bound,
}

/// A client before it has its session.
struct Begins {
    connection: ConnectionId,
    waker: Waker,
    presence: Arc<Presence>,
}

impl Router {
    /// Attaches a client within this process. `waker` is woken when there is something to [take](Self::take). Returns
    /// when the session is durable. `Err`: the client cannot have this session.
    pub fn attach_inside(
        &self,
        local: &mut RouterThread,
        asked: &InsideSession,
        waker: Waker,
    ) -> Result<(Client, Stored), CloseReason> {
        let refused = |why| refused(ReasonCode::ClientIdentifierNotValid, why);
        if !asked.id.as_str().starts_with('$') || asked.id.as_str() == HEALTH_CHECK {
            return Err(refused("the identifier of a client within the process begins with $, and is not $health"));
        }
        if asked.durable && !self.sessions.is_kept(&asked.id) {
            self.store_refuses(local).map_or(Ok(()), Err)?;
        }
        let connection = self.sessions.new_connection();
        let began = self.sessions.moments.tick(local.observers.now);
        // like a client of this machine
        let peer = Peer { address: PeerAddress::Unix, loopback_listener: true, listener: Peer::NO_LISTENER };
        let presence = Arc::new(Presence::new(began, peer, 0, None));
        let begins = Begins { connection, waker, presence: presence.clone() };
        let attach = |local: &mut RouterThread| {
            let (slot, taken_over) = self
                .find_or_begin_inside(local, asked, begins)
                .ok_or_else(|| refused("a client within the process with this identifier is open"))?;
            let stored = taken_over.stored;
            self.clear_away(local, taken_over);
            Ok::<_, CloseReason>((slot, stored))
        };
        let (attached, _) = local.finish(|local| self.together(|| attach(local)));
        let (slot, stored) = attached?;
        if is_of_part(&asked.id) {
            self.sessions.note_part(&asked.id);
        }
        Ok((Client::inside(asked.id.clone(), (slot, presence), connection, &local.limits), stored))
    }

    /// Finds or creates the session, under the lock of the map's shard. `None`: another client has it.
    fn find_or_begin_inside(
        &self,
        local: &mut RouterThread,
        asked: &InsideSession,
        begins: Begins,
    ) -> Option<(SlotRef, TakenOver)> {
        let mut taken_over = TakenOver::default();
        let held = self.sessions.hold(&asked.id);
        if let Some(slot) = held.get().cloned() {
            let mut state = slot.lock();
            if state.waker().is_some() && !state.ended {
                return None;
            }
            if !state.ended {
                taken_over.expiry = state.take_expiry();
                if asked.durable {
                    taken_over.stored = self.resume_inside(local, &slot, &mut state, asked.bound, begins);
                    drop(state);
                    return Some((slot, taken_over));
                }
                let (ended, stored) = self.end_locked(local, &slot, &mut state);
                taken_over.stored = stored;
                taken_over.ended = Some((slot.clone(), ended));
            }
        }
        let slot = self.begin_inside(local, asked, begins, &mut taken_over);
        held.set(slot.clone());
        Some((slot, taken_over))
    }

    fn resume_inside(
        &self,
        local: &mut RouterThread,
        slot: &SlotRef,
        state: &mut SlotState,
        bound: Bound,
        begins: Begins,
    ) -> Stored {
        slot.attach(state, begins.connection, begins.waker, begins.presence);
        self.set_access(state, None);
        state.version = ProtocolVersion::V5;
        self.set_expiry(&mut state.session, Expiry::Never);
        // it gets its messages even if the store has failed
        let attached = |session| self.store(|| Record::Attached { session, owner: None, will: None });
        let attached = state.session.number().map_or(Stored::Done, attached);
        state.session.attach_inside(bound, &mut self.turn(local));
        // what an earlier client of it took may not be durable, and is behind nothing later than this
        state.session.note_relayed(attached);
        note_standing(slot, state, local);
        self.not_before(state.started_by)
    }

    fn begin_inside(
        &self,
        local: &mut RouterThread,
        asked: &InsideSession,
        begins: Begins,
        taken_over: &mut TakenOver,
    ) -> SlotRef {
        let InsideSession { id, durable, bound } = asked;
        let number = if *durable { self.new_session_number() } else { None };
        if let Some(session) = number {
            let started =
                self.store(|| Record::SessionStarted { session, client: id.clone(), owner: None, will: None });
            taken_over.stored = taken_over.stored.and(started);
        }
        let expiry = if *durable { Expiry::Never } else { Expiry::WithConnection };
        let mut session = Session::new(id.clone(), expiry, number);
        session.attach_inside(*bound, &mut self.turn(local));
        let slot = SlotRef::new(session);
        let mut state = slot.lock();
        slot.attach(&mut state, begins.connection, begins.waker, begins.presence);
        if let (Some(_), Stored::By(commit)) = (number, taken_over.stored) {
            state.started_by = commit;
        }
        state.version = ProtocolVersion::V5;
        drop(state);
        self.sessions.owners.add(None);
        slot
    }

    /// Subscribes a client within this process. Returns when that is durable, or the first filter that is refused. All
    /// is done in this call, in turns that begin at the times of `now`.
    pub fn subscribe_inside(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        filters: &[(&TopicFilter, SubscriptionOptions)],
        now: impl Fn() -> Instant,
    ) -> Result<Stored, (usize, CloseReason)> {
        let asked =
            Subscribe { packet_id: PacketId::MIN, properties: Properties::default(), filters: filters.to_vec() };
        let mut subscribing = self.begin_subscribing(local, client, &asked).map_err(|gone| (0, gone))?;
        let filters = Filters::Packet(filters);
        let go_on = |local: &mut RouterThread, client: &Client, subscribing: &mut _| {
            self.take_filters(local, client, subscribing, &filters)
                && self.look_up_retained(local, client, subscribing, &filters)
        };
        while !local.finish(|local| go_on(local, client, &mut subscribing)).0 {
            if !self.let_others_wait(local, client, &mut subscribing) {
                return Err((0, CloseReason::SessionTakenOver));
            }
            self.refresh(local, now());
        }
        {
            let mut state = client.slot.lock();
            state.session.suback_sent(subscribing.before, &mut self.turn(local));
            client.slot.signal(&state, &mut local.wakes);
        }
        let refused_at = |code: &SubackCode| match code {
            SubackCode::Failure(code) => Some(*code),
            SubackCode::Granted(_) => None,
        };
        match subscribing.codes.iter().enumerate().find_map(|(n, code)| Some((n, refused_at(code)?))) {
            None => Ok(subscribing.stored),
            Some((place, code)) => Err((place, refused(code, "the subscription is refused"))),
        }
    }

    /// The filters of a client within this process.
    pub fn filters_inside(&self, client: &Client) -> Vec<String> {
        let (ids, shared) = {
            let state = client.slot.lock();
            let groups = state.shared.as_ref().map(|shared| shared.groups().map(|group| group.filter().to_owned()));
            (state.session.subscriptions().to_vec(), groups.map(Iterator::collect::<Vec<_>>).unwrap_or_default())
        };
        let mut filters = self.subscriptions.texts(&ids);
        filters.extend(shared);
        filters
    }

    /// Removes subscriptions of a client within this process.
    pub fn unsubscribe_inside(
        &self,
        local: &mut RouterThread,
        client: &Client,
        filters: &[&TopicFilter],
        now: impl Fn() -> Instant,
    ) -> Stored {
        let mut unsubscribing = Unsubscribing {
            packet_id: PacketId::MIN,
            properties: PropertiesBuf::default(),
            next: 0,
            stored: Stored::Done,
            codes: Vec::new(),
        };
        let filter = |place: usize| filters.get(place).copied();
        while !local.finish(|local| self.give_up_some(local, client, &mut unsubscribing, filter)).0 {
            self.refresh(local, now());
        }
        unsubscribing.stored
    }

    /// Takes the next message for a client within this process, if there is one and its window has a place. Otherwise
    /// its waker is woken once when there is. `true`: there may be more.
    pub fn take(&self, local: &mut RouterThread, client: &Client) -> (Option<Taken>, bool) {
        let mut state = client.slot.lock();
        if !client.is_attached() {
            return (None, false);
        }
        let taken = state.session.take(&mut self.turn(local));
        if taken.is_none() {
            client.slot.clear_signal();
        }
        if let SlotState { shared: Some(shared), session, .. } = &mut *state
            && shared.is_full()
            && session.has_room(0, QoS::AtLeastOnce, &local.limits.session)
        {
            shared.note_ready(&client.slot);
        }
        let more = taken.is_some() && state.session.has_waiting();
        (taken, more)
    }

    /// Takes up to `most` messages for a client within this process, and acknowledges each of them at once. `true`:
    /// there may be more.
    pub fn take_acknowledged(
        &self,
        local: &mut RouterThread,
        client: &Client,
        most: usize,
        mut each: impl FnMut(Taken),
    ) -> bool {
        let more = {
            let mut state = client.slot.lock();
            if !client.is_attached() {
                return false;
            }
            for _ in 0..most {
                let Some(taken) = state.session.take(&mut self.turn(local)) else { break };
                if let Some(ack) = taken.ack {
                    state.session.acknowledge(ack, &mut self.turn(local));
                }
                each(taken);
            }
            let more = state.session.has_waiting();
            if !more {
                client.slot.clear_signal();
            }
            more
        };
        if let Some(store) = &self.ports.store {
            store.settle(&mut local.wakes);
        }
        more
    }

    /// Acknowledges a message that a client within this process took. `false`: it was acknowledged before, or the
    /// session has ended.
    pub fn acknowledge(&self, local: &mut RouterThread, client: &Client, ack: u64) -> bool {
        let found = {
            let mut state = client.slot.lock();
            let found = client.is_attached() && state.session.acknowledge(ack, &mut self.turn(local));
            if found && state.session.has_waiting() {
                // a message may wait for this place in the window
                client.slot.signal(&state, &mut local.wakes);
            }
            found
        };
        if let Some(store) = &self.ports.store {
            store.settle(&mut local.wakes);
        }
        found
    }

    /// Messages that a client within this process missed since it was attached.
    pub fn missed(&self, client: &Client) -> Missed {
        client.slot.lock().session.missed()
    }

    /// Lets the session of a client within this process end with the client.
    pub fn end_with_client(&self, client: &Client) {
        if let Ok(mut state) = self.own(client) {
            self.set_expiry(&mut state.session, Expiry::WithConnection);
        }
    }

    /// Publishes a message from within this process, without access rules. Returns when its deliveries are durable, and
    /// the number of subscribers (a group counts as one). `Err`: it was not published.
    pub fn publish_inside(
        &self,
        local: &mut RouterThread,
        outgoing: &Outgoing<'_>,
    ) -> Result<(Stored, usize), CloseReason> {
        if !local.limits.allows_name(outgoing.topic) {
            return Err(ProtocolError::TopicTooLarge.into());
        }
        let publish = |local: &mut RouterThread| {
            let Some(matched) = self.matching(local, outgoing.topic, false) else { return Ok((Stored::Done, 0)) };
            let receivers = matched.receivers;
            let stored = self.publish_matched(local, matched, outgoing, &mut Leave::nowhere())?;
            Ok((stored, receivers))
        };
        // the publisher is not to blame for a plug-in that panics
        local.finish(|local| self.together(|| publish(local))).0
    }
}
