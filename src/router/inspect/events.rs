//! [`EventStream`]: passes events from all threads to a task. Each stream has a bounded ring for each thread, which the
//! task drains. Events that do not fit are counted.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::ports::{Condition, DropReason, Event, EventKinds, Observe, PeerAddress};
use crate::{
    codec::{Properties, PropertiesBuf, ReasonCode},
    session::CloseReason,
    types::{ClientId, Network, ProtocolVersion, QoS, SubscriptionOptions},
};

/// An [`Event`] that can be kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Happened {
    /// Its place among all events that streams were given since the start: a later one of the same client has a higher
    /// number, whichever threads they happened on.
    pub number: u64,
    /// The kind of the event.
    pub kind: EventKinds,
    /// The client of the event, as in [`Event`]; `None`: the broker itself.
    pub client: Option<ClientId>,
    /// The User Name of that client, if the event has it.
    pub user: Option<Box<str>>,
    /// The listener and the protocol version of that client, if the event has them.
    pub came_by: Option<(u16, ProtocolVersion)>,
    /// The rest of the event.
    pub what: What,
}

/// The contents of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// A client was accepted.
    Connect {
        /// The client's address.
        peer: PeerAddress,
        /// Clean Session; in MQTT 5, Clean Start.
        clean_session: bool,
        /// Did the session exist before?
        session_present: bool,
    },
    /// A client's connection ended.
    Disconnect {
        /// The reason.
        reason: CloseReason,
        /// How long it was connected, to a tenth of a second.
        duration: Duration,
        /// Bytes of packets that it sent.
        received_bytes: u64,
        /// Bytes of packets to it.
        sent_bytes: u64,
    },
    /// A subscription to this filter was granted.
    Subscribe(Box<str>, SubscriptionOptions),
    /// A subscription to this filter was removed.
    Unsubscribe(Box<str>),
    /// A message was published, by a client or as its Will, or delivered.
    Message {
        /// Topic Name.
        topic: Box<str>,
        /// QoS of the message or of its delivery.
        qos: QoS,
        /// RETAIN of the PUBLISH.
        retain: bool,
        /// Bytes of the payload.
        payload: usize,
        /// The payload, if a stream wants [`EventKinds::PAYLOADS`]; not for deliveries.
        content: Option<Box<[u8]>>,
        /// Its properties.
        properties: PropertiesBuf,
    },
    /// A message was dropped.
    Drop {
        /// Topic Name.
        topic: Box<str>,
        /// Bytes of the payload.
        payload: usize,
        /// The reason.
        reason: DropReason,
    },
    /// PINGREQ.
    Ping,
    /// A session expired after its client was away for this time.
    SessionExpired(Duration),
    /// A message that was sent to a client was acknowledged.
    Acknowledge {
        /// Topic Name.
        topic: Box<str>,
        /// The QoS of the delivery.
        qos: QoS,
        /// Bytes of the payload.
        payload: usize,
        /// Its properties.
        properties: PropertiesBuf,
        /// The Reason Code of the acknowledgement, if it is an error of 0x80 or more.
        error: Option<ReasonCode>,
    },
    /// A message that was timed was acknowledged.
    Timed {
        /// Topic Name.
        topic: Box<str>,
        /// The QoS of the delivery.
        qos: QoS,
        /// From the PUBLISH of the publisher until the message was sent.
        queued: Duration,
        /// From then on until it was acknowledged.
        unacknowledged: Duration,
    },
    /// A CONNECT was refused.
    Refuse {
        /// The client's address.
        peer: PeerAddress,
        /// The reason.
        reason: CloseReason,
    },
    /// A ban was added, for clients that meet all of its conditions. [`Happened::client`] has a Client Identifier, and
    /// [`Happened::user`] a User Name.
    Ban {
        /// A network.
        network: Option<Network>,
        /// Why; may be empty.
        reason: Box<str>,
        /// The administrator who added it; `dunlin`: the broker itself.
        by: Box<str>,
        /// Its end; `None`: an administrator ends it.
        until: Option<SystemTime>,
    },
    /// The broker started.
    Start,
    /// The broker stops.
    Stop,
    /// The condition of the store has changed to this one.
    Store(Condition),
    /// A bridge connected, or its connection ended or did not begin.
    Bridge {
        /// Its name.
        name: Box<str>,
        /// The address of the other broker.
        address: Box<str>,
        /// Why it is not connected; `None`: it is.
        down: Option<Box<str>>,
    },
}

/// Events from all threads for one task, in the order of their numbers as far as one event led to another: those of
/// one client are in order.
pub struct EventStream {
    stream: Arc<Stream>,
    of: Arc<EventStreams>,
    drained: VecDeque<Arc<Happened>>,
    /// Drained, but newer than the start of the drain: given after the next one.
    early: Vec<Arc<Happened>>,
}

/// All streams of a broker.
#[derive(Default)]
pub(crate) struct EventStreams {
    /// The kinds of events that they want together.
    wanted: AtomicU32,
    /// The number of the next event.
    next: AtomicU64,
    list: ArcSwap<Vec<Arc<Stream>>>,
    /// Held while a stream is added or removed.
    changing: Mutex<()>,
}

struct Stream {
    kinds: EventKinds,
    rings: Box<[RingOfThread]>,
    lost: AtomicU64,
    /// There are new events since the task was woken last.
    has_news: AtomicBool,
    bell: Notify,
}

#[derive(Default)]
struct RingOfThread(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Happened>>,
    /// Bytes of payloads in the events.
    bytes: usize,
}

/// Beyond this number, threads share rings.
const RINGS: usize = 16;
/// Most events in a ring, and most bytes of their payloads.
const MOST_EVENTS: usize = 4_096;
const MOST_BYTES: usize = 4 << 20;

impl EventStreams {
    /// Opens a stream for these kinds.
    pub(crate) fn open(self: &Arc<Self>, kinds: EventKinds) -> EventStream {
        let rings = (0..RINGS).map(|_| RingOfThread::default()).collect();
        let (lost, has_news, bell) = (AtomicU64::new(0), AtomicBool::new(false), Notify::new());
        let stream = Arc::new(Stream { kinds, rings, lost, has_news, bell });
        self.change(|list| list.push(stream.clone()));
        EventStream { stream, of: self.clone(), drained: VecDeque::new(), early: Vec::new() }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Stream>>)) {
        let _one = self.changing.lock();
        let mut list = self.list.load().to_vec();
        change(&mut list);
        let wanted = list.iter().fold(EventKinds::NONE, |all, stream| all | stream.kinds);
        self.list.store(Arc::new(list));
        self.wanted.store(wanted.bits(), Ordering::Relaxed);
    }
}

impl Observe for EventStreams {
    fn observe(&self, event: &Event<'_>) {
        let (list, kind) = (self.list.load(), event.kind());
        // with the payload for streams that want it, and without
        let mut happened = [None, None];
        let mut number = None;
        for stream in list.iter().filter(|stream| stream.kinds.have(kind)) {
            let wants_payload = stream.kinds.have(EventKinds::PAYLOADS);
            let number = *number.get_or_insert_with(|| self.next.fetch_add(1, Ordering::AcqRel));
            let of = || Arc::new(Happened::of(event, number, wants_payload));
            stream.push(happened[usize::from(wants_payload)].get_or_insert_with(of));
        }
    }

    fn wants(&self) -> EventKinds {
        EventKinds::from_bits(self.wanted.load(Ordering::Relaxed))
    }

    fn turn_ended(&self) {
        for stream in &**self.list.load() {
            if stream.has_news.swap(false, Ordering::AcqRel) {
                stream.bell.notify_one();
            }
        }
    }
}

impl Stream {
    fn push(&self, happened: &Arc<Happened>) {
        let bytes = happened.held();
        let mut ring = self.rings[ring_of_thread()].0.lock();
        if ring.events.len() >= MOST_EVENTS || ring.bytes + bytes > MOST_BYTES && !ring.events.is_empty() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        ring.bytes += bytes;
        ring.events.push_back(happened.clone());
        drop(ring);
        self.has_news.store(true, Ordering::Release);
    }
}

impl EventStream {
    /// The next event. Events are lost if this is not called often enough: see [`lost`](Self::lost).
    pub async fn recv(&mut self) -> Arc<Happened> {
        loop {
            if let Some(happened) = self.try_recv() {
                return happened;
            }
            self.stream.bell.notified().await;
        }
    }

    /// The next event, if there is one.
    pub fn try_recv(&mut self) -> Option<Arc<Happened>> {
        if self.drained.is_empty() {
            self.drain();
        }
        if self.drained.is_empty() && !self.early.is_empty() {
            self.drain();
        }
        self.drained.pop_front()
    }

    /// Empties the rings, one after the other. A later ring may have events that are newer than events which entered an
    /// earlier ring meanwhile, so events newer than the beginning of this call wait for the next one.
    fn drain(&mut self) {
        let begin = self.of.next.load(Ordering::Acquire);
        let mut all = std::mem::take(&mut self.early);
        for ring in &*self.stream.rings {
            let Ring { events, .. } = std::mem::take(&mut *ring.0.lock());
            all.extend(events);
        }
        all.sort_unstable_by_key(|happened| happened.number);
        self.early = all.split_off(all.partition_point(|happened| happened.number < begin));
        self.drained.extend(all);
    }

    /// Number of events that were lost since the stream was opened.
    pub fn lost(&self) -> u64 {
        self.stream.lost.load(Ordering::Relaxed)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.of.change(|list| list.retain(|stream| !Arc::ptr_eq(stream, &self.stream)));
    }
}

impl Happened {
    /// The topic of the message that the event is about.
    pub fn topic(&self) -> Option<&str> {
        match &self.what {
            What::Message { topic, .. }
            | What::Drop { topic, .. }
            | What::Acknowledge { topic, .. }
            | What::Timed { topic, .. } => Some(topic),
            _ => None,
        }
    }

    fn of(event: &Event<'_>, number: u64, wants_payload: bool) -> Self {
        let message = |topic: &str, qos, retain, payload, content: Option<&[u8]>, properties: Properties<'_>| {
            let content = content.filter(|_| wants_payload).map(Into::into);
            What::Message { topic: topic.into(), qos, retain, payload, content, properties: properties.into() }
        };
        let (client, info, what) = match *event {
            Event::Connect { client, info, peer, clean_session, session_present, .. } => {
                (Some(client), Some(info), What::Connect { peer, clean_session, session_present })
            }
            Event::Disconnect { client, info, reason, duration, received_bytes, sent_bytes } => {
                let reason = reason.clone();
                (Some(client), Some(info), What::Disconnect { reason, duration, received_bytes, sent_bytes })
            }
            Event::Subscribe { client, info, filter, options, .. } => {
                (Some(client), Some(info), What::Subscribe(filter.as_str().into(), options))
            }
            Event::Unsubscribe { client, info, filter, .. } => {
                (Some(client), Some(info), What::Unsubscribe(filter.as_str().into()))
            }
            Event::Publish { client, topic, qos, retain, payload, content, properties, .. } => {
                (client, None, message(topic.as_str(), qos, retain, payload, Some(content), properties))
            }
            Event::Deliver { client, topic, qos, payload, properties, .. } => {
                (Some(client), None, message(topic.as_str(), qos, false, payload, None, properties))
            }
            Event::Will { client, topic, qos, retain, content, properties, .. } => {
                (Some(client), None, message(topic.as_str(), qos, retain, content.len(), Some(content), properties))
            }
            Event::Drop { client, topic, payload, reason } => {
                (Some(client), None, What::Drop { topic: topic.as_str().into(), payload, reason })
            }
            Event::Ping { client } => (Some(client), None, What::Ping),
            Event::SessionExpired { client, after } => (Some(client), None, What::SessionExpired(after)),
            Event::Acknowledge { client, topic, qos, payload, properties, error } => {
                let (topic, properties) = (topic.as_str().into(), properties.into());
                (Some(client), None, What::Acknowledge { topic, qos, payload, properties, error })
            }
            Event::Timed { client, topic, qos, queued, unacknowledged } => {
                let topic = topic.as_str().into();
                (Some(client), None, What::Timed { topic, qos, queued, unacknowledged })
            }
            Event::Refuse { info, peer, reason, .. } => {
                (None, Some(info), What::Refuse { peer, reason: reason.clone() })
            }
            Event::Ban { network, reason, by, until, .. } => {
                (None, None, What::Ban { network, reason: reason.into(), by: by.into(), until })
            }
            Event::Start => (None, None, What::Start),
            Event::Stop => (None, None, What::Stop),
            Event::Store(condition) => (None, None, What::Store(condition)),
            Event::Bridge { name, address, down } => {
                let down = down.map(Into::into);
                (None, None, What::Bridge { name: name.into(), address: address.into(), down })
            }
        };
        let said = match *event {
            Event::Publish { user, .. } | Event::Will { user, .. } | Event::Ban { user, .. } => user,
            _ => info.and_then(|info| info.user),
        };
        // a client that there may not be
        let named = match *event {
            Event::Refuse { client, .. } | Event::Ban { client, .. } => client.map(ClientId::from),
            _ => None,
        };
        Self {
            number,
            kind: event.kind(),
            client: client.cloned().or(named),
            user: said.map(Into::into),
            came_by: info.map(|info| (info.listener, info.version)),
            what,
        }
    }

    /// Bytes of its payload and of its properties.
    fn held(&self) -> usize {
        match &self.what {
            What::Message { content, properties, .. } => {
                content.as_ref().map_or(0, |content| content.len()) + properties.size()
            }
            What::Acknowledge { properties, .. } => properties.size(),
            _ => 0,
        }
    }
}

/// The ring of this thread.
fn ring_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static RING: usize = NEXT.fetch_add(1, Ordering::Relaxed) % RINGS;
    }
    RING.with(|ring| *ring)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{codec::PropertiesBuf, topic::TopicName};

    /// Publishes of a client, each from the thread after the one before.
    #[test]
    fn causally_related_events_of_different_threads_are_in_order() {
        const EVENTS: usize = 3_000;
        let streams = Arc::new(EventStreams::default());
        let mut stream = streams.open(EventKinds::PUBLISH);
        let turn = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (streams, turn) = (streams.clone(), turn.clone());
                thread::spawn(move || {
                    let (client, none) = (ClientId::from("c"), PropertiesBuf::default());
                    for n in (thread..EVENTS).step_by(3) {
                        while turn.load(Ordering::Acquire) != n {
                            thread::yield_now();
                        }
                        let name = n.to_string();
                        let event = Event::Publish {
                            client: Some(&client),
                            user: None,
                            topic: TopicName::new(&name).unwrap(),
                            qos: QoS::AtMostOnce,
                            retain: false,
                            payload: 0,
                            content: &[],
                            properties: none.as_properties(),
                            expires: None,
                        };
                        streams.observe(&event);
                        turn.store(n + 1, Ordering::Release);
                    }
                })
            })
            .collect();
        let mut next = 0;
        while next < EVENTS {
            let Some(happened) = stream.try_recv() else {
                thread::yield_now();
                continue;
            };
            let What::Message { topic, .. } = &happened.what else { panic!("{happened:?}") };
            assert_eq!((&**topic, happened.number), (next.to_string().as_str(), next as u64));
            next += 1;
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(stream.lost(), 0);
    }

    /// A message with this payload was published.
    fn publish(streams: &EventStreams, content: &[u8]) {
        let none = PropertiesBuf::default();
        streams.observe(&Event::Publish {
            client: None,
            user: None,
            topic: TopicName::new("t").unwrap(),
            qos: QoS::AtMostOnce,
            retain: false,
            payload: content.len(),
            content,
            properties: none.as_properties(),
            expires: None,
        });
    }

    #[test]
    fn events_beyond_a_full_ring_are_counted_as_lost_and_those_in_it_stay() {
        let streams = Arc::new(EventStreams::default());
        let mut stream = streams.open(EventKinds::PUBLISH);
        (0..MOST_EVENTS + 100).for_each(|_| publish(&streams, b""));
        let numbers: Vec<_> = std::iter::from_fn(|| stream.try_recv()).map(|happened| happened.number).collect();
        assert_eq!(numbers, (0..MOST_EVENTS as u64).collect::<Vec<_>>());
        assert_eq!(stream.lost(), 100);
        // there is room again
        publish(&streams, b"");
        assert!(stream.try_recv().is_some());
        assert_eq!(stream.lost(), 100);
    }

    #[test]
    fn payloads_in_a_ring_are_bounded() {
        let streams = Arc::new(EventStreams::default());
        let mut stream = streams.open(EventKinds::PUBLISH | EventKinds::PAYLOADS);
        let payload = vec![0; MOST_BYTES / 4];
        (0..10).for_each(|_| publish(&streams, &payload));
        assert_eq!(std::iter::from_fn(|| stream.try_recv()).count(), 4);
        assert_eq!(stream.lost(), 6);
        // one that is larger than the ring may have is alone in it
        publish(&streams, &vec![0; MOST_BYTES + 1]);
        publish(&streams, b"1");
        assert_eq!((std::iter::from_fn(|| stream.try_recv()).count(), stream.lost()), (1, 7));
        // without payloads there is no such bound
        let mut stream = streams.open(EventKinds::PUBLISH);
        (0..10).for_each(|_| publish(&streams, &payload));
        assert_eq!((std::iter::from_fn(|| stream.try_recv()).count(), stream.lost()), (10, 0));
    }
}
