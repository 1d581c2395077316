//! The router: the subscription trie, the retained messages, the sessions. It is shared memory, not a task: the
//! publisher's task matches, pushes to the subscribers' sessions in its own turn, and then wakes their tasks.
//!
//! Its folders import from one another one way, ports ← sessions ← subscriptions ← thread ← publish ← clients ←
//! inspect, and only what a folder shows in its `mod.rs`. [`Router`] is defined here; each folder adds its own methods.
//! | folder | owns |
//! |---|---|
//! | `ports` | the traits for authentication, authorization, the store, observers, forwarding and commands |
//! | `sessions` | the router's state of each session |
//! | `subscriptions` | subscriptions, cached matches, retained messages |
//! | `thread` | the state of one thread; reports to observers and the store |
//! | `publish` | from a message to the sessions of its subscribers; Wills |
//! | `clients` | the packets of clients, from CONNECT to the end of their sessions |
//! | `inspect` | inspection and operator actions |
//! | `sys` | the `$SYS` topics |
//!
//! The order of its locks is in "Locks" of `ARCHITECTURE.md`.

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

pub use clients::Brought;
pub use clients::Handled;
pub use clients::InsideSession;
pub use clients::Relaying;
pub use clients::Unfinished;
pub use clients::{CameFrom, auth_properties};
pub use clients::{Client, Flush};
pub use clients::{Connected, HEALTH_CHECK};
pub use ports::{
    Admitted, Authenticate, Authentication, Authorize, ClientInfo, Command, Credentials, DropReason, Event, EventKinds,
    Exchange, Forward, Identity, Observe, Origin, Peer, PeerAddress, Pending, Proof, Refusal, Right, Rights, Verdict,
};
pub use ports::{
    Condition, Distribution, Login, Publisher, QueuedCopy, Record, Restored, RestoredRetained, RestoredSession,
    RestoredWill, SessionOwner, Store, WillLeft,
};
pub use sessions::{ConnectionId, Flow, SHARE_AT_LEAST, SlotRef};
pub use subscriptions::Matched;
pub use sys::{Memory, SysTopics};
use thread::Refused;
pub use thread::{Count, Counters, LongestTurn, Samples};
pub use thread::{DELIVERIES_A_TURN, NODES_A_TURN, WHOLE_FANOUT, WHOLE_MATCH};
pub use thread::{Load, Loads, LoginMethod, OfListener, Sizes, Times};
pub use thread::{RouterThread, Tally};

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use inspect::Flaps;
use ports::caught;
pub use publish::PASSED;
use publish::Requeues;
use publish::Wills;
use sessions::Bans;
use sessions::Permissions;
use sessions::Reconnects;
use sessions::Sessions;
use subscriptions::RetainedStore;
use subscriptions::Subscriptions;
use thread::Work;

use crate::{
    session::{Backlog, SessionLimits},
    topic::{TopicFilter, TopicName},
    types::{
        ClientId, ClientIdBinding, Frequency, ProtocolVersion, QoS, QueueFull, SessionOwnership, SharedSubscriptions,
    },
};

/// The limits of the router and its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterLimits {
    /// The limits of each session.
    pub session: SessionLimits,
    /// Bytes of a Client Identifier.
    pub max_client_id_length: usize,
    /// Bytes of a Topic Name or Topic Filter.
    pub max_topic_length: usize,
    /// Levels of a Topic Name or Topic Filter.
    pub max_topic_levels: usize,
    /// Bytes of memory for messages that are queued or in flight in all sessions.
    pub max_queued_bytes_total: usize,
    /// Bytes of memory of the process; `None`: unlimited.
    pub max_memory: Option<u64>,
    /// How long a message is delivered and queued at most; `None`: no limit beyond the publisher's.
    pub message_expiry: Option<Duration>,
    /// How long a message is retained at most; `None`: no limit beyond the publisher's.
    pub retained_expiry: Option<Duration>,
    /// Number of retained messages.
    pub max_retained_messages: usize,
    /// Bytes of memory for all retained messages and their topics.
    pub max_retained_bytes: usize,
    /// Bytes of memory for the subscriptions of all clients.
    pub max_subscription_bytes: usize,
    /// Number of subscriptions of one client.
    pub max_subscriptions: usize,
    /// Number of sessions, including those of clients that are away.
    pub max_sessions: usize,
    /// How long the session of a client that is away is kept; `None`: no limit.
    pub session_expiry: Option<Duration>,
    /// The treatment of a client's PUBLISH to `$SYS/…`.
    pub sys_publish: SysPublish,
    /// Are events published to topics that begin with `$events/`? They are read with a rule for them only.
    pub has_events: bool,
    /// Who may take over another user's session.
    pub session_owner: SessionOwnership,
    /// How Client Identifiers are bound to user names.
    pub client_id: ClientIdBinding,
    /// Further rules for Client Identifiers.
    pub client_ids: ClientIdRules,
    /// Bytes of a client's packet, including the fixed header.
    pub max_packet_size: usize,
    /// Bytes of a client's payload; `None`: limited by the packet only.
    pub max_message_size: Option<usize>,
    /// Unacknowledged QoS 1 and 2 messages from an MQTT 5 client.
    pub receive_maximum: u16,
    /// Topic Aliases of each client, and to each client.
    pub topic_alias_maximum: u16,
    /// Is a retained message sent only if its publisher may still publish it?
    pub check_retain_source: bool,
    /// Are messages delivered at the QoS of the subscription, even if they were published at a lower one?
    pub upgrade_outgoing_qos: bool,
    /// Which member of a group gets a message.
    pub shared_subscriptions: SharedSubscriptions,
    /// Queued messages of a group's member that were not sent for this long move to members with room.
    pub shared_requeue_after: Duration,
    /// A client that connects more often is banned for a while; `None`: as often as it likes.
    pub reconnects: Option<Frequency>,
    /// What the CONNACK reports besides the limits.
    pub says: ServerSays,
}

impl Default for RouterLimits {
    /// Limits that are rarely reached, for benches and tests. A server's limits are those of its configuration.
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
            has_events: false,
            session_owner: SessionOwnership::default(),
            client_id: ClientIdBinding::default(),
            client_ids: ClientIdRules::default(),
            max_packet_size: 2_000_000,
            max_message_size: None,
            receive_maximum: u16::MAX,
            topic_alias_maximum: 10,
            check_retain_source: false,
            upgrade_outgoing_qos: false,
            reconnects: None,
            says: ServerSays::default(),
            shared_subscriptions: SharedSubscriptions::default(),
            shared_requeue_after: Duration::from_secs(1),
        }
    }
}

/// The rules for Client Identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdRules {
    /// Allowed prefixes; empty: all.
    pub prefixes: Arc<[String]>,
    /// The prefix of assigned identifiers.
    pub auto_prefix: Arc<str>,
    /// May a client leave the choice to the broker?
    pub allow_empty: bool,
}

impl Default for ClientIdRules {
    fn default() -> Self {
        Self { prefixes: Arc::default(), auto_prefix: "auto-".into(), allow_empty: true }
    }
}

impl ClientIdRules {
    /// Is this identifier allowed? The error has the reason.
    fn check(&self, id: &str) -> Result<(), &'static str> {
        // identifiers of the broker itself are always allowed
        let fits =
            self.prefixes.is_empty() || id.starts_with('$') || self.prefixes.iter().any(|one| id.starts_with(one));
        if fits { Ok(()) } else { Err("the Client Identifier begins with none of auth.client_id_prefixes") }
    }
}

/// What the CONNACK reports about the server, besides its limits (MQTT 5 section 3.2.2.3). It applies to new
/// connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSays {
    /// Maximum QoS.
    pub max_qos: QoS,
    /// Retain Available.
    pub retain_available: bool,
    /// The longest Keep Alive, in seconds; `None`: no limit.
    pub max_keep_alive: Option<u16>,
    /// Server Reference: another server for clients.
    pub server_reference: Option<Arc<str>>,
    /// Response Information, with the placeholders `%c` for the Client Identifier and `%u` for the user name.
    pub response_information: Option<Arc<str>>,
}

impl Default for ServerSays {
    /// The defaults of the specification.
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

/// The treatment of a client's PUBLISH to `$SYS/…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysPublish {
    /// It is acknowledged and dropped.
    Drop,
    /// The connection is closed.
    Disconnect,
    /// It is delivered.
    Allow,
}

/// The plug-ins of a router.
#[derive(Clone, Default)]
pub struct Ports {
    /// `None`: every client may connect.
    pub authenticate: Option<Arc<dyn Authenticate>>,
    /// `None`: every client may publish and subscribe to everything.
    pub authorize: Option<Arc<dyn Authorize>>,
    /// `None`: state is kept in memory only.
    pub store: Option<Arc<dyn Store>>,
    /// Observers of events.
    pub observe: Vec<Arc<dyn Observe>>,
    /// Forwards messages of clients.
    pub forward: Option<Arc<dyn Forward>>,
    /// Takes what clients publish to topics of [`COMMANDS`].
    pub command: Option<Arc<dyn Command>>,
    /// Settings of listeners for their clients.
    pub listeners: LimitsOfListeners,
}

/// The settings of each listener, by [`Peer::listener`].
pub type LimitsOfListeners = Arc<ArcSwap<Vec<ListenerLimits>>>;

/// Settings of a listener for its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerLimits {
    /// The highest QoS of its clients; `None`: that of the limits.
    pub max_qos: Option<QoS>,
    /// Prefix of the Client Identifiers that it assigns; `None`: that of the limits.
    pub auto_prefix: Option<Box<str>>,
    /// The versions that are spoken; none: all.
    pub versions: Box<[ProtocolVersion]>,
}

/// How topics begin to which clients publish commands to the broker.
pub const COMMANDS: &str = "$CONTROL/";

/// The shared state of a broker.
pub struct Router {
    sessions: Sessions,
    subscriptions: Subscriptions,
    retained: RetainedStore,
    requeues: Requeues,
    wills: Wills,
    permissions: Permissions,
    bans: Bans,
    reconnects: Reconnects,
    flaps: OnceLock<Flaps>,
    /// This broker's name in messages that its bridges send.
    bridge_name: OnceLock<Box<str>>,
    limits: ArcSwap<RouterLimits>,
    ports: Ports,
    counters: Counters,
}

impl Router {
    /// An empty router. `seed`: random, so that clients cannot choose topics that collide in its tables.
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
            bans: Bans::default(),
            reconnects: Reconnects::default(),
            flaps: OnceLock::new(),
            bridge_name: OnceLock::new(),
            limits: ArcSwap::from_pointee(limits),
            ports,
            counters,
        };
        router.requeues.set_after(router.limits.load().shared_requeue_after);
        router
    }

    /// The state of a new thread, which begins now.
    pub fn local(&self, now: Instant) -> RouterThread {
        let counts = (self.counters.shard(), self.sessions.moments.clone());
        RouterThread::new(self.limits.load_full(), counts, &self.ports.observe, now)
    }

    /// Sets new limits. They apply from a session's next packet on; queued messages stay.
    pub fn set_limits(&self, limits: RouterLimits) {
        self.counters.pressure().set_most_queued(limits.max_queued_bytes_total);
        self.requeues.set_after(limits.shared_requeue_after);
        self.limits.store(Arc::new(limits));
        // admissions of topics by the old limits are no longer valid
        self.subscriptions.make_all_stale();
    }

    /// Begins a turn: sets the time, and takes over the limits in force.
    #[inline]
    pub fn refresh(&self, local: &mut RouterThread, now: Instant) {
        local.observers.begin(now);
        local.work = Work::default();
        let current = self.limits.load();
        if !Arc::ptr_eq(&current, &local.limits) {
            local.limits = current.clone();
        }
    }

    /// Tells observers about an event outside a thread's turn. No lock may be held.
    pub fn tell_observers(&self, event: &Event<'_>) {
        let observes = |one: &&Arc<dyn Observe>| caught(|| one.wants().have(event.kind())).unwrap_or(false);
        for one in self.ports.observe.iter().filter(observes) {
            let _panicked = caught(|| {
                one.observe(event);
                one.turn_ended();
            });
        }
    }

    /// Removes stale cached matches and unused buffers. Call it once in a while.
    pub fn tidy(&self, local: &mut RouterThread) {
        self.permissions.add_silent(local.observers.denials.renew());
        self.subscriptions.forget_stale(&mut local.cache);
        local.pool.shrink();
    }

    /// Logs the number of denials without a log line. One thread calls it once in a while.
    pub fn sum_up_denials(&self) {
        let number = self.permissions.take_silent();
        if number > 0 {
            tracing::info!(target: "dunlin::router", number, "access denied, more times than were logged");
        }
    }

    /// Sums up the memory of all queues. One thread calls it about twice a second. In between, each thread adds its own
    /// changes.
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

    /// Sets the memory of the process. One thread calls it about once a second. `true`: something new is refused, or
    /// almost.
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

    /// Are new connections refused because of the memory limit?
    pub fn refuses_connections(&self) -> bool {
        self.counters.pressure().refuses(Refused::Newcomers)
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A unique Client Identifier with this prefix.
    pub fn generated_client_id(&self, begins: &str) -> ClientId {
        self.sessions.new_client_id(&format!("{begins}-"))
    }

    /// Number of connected clients.
    pub fn connected(&self) -> usize {
        self.sessions.connected()
    }

    /// The largest number of connected clients so far.
    pub fn connected_maximum(&self) -> usize {
        self.sessions.connected_maximum()
    }

    /// Number of sessions, of connected clients or not.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Messages that are queued or in flight in all sessions.
    pub fn backlog(&self) -> Backlog {
        self.counters.held()
    }

    /// Number of (group, session) pairs of shared subscriptions.
    pub fn shared_subscription_count(&self) -> usize {
        self.subscriptions.shared()
    }

    /// Number of (filter, subscriber) pairs, without shared subscriptions.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Approximate bytes of memory of subscriptions.
    pub fn subscription_memory(&self) -> usize {
        self.subscriptions.memory()
    }

    /// Number of retained messages, and bytes of their payloads.
    pub fn retained_size(&self) -> (usize, usize) {
        self.retained.size()
    }

    /// Approximate bytes of memory of retained messages.
    pub fn retained_memory(&self) -> usize {
        self.retained.memory()
    }

    /// The store, if one is plugged in.
    pub fn plugged_store(&self) -> Option<&dyn Store> {
        self.ports.store.as_deref()
    }

    /// The plug-in that authenticates clients, if there is one.
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

    /// The largest packet of a client in bytes, for the CONNACK.
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
