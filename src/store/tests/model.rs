//! [`Model`]: the content of the log in simple collections.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::index::apply::Index,
    world::{age_at, session_number},
};
use crate::{
    router::{Publisher, QueuedCopy, Record, SessionOwner, WillLeft},
    session::{Message, SessionNumber, StoredWill, wire_of},
    types::{QoS, SubscriptionOptions},
};

/// The content, except whether a client is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) sessions: BTreeMap<SessionNumber, Session>,
    pub(super) retained: BTreeMap<String, Retained>,
    /// With the client and the user.
    pub(super) wills: BTreeMap<u64, (Publisher, Will)>,
}

/// The message, and its publisher if known.
pub(super) type Retained = (Content, Option<Publisher>);

/// The message, RETAIN, the delay and the Message Expiry Interval.
pub(super) type Will = (Content, bool, u32, Option<u32>);

/// Topic, payload, QoS and properties.
pub(super) type Content = (String, Vec<u8>, QoS, Vec<u8>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) client: String,
    pub(super) owner: Option<SessionOwner>,
    pub(super) lasts: Option<u32>,
    pub(super) will: Option<Will>,
    /// The age of the log at which it is due.
    pub(super) will_due: Option<u64>,
    pub(super) due: BTreeMap<u64, Will>,
    pub(super) subscriptions: BTreeMap<String, SubscriptionOptions>,
    pub(super) messages: BTreeMap<u64, Entry>,
    pub(super) received: Vec<u16>,
    pub(super) retained_due: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) content: Option<Content>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) shared: bool,
    pub(super) sent: Option<u64>,
    /// Subscription Identifiers.
    pub(super) identifiers: Vec<u8>,
}

pub(super) fn content(message: &Message) -> Content {
    let properties = message.stored_properties().to_vec();
    (message.topic().as_str().to_owned(), message.payload().to_vec(), message.qos(), properties)
}

fn will(will: &StoredWill) -> Will {
    (content(&will.message), will.retain, will.delay, will.expiry)
}

impl Model {
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::SessionStarted { session, client, owner, will } => {
                let will = will.as_ref().map(self::will);
                let owner = owner.as_deref().cloned();
                let new = Session { client: client.to_string(), owner, will, ..Session::default() };
                self.sessions.insert(*session, new);
            }
            Record::Lasts { session, seconds } => self.change(*session, |session| session.lasts = *seconds),
            Record::Attached { session, owner, will } => {
                let (owner, will) = (owner.as_deref().cloned(), will.as_ref().map(self::will));
                self.change(*session, |session| {
                    (session.owner, session.will, session.will_due) = (owner, will, None);
                });
            }
            Record::Detached { session, will } => self.change(*session, |session| match will {
                WillLeft::Gone => (session.will, session.will_due) = (None, None),
                WillLeft::FromNextStart => session.will_due = None,
                WillLeft::Until(at) if session.will.is_some() => session.will_due = Some(age_at(*at)),
                WillLeft::Until(_) => session.will_due = None,
            }),
            Record::WillDue { session, number, will } => {
                self.change(*session, |session| {
                    session.due.insert(*number, self::will(will));
                });
            }
            Record::WillPublished { session, number } => {
                self.change(*session, |session| drop(session.due.remove(number)));
            }
            Record::WillKept { number, client, user, will } => {
                let publisher = Publisher { client: client.clone(), user: user.clone() };
                self.wills.insert(*number, (publisher, self::will(will)));
            }
            Record::WillGone { number } => drop(self.wills.remove(number)),
            Record::SessionEnded { session } => drop(self.sessions.remove(session)),
            Record::Subscribed { session, filter, options } => {
                self.change(*session, |session| {
                    session.subscriptions.insert(filter.to_string(), *options);
                });
            }
            Record::RetainedDue { session, topic } => {
                self.change(*session, |session| _ = session.retained_due.insert(topic.to_string()));
            }
            Record::RetainedSent { session, topic } => {
                self.change(*session, |session| _ = session.retained_due.remove(&**topic));
            }
            Record::Unsubscribed { session, filter } => {
                self.change(*session, |session| {
                    session.subscriptions.remove(&**filter);
                });
            }
            // the caller, which adds copies to the record, applies each
            Record::Queued { message, copy, identifiers, sent } => {
                let QueuedCopy { qos, retain, shared, identifier, .. } = *copy;
                let several = || identifiers.as_ref().map_or(Vec::new(), |several| several.to_vec());
                let identifiers = identifier.map_or_else(several, |one| wire_of(one).to_vec());
                let entry = Entry { content: Some(content(message)), qos, retain, shared, sent: *sent, identifiers };
                self.change(copy.session, |session| drop(session.messages.insert(copy.number, entry)));
            }
            Record::Sent { session, number, sent, count } => {
                for n in 0..u64::from(*count) {
                    self.change_entry(*session, number + n, |entry| entry.sent = Some(sent + n));
                }
            }
            Record::Released { session, number } => self.change_entry(*session, *number, |entry| entry.content = None),
            Record::Completed { session, number, count } => {
                let numbers = *number..number + u64::from(*count);
                self.change(*session, |session| session.messages.retain(|number, _| !numbers.contains(number)));
            }
            Record::Received { session, packet_id } => {
                self.change(*session, |session| session.received.push(packet_id.get()));
            }
            Record::ReceiptReleased { session, packet_id } => {
                self.change(*session, |session| session.received.retain(|id| *id != packet_id.get()));
            }
            Record::Retained { message, publisher } => {
                let topic = message.topic().as_str().to_owned();
                self.retained.insert(topic, (content(message), publisher.clone()));
            }
            Record::RetainedCleared { topic } => drop(self.retained.remove(&**topic)),
        }
    }

    fn change(&mut self, session: SessionNumber, change: impl FnOnce(&mut Session)) {
        self.sessions.get_mut(&session).map(change);
    }

    fn change_entry(&mut self, session: SessionNumber, number: u64, change: impl FnOnce(&mut Entry)) {
        self.change(session, |session| {
            session.messages.get_mut(&number).map(change);
        });
    }
}

impl From<&Index> for Model {
    fn from(index: &Index) -> Self {
        let body = |slot| content(&index.bodies.get(slot).unwrap().message);
        let sessions = index.sessions.iter().map(|(_, session)| {
            let messages = session.live_entries().map(|entry| {
                let content = entry.body().map(body);
                let (qos, retain, shared, sent) = (entry.qos(), entry.retain(), entry.shared(), entry.sent());
                let identifiers = session.identifiers_of(entry).to_vec();
                (entry.number, Entry { content, qos, retain, shared, sent, identifiers })
            });
            let subscriptions = session.subscriptions.iter().map(|(f, s)| (f.to_string(), s.options));
            let model = Session {
                client: session.client.to_string(),
                lasts: session.lasts,
                owner: session.owner.clone(),
                will: session.will.as_ref().map(will),
                will_due: session.will_due,
                due: session.due.iter().map(|(&n, due)| (n, will(&due.will))).collect(),
                subscriptions: subscriptions.collect(),
                messages: messages.collect(),
                received: session.received.iter().map(|received| received.packet_id.get()).collect(),
                retained_due: session.retained_due.keys().map(|topic| topic.to_string()).collect(),
            };
            (session_number(session.number), model)
        });
        let retained = index.bodies.iter().filter(|(_, body)| body.flags.retained).map(|(slot, body)| {
            let publisher = index.origins.get(&slot).and_then(|origin| origin.publisher.clone());
            (body.message.topic().as_str().to_owned(), (content(&body.message), publisher))
        });
        let wills = index.wills.iter().map(|(&number, kept)| {
            let publisher = Publisher { client: kept.client.clone(), user: kept.user.clone() };
            (number, (publisher, will(&kept.will)))
        });
        Self { sessions: sessions.collect(), retained: retained.collect(), wills: wills.collect() }
    }
}
