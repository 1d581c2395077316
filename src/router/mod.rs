//! The router: the subscription trie, the retained messages, the sessions. It is shared memory, not a task: the
//! publisher's task matches, pushes to the subscribers' sessions in its own turn, and then wakes their tasks.
//!
//! Its rooms import from one another one way, ports ← sessions ← subscriptions ← thread ← publish ← clients ← inspect,
//! and only what a room shows in its `mod.rs`. [`Router`] itself is here, and what each of them does with it is there.
//!
//! | room | owns |
//! |---|---|
//! | `ports` | the traits behind which authentication, authorization, the store, observers and other nodes are |
//! | `sessions` | the router's state of each session |
//! | `subscriptions` | subscriptions, cached matches, retained messages |
//! | `thread` | the state of one thread; reports to observers and the store |
//! | `publish` | from a message to the sessions of its subscribers; Wills |
//! | `clients` | the packets of clients, from CONNECT to the end of their sessions |
//! | `inspect` | looking into all of it, and what an operator does there |
//! | `sys` | the `$SYS` topics |
//!
//! The order of its locks is in the [table of the crate](crate#locks).

mod clients;
pub mod inspect;
mod ports;
mod publish;
mod sessions;
mod subscriptions;
mod sys;
#[cfg(test)]
mod tests;
mod thread;

pub use clients::Handled;
pub use clients::InsideSession;
pub use clients::Unfinished;
pub use clients::{CameFrom, auth_properties};
pub use clients::{Client, Flush};
pub use clients::{Connected, HEALTH_CHECK};
pub use ports::{
    Admitted, Authenticate, Authentication, Authorize, ClientInfo, Credentials, DropReason, Event, EventKinds,
    Exchange, Forward, Identity, Observe, Origin, Peer, PeerAddress, Pending, Proof, Refusal, Rights, Verdict,
};
pub use ports::{
    Condition, Distribution, Login, Publisher, QueuedCopy, Record, Restored, RestoredRetained, RestoredSession,
    RestoredWill, SessionOwner, Store, WillLeft,
};
pub use sessions::{ConnectionId, Flow, SHARE_AT_LEAST, SlotRef};
pub use subscriptions::Matched;
pub use sys::{Memory, SysTopics};
use thread::Refused;
pub use thread::{Count, Counters, LongestTurn};
pub use thread::{DELIVERIES_A_TURN, NODES_A_TURN, WHOLE_FANOUT, WHOLE_MATCH};
pub use thread::{RouterThread, Tally};

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use publish::Requeues;
use publish::Wills;
use sessions::Permissions;
use sessions::Sessions;
use subscriptions::RetainedStore;
use subscriptions::Subscriptions;
use thread::Work;

use crate::{
    session::{Backlog, SessionLimits},
    topic::{TopicFilter, TopicName},
    types::{ClientId, ClientIdBinding, QoS, QueueFull, SessionOwnership, SharedSubscriptions},
};

/// The bounds that the router and its sessions hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterLimits {
    /// Those of each session.
    pub session: SessionLimits,
    /// Client Identifier, in bytes.
    pub max_client_id_length: usize,
    /// Topic Name or Topic Filter, in bytes.
    pub max_topic_length: usize,
    /// Levels of a Topic Name or Topic Filter.
    pub max_topic_levels: usize,
    /// Bytes of memory for what waits and is in flight in all sessions.
    pub max_queued_bytes_total: usize,
    /// Bytes of memory that the process may have; `None`: as many as there are.
    pub max_memory: Option<u64>,
    /// How long a message is delivered and waits, at most; `None`: as long as its publisher says.
    pub message_expiry: Option<Duration>,
    /// How long a message stays retained, at most; `None`: as long as its publisher says.
    pub retained_expiry: Option<Duration>,
    /// Retained messages in all.
    pub max_retained_messages: usize,
    /// Bytes of memory for all retained messages and their topics.
    pub max_retained_bytes: usize,
    /// Bytes of memory for the subscriptions of all clients.
    pub max_subscription_bytes: usize,
    /// Subscriptions of one client.
    pub max_subscriptions: usize,
    /// Sessions in all, those of clients that are away among them.
    pub max_sessions: usize,
    /// How long the session of a client that is away is kept; `None`: for ever.
    pub session_expiry: Option<Duration>,
    /// What becomes of a client's PUBLISH to `$SYS/…`.
    pub sys_publish: SysPublish,
    /// Who may have a session that another user has.
    pub session_owner: SessionOwnership,
    /// How Client Identifiers are bound to user names.
    pub client_id: ClientIdBinding,
    /// What else they have to be.
    pub client_ids: ClientIdRules,
    /// Bytes of a packet of a client, fixed header included.
    pub max_packet_size: usize,
    /// Bytes of a payload of a client; `None`: as many as the packet has.
    pub max_message_size: Option<usize>,
    /// QoS 1 and 2 messages that a client of MQTT 5 may send and that are not acknowledged.
    pub receive_maximum: u16,
    /// Topic Aliases of each client, and towards each client.
    pub topic_alias_maximum: u16,
    /// Which member of a group of shared subscriptions gets a message.
    pub shared_subscriptions: SharedSubscriptions,
    /// What waits in a member of a group for so long, and was not sent, goes to members that have room.
    pub shared_requeue_after: Duration,
    /// What else clients are told when they connect.
    pub says: ServerSays,
}

impl Default for RouterLimits {
    /// Those that few reach, where a bound does not matter: in benches and tests. A server's are those of its config.
    fn default() -> Self {
        Self {
            session: SessionLimits {
                max_inflight_out: 20,
                max_inflight_in: 100,
                max_queued_messages: 1_000,
                max_queued_bytes: 64 << 20,
                queue_full: QueueFull::DropNewest,
                queue_qos0: false,
                max_outbound_bytes: 8 << 20,
            },
            max_client_id_length: 65_535,
            max_topic_length: 65_535,
            max_topic_levels: 128,
            max_queued_bytes_total: usize::MAX,
            max_memory: None,
            message_expiry: None,
            retained_expiry: None,
            max_retained_messages: 1_000,
            max_retained_bytes: 1 << 20,
            max_subscription_bytes: usize::MAX,
            max_subscriptions: 1_000,
            max_sessions: 100_000,
            session_expiry: Some(Duration::from_secs(60)),
            sys_publish: SysPublish::Drop,
            session_owner: SessionOwnership::default(),
            client_id: ClientIdBinding::default(),
            client_ids: ClientIdRules::default(),
            max_packet_size: 2_000_000,
            max_message_size: None,
            receive_maximum: u16::MAX,
            topic_alias_maximum: 10,
            says: ServerSays::default(),
            shared_subscriptions: SharedSubscriptions::default(),
            shared_requeue_after: Duration::from_secs(1),
        }
    }
}

/// Which Client Identifiers clients may have, and which they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdRules {
    /// How they may begin; none: in any way.
    pub prefixes: Arc<[String]>,
    /// How those begin that the broker makes.
    pub auto_prefix: Arc<str>,
    /// May a client leave it to the broker to make one?
    pub allow_empty: bool,
}

impl Default for ClientIdRules {
    fn default() -> Self {
        Self { prefixes: Arc::default(), auto_prefix: "auto-".into(), allow_empty: true }
    }
}

impl ClientIdRules {
    /// May a client have this one? The error is why it may not.
    fn check(&self, id: &str) -> Result<(), &'static str> {
        // those of the broker itself are not concerned
        let fits =
            self.prefixes.is_empty() || id.starts_with('$') || self.prefixes.iter().any(|one| id.starts_with(one));
        if fits { Ok(()) } else { Err("the Client Identifier begins with none of auth.client_id_prefixes") }
    }
}

/// What a server says of itself when a client connects, beside what it takes at a time (MQTT 5 section 3.2.2.3). It
/// holds for connections that begin from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSays {
    /// Maximum QoS.
    pub max_qos: QoS,
    /// Retain Available.
    pub retain_available: bool,
    /// The longest Keep Alive, in seconds; `None`: as long as a client likes.
    pub max_keep_alive: Option<u16>,
    /// Server Reference: where clients find another server.
    pub server_reference: Option<Arc<str>>,
    /// Response Information; `%c` and `%u` in it are the client's names.
    pub response_information: Option<Arc<str>>,
}

impl Default for ServerSays {
    /// As if nothing were said.
    fn default() -> Self {
        Self {
            max_qos: QoS::ExactlyOnce,
            retain_available: true,
            max_keep_alive: None,
            server_reference: None,
            response_information: None,
        }
    }
}

/// What becomes of a client's PUBLISH to `$SYS/…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysPublish {
    /// Acknowledged and dropped.
    Drop,
    /// The connection is closed.
    Disconnect,
    /// Delivered.
    Allow,
}

/// What is plugged into a router.
#[derive(Clone, Default)]
pub struct Ports {
    /// `None`: everybody may connect.
    pub authenticate: Option<Arc<dyn Authenticate>>,
    /// `None`: everybody may publish and subscribe to everything.
    pub authorize: Option<Arc<dyn Authorize>>,
    /// `None`: kept means in memory.
    pub store: Option<Arc<dyn Store>>,
    /// See what happens.
    pub observe: Vec<Arc<dyn Observe>>,
    /// Passes on what clients publish.
    pub forward: Option<Arc<dyn Forward>>,
}

/// The shared heart of a broker.
pub struct Router {
    sessions: Sessions,
    subscriptions: Subscriptions,
    retained: RetainedStore,
    requeues: Requeues,
    wills: Wills,
    permissions: Permissions,
    limits: ArcSwap<RouterLimits>,
    ports: Ports,
    counters: Counters,
}

impl Router {
    /// An empty router. `seed` is random: it keeps clients from choosing topics that collide in its tables.
    pub fn new(limits: RouterLimits, ports: Ports, seed: u64) -> Self {
        let counters = Counters::default();
        counters.pressure().set_most_queued(limits.max_queued_bytes_total);
        let router = Self {
            sessions: Sessions::default(),
            subscriptions: Subscriptions::new(seed),
            retained: RetainedStore::new(seed.rotate_left(32)),
            requeues: Requeues::default(),
            wills: Wills::default(),
            permissions: Permissions::default(),
            limits: ArcSwap::from_pointee(limits),
            ports,
            counters,
        };
        router.requeues.set_after(router.limits.load().shared_requeue_after);
        router
    }

    /// The part of one more thread, which begins now.
    pub fn local(&self, now: Instant) -> RouterThread {
        RouterThread::new(self.limits.load_full(), self.counters.shard(), &self.ports.observe, now)
    }

    /// New limits. Sessions hold to them from their next packet on; what is already queued stays.
    pub fn set_limits(&self, limits: RouterLimits) {
        self.counters.pressure().set_most_queued(limits.max_queued_bytes_total);
        self.requeues.set_after(limits.shared_requeue_after);
        self.limits.store(Arc::new(limits));
        // a topic that was admitted under the old ones is looked at again
        self.subscriptions.make_all_stale();
    }

    /// Begins a turn: it is `now`, and the limits in force are those of now.
    #[inline]
    pub fn refresh(&self, local: &mut RouterThread, now: Instant) {
        local.observers.begin(now);
        local.work = Work::default();
        let current = self.limits.load();
        if !Arc::ptr_eq(&current, &local.limits) {
            local.limits = current.clone();
        }
    }

    /// Once in a while: forgets remembered answers that are stale, and buffers that are not used.
    pub fn tidy(&self, local: &mut RouterThread) {
        self.permissions.add_silent(local.observers.denials.renew());
        self.subscriptions.forget_stale(&mut local.cache);
        local.pool.shrink();
    }

    /// Once in a while, by one thread: tells how many denials no line told of.
    pub fn sum_up_denials(&self) {
        let number = self.permissions.take_silent();
        if number > 0 {
            tracing::info!(target: "dunlin::router", number, "access denied, more times than were logged");
        }
    }

    /// Twice in a second or so, by one thread: sums up what all queues hold. In between, each thread knows what it adds
    /// itself.
    pub fn sum_up_queues(&self) {
        let limit = self.limits.load().max_queued_bytes_total;
        self.counters.sum_up_queued();
        match self.counters.pressure().queues_were_full() {
            (false, true) => {
                tracing::warn!(limit, "queues are full (limits.max_queued_bytes_total)")
            }
            (true, false) => tracing::info!(limit, "queues have room again (limits.max_queued_bytes_total)"),
            _ => {}
        }
    }

    /// Once in a second or so, by one thread: the process has so many bytes of memory. `true`: what is new is refused,
    /// or nearly so.
    pub fn note_memory(&self, resident: u64) -> bool {
        let most = self.limits.load().max_memory;
        let (before, now) = self.counters.pressure().set_memory(resident, most.unwrap_or(u64::MAX));
        if now > before {
            tracing::warn!(resident, limit = most, refused = now.told(), "memory is short (limits.max_memory)");
        } else if now < before {
            tracing::info!(resident, limit = most, refused = now.told(), "memory is less short (limits.max_memory)");
        }
        most.is_some_and(|most| resident >= most / 8 * 7)
    }

    /// Are new connections refused for want of memory?
    pub fn refuses_connections(&self) -> bool {
        self.counters.pressure().refuses(Refused::Newcomers)
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A Client Identifier with this beginning, which no other client has.
    pub fn generated_client_id(&self, begins: &str) -> ClientId {
        self.sessions.new_client_id(&format!("{begins}-"))
    }

    /// Sessions of connected clients.
    pub fn connected(&self) -> usize {
        self.sessions.connected()
    }

    /// The most that were connected at once.
    pub fn connected_maximum(&self) -> usize {
        self.sessions.connected_maximum()
    }

    /// All sessions, connected or not.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Messages waiting or in flight in all sessions.
    pub fn backlog(&self) -> Backlog {
        self.counters.held()
    }

    /// (Group, session) pairs of shared subscriptions.
    pub fn shared_subscription_count(&self) -> usize {
        self.subscriptions.shared()
    }

    /// (Filter, subscriber) pairs, without those of shared subscriptions.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Bytes of memory that subscriptions take, about.
    pub fn subscription_memory(&self) -> usize {
        self.subscriptions.memory()
    }

    /// Retained messages, and the bytes of their payloads.
    pub fn retained_size(&self) -> (usize, usize) {
        self.retained.size()
    }

    /// Bytes of memory that retained messages take, about.
    pub fn retained_memory(&self) -> usize {
        self.retained.memory()
    }

    /// What keeps beyond the process what is acknowledged, if something does.
    pub fn plugged_store(&self) -> Option<&dyn Store> {
        self.ports.store.as_deref()
    }

    /// What decides who may connect, if something does.
    pub fn plugged_authenticate(&self) -> Option<&dyn Authenticate> {
        self.ports.authenticate.as_deref()
    }
}

impl RouterLimits {
    /// Is the text of a Topic Name or Topic Filter within the limits?
    fn allows_topic(&self, text: &str) -> bool {
        // a text of n bytes has at most n + 1 levels
        let separators = || memchr::memchr_iter(b'/', text.as_bytes()).count();
        text.len() <= self.max_topic_length
            && (text.len() < self.max_topic_levels || separators() < self.max_topic_levels)
    }

    /// Bytes of a packet of a client, as it is told.
    fn told_packet_size(&self) -> u32 {
        u32::try_from(self.max_packet_size).unwrap_or(u32::MAX)
    }

    /// Is this Topic Name within the limits?
    pub fn allows_name(&self, topic: &TopicName) -> bool {
        self.allows_topic(topic.as_str())
    }

    /// Is this Topic Filter within the limits?
    pub fn allows_filter(&self, filter: &TopicFilter) -> bool {
        self.allows_topic(filter.as_str())
    }
}
