//! [`Journal`]: events since the start or the last reset, in their order, as many as fit.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    forget::Reset,
    strict::{Strict, Violation},
};
use crate::{
    clock::Clock,
    codec::PropertiesBuf,
    router::{ClientInfo, Event, EventKinds, Observe},
    trace::Seen,
    types::{ClientId, QoS},
};

/// An event.
#[derive(Debug)]
pub struct Entry {
    /// Rising numbers.
    pub(super) number: u64,
    /// By the real clock.
    pub(super) at: SystemTime,
    /// `None`: the broker itself.
    pub(super) client: Option<Box<str>>,
    pub(super) user: Option<Box<str>>,
    pub(super) what: What,
}

/// Kind of an event.
#[derive(Debug)]
pub(super) enum What {
    /// The broker accepted a message.
    Message(Noted),
    Connected {
        session_present: bool,
        clean: bool,
    },
    Disconnected {
        reason: Box<str>,
    },
    Subscribed {
        filter: Box<str>,
        qos: QoS,
    },
    Unsubscribed {
        filter: Box<str>,
    },
    SessionExpired,
    /// A packet passed, with the name of the fault that changed it.
    Packet {
        packet: Box<Seen>,
        fault: Option<&'static str>,
    },
    /// A fault hit.
    Fault {
        id: u64,
        does: &'static str,
        packet: Option<Box<Seen>>,
    },
    Restarted,
    /// A client violated a statement; without a statement: a legal behaviour that other brokers reject.
    Violation {
        statement: Option<Box<str>>,
        text: Box<str>,
    },
    Dropped {
        topic: Box<str>,
        reason: String,
    },
}

/// An accepted message.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) topic: Box<str>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) payload: Box<[u8]>,
    pub(super) properties: PropertiesBuf,
}

/// The events.
pub(super) struct Journal {
    inner: Mutex<Entries>,
    news: watch::Sender<u64>,
    /// Events of a broker that is being killed are ignored.
    is_mute: AtomicBool,
    strict: Arc<Strict>,
    /// Receives every event.
    sink: Option<Sink>,
}

/// Receives every event, in their order.
pub(super) type Sink = Box<dyn Fn(&Entry) + Send + Sync>;

#[derive(Default)]
struct Entries {
    all: VecDeque<Arc<Entry>>,
    /// Sum of the payloads.
    bytes: usize,
    last: u64,
    /// Number of events that were removed for want of room.
    lost: u64,
}

/// Most events, and most bytes of their payloads. The oldest are removed first.
const MOST: usize = 100_000;
const MOST_BYTES: usize = 64 << 20;

impl Journal {
    pub(super) fn new(strict: Arc<Strict>, sink: Option<Sink>) -> Self {
        Self { inner: Mutex::default(), news: watch::Sender::new(0), is_mute: AtomicBool::new(false), strict, sink }
    }

    /// Adds an event and wakes the waiting tests.
    pub(super) fn note(&self, client: Option<&str>, user: Option<&str>, what: What) {
        if self.is_mute.load(Ordering::Acquire) {
            return;
        }
        let mut entries = self.inner.lock();
        entries.last += 1;
        let (number, at) = (entries.last, Clock::system().wall());
        let entry = Entry { number, at, client: client.map(Into::into), user: user.map(Into::into), what };
        if let Some(sink) = &self.sink {
            sink(&entry);
        }
        entries.bytes += entry.held();
        entries.all.push_back(Arc::new(entry));
        while entries.all.len() > MOST || entries.bytes > MOST_BYTES {
            let Some(oldest) = entries.all.pop_front() else { break };
            entries.bytes -= oldest.held();
            entries.lost += 1;
        }
    }

    /// Adds a violation.
    pub(super) fn violated(&self, violation: &Violation) {
        let (statement, text) = (violation.statement.clone(), violation.text.as_str().into());
        self.note(violation.client.as_deref(), None, What::Violation { statement, text });
    }

    /// Ignores events from now on, or ends this.
    pub(super) fn mute(&self, mute: bool) {
        self.is_mute.store(mute, Ordering::Release);
    }

    /// Number of the last event.
    pub(super) fn last(&self) -> u64 {
        self.inner.lock().last
    }

    /// The events after this number.
    pub(super) fn after(&self, number: u64) -> Vec<Arc<Entry>> {
        let entries = self.inner.lock();
        let from = entries.all.partition_point(|entry| entry.number <= number);
        entries.all.range(from..).cloned().collect()
    }

    /// Number of events that were removed for want of room.
    pub(super) fn lost(&self) -> u64 {
        self.inner.lock().lost
    }

    /// Notifies of new events.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Removes events of some clients and topics, or all.
    pub(super) fn forget(&self, reset: &Reset) {
        let mut entries = self.inner.lock();
        let entries = &mut *entries;
        match reset.is_all() {
            true => (entries.all, entries.lost) = (VecDeque::new(), 0),
            false => entries.all.retain(|entry| {
                let of_client = entry.client.as_ref().is_some_and(|client| reset.has_client(client));
                let of_topic = entry.topic().is_some_and(|topic| reset.has_topic(topic));
                !of_client && !of_topic
            }),
        }
        entries.bytes = entries.all.iter().map(|entry| entry.held()).sum();
    }

    /// Wakes the waiting tests.
    pub(super) fn tell(&self) {
        let last = self.last();
        self.news.send_if_modified(|told| std::mem::replace(told, last) != last);
    }
}

impl Entry {
    fn held(&self) -> usize {
        match &self.what {
            What::Message(message) => message.payload.len(),
            What::Packet { packet, .. } => packet.payload.len(),
            _ => 0,
        }
    }

    /// Its number, which is higher than those of earlier events.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The client; `None`: the broker itself.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Payload of its message.
    pub fn payload(&self) -> Option<&[u8]> {
        match &self.what {
            What::Message(message) => Some(&message.payload),
            What::Packet { packet, .. } => Some(&packet.payload),
            _ => None,
        }
    }

    /// Topic of its message.
    pub fn topic(&self) -> Option<&str> {
        match &self.what {
            What::Message(Noted { topic, .. }) | What::Dropped { topic, .. } => Some(topic),
            What::Packet { packet, .. } => packet.topic.as_deref(),
            _ => None,
        }
    }
}

impl Observe for Journal {
    fn observe(&self, event: &Event<'_>) {
        let note = |client: &ClientId, info: &ClientInfo<'_>, what| {
            self.note(Some(client.as_str()), info.user, what);
        };
        match event {
            // messages of the broker itself have no publisher
            Event::Publish { client: None, topic, .. } if topic.is_dollar() => {}
            Event::Publish { client, user, topic, qos, retain, content, properties, .. } => {
                let (topic, payload) = (topic.as_str().into(), (*content).into());
                let message = Noted { topic, qos: *qos, retain: *retain, payload, properties: (*properties).into() };
                self.note(client.map(|client| client.as_str()), *user, What::Message(message));
            }
            Event::Connect { client, info, clean_session, session_present, .. } => {
                let (session_present, clean) = (*session_present, *clean_session);
                note(client, info, What::Connected { session_present, clean });
            }
            Event::Disconnect { client, info, reason, .. } => {
                let found = self.strict.closed(client.as_str(), reason);
                found.iter().for_each(|violation| self.violated(violation));
                note(client, info, What::Disconnected { reason: reason.to_string().into() });
            }
            Event::Subscribe { client, info, filter, qos, .. } => {
                note(client, info, What::Subscribed { filter: filter.as_str().into(), qos: *qos });
            }
            Event::Unsubscribe { client, info, filter, .. } => {
                note(client, info, What::Unsubscribed { filter: filter.as_str().into() });
            }
            Event::SessionExpired { client, .. } => self.note(Some(client.as_str()), None, What::SessionExpired),
            Event::Drop { client, topic, reason, .. } => {
                let what = What::Dropped { topic: topic.as_str().into(), reason: format!("{reason:?}") };
                self.note(Some(client.as_str()), None, what);
            }
            _ => {}
        }
    }

    fn wants(&self) -> EventKinds {
        EventKinds::CONNECT
            | EventKinds::DISCONNECT
            | EventKinds::SUBSCRIBE
            | EventKinds::UNSUBSCRIBE
            | EventKinds::PUBLISH
            | EventKinds::DROP
            | EventKinds::SESSION_EXPIRED
    }

    fn turn_ended(&self) {
        self.tell();
    }
}
