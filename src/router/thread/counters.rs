//! [`Counters`]: the counters of `$SYS` and metrics, filled through the [`Observe`] port. Each thread has its own
//! shard, so that counting costs no shared cache line.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    super::ports::{DropReason, Event, Observe},
    connections::{Connections, Counted},
    pressure::Pressure,
    spread::Times,
    traffic::{Loads, Shown, Traffic, add_alone},
};
use crate::session::Backlog;

/// The counters of one broker.
#[derive(Debug, Default)]
pub struct Counters {
    shards: parking_lot::Mutex<Vec<Arc<Shard>>>,
    /// Skipped messages, which their subscribers may not receive: counted by all threads.
    skipped: AtomicU64,
    /// Counts of threads without a shard, which are rare.
    elsewhere: Held,
    pressure: Arc<Pressure>,
    connections: Arc<Connections>,
    samples: Arc<Samples>,
    shown: Shown,
}

/// How long some messages took.
#[derive(Debug, Default)]
pub struct Samples {
    /// From the turn in which a PUBLISH was read until it is written to a subscriber.
    pub deliveries: Times,
    /// From the turn in which a PUBLISH was read until its PUBACK or PUBREC is written.
    pub acknowledgements: Times,
}

/// A gauge of the messages in sessions. A part of it may be negative, modulo 2⁶⁴, because one thread adds and another
/// subtracts.
#[derive(Debug, Default)]
struct Held {
    messages: AtomicU64,
    bytes: AtomicU64,
    cost: AtomicU64,
}

/// The counts of one thread. Only that thread writes them.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shard {
    counts: [AtomicU64; Count::ALL],
    pub(super) traffic: Traffic,
    held: Held,
    /// See [`LongestTurn`].
    longest: [AtomicU64; 3],
    /// Its part of the cost at the last sum over all parts.
    summed_up: AtomicU64,
    pressure: Arc<Pressure>,
    pub(super) connections: Arc<Connections>,
    pub(super) samples: Arc<Samples>,
}

/// The most that one turn of a connection did, of each kind, not necessarily in the same turn. Small turns do not
/// count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LongestTurn {
    /// Visited nodes of the subscriptions and of the retained messages.
    pub nodes: u64,
    /// Sessions that it delivered messages to.
    pub deliveries: u64,
    /// Its duration.
    pub took: Duration,
}

/// Defines an enum, and `ALL`: the number of its variants.
macro_rules! counted {
    ($(#[$of:meta])* pub enum $all:ident { $($(#[$doc:meta])* $name:ident,)* }) => {
        $(#[$of])*
        pub enum $all { $($(#[$doc])* $name,)* }

        impl $all {
            pub(crate) const ALL: usize = [$(Self::$name),*].len();
        }
    };
}

counted! {
    /// The counted events.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(usize)]
    pub enum Count {
        /// Bytes read from clients.
        BytesReceived,
        /// Bytes written to clients.
        BytesSent,
        /// Packets of any type from clients.
        MessagesReceived,
        /// Packets of any type to clients.
        MessagesSent,
        /// PUBLISH packets accepted from clients.
        PublishReceived,
        /// PUBLISH packets to clients.
        PublishSent,
        /// Messages dropped for any reason.
        PublishDropped,
        /// Payload bytes accepted from clients.
        PublishBytesReceived,
        /// Payload bytes to clients.
        PublishBytesSent,
        /// Payload bytes dropped.
        PublishBytesDropped,
        /// Dropped: a session's queue was full.
        DroppedQueueFull,
        /// Dropped: all queues together were full, `limits.max_queued_bytes_total`.
        DroppedQueuesFull,
        /// Refused or dropped: the process has as much memory as it may, `limits.max_memory`.
        RefusedMemory,
        /// Dropped: a client reads too slowly.
        DroppedOutboundFull,
        /// Not retained: the retained store was full.
        DroppedRetainedFull,
        /// Not retained, or a Will and not published: the disk was full.
        DroppedStoreFull,
        /// Dropped: clients may not publish to `$SYS`.
        DroppedSysTopic,
        /// Dropped: not authorized.
        DroppedNotAuthorized,
        /// Dropped: the Message Expiry Interval passed.
        DroppedExpired,
        /// Not retained any more: the Message Expiry Interval passed.
        RetainedExpired,
        /// Dropped: larger than the client accepts.
        DroppedTooLarge,
        /// Dropped: a bridge of this broker had sent it to another broker, and it returned.
        DroppedBridgeLoop,
        /// Sockets accepted.
        SocketsOpened,
        /// Clients accepted.
        Connects,
        /// Connections of accepted clients that ended.
        Disconnects,
        /// Sessions that expired.
        SessionsExpired,
        /// Subscriptions granted.
        Subscribes,
        /// Subscriptions given up.
        Unsubscribes,
        /// PINGREQ packets.
        Pings,
        /// Wills published.
        Wills,
        /// Connections closed at once: `limits.max_connections`.
        RefusedConnections,
        /// Connections closed at once: `limits.max_connecting`.
        RefusedConnecting,
        /// Connections closed, or that waited to be accepted: `limits.max_connecting_bytes`.
        RefusedConnectingBytes,
        /// Connections closed: `limits.connect_timeout`.
        ConnectTimeouts,
        /// Connections closed: `limits.write_timeout`.
        WriteTimeouts,
        /// Connections closed: bytes that are not MQTT, or a packet that violates the protocol.
        ProtocolErrors,
        /// Connections closed: `limits.max_packet_size`, `limits.max_connect_size`.
        PacketsTooLarge,
        /// Topics refused: `limits.max_topic_length`, `limits.max_topic_levels`.
        TopicsTooLarge,
        /// Client Identifiers refused: `limits.max_client_id_length`.
        ClientIdsTooLong,
        /// Subscriptions refused: `limits.max_subscriptions`.
        RefusedSubscriptions,
        /// Clients refused: `limits.max_sessions`.
        RefusedSessions,
        /// QoS 2 messages that had to wait: `limits.max_inflight_in`.
        DeferredInflight,
        /// Clients refused because of their login.
        RefusedLogins,
        /// Messages not delivered: their subscriber may not receive them.
        DeniedDeliveries,
        /// Clients that published faster than `limits.publish_rate` or `limits.publish_bytes_rate` allows: slowed, once
        /// in a minute, or disconnected.
        PublishRate,
        /// Connections that waited to be accepted: `limits.connect_rate`.
        ConnectRate,
        /// Clients refused or disconnected: `limits.max_qos`.
        RefusedQos,
        /// Clients refused or disconnected, and messages delivered and not retained: `limits.retain_available`.
        RefusedRetain,
        /// Clients refused: `limits.max_keep_alive`.
        RefusedKeepAlive,
        /// Clients refused: banned.
        RefusedBanned,
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            traffic: Traffic::default(),
            held: Held::default(),
            summed_up: AtomicU64::new(0),
            pressure: Arc::default(),
            longest: Default::default(),
            connections: Arc::default(),
            samples: Arc::default(),
        }
    }
}

impl Counters {
    /// A shard for another thread.
    pub fn shard(&self) -> Arc<Shard> {
        let Self { pressure, connections, samples, .. } = self;
        let (pressure, connections) = (pressure.clone(), connections.clone());
        let shard = Arc::new(Shard { pressure, connections, samples: samples.clone(), ..Shard::default() });
        self.shards.lock().push(shard.clone());
        shard
    }

    /// The sum over all threads.
    pub fn get(&self, count: Count) -> u64 {
        match count {
            Count::MessagesReceived => return self.loads().packets_received.iter().sum(),
            Count::MessagesSent => return self.loads().packets_sent.iter().sum(),
            Count::PublishReceived => return self.loads().published.messages,
            Count::PublishBytesReceived => return self.loads().published.bytes,
            Count::PublishSent => return self.loads().delivered().messages,
            Count::PublishBytesSent => return self.loads().delivered().bytes,
            _ => {}
        }
        let counted: u64 = self.shards.lock().iter().map(|s| s.counts[count as usize].load(Ordering::Relaxed)).sum();
        counted + if count == Count::DeniedDeliveries { self.skipped.load(Ordering::Relaxed) } else { 0 }
    }

    /// Packets by type, and messages by QoS and version.
    pub fn loads(&self) -> Loads {
        let mut loads = Loads::default();
        self.shards.lock().iter().for_each(|shard| loads.add(&shard.traffic));
        loads.keep_up(&self.shown);
        loads
    }

    /// What happened to connections.
    pub fn connections(&self) -> Counted {
        self.connections.get()
    }

    /// From CONNECT to the verdict on a client.
    pub fn login_times(&self) -> &Times {
        &self.connections.logins
    }

    /// How long some messages took.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Counts messages that are now skipped because their subscriber may not receive them.
    pub(crate) fn add_skipped(&self, messages: usize) {
        if messages > 0 {
            self.skipped.fetch_add(messages as u64, Ordering::Relaxed);
        }
    }

    /// The messages in all sessions, approximately while threads change them.
    pub fn held(&self) -> Backlog {
        let shards = self.shards.lock();
        let all = || shards.iter().map(|shard| &shard.held).chain([&self.elsewhere]);
        let sum = |part: fn(&Held) -> &AtomicU64| {
            let sum = all().fold(0, |sum: u64, held| sum.wrapping_add(part(held).load(Ordering::Relaxed)));
            // one thread's addition may be seen later than another's subtraction
            usize::try_from(sum.cast_signed()).unwrap_or(0)
        };
        Backlog { messages: sum(|held| &held.messages), bytes: sum(|held| &held.bytes), cost: sum(|held| &held.cost) }
    }

    /// A session's backlog changed from `before` to `now`. For threads without a shard.
    pub(crate) fn holds(&self, before: Backlog, now: Backlog) {
        let Held { messages, bytes, cost } = &self.elsewhere;
        messages.fetch_add((now.messages as u64).wrapping_sub(before.messages as u64), Ordering::Relaxed);
        bytes.fetch_add((now.bytes as u64).wrapping_sub(before.bytes as u64), Ordering::Relaxed);
        cost.fetch_add(now.cost.wrapping_sub(before.cost).cast_signed() as u64, Ordering::Relaxed);
    }

    /// The memory limits that all threads check.
    pub(crate) fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// Sums up the memory of all queues, to which each thread then adds its own changes. Are the queues full?
    pub(crate) fn sum_up_queued(&self) -> bool {
        for shard in &*self.shards.lock() {
            shard.summed_up.store(shard.held.cost.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.pressure.set_queued(self.held().cost);
        self.pressure.queues_are_full(0)
    }
}

impl Counters {
    /// The longest turns of all threads.
    pub fn longest_turn(&self) -> LongestTurn {
        let shards = self.shards.lock();
        let longest = |n: usize| shards.iter().map(|s| s.longest[n].load(Ordering::Relaxed)).max().unwrap_or(0);
        LongestTurn { nodes: longest(0), deliveries: longest(1), took: Duration::from_micros(longest(2)) }
    }
}

impl Shard {
    /// A turn ended. Only the shard's own thread calls it.
    pub(crate) fn longest_turn(&self, nodes: u32, deliveries: u32, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for (longest, this) in self.longest.iter().zip([nodes.into(), deliveries.into(), took]) {
            if longest.load(Ordering::Relaxed) < this {
                longest.store(this, Ordering::Relaxed);
            }
        }
    }

    /// Adds to a counter. Only the shard's own thread calls it.
    #[inline]
    pub fn add(&self, count: Count, n: u64) {
        let counter = &self.counts[count as usize];
        add_alone(counter, n);
    }

    /// The count of this thread.
    #[inline]
    pub(super) fn counted(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// A session's backlog changed from `before` to `now`. Only the shard's own thread calls it.
    #[inline]
    pub(crate) fn holds(&self, before: Backlog, now: Backlog) {
        add_alone(&self.held.messages, (now.messages as u64).wrapping_sub(before.messages as u64));
        if now.bytes != before.bytes {
            add_alone(&self.held.bytes, (now.bytes as u64).wrapping_sub(before.bytes as u64));
        }
        if now.cost != before.cost {
            // a part of it may be negative, in the width of an address
            add_alone(&self.held.cost, now.cost.wrapping_sub(before.cost).cast_signed() as u64);
        }
    }

    /// Do all queues together hold as much as they may?
    pub(crate) fn queues_are_full(&self) -> bool {
        let added = self.held.cost.load(Ordering::Relaxed).wrapping_sub(self.summed_up.load(Ordering::Relaxed));
        self.pressure.queues_are_full(added as usize)
    }

    pub(crate) fn pressure(&self) -> &Pressure {
        &self.pressure
    }
}

impl Observe for Shard {
    // inlined, so that only the code for the caller's event remains
    #[inline(always)]
    fn observe(&self, event: &Event<'_>) {
        match event {
            // counted by QoS, and by the version of the client
            Event::Publish { .. } | Event::Deliver { .. } => {}
            Event::Drop { reason, payload, .. } => {
                self.add(Count::PublishDropped, 1);
                self.add(Count::PublishBytesDropped, *payload as u64);
                let reason = match reason {
                    DropReason::QueueFull => Count::DroppedQueueFull,
                    DropReason::QueuesFull => Count::DroppedQueuesFull,
                    DropReason::MemoryFull => Count::RefusedMemory,
                    DropReason::OutboundFull => Count::DroppedOutboundFull,
                    DropReason::RetainedFull => Count::DroppedRetainedFull,
                    DropReason::StoreFull | DropReason::WillsFull => Count::DroppedStoreFull,
                    DropReason::SysTopic => Count::DroppedSysTopic,
                    DropReason::NotAuthorized => Count::DroppedNotAuthorized,
                    DropReason::Expired => Count::DroppedExpired,
                    DropReason::BridgeLoop => Count::DroppedBridgeLoop,
                    DropReason::PacketTooLarge | DropReason::MessageTooLarge => Count::DroppedTooLarge,
                };
                self.add(reason, 1);
            }
            Event::Connect { info, .. } => {
                self.add(Count::Connects, 1);
                self.connections.opened(info.listener);
            }
            Event::Disconnect { info, reason, .. } => {
                self.add(Count::Disconnects, 1);
                self.connections.closed(info.listener, reason.kind());
            }
            Event::Subscribe { .. } => self.add(Count::Subscribes, 1),
            Event::Unsubscribe { .. } => self.add(Count::Unsubscribes, 1),
            Event::Ping { .. } => self.add(Count::Pings, 1),
            Event::Will { .. } => self.add(Count::Wills, 1),
            Event::SessionExpired { .. } => self.add(Count::SessionsExpired, 1),
            // its times are in the histograms, where they are of other messages
            Event::Timed { .. } | Event::Acknowledge { .. } => {}
            // a refused client is counted by its reason
            Event::Refuse { .. } | Event::Ban { .. } => {}
            Event::Start | Event::Stop | Event::Store(_) | Event::Bridge { .. } => {}
        }
    }
}
