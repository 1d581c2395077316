//! [`Sessions`]: all sessions by Client Identifier, the number of connected clients, and the timers of sessions whose
//! client is away (session expiry, Will delay).

use std::{
    collections::{BTreeMap, VecDeque},
    hash::BuildHasher,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::{
    by_client::{ByClient, Held},
    owners::Owners,
    presence::Moments,
    slot::{ConnectionId, SlotRef},
    waiting::ExpiryKey,
};
#[cfg(test)]
use crate::session::Backlog;
use crate::{
    session::{CommitSeq, SessionNumber, Stored},
    types::ClientId,
};

/// All sessions.
pub(crate) struct Sessions {
    map: ByClient,
    expiries: Mutex<BTreeMap<ExpiryKey, SlotRef>>,
    /// Sessions with queued messages that expire, in the order of the next search.
    expiring: Mutex<VecDeque<SlotRef>>,
    /// The number of the next connection.
    next_connection: AtomicU64,
    /// The number of the next session in the store.
    next_number: AtomicU64,
    /// The numbers of messages in restored sessions of clients within the process are above this.
    message_floor: AtomicU64,
    /// Sessions of parts of the broker; some may have ended.
    parts: Mutex<Vec<ClientId>>,
    /// The last commit with the end of a session.
    ended_by: AtomicU64,
    connected: AtomicUsize,
    connected_maximum: AtomicUsize,
    pub(crate) moments: Arc<Moments>,
    /// For Client Identifiers of clients that send none.
    names: RandomState,
    /// The owners of sessions.
    pub(crate) owners: Owners,
}

/// The result of [`Sessions::next_expired`].
pub(crate) enum Expired {
    /// This session is due, if its key is unchanged.
    Session(ExpiryKey, SlotRef),
    /// The first session is due at this time.
    NotBefore(Instant),
    /// There are none.
    None,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            map: ByClient::default(),
            expiries: Mutex::default(),
            expiring: Mutex::default(),
            next_connection: AtomicU64::new(0),
            next_number: AtomicU64::new(1),
            message_floor: AtomicU64::new(0),
            parts: Mutex::default(),
            ended_by: AtomicU64::new(0),
            connected: AtomicUsize::new(0),
            connected_maximum: AtomicUsize::new(0),
            moments: Arc::default(),
            names: RandomState::default(),
            owners: Owners::default(),
        }
    }
}

impl Sessions {
    // ---- by Client Identifier ----

    /// The session of a client. The shard is locked while the result lives.
    pub(crate) fn hold(&self, client: &ClientId) -> Held<'_> {
        self.map.hold(client)
    }

    /// A client's session.
    pub(crate) fn get(&self, client: &ClientId) -> Option<SlotRef> {
        self.map.get(client)
    }

    /// Adds a session from before a restart.
    pub(crate) fn restore(&self, client: &ClientId, slot: SlotRef) {
        self.map.hold(client).set(slot);
    }

    /// A part of the broker has this session, now or before a restart.
    pub(crate) fn note_part(&self, client: &ClientId) {
        let mut parts = self.parts.lock();
        if !parts.contains(client) {
            parts.push(client.clone());
        }
    }

    /// Those that begin so.
    pub(crate) fn parts(&self, begin: &str) -> Vec<ClientId> {
        self.parts.lock().iter().filter(|client| client.as_str().starts_with(begin)).cloned().collect()
    }

    /// Removes a session that ended, unless its client has another one.
    pub(crate) fn remove(&self, client: &ClientId, slot: &SlotRef) {
        self.map.remove(client, slot);
    }

    /// Why a client of this user cannot have a new session. `most`: the limit of sessions.
    pub(crate) fn no_room(&self, client: &ClientId, user: Option<&str>, most: usize) -> Option<&'static str> {
        let all = self.map.len();
        let why = if all >= most {
            "there are as many sessions as limits.max_sessions allows"
        } else if self.owners.has_share(user, all, most) {
            "more than half of limits.max_sessions is used, and its user has as many sessions as one may have"
        } else {
            return None;
        };
        self.map.get(client).is_none().then_some(why)
    }

    /// Does this client have a stored session?
    pub(crate) fn is_kept(&self, client: &ClientId) -> bool {
        self.map.get(client).is_some_and(|slot| slot.is_kept())
    }

    /// Number of sessions, of connected clients or not.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// All sessions at this time.
    pub(crate) fn all(&self) -> Vec<SlotRef> {
        self.map.all()
    }

    /// The next sessions of a walk over all sessions: see [`ByClient::next`].
    pub(crate) fn next(&self, from: u64, most: usize, found: &mut Vec<(u64, SlotRef)>) -> Option<u64> {
        self.map.next(from, most, found)
    }

    /// The sum of all backlogs, for tests.
    #[cfg(test)]
    pub(crate) fn walk_backlogs(&self) -> Backlog {
        self.all().iter().fold(Backlog::default(), |all, slot| {
            let of_one = slot.lock().session.backlog();
            Backlog {
                messages: all.messages + of_one.messages,
                bytes: all.bytes + of_one.bytes,
                cost: all.cost.wrapping_add(of_one.cost),
            }
        })
    }

    // ---- numbers and names ----

    /// A number that is unique among the connections of this process.
    pub(crate) fn new_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// A unique Client Identifier with this prefix.
    pub(crate) fn new_client_id(&self, begins: &str) -> ClientId {
        let n = self.next_connection.fetch_add(1, Ordering::Relaxed);
        ClientId::from(format!("{begins}{:016x}", self.names.hash_one(n)).as_str())
    }

    /// The number of a new session in the store.
    pub(crate) fn new_number(&self) -> Option<SessionNumber> {
        NonZeroU64::new(self.next_number.fetch_add(1, Ordering::Relaxed)).map(SessionNumber)
    }

    /// Sets the next number; lower ones were used before a restart.
    pub(crate) fn set_next_number(&self, next: SessionNumber) {
        self.next_number.store(next.0.get(), Ordering::Relaxed);
    }

    /// Sets the number above which messages in restored sessions of clients within the process are numbered.
    pub(crate) fn set_message_floor(&self, floor: u64) {
        self.message_floor.store(floor, Ordering::Relaxed);
    }

    pub(crate) fn message_floor(&self) -> u64 {
        self.message_floor.load(Ordering::Relaxed)
    }

    // ---- connected clients ----

    /// Counts a client that connected.
    pub(crate) fn client_came(&self) {
        let connected = self.connected.fetch_add(1, Ordering::Relaxed) + 1;
        self.connected_maximum.fetch_max(connected, Ordering::Relaxed);
    }

    /// Counts a client that left.
    pub(crate) fn client_left(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn connected_maximum(&self) -> usize {
        self.connected_maximum.load(Ordering::Relaxed)
    }

    // ---- expiry of sessions, and delays of their Wills ----

    /// Sets the timer of a session.
    pub(crate) fn expire_at(&self, key: ExpiryKey, slot: SlotRef) {
        self.expiries.lock().insert(key, slot);
    }

    /// Cancels the timer, because the client returned.
    pub(crate) fn cancel_expiry(&self, key: ExpiryKey) {
        self.expiries.lock().remove(&key);
    }

    /// Takes the first session whose timer has expired.
    pub(crate) fn next_expired(&self, now: Instant) -> Expired {
        let mut expiries = self.expiries.lock();
        let Some(first) = expiries.first_entry() else { return Expired::None };
        if first.key().0 > now {
            return Expired::NotBefore(first.key().0);
        }
        let (key, slot) = first.remove_entry();
        Expired::Session(key, slot)
    }

    // ---- expiry of messages ----

    /// Lists a session with queued messages that expire. It is not in the list.
    pub(crate) fn list_expiring(&self, slot: SlotRef) {
        self.expiring.lock().push_back(slot);
    }

    /// Number of listed sessions.
    pub(crate) fn expiring(&self) -> usize {
        self.expiring.lock().len()
    }

    /// Takes the session from the list whose last search is longest ago.
    pub(crate) fn next_expiring(&self) -> Option<SlotRef> {
        let mut listed = self.expiring.lock();
        let next = listed.pop_front();
        if listed.is_empty() && listed.capacity() > 64 {
            *listed = VecDeque::new();
        }
        next
    }

    /// Notes when the end of a session is durable.
    pub(crate) fn ended(&self, stored: Stored) {
        if let Stored::By(commit) = stored {
            self.ended_by.fetch_max(commit.0, Ordering::Release);
        }
    }

    /// The last commit with the end of a session.
    pub(crate) fn ended_by(&self) -> CommitSeq {
        CommitSeq(self.ended_by.load(Ordering::Acquire))
    }
}
