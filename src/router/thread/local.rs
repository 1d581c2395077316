//! [`RouterThread`]: the router's state of one thread: buffers, cached matches, counters, and the connections to wake
//! when the turn is over.

use std::{
    cell::Cell,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use super::{
    super::{
        QueuedCopy, RouterLimits,
        ports::{ClientInfo, DropReason, Event, EventKinds, Observe, Publisher, caught},
        sessions::{Access, Moments, Presence, Tick},
        subscriptions::MatchCache,
    },
    connections::LoginMethod,
    counters::{Count, Samples, Shard},
    denials::{Action, Denials},
    pressure::Refused,
    properties::KnownProperties,
    sampler::Sampler,
    traffic::Traffic,
    work::Work,
};
use crate::{
    codec::{PacketType, Properties, PropertiesBuf, ReasonCode},
    session::{Backlog, BufPool, CloseReason, Message, Outgoing, Way},
    topic::TopicName,
    types::{ClientId, QoS, UserName},
};

/// The router's state of one thread.
pub struct RouterThread {
    /// Buffers for output.
    pub pool: BufPool,
    pub(crate) wakes: Vec<Waker>,
    pub(crate) cache: MatchCache,
    pub(crate) limits: Arc<RouterLimits>,
    pub(crate) observers: Observers,
    /// The work of this turn.
    pub work: Work,
    /// Further sessions that a message is queued for, besides the first; empty between two messages.
    pub(crate) copies: Vec<QueuedCopy>,
    /// Set while Wills that waited are published.
    pub(crate) publishes_wills: bool,
    /// Room for the properties of a PUBLISH. `None` while one with properties is handled.
    pub(crate) properties: Option<Box<KnownProperties>>,
    pub(crate) sampler: Sampler,
    /// The publisher of the last message that was retained: all of its retained messages share this.
    publisher: Option<Arc<Publisher>>,
}

/// The receivers of events: the counters of this thread, the observers of the embedding program, and the log for
/// dropped messages.
pub(crate) struct Observers {
    /// When this turn of the thread began.
    pub(crate) now: Instant,
    shard: Arc<Shard>,
    moments: Arc<Moments>,
    others: Box<[Other]>,
    /// The kinds of events that the others want in this turn.
    wanted: EventKinds,
    /// The others got an event in this turn.
    told: Cell<bool>,
    dropped: DropLog,
    pub(crate) denials: Denials,
    /// The current work must be finished even if a plug-in panics: see [`RouterThread::finish`].
    finishes: Cell<bool>,
    /// A plug-in panicked meanwhile.
    panicked: Cell<bool>,
}

/// An observer of the embedding program.
struct Other {
    observe: Arc<dyn Observe>,
    /// The kinds of events that it wants in this turn.
    wants: EventKinds,
}

/// Limits log lines about dropped messages to one a second.
#[derive(Default)]
struct DropLog {
    last: Option<Instant>,
    silent: u64,
}

impl Observers {
    /// Begins a turn.
    #[inline]
    pub(crate) fn begin(&mut self, now: Instant) {
        self.now = now;
        // a panic may have left it set
        self.finishes.set(false);
        if !self.others.is_empty() {
            self.ask_others();
        }
    }

    /// Asks observers which kinds of events they want in this turn.
    #[inline(never)]
    fn ask_others(&mut self) {
        self.wanted = EventKinds::NONE;
        for other in &mut self.others {
            other.wants = caught(|| other.observe.wants()).unwrap_or(other.wants);
            self.wanted = self.wanted | other.wants;
        }
    }

    #[inline(always)]
    pub(crate) fn observe(&self, event: &Event<'_>) {
        self.shard.observe(event);
        if self.wanted.have(event.kind()) {
            self.tell_others(event);
        }
    }

    #[inline(never)]
    fn tell_others(&self, event: &Event<'_>) {
        self.told.set(true);
        for other in self.others.iter().filter(|other| other.wants.have(event.kind())) {
            self.call((), || other.observe.observe(event));
        }
    }

    /// A client's connection ended; `presence`: its figures.
    pub(crate) fn disconnected(
        &self,
        client: &ClientId,
        info: ClientInfo<'_>,
        reason: &CloseReason,
        presence: &Presence,
        now: Instant,
    ) {
        let (mut duration, mut received_bytes, mut sent_bytes) = Default::default();
        // the counters use none of them
        if self.wanted.have(EventKinds::DISCONNECT) {
            let since = self.moments.at(presence.since());
            duration = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            let (received, sent) = presence.flows();
            (received_bytes, sent_bytes) = (received.bytes, sent.bytes);
        }
        self.observe(&Event::Disconnect { client, info, reason, duration, received_bytes, sent_bytes });
    }

    #[inline(never)]
    fn turn_ended(&self) {
        for other in &self.others {
            let _panicked = caught(|| other.observe.turn_ended());
        }
    }

    /// Calls a plug-in. `otherwise`: the result if it panics and the current work must be finished.
    #[inline]
    pub(crate) fn call<R>(&self, otherwise: R, plug_in: impl FnOnce() -> R) -> R {
        if !self.finishes.get() {
            return plug_in();
        }
        caught(plug_in).unwrap_or_else(|| {
            self.panicked.set(true);
            otherwise
        })
    }

    /// A copy of a packet's properties, if an observer wants events of this kind.
    pub(crate) fn told_of(&self, kind: EventKinds, properties: Properties<'_>) -> PropertiesBuf {
        if self.wanted.have(kind) { properties.into() } else { PropertiesBuf::default() }
    }

    /// A message was accepted.
    #[inline(always)]
    pub(crate) fn published(&self, outgoing: &Outgoing<'_>) {
        if outgoing.from.is_some() {
            self.shard.traffic.published(outgoing.qos, outgoing.payload.len());
        }
        if self.wanted.have(EventKinds::PUBLISH) {
            self.tell_published(outgoing);
        }
    }

    #[inline(never)]
    fn tell_published(&self, outgoing: &Outgoing<'_>) {
        let Outgoing { from: client, user, topic, payload: content, qos, retain, extras, .. } = *outgoing;
        let (user, payload) = (user.map(UserName::as_str), content.len());
        let (properties, expires) = (extras.properties, extras.expires);
        self.tell_others(&Event::Publish { client, user, topic, qos, retain, payload, content, properties, expires });
    }

    /// A message is on its way to `client`; `is_5`: in MQTT 5.
    #[inline(always)]
    pub(crate) fn delivered(&self, client: &ClientId, outgoing: &Outgoing<'_>, qos: QoS, is_5: bool) {
        let payload = outgoing.payload.len();
        match is_5 {
            false => self.shard.traffic.delivered(qos, payload),
            true => self.shard.traffic.delivered_5(qos, payload),
        }
        if self.wanted.have(EventKinds::DELIVER) {
            self.tell_delivered(client, outgoing, qos);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_delivered(&self, client: &ClientId, outgoing: &Outgoing<'_>, qos: QoS) {
        let Outgoing { topic, payload: content, extras, .. } = *outgoing;
        let (payload, properties) = (content.len(), extras.properties);
        self.tell_others(&Event::Deliver { client, topic, qos, payload, content, properties });
    }

    #[cold]
    #[inline(never)]
    fn tell_sent(&self, client: &ClientId, message: &Message, qos: QoS) {
        let (topic, content, properties) = (message.topic(), message.payload(), message.extras().properties);
        self.tell_others(&Event::Deliver { client, topic, qos, payload: content.len(), content, properties });
    }

    /// A queued message is sent. Fields that only plugged-in observers use are computed only if there is one.
    #[inline]
    pub(crate) fn sent(&self, client: &ClientId, message: &Message, qos: QoS, by: Way) {
        let payload = message.payload().len();
        match by {
            Way::Plain => self.shard.traffic.delivered(qos, payload),
            Way::Five => self.shard.traffic.delivered_5(qos, payload),
            Way::Inside => {}
        }
        if self.wanted.have(EventKinds::DELIVER) {
            self.tell_sent(client, message, qos);
        }
    }

    #[inline]
    pub(crate) fn count(&self, count: Count, n: u64) {
        self.shard.add(count, n);
    }

    /// When this turn began.
    pub(crate) fn moment(&self) -> Tick {
        self.moments.tick(self.now)
    }

    /// Packets and messages of this thread.
    #[inline]
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.shard.traffic
    }

    /// Does an observer want to know how long messages take until they are acknowledged?
    #[inline]
    pub(crate) fn times(&self) -> bool {
        self.wanted.have(EventKinds::TIMED)
    }

    /// Does an observer want to know of acknowledgements?
    #[inline]
    pub(crate) fn follows(&self) -> bool {
        self.wanted.have(EventKinds::ACKNOWLEDGE)
    }

    /// `client` acknowledged a message.
    #[cold]
    pub(crate) fn acknowledged(&self, client: &ClientId, message: &Message, qos: QoS, reason: ReasonCode) {
        let (topic, payload, properties) = (message.topic(), message.payload().len(), message.extras().properties);
        let error = Some(reason).filter(|reason| reason.is_error());
        self.observe(&Event::Acknowledge { client, topic, qos, payload, properties, error });
    }

    /// How long some messages took.
    pub(crate) fn samples(&self) -> &Samples {
        &self.shard.samples
    }

    /// Counts a login by method and result; `took`: time since its CONNECT.
    pub(crate) fn login(&self, method: LoginMethod, admitted: bool, took: Option<Duration>) {
        self.shard.connections.login(method, admitted, took);
    }

    /// The count of this thread.
    #[inline]
    pub(super) fn counted(&self, count: Count) -> u64 {
        self.shard.counted(count)
    }

    /// Do all queues together hold as much as they may?
    pub(crate) fn queues_are_full(&self) -> bool {
        self.shard.queues_are_full()
    }

    /// Is this refused because of the memory limit?
    pub(crate) fn refuses(&self, what: Refused) -> bool {
        self.shard.pressure().refuses(what)
    }

    /// A session's backlog changed from `before` to `now`.
    #[inline]
    pub(crate) fn holds(&self, before: Backlog, now: Backlog) {
        self.shard.holds(before, now);
    }

    /// A message of `client` was dropped, because it may not publish it.
    #[cold]
    pub(crate) fn may_not_publish(
        &mut self,
        action: Action,
        client: &ClientId,
        access: Option<&Access>,
        topic: &TopicName,
        payload: usize,
    ) {
        self.observe(&Event::Drop { client, topic, payload, reason: DropReason::NotAuthorized });
        self.denials.tell(action, client, access.and_then(Access::user), topic.as_str());
    }

    /// A message was not delivered, because `client` may not receive it.
    #[cold]
    pub(crate) fn may_not_receive(&mut self, client: &ClientId, access: Option<&Access>, topic: &TopicName) {
        self.count(Count::DeniedDeliveries, 1);
        self.denials.tell(Action::Receive, client, access.and_then(Access::user), topic.as_str());
    }

    /// A client's message was dropped, or was not retained.
    #[cold]
    pub(crate) fn not_published(&mut self, outgoing: &Outgoing<'_>, reason: DropReason) {
        if let Some(client) = outgoing.from {
            self.dropped(client, outgoing.topic, outgoing.payload.len(), reason);
        }
    }

    /// A message for `client`, or from it, was dropped.
    #[cold]
    pub(crate) fn dropped(&mut self, client: &ClientId, topic: &TopicName, payload: usize, reason: DropReason) {
        self.observe(&Event::Drop { client, topic, payload, reason });
        let Self { now, dropped: DropLog { last, silent }, .. } = self;
        if last.is_some_and(|last| *now - last < Duration::from_secs(1)) {
            *silent += 1;
            return;
        }
        *last = Some(*now);
        let others = std::mem::take(silent);
        tracing::warn!(client = %client, topic = topic.as_str(), reason = reason.why(), others, "message dropped");
    }
}

impl RouterThread {
    pub(crate) fn new(
        limits: Arc<RouterLimits>,
        (shard, moments): (Arc<Shard>, Arc<Moments>),
        others: &[Arc<dyn Observe>],
        now: Instant,
    ) -> Self {
        let others = others.iter().map(|observe| Other { observe: observe.clone(), wants: EventKinds::NONE });
        let mut thread = Self {
            pool: BufPool::default(),
            wakes: Vec::new(),
            cache: MatchCache::default(),
            limits,
            observers: Observers {
                now,
                shard,
                moments,
                others: others.collect(),
                wanted: EventKinds::NONE,
                told: Cell::default(),
                dropped: DropLog::default(),
                denials: Denials::default(),
                finishes: Cell::default(),
                panicked: Cell::default(),
            },
            work: Work::default(),
            copies: Vec::new(),
            publishes_wills: false,
            properties: Some(Box::default()),
            sampler: Sampler::default(),
            publisher: None,
        };
        thread.observers.begin(now);
        thread
    }

    /// The publisher; `None`: the broker itself.
    pub(crate) fn publisher(&mut self, outgoing: &Outgoing<'_>) -> Option<Arc<Publisher>> {
        let client = outgoing.from?;
        let is_same = |last: &&Arc<Publisher>| last.client == *client && last.user.as_ref() == outgoing.user;
        if let Some(last) = self.publisher.as_ref().filter(is_same) {
            return Some(last.clone());
        }
        Some(self.shared_publisher(Publisher { client: client.clone(), user: outgoing.user.cloned() }))
    }

    /// The same of one that is known.
    pub(crate) fn shared_publisher(&mut self, publisher: Publisher) -> Arc<Publisher> {
        if let Some(last) = self.publisher.as_ref().filter(|last| ***last == publisher) {
            return last.clone();
        }
        let publisher = Arc::new(publisher);
        self.publisher = Some(publisher.clone());
        publisher
    }

    /// The limits in force.
    #[inline]
    pub fn limits(&self) -> &RouterLimits {
        &self.limits
    }

    /// Reports an event to the counters and to observers.
    pub fn observe(&self, event: &Event<'_>) {
        self.observers.observe(event);
    }

    /// Adds to a counter.
    #[inline]
    pub fn count(&self, count: Count, n: u64) {
        self.observers.count(count, n);
    }

    /// Counts a packet other than PUBLISH, by the upper half of its first byte.
    #[inline]
    pub fn heard(&self, packet: u8) {
        self.observers.traffic().heard(packet);
    }

    /// Number of packets other than PUBLISH so far.
    #[inline]
    pub fn others(&self) -> u64 {
        self.observers.traffic().others()
    }

    /// Counts PUBLISH packets.
    #[inline]
    pub fn heard_publishes(&self, count: u64) {
        self.observers.traffic().heard_publishes(count);
    }

    /// A packet that is not PUBLISH is on its way to a client.
    #[inline]
    pub fn said(&self, packet: PacketType) {
        self.observers.traffic().said(packet);
    }

    /// A message that is measured was written to its subscriber, so long after its turn began.
    pub fn was_delivered(&self, took: Duration) {
        self.observers.samples().deliveries.add(took);
    }

    /// Counts a login by method and result; `took`: time since its CONNECT.
    pub fn login(&self, method: LoginMethod, admitted: bool, took: Duration) {
        self.observers.login(method, admitted, Some(took));
    }

    /// Runs work that must be finished: if a plug-in panics meanwhile, that counts as a refusal. `true`: one panicked.
    pub(crate) fn finish<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> (R, bool) {
        let within = self.observers.finishes.replace(true);
        let before = self.observers.panicked.replace(false);
        let result = f(self);
        self.observers.finishes.set(within);
        let panicked = self.observers.panicked.get();
        self.observers.panicked.set(before || panicked);
        (result, panicked)
    }

    /// Notes the end of a connection's turn at `now`. Call it if the turn's work [is large](Work::is_told).
    #[cold]
    pub fn tell_turn(&self, now: Instant) {
        let (nodes, deliveries) = self.work.done();
        self.observers.shard.longest_turn(nodes, deliveries, now.saturating_duration_since(self.observers.now));
    }

    /// Takes the wakers for [`wake`](Self::wake), for a caller that still holds a lock.
    pub fn take_wakes(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakes)
    }

    /// Wakes all signalled connections. Call it at the end of a turn when no lock is held, so that everything that one
    /// turn sends to a connection is one write.
    #[inline]
    pub fn wake(&mut self) {
        for waker in self.wakes.drain(..) {
            waker.wake();
        }
        if self.observers.told.replace(false) {
            self.observers.turn_ended();
        }
    }
}
