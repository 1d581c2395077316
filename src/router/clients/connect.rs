//! CONNECT: begins a session, or takes over an existing one (MQTT 3.1.1 sections 3.1.4, 4.1).

use std::{sync::Arc, task::Waker, time::Instant};

use super::{
    super::{
        ListenerLimits, Router, RouterThread,
        ports::{Admitted, ClientInfo, Event, Origin, Peer, Record, SessionOwner},
        publish::{LastWill, WillKept},
        sessions::{Access, ConnectionId, ExpiryKey, Presence, SlotRef},
        thread::{Action, Count},
    },
    client::Client,
    leave::{Ended, note_standing},
    marks::Marks,
    ownership::Claim,
    welcome::{self, Asks, HEALTH_CHECK, refused},
};
use crate::{
    codec::{Connect, PropertiesBuf, ReasonCode},
    session::{
        ClientSays, CloseReason, CommitSeq, Expiry, ProtocolError, Session, SessionNumber, Stored, StoredWill, Welcome,
    },
    types::{ClientId, ProtocolVersion, QoS, UserName},
};

/// An accepted client: it is attached to its session, and the CONNACK is the first packet of the session's output.
#[derive(Debug)]
pub struct Connected {
    /// The client.
    pub client: Client,
    /// Did the session exist before?
    pub session_present: bool,
    /// When the connection must end because the client's token expires.
    pub until: Option<Instant>,
    /// The Keep Alive in force, in seconds.
    pub keep_alive: u16,
}

/// The rest of a take-over, to be done when no lock is held.
#[derive(Default)]
pub(super) struct TakenOver {
    will: Option<LastWill>,
    old: Option<Waker>,
    /// The session that was replaced, and its rest.
    pub(super) ended: Option<(SlotRef, Ended)>,
    pub(super) expiry: Option<ExpiryKey>,
    /// When the changes of the session are durable.
    pub(super) stored: Stored,
    /// When the Will of the new connection is durable.
    will_stored: Stored,
}

/// A new connection of an authenticated client.
struct Begins<'a> {
    connect: &'a Connect<'a>,
    /// How long its session lasts.
    expiry: Expiry,
    /// The properties of its CONNACK.
    told: PropertiesBuf,
    /// The properties of its CONNECT that concern packets to it.
    says: ClientSays,
    connection: ConnectionId,
    waker: Waker,
    presence: triomphe::Arc<Presence>,
    will: Option<StoredWill>,
    access: Option<Arc<Access>>,
    whose: Option<Box<SessionOwner>>,
    user: Option<UserName>,
    origin: Origin,
}

impl Router {
    /// Accepts a client with the identity from [`authenticate`](Self::authenticate), or refuses it because a limit is
    /// reached. `waker`: of the connection's task.
    pub fn connect(
        &self,
        local: &mut RouterThread,
        connect: &Connect<'_>,
        client: ClientId,
        admitted: impl Into<Admitted>,
        peer: Peer,
        waker: Waker,
    ) -> Result<Connected, CloseReason> {
        let Admitted { mut identity, data } = admitted.into();
        let client = self.bind_client_id(local, connect, client, &identity)?;
        let (whose, bans) = (self.owner_of(&identity), self.bans.version());
        self.refuse_unwelcome(local, &client, (identity.user.as_deref(), whose.as_deref()), peer)?;
        let permissions = self.permissions.version();
        let until = identity.until;
        let user = identity.user.as_deref().map(UserName::from);
        identity.origin = peer.into();
        identity.version = connect.version;
        identity.properties = self.read_properties(connect);
        let origin = identity.origin;
        let access = self.access(&client, identity);
        if access.as_ref().is_some_and(|access| access.is_revoked()) {
            return Err(CloseReason::UserGone);
        }
        let keep_alive = welcome::keep_alive(connect, &local.limits).inspect_err(|_| {
            local.count(Count::RefusedKeepAlive, 1);
        })?;
        let asks = Asks { connect, client: &client, max_qos: self.max_qos(local, peer) };
        let (told, says) = welcome::both(&asks, user.as_ref(), data.as_deref(), &local.limits)?;
        let marks = Marks::new(connect, asks.max_qos, &local.limits, access.as_deref());
        let will = self.admitted_will(local, &asks, access.as_ref())?;
        let expiry = welcome::expiry_of(connect);
        self.has_room(local, &client, expiry, access.as_ref().and_then(|access| access.owner()))?;
        let connection = self.sessions.new_connection();
        let began = self.sessions.moments.tick(local.observers.now);
        let presence = triomphe::Arc::new(Presence::new(began, peer, keep_alive, user.clone()));
        let event = |session_present| Event::Connect {
            client: &client,
            info: ClientInfo::new(user.as_ref().map(UserName::as_str), peer.listener, connect.version),
            peer: peer.address,
            version: connect.version,
            clean_session: connect.clean_session,
            session_present,
            properties: connect.properties,
        };
        let attach = |local: &mut RouterThread| {
            let (user, presence) = (user.clone(), presence.clone());
            let begins =
                Begins { connect, expiry, told, says, connection, waker, presence, will, access, whose, user, origin };
            let (slot, session_present, taken_over) = self.attach(local, &client, begins, event)?;
            if self.permissions.version() != permissions {
                // they changed after they were read, possibly before the session was in the map
                self.recompile(&mut slot.lock());
            }
            if self.bans.version() != bans {
                self.close_if_banned(local, &slot);
            }
            // a take-over does not change the number of clients
            if taken_over.old.is_none() {
                self.sessions.client_came();
            }
            let (stored, will_stored) = (taken_over.stored, taken_over.will_stored);
            self.clear_away(local, taken_over);
            Ok::<_, CloseReason>((slot, session_present, stored, will_stored))
        };
        let (attached, panicked) = local.finish(|local| self.together(|| attach(local)));
        let (slot, session_present, mut stored, will_stored) = attached?;
        if let (Stored::By(_), Some(will)) = (will_stored, &connect.will)
            && self.will_is_awaited(local, will.topic, will.retain)
        {
            stored = stored.and(will_stored);
        }
        let client = Client::new(client, (slot, presence), connection, connect, (marks, &local.limits), stored);
        if panicked {
            let (reason, now) = (CloseReason::Panicked, local.observers.now);
            self.end(local, &client, &reason, now);
            return Err(reason);
        }
        Ok(Connected { client, session_present, until, keep_alive })
    }

    /// The highest QoS of a client that came through this listener.
    fn max_qos(&self, local: &RouterThread, peer: Peer) -> QoS {
        let listeners = self.ports.listeners.load();
        let own = listeners.get(usize::from(peer.listener)).and_then(|one| one.max_qos);
        own.unwrap_or(local.limits.says.max_qos)
    }

    /// Refuses a client of this user if its session is to outlive the connection, and would exceed a limit.
    fn has_room(
        &self,
        local: &RouterThread,
        client: &ClientId,
        expiry: Expiry,
        owner: Option<&str>,
    ) -> Result<(), CloseReason> {
        if !expiry.outlives_connection() {
            return Ok(());
        }
        if let Some(why) = self.sessions.no_room(client, owner, local.limits.max_sessions) {
            local.count(Count::RefusedSessions, 1);
            return Err(refused(ReasonCode::QuotaExceeded, why));
        }
        if self.store_refuses(local).is_some() && !self.sessions.is_kept(client) {
            let why = "a new session cannot be stored: there is no room in data_dir";
            return Err(refused(ReasonCode::ServerUnavailable, why));
        }
        Ok(())
    }

    /// The Will of a CONNECT, if its client may publish it.
    fn admitted_will(
        &self,
        local: &mut RouterThread,
        asks: &Asks<'_>,
        access: Option<&Arc<Access>>,
    ) -> Result<Option<StoredWill>, CloseReason> {
        let Asks { connect, client, .. } = *asks;
        let Some(will) = &connect.will else { return Ok(None) };
        if !local.limits.allows_name(will.topic) {
            return Err(ProtocolError::TopicTooLarge.into());
        }
        let retain = welcome::will_retain(asks, will, &local.limits).map_err(|(count, refused)| {
            local.count(count, 1);
            refused
        })?;
        // it is not stored, because after a restart its owner would be unknown
        if let Some(access) = access.filter(|access| !access.may_publish(will.topic)) {
            local.observers.may_not_publish(Action::Will, client, Some(access), will.topic, will.payload.len());
            return Ok(None);
        }
        Ok(Some(StoredWill { retain, ..welcome::will_of(will) }))
    }

    /// The Client Identifier that a client has or is assigned; `own`: the settings of its listener.
    pub(crate) fn client_id(
        &self,
        local: &RouterThread,
        connect: &Connect<'_>,
        own: Option<&ListenerLimits>,
    ) -> Result<ClientId, CloseReason> {
        let refused = |why| refused(ReasonCode::ClientIdentifierNotValid, why);
        let id = connect.client_id;
        if id.is_empty() {
            if connect.version == ProtocolVersion::V31 {
                return Err(refused("MQTT 3.1 asks for a Client Identifier"));
            }
            if !connect.clean_session && connect.version == ProtocolVersion::V311 {
                return Err(refused("an empty Client Identifier needs Clean Session 1 [MQTT-3.1.3-8]"));
            }
            if !local.limits.client_ids.allow_empty {
                return Err(refused(
                    "clients have to give a Client Identifier (auth.allow_zero_length_client_id = false)",
                ));
            }
            let own = own.and_then(|own| own.auto_prefix.as_deref());
            let id = self.sessions.new_client_id(own.unwrap_or(&local.limits.client_ids.auto_prefix));
            return local.limits.client_ids.check(id.as_str()).map(|()| id).map_err(refused);
        }
        if id.starts_with('$') && id != HEALTH_CHECK {
            return Err(refused("Client Identifiers that begin with $ are the broker's own"));
        }
        if id.len() > local.limits.max_client_id_length {
            local.count(Count::ClientIdsTooLong, 1);
            return Err(refused("the Client Identifier is longer than limits.max_client_id_length"));
        }
        local.limits.client_ids.check(id).map_err(refused)?;
        Ok(ClientId::from(id))
    }

    /// Finds or creates the session and attaches the connection, in one step under the lock of the map's shard, so that
    /// of two connections with one Client Identifier one is first. Observers are called under the session's lock: they
    /// see connections of a client begin and end in order, with deliveries in between.
    fn attach<'e>(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        mut begins: Begins<'_>,
        event: impl Fn(bool) -> Event<'e>,
    ) -> Result<(SlotRef, bool, TakenOver), CloseReason> {
        let mut taken_over = TakenOver::default();
        let held = self.sessions.hold(client);
        if let Some(slot) = held.get().cloned() {
            match self.take_over(local, client, &slot, begins, &event, &mut taken_over)? {
                None => return Ok((slot, true, taken_over)),
                Some(not_resumed) => begins = not_resumed,
            }
        }
        local.observers.observe(&event(false));
        let slot = self.begin_session(local, client, begins, &mut taken_over);
        held.set(slot.clone());
        Ok((slot, false, taken_over))
    }

    /// Ends the connection that has the session, if there is one, and resumes the session. If the session ends too,
    /// returns the new connection.
    fn take_over<'c, 'e>(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        slot: &SlotRef,
        begins: Begins<'c>,
        event: &impl Fn(bool) -> Event<'e>,
        taken_over: &mut TakenOver,
    ) -> Result<Option<Begins<'c>>, CloseReason> {
        let mut state = slot.lock();
        if state.ended {
            return Ok(Some(begins));
        }
        let claim = self.claim(local, client, &state, begins.whose.as_deref())?;
        let (mut will, mut was_due) = (None, false);
        if let Some((old, presence)) = slot.detach(&mut state) {
            taken_over.old = Some(old);
            will = state.session.detach(&mut self.turn(local));
            let (reason, now) = (CloseReason::SessionTakenOver, local.observers.now);
            local.observers.disconnected(client, state.info(), &reason, &presence, now);
        } else if let Some(waiting) = state.waiting.take() {
            was_due = waiting.is_due(local.observers.now);
            will = Some(waiting.will);
        }
        let number = state.will_number.take();
        if will.is_none() {
            self.forget_will(number);
        }
        // the client's last packets are still checked against its old rights
        taken_over.will = will.map(|will| LastWill::of(&state, WillKept::of(None, number), will));
        taken_over.expiry = state.take_expiry();
        let is_discarded = begins.connect.clean_session || matches!(claim, Claim::Ends);
        if is_discarded || !state.session.expiry().outlives_connection() {
            // [MQTT-3.1.2-6]: previous state is discarded
            let ended;
            (ended, taken_over.stored) = self.end_locked(local, slot, &mut state);
            drop(state);
            taken_over.ended = Some((slot.clone(), ended));
            return Ok(Some(begins));
        }
        // [MQTT-3.1.3-9]
        let called_off = taken_over.will.take_if(|last| last.will.delay().is_some() && !was_due).is_some();
        slot.attach(&mut state, begins.connection, begins.waker, begins.presence);
        let Begins { connect, expiry, told, says, will, access, whose, origin, .. } = begins;
        // before queued messages are sent: they may have been queued for another user
        let skipped = self.set_access(&mut state, access);
        if skipped > 0 {
            let (client, user) = (client.as_str(), state.access.as_deref().and_then(Access::user));
            tracing::info!(
                target: "dunlin::router",
                client,
                user,
                messages = skipped,
                "queued messages skipped: the client may not receive them (auth.acl_file)"
            );
        }
        state.origin = origin;
        state.version = connect.version;
        local.observers.observe(&event(true));
        if let Some(session) = state.session.number() {
            // a client that reconnects gets its messages even if the store has failed
            let attached = self.store(|| Record::Attached { session, owner: whose.clone(), will: will.clone() });
            // but a change of its owner, or of its Will, must be stored first
            if called_off || state.whose.as_ref().map(|owner| &owner.user) != whose.as_ref().map(|owner| &owner.user) {
                taken_over.stored = attached;
            }
            if let Some(last) = &mut taken_over.will {
                last.kept = WillKept::With(session);
            }
        }
        state.whose = whose;
        // the journal is dropped at the end of this statement, while the session is locked
        self.set_expiry(&mut state.session, expiry);
        let welcome = Welcome { says, ..Welcome::new(connect.version, true, &told) };
        state.session.attach(&welcome, will, &mut self.turn(local));
        note_standing(slot, &mut state, local);
        // the connection that began it may have ended before its CONNACK
        taken_over.stored = taken_over.stored.and(self.not_before(state.started_by));
        Ok(None)
    }

    /// Begins a new session.
    fn begin_session(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        begins: Begins<'_>,
        taken_over: &mut TakenOver,
    ) -> SlotRef {
        let Begins { connect, expiry, told, says, connection, waker, presence, will, access, whose, user, origin } =
            begins;
        let number = if expiry.outlives_connection() { self.new_session_number() } else { None };
        if let Some(session) = number {
            let started = self.store(|| Record::SessionStarted {
                session,
                client: client.clone(),
                owner: whose.clone(),
                will: will.clone(),
            });
            let lasts = expiry
                .lasts()
                .map_or(Stored::Done, |seconds| self.store(|| Record::Lasts { session, seconds: Some(seconds) }));
            taken_over.stored = taken_over.stored.and(started).and(lasts);
        } else {
            // the end of a previous session may not be durable yet
            taken_over.stored = taken_over.stored.and(self.not_before(self.sessions.ended_by()));
        }
        let mut will_number = None;
        if let Some(will) = will.as_ref().filter(|_| number.is_none()) {
            (will_number, taken_over.will_stored) = self.store_will(local, client, user.as_ref(), will);
        }
        let mut session = Session::new(client.clone(), expiry, number);
        let welcome = Welcome { says, ..Welcome::new(connect.version, false, &told) };
        if access.as_ref().is_some_and(|access| access.asks) {
            session.ask_first();
        }
        session.attach(&welcome, will, &mut self.turn(local));
        let slot = SlotRef::new(session);
        let mut state = slot.lock();
        slot.attach(&mut state, connection, waker, presence);
        if let (Some(_), Stored::By(commit)) = (number, taken_over.stored) {
            state.started_by = commit;
        }
        self.sessions.owners.add(access.as_ref().and_then(|access| access.owner()));
        state.access = access;
        state.whose = whose;
        state.origin = origin;
        state.version = connect.version;
        state.will_number = will_number;
        drop(state);
        slot
    }

    /// Sets the session's expiry.
    pub(crate) fn set_expiry(&self, session: &mut Session, expiry: Expiry) {
        if session.expiry() != expiry {
            session.set_expiry(expiry);
            if let Some(number) = session.number() {
                // a later record that a task waits for makes it durable
                let _ = self.store(|| Record::Lasts { session: number, seconds: expiry.lasts() });
            }
        }
    }

    /// A number for a new session in the store, if there is a store.
    pub(super) fn new_session_number(&self) -> Option<SessionNumber> {
        self.ports.store.as_ref()?;
        self.sessions.new_number()
    }

    pub(super) fn clear_away(&self, local: &mut RouterThread, taken_over: TakenOver) {
        if let Some(key) = taken_over.expiry {
            self.sessions.cancel_expiry(key);
        }
        if let Some((slot, ended)) = taken_over.ended {
            self.clear_ended(local, &slot, ended);
        }
        if let Some(old) = taken_over.old {
            // it finds that it lost its session, and ends
            local.wakes.push(old);
        }
        if let Some(last) = taken_over.will {
            self.publish_will(local, last);
        }
    }

    /// When this commit is durable.
    pub(super) fn not_before(&self, commit: CommitSeq) -> Stored {
        let pending = self.ports.store.as_ref().is_some_and(|store| store.done() < commit);
        if pending { Stored::By(commit) } else { Stored::Done }
    }
}
