//! Sessions beginning, being taken over, going away, expiring (MQTT 3.1.1 sections 3.1.4, 4.1).

use std::{sync::Arc, task::Waker, time::Instant};

use dashmap::Entry;

use super::{
    super::{
        Router, RouterThread,
        ports::{Event, Identity, Origin, Peer, Record, SessionOwner},
        publish::WillKept,
        sessions::{Access, ConnectionId, Expired, ExpiryKey, GroupRef, SlotRef, SlotState, Standing},
        thread::{Action, Count},
    },
    client::Client,
    ownership::Claim,
    welcome,
};
use crate::{
    codec::{Connect, PropertiesBuf, ReasonCode},
    session::{
        ClientSays, CloseReason, CommitSeq, Expiry, Moved, ProtocolError, Session, SessionNumber, Stored, StoredWill,
        Welcome,
    },
    topic::FilterId,
    types::{ClientId, ProtocolVersion, UserName},
};

/// A client was accepted: it is attached to its session, and CONNACK is the first thing in the session's buffer.
#[derive(Debug)]
pub struct Connected {
    /// The client.
    pub client: Client,
    /// There was Session State.
    pub session_present: bool,
    /// When the connection has to end, by its client's identity.
    pub until: Option<Instant>,
}

/// What a connection that takes a session over has to clear away, once no lock is held.
#[derive(Default)]
struct TakenOver {
    will: Option<StoredWill>,
    /// The rights of the client whose Will that is.
    access: Option<Arc<Access>>,
    /// Where a store has it.
    kept: Option<WillKept>,
    old: Option<Waker>,
    /// The session that was replaced, and what it leaves.
    ended: Option<(SlotRef, Ended)>,
    expiry: Option<ExpiryKey>,
    /// When what became of the session is kept.
    stored: Stored,
    /// When the Will of the connection that begins is kept.
    will_stored: Stored,
}

/// A connection that begins, of a client that is let in.
struct Begins<'a> {
    connect: &'a Connect<'a>,
    /// How long its session is to last.
    expiry: Expiry,
    /// What its CONNACK says beside that it is accepted.
    told: PropertiesBuf,
    /// What it says of itself.
    says: ClientSays,
    connection: ConnectionId,
    waker: Waker,
    will: Option<StoredWill>,
    access: Option<Arc<Access>>,
    whose: Option<Box<SessionOwner>>,
    user: Option<UserName>,
    origin: Origin,
}

impl Router {
    /// Accepts a client as who [`authenticate`](Self::authenticate) said it is, or refuses it for want of room. `waker`
    /// is that of the task that drives its connection.
    pub fn connect(
        &self,
        local: &mut RouterThread,
        connect: &Connect<'_>,
        client: ClientId,
        mut identity: Identity,
        peer: Peer,
        waker: Waker,
    ) -> Result<Connected, CloseReason> {
        let client = self.bind_client_id(local, connect, client, &identity)?;
        let whose = self.owner_of(&identity);
        let permissions = self.permissions.version();
        let until = identity.until;
        let user = identity.user.as_deref().map(UserName::from);
        identity.origin = peer.into();
        let origin = identity.origin;
        let access = self.access(&client, identity);
        if access.as_ref().is_some_and(|access| access.is_revoked()) {
            return Err(CloseReason::UserGone);
        }
        let (told, says) = welcome::both(connect, &client, &local.limits)?;
        let will = self.admitted_will(local, connect, &client, access.as_ref())?;
        let expiry = welcome::expiry_of(connect);
        let is_kept = expiry.outlives_connection();
        // counting them visits every shard: not for clients whose session ends with them
        let owner = access.as_ref().and_then(|access| access.owner());
        if is_kept && let Some(why) = self.sessions.no_room(&client, owner, local.limits.max_sessions) {
            local.count(Count::RefusedSessions, 1);
            return Err(refused(ReasonCode::QuotaExceeded, why));
        }
        if is_kept && self.store_refuses(local).is_some() && !self.sessions.is_kept(&client) {
            let why = "a new session cannot be stored: there is no room in data_dir";
            return Err(refused(ReasonCode::ServerUnavailable, why));
        }
        let connection = self.sessions.new_connection();
        let event = |session_present| Event::Connect {
            client: &client,
            peer: peer.address,
            clean_session: connect.clean_session,
            session_present,
        };
        let attach = |local: &mut RouterThread| {
            let user = user.clone();
            let begins = Begins { connect, expiry, told, says, connection, waker, will, access, whose, user, origin };
            let (slot, session_present, taken_over) = self.attach(local, &client, begins, event)?;
            if self.permissions.version() != permissions {
                // they changed after they were asked for, perhaps before the session could be found to be told so
                self.recompile(&mut slot.lock());
            }
            // one that takes over takes the place of the other
            if taken_over.old.is_none() {
                self.sessions.client_came();
            }
            let (stored, will_stored) = (taken_over.stored, taken_over.will_stored);
            self.clear_away(local, &client, taken_over);
            Ok::<_, CloseReason>((slot, session_present, stored, will_stored))
        };
        let (attached, panicked) = local.finish(|local| self.together(|| attach(local)));
        let (slot, session_present, mut stored, will_stored) = attached?;
        if let (Stored::By(_), Some(will)) = (will_stored, &connect.will)
            && self.will_is_awaited(local, will.topic, will.retain)
        {
            stored = stored.and(will_stored);
        }
        let client = Client::new(client, user, slot, connection, connect, stored);
        if panicked {
            let (reason, now) = (CloseReason::Panicked, local.observers.now);
            self.end(local, &client, &reason, now);
            return Err(reason);
        }
        Ok(Connected { client, session_present, until })
    }

    /// The Will of a CONNECT, if its client may publish it.
    fn admitted_will(
        &self,
        local: &mut RouterThread,
        connect: &Connect<'_>,
        client: &ClientId,
        access: Option<&Arc<Access>>,
    ) -> Result<Option<StoredWill>, CloseReason> {
        let Some(will) = &connect.will else { return Ok(None) };
        if !local.limits.allows_name(will.topic) {
            return Err(ProtocolError::TopicTooLarge.into());
        }
        // it is not kept: after a restart nobody would know whose it was
        if let Some(access) = access.filter(|access| !access.may_publish(will.topic)) {
            local.observers.may_not_publish(Action::Will, client, Some(access), will.topic, will.payload.len());
            return Ok(None);
        }
        Ok(Some(welcome::will_of(will)))
    }

    pub(crate) fn client_id(&self, local: &RouterThread, connect: &Connect<'_>) -> Result<ClientId, CloseReason> {
        let refused = |why| refused(ReasonCode::ClientIdentifierNotValid, why);
        let id = connect.client_id;
        if id.is_empty() {
            if connect.version == ProtocolVersion::V31 {
                return Err(refused("MQTT 3.1 asks for a Client Identifier"));
            }
            if !connect.clean_session && connect.version == ProtocolVersion::V311 {
                return Err(refused("an empty Client Identifier needs Clean Session 1 [MQTT-3.1.3-8]"));
            }
            return Ok(self.sessions.new_client_id("auto"));
        }
        if id.starts_with('$') && id != HEALTH_CHECK {
            return Err(refused("Client Identifiers that begin with $ are the broker's own"));
        }
        if id.len() > local.limits.max_client_id_length {
            local.count(Count::ClientIdsTooLong, 1);
            return Err(refused("the Client Identifier is longer than limits.max_client_id_length"));
        }
        Ok(ClientId::from(id))
    }

    /// Finds or makes the session and attaches the connection to it. All in one step under the lock of the map's shard:
    /// of two connections with one Client Identifier, one is first. Observers are told under the session's lock: they
    /// see a client's connections begin and end in their order, and deliveries in between.
    fn attach<'e>(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        mut begins: Begins<'_>,
        event: impl Fn(bool) -> Event<'e>,
    ) -> Result<(SlotRef, bool, TakenOver), CloseReason> {
        let mut taken_over = TakenOver::default();
        let mut entry = self.sessions.entry(client);
        if let Entry::Occupied(occupied) = &mut entry {
            let slot = occupied.get().clone();
            match self.take_over(local, client, &slot, begins, &event, &mut taken_over)? {
                None => return Ok((slot, true, taken_over)),
                Some(not_resumed) => begins = not_resumed,
            }
        }
        local.observers.observe(&event(false));
        let slot = self.begin_session(local, client, begins, &mut taken_over);
        entry.insert(slot.clone());
        Ok((slot, false, taken_over))
    }

    /// Ends the connection that a session has, if it has one, and resumes the session or ends that too; in that case
    /// it gives back the connection that begins.
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
        taken_over.old = slot.detach(&mut state);
        if taken_over.old.is_some() {
            taken_over.will = state.session.detach(&mut self.turn(local));
            // what its last packets may do is still looked at by these
            taken_over.access = state.access.clone();
            let number = state.will_number.take();
            if taken_over.will.is_none() {
                self.forget_will(number);
            }
            taken_over.kept = number.map(WillKept::Alone);
            let reason = CloseReason::SessionTakenOver;
            local.observers.observe(&Event::Disconnect { client, reason: &reason });
        }
        taken_over.expiry = state.expiry.take();
        let is_discarded = begins.connect.clean_session || matches!(claim, Claim::Ends);
        if is_discarded || !state.session.expiry().outlives_connection() {
            // [MQTT-3.1.2-6]: previous state is discarded
            let ended;
            (ended, taken_over.stored) = self.end_session(local, slot, &mut state);
            drop(state);
            taken_over.ended = Some((slot.clone(), ended));
            return Ok(Some(begins));
        }
        let Begins { connect, expiry, told, says, connection, waker, will, access, whose, origin, .. } = begins;
        slot.attach(&mut state, connection, waker);
        // before what waits goes out: it may have waited for somebody else
        let skipped = self.set_access(&mut state, access);
        if skipped > 0 {
            let (client, user) = (client.as_str(), state.access.as_deref().and_then(Access::user));
            tracing::info!(
                target: "dunlin::router",
                client,
                user,
                messages = skipped,
                "messages that wait for this client may not be received by it: they are skipped (auth.acl_file)"
            );
        }
        state.origin = origin;
        local.observers.observe(&event(true));
        if let Some(session) = state.session.number() {
            // a client that comes back for its messages gets them though nothing more can be stored
            let attached = self.store(|| Record::Attached { session, owner: whose.clone(), will: will.clone() });
            // but that it is another user's from now on is kept
            if state.whose.as_ref().map(|owner| &owner.user) != whose.as_ref().map(|owner| &owner.user) {
                taken_over.stored = attached;
            }
            taken_over.kept = Some(WillKept::With(session));
        }
        state.whose = whose;
        // what it notes is told at the end of this statement: the session is still locked
        self.set_expiry(&mut state.session, expiry);
        let welcome = Welcome { says, ..Welcome::new(connect.version, true, &told) };
        state.session.attach(&welcome, will, &mut self.turn(local));
        note_standing(slot, &mut state, local);
        // the connection that began it may not have been told that it is kept
        taken_over.stored = taken_over.stored.and(self.not_before(state.started_by));
        Ok(None)
    }

    /// A new session, of a client that has none or whose session ended.
    fn begin_session(
        &self,
        local: &mut RouterThread,
        client: &ClientId,
        begins: Begins<'_>,
        taken_over: &mut TakenOver,
    ) -> SlotRef {
        let Begins { connect, expiry, told, says, connection, waker, will, access, whose, user, origin } = begins;
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
            // the end of one that was there before may not be durable yet, nor have been waited for
            taken_over.stored = taken_over.stored.and(self.not_before(self.sessions.ended_by()));
        }
        let mut will_number = None;
        if let Some(will) = will.as_ref().filter(|_| number.is_none()) {
            (will_number, taken_over.will_stored) = self.store_will(local, client, user.as_ref(), will);
        }
        let mut session = Session::new(client.clone(), expiry, number);
        let welcome = Welcome { says, ..Welcome::new(connect.version, false, &told) };
        session.attach(&welcome, will, &mut self.turn(local));
        let slot = SlotRef::new(session);
        let mut state = slot.lock();
        slot.attach(&mut state, connection, waker);
        if let (Some(_), Stored::By(commit)) = (number, taken_over.stored) {
            state.started_by = commit;
        }
        self.sessions.owners.add(access.as_ref().and_then(|access| access.owner()));
        state.access = access;
        state.whose = whose;
        state.origin = origin;
        state.will_number = will_number;
        drop(state);
        slot
    }

    /// The session lasts as its client asks from now on.
    pub(crate) fn set_expiry(&self, session: &mut Session, expiry: Expiry) {
        if session.expiry() != expiry {
            session.set_expiry(expiry);
            if let Some(number) = session.number() {
                // nobody is told before something later is durable
                let _ = self.store(|| Record::Lasts { session: number, seconds: expiry.lasts() });
            }
        }
    }

    /// The number of one more session that a store keeps, if one does.
    fn new_session_number(&self) -> Option<SessionNumber> {
        self.ports.store.as_ref()?;
        self.sessions.new_number()
    }

    fn clear_away(&self, local: &mut RouterThread, client: &ClientId, taken_over: TakenOver) {
        if let Some(key) = taken_over.expiry {
            self.sessions.cancel_expiry(key);
        }
        if let Some((slot, ended)) = taken_over.ended {
            self.clear_ended(local, &slot, ended);
        }
        if let Some(old) = taken_over.old {
            // it finds that its session is another's, and ends
            local.wakes.push(old);
        }
        if let Some(will) = taken_over.will {
            let kept = taken_over.kept.unwrap_or(WillKept::Not);
            self.publish_will(local, client, kept, taken_over.access, will);
        }
    }

    /// A connection ended: its session ends with it, or waits for the client. Nothing happens where another connection
    /// has taken the session over. Gives how many messages for the client were dropped since it was last gone.
    ///
    /// To be called within a store's group: that its client is gone is kept together with its Will.
    pub(crate) fn disconnect(
        &self,
        local: &mut RouterThread,
        client: &Client,
        reason: &CloseReason,
        now: Instant,
    ) -> u32 {
        let Client { slot, connection, .. } = client;
        let mut state = slot.lock();
        if !slot.is_owned_by(*connection) {
            return 0;
        }
        let dropped = state.session.take_dropped();
        slot.detach(&mut state);
        let client = state.session.id().clone();
        let will = state.session.detach(&mut self.turn(local)).filter(|_| reason.publishes_will());
        let will_number = state.will_number.take();
        if will.is_none() {
            self.forget_will(will_number);
        }
        let kept = state.session.expiry().within(local.limits.session_expiry);
        let ends = kept.is_some_and(|kept| kept.is_zero());
        note_standing(slot, &mut state, local);
        let mut ended = Ended::default();
        if ends {
            (ended, _) = self.end_session(local, slot, &mut state);
        } else if let Some(at) = kept.and_then(|kept| now.checked_add(kept)) {
            state.expiry = Some((at, connection.0));
        }
        let session = state.session.number().filter(|_| !ends);
        if let Some(session) = session {
            let _ = self.store(|| Record::Detached { session });
        }
        let key = state.expiry;
        let access = state.access.clone();
        // with the lock held: before anything of the client's next connection
        self.sessions.client_left();
        local.observers.observe(&Event::Disconnect { client: &client, reason });
        drop(state);

        if ends {
            self.sessions.remove(&client, slot);
            self.clear_ended(local, slot, ended);
        } else if let Some(key) = key {
            self.sessions.expire_at(key, slot.clone());
        }
        if let Some(will) = will {
            self.publish_will(local, &client, WillKept::of(session, will_number), access, will);
        }
        dropped
    }

    /// Removes what there is of a session that ended; messages of its groups go to other members.
    fn clear_ended(&self, local: &mut RouterThread, slot: &SlotRef, ended: Ended) {
        let Ended { subscriptions, groups, moved } = ended;
        self.remove_subscriptions(slot, &subscriptions);
        self.move_to_others(local, &moved);
        groups.iter().for_each(|group| self.subscriptions.give_back(group));
    }

    /// The session is no more: gives what it leaves, and when that it ended is kept. With its lock held: before the
    /// records of a session that takes its place.
    fn end_session(&self, local: &mut RouterThread, slot: &SlotRef, state: &mut SlotState) -> (Ended, Stored) {
        state.ended = true;
        self.sessions.owners.remove(state.owner());
        let mut ended = Ended::default();
        if let Some(shared) = state.shared.take() {
            ended.groups = shared.groups().cloned().collect();
            ended.groups.iter().for_each(|group| _ = group.leave(slot));
            ended.moved = shared.with_groups(state.session.shared_at_end());
        }
        ended.subscriptions = state.session.end(&mut self.recorder(&mut local.observers));
        let Some(session) = state.session.number() else { return (ended, Stored::Done) };
        let stored = self.store(|| Record::SessionEnded { session });
        self.sessions.ended(stored);
        (ended, stored)
    }

    /// When this commit is durable.
    fn not_before(&self, commit: CommitSeq) -> Stored {
        let pending = self.ports.store.as_ref().is_some_and(|store| store.done() < commit);
        if pending { Stored::By(commit) } else { Stored::Done }
    }

    /// Ends the sessions whose clients have been away for too long. Gives when the next one is due.
    pub fn expire_sessions(&self, local: &mut RouterThread, now: Instant) -> Option<Instant> {
        loop {
            let (key, slot) = match self.sessions.next_expired(now) {
                Expired::Session(key, slot) => (key, slot),
                Expired::NotBefore(at) => return Some(at),
                Expired::None => return None,
            };
            let end = |local: &mut RouterThread| {
                let mut state = slot.lock();
                // it came back between, and may have gone away again
                if state.ended || state.expiry != Some(key) {
                    return None;
                }
                let (ended, _) = self.end_session(local, &slot, &mut state);
                let (client, expiry) = (state.session.id().clone(), state.session.expiry());
                drop(state);
                self.sessions.remove(&client, &slot);
                self.clear_ended(local, &slot, ended);
                Some((client, expiry))
            };
            // what it leaves is kept together with that it ended
            let Some((client, expiry)) = self.together(|| end(local)) else { continue };
            let most = local.limits.session_expiry;
            let why = match expiry.within(None) {
                Some(asked) if most.is_none_or(|most| asked < most) => "its client's Session Expiry Interval",
                _ => "limits.session_expiry",
            };
            tracing::info!(client = %client, "session expired ({why})");
            let after = expiry.within(most).unwrap_or_default();
            local.observers.observe(&Event::SessionExpired { client: &client, after });
        }
    }
}

/// What a session that ended leaves.
#[derive(Default)]
struct Ended {
    subscriptions: Vec<FilterId>,
    /// It has left these.
    groups: Vec<GroupRef>,
    /// Messages that are other members' now.
    moved: Vec<(GroupRef, Moved)>,
}

/// A client came or went away: its groups are told.
fn note_standing(slot: &SlotRef, state: &mut SlotState, local: &RouterThread) {
    if let SlotState { shared: Some(shared), session, .. } = state {
        shared.set_standing(slot, Standing::of(session, &local.limits.session));
    }
}

/// The Client Identifier of a health check, which whoever drives connections looks at: the one that begins with `$` and
/// may come from the network.
pub const HEALTH_CHECK: &str = "$health";

fn refused(code: ReasonCode, why: &'static str) -> CloseReason {
    CloseReason::Refused { code, why: why.into() }
}
