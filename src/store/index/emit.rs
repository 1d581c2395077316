//! From the index to the log: writes the current state of each changed item, and marks the live items of a segment as
//! changed when compaction frees it.

use super::{
    super::log::{Away, Encoder, EntryState, Extras, LogRecord, Origin, Owner, Will, WillExtras},
    apply::{Dirty, Index},
    body::{self, Body, body_cost, message_number, origin_cost},
    segment_use::{SegmentId, UNWRITTEN},
    session::{ENTRY_COST, Entry, Place, RECEIVED_COST, Session, due_cost, retained_due_cost, subscription_cost},
    will::KeptWill,
};
use crate::{
    session::StoredWill,
    topic::{TopicFilter, TopicName},
    types::UserName,
};

/// What [`Index::encode`] wrote.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Emitted {
    pub(crate) records: u64,
    /// At least one record adds something to the log, and does not only change or end an item.
    pub(crate) grows: bool,
}

/// How far the search for live items of the oldest segment has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    session: u32,
    /// The next entry of the session.
    number: u64,
    will: u64,
    body: u32,
}

impl Index {
    /// Appends the current state of each item in `dirty`. An item that began and ended since the last frame has no
    /// record.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Emitted {
        let mut emitted = Emitted::default();
        let mut encoder = Encoder::new(out);
        for dirty in &self.dirty {
            if let Dirty::NewEntries(slot) = dirty {
                let records = self.encode_new(*slot, &mut encoder);
                emitted.records += records;
                emitted.grows |= records > 0;
            } else if let Some((record, segment)) = self.record_of(dirty) {
                encoder.put(&record);
                emitted.records += 1;
                emitted.grows |= segment == Some(UNWRITTEN);
            }
        }
        emitted
    }

    /// Appends the entries of a session that no frame has yet. Returns their number.
    fn encode_new<'a>(&'a self, slot: u32, encoder: &mut Encoder<'a>) -> u64 {
        let Some(session) = self.sessions.get(slot) else { return 0 };
        let mut records = 0;
        for entry in session.new_entries() {
            encoder.delivery(session.number, entry.number, self.entry_state(session, entry));
            records += 1;
        }
        records
    }

    /// The record of an item, and the segment of its previous record unless the record is an end.
    #[inline]
    fn record_of<'a>(&'a self, dirty: &'a Dirty) -> Option<(LogRecord<'a>, Option<SegmentId>)> {
        let session = |slot: &u32| self.sessions.get(*slot);
        Some(match dirty {
            Dirty::Session(slot) => {
                let session = session(slot)?;
                (session_record(session), Some(session.place.segment))
            }
            Dirty::Subscribed(slot, filter) => {
                let session = session(slot)?;
                let subscription = session.subscriptions.get(filter)?;
                let (options, filter) = (subscription.options, TopicFilter::from_valid(filter));
                let record = LogRecord::Subscribed { session: session.number, filter, options };
                (record, Some(subscription.place.segment))
            }
            Dirty::Body(slot) => {
                let body = self.bodies.get(*slot)?;
                (body_record(self, *slot, body), Some(body.segment))
            }
            Dirty::Entry(slot, number) => {
                let session = session(slot)?;
                let entry = session.entry(*number)?;
                let entry_state = self.entry_state(session, entry);
                let record = LogRecord::Entry { session: session.number, number: *number, entry: entry_state };
                (record, Some(entry.segment))
            }
            // `encode_new` writes them
            Dirty::NewEntries(_) => return None,
            Dirty::WillDue(slot, number) => {
                let session = session(slot)?;
                let due = session.due.get(number)?;
                let record = LogRecord::WillDue { session: session.number, number: *number, will: log_will(&due.will) };
                // `None`: the Will is not new, because the session's record contained it
                (record, None)
            }
            Dirty::Received(slot, packet_id) => {
                let session = session(slot)?;
                let received = session.received.iter().find(|r| r.packet_id == *packet_id)?;
                let (session, packet_id) = (session.number, *packet_id);
                let record = LogRecord::Received { session, packet_id, arrival: received.arrival };
                (record, Some(received.place.segment))
            }
            Dirty::RetainedDue(slot, topic) => {
                let session = session(slot)?;
                let place = session.retained_due.get(topic)?;
                (LogRecord::RetainedDue { session: session.number, topic }, Some(place.segment))
            }
            Dirty::Retained(slot) => {
                // if the next frame has the body, the body's record says that it is retained
                let body = self.bodies.get(*slot).filter(|body| body.flags.retained && !body.flags.dirty)?;
                let message = message_number(&body.message);
                let origin = self.origins.get(slot).map(origin);
                (LogRecord::Retained { message, topic: body.message.topic(), origin }, Some(body.segment))
            }
            Dirty::WillKept(number) => {
                let kept = self.wills.get(number)?;
                (will_record(*number, kept), Some(kept.place.segment))
            }
            Dirty::Ended(_)
            | Dirty::Unsubscribed(..)
            | Dirty::Done(..)
            | Dirty::WillPublished(..)
            | Dirty::WillGone(_)
            | Dirty::ReceiptReleased(..)
            | Dirty::RetainedSent(..)
            | Dirty::Cleared(_) => (self.end_of(dirty)?, None),
        })
    }

    /// The record of an end. `None`: a new item has taken the place of the one that ended.
    fn end_of<'a>(&'a self, dirty: &'a Dirty) -> Option<LogRecord<'a>> {
        let session = |slot: &u32| self.sessions.get(*slot);
        Some(match dirty {
            Dirty::Ended(session) => LogRecord::Ended { session: *session },
            Dirty::Unsubscribed(slot, filter) => {
                let session = session(slot)?;
                if session.subscriptions.contains_key(filter) {
                    return None;
                }
                LogRecord::Unsubscribed { session: session.number, filter: TopicFilter::from_valid(filter) }
            }
            Dirty::Done(slot, number) => {
                let session = session(slot)?;
                if session.entry(*number).is_some() {
                    return None;
                }
                LogRecord::Done { session: session.number, number: *number }
            }
            Dirty::WillPublished(slot, number) => {
                let session = session(slot)?;
                LogRecord::WillPublished { session: session.number, number: *number }
            }
            Dirty::WillGone(number) => LogRecord::WillGone { number: *number },
            Dirty::ReceiptReleased(slot, packet_id) => {
                let session = session(slot)?;
                if session.received.iter().any(|r| r.packet_id == *packet_id) {
                    return None;
                }
                LogRecord::ReceiptReleased { session: session.number, packet_id: *packet_id }
            }
            Dirty::RetainedSent(slot, topic) => {
                let session = session(slot)?;
                if session.retained_due.contains_key(topic) {
                    return None;
                }
                LogRecord::RetainedSent { session: session.number, topic }
            }
            Dirty::Cleared(topic) => {
                if self.retained(topic).is_some() {
                    return None;
                }
                LogRecord::Cleared { topic: TopicName::from_valid(topic) }
            }
            _ => return None,
        })
    }

    pub(crate) fn entry_state<'a>(&self, session: &'a Session, entry: &Entry) -> EntryState<'a> {
        let message = entry.body().and_then(|slot| self.bodies.get(slot)).map(|body| message_number(&body.message));
        EntryState {
            qos: entry.qos(),
            retain: entry.retain(),
            shared: entry.shared(),
            sent: entry.sent(),
            message,
            identifiers: session.identifiers_of(entry),
        }
    }

    /// The frame with all items of `dirty` is written in this segment.
    pub(crate) fn settle(&mut self, segment: SegmentId) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let (segment_use, origins) = (&mut self.segment_use, &self.origins);
        let mut moves = |from: &mut SegmentId, left: u64, entered: u64| {
            segment_use.leave(*from, left);
            segment_use.enter(segment, entered);
            *from = segment;
        };
        for dirty in dirty.drain(..) {
            match dirty {
                Dirty::Session(slot) => {
                    let Some(session) = self.sessions.get_mut(slot) else { continue };
                    session.place.dirty = false;
                    moves(&mut session.place.segment, session.written_cost.into(), session.cost.into());
                    session.written_cost = session.cost;
                }
                Dirty::Subscribed(slot, _)
                | Dirty::WillDue(slot, _)
                | Dirty::Received(slot, _)
                | Dirty::RetainedDue(slot, _) => {
                    let part = self.sessions.get_mut(slot).and_then(|session| part_of(session, &dirty));
                    let Some((place, cost)) = part else { continue };
                    place.dirty = false;
                    moves(&mut place.segment, cost, cost);
                }
                Dirty::Body(slot) => {
                    let Some(body) = self.bodies.get_mut(slot) else { continue };
                    body.flags.dirty = false;
                    body.flags.topic_in_log |= body.flags.retained;
                    let cost = body_cost(&body.message);
                    let extra = origins.get(&slot).map_or(0, origin_cost);
                    moves(&mut body.segment, cost + u64::from(body.written_extra), cost + u64::from(extra));
                    body.written_extra = extra;
                }
                Dirty::Entry(slot, number) => {
                    let Some(session) = self.sessions.get_mut(slot) else { continue };
                    let Some(cost) = session.entry(number).map(|entry| session.cost_of(entry)) else { continue };
                    let Some(entry) = session.entry_mut(number) else { continue };
                    entry.set_dirty(false);
                    moves(&mut entry.segment, cost, cost);
                }
                Dirty::NewEntries(slot) => {
                    let Some(session) = self.sessions.get_mut(slot) else { continue };
                    for (entry, cost) in session.take_new_entries() {
                        entry.set_dirty(false);
                        moves(&mut entry.segment, cost, cost);
                    }
                }
                Dirty::Retained(slot) => {
                    let Some(body) = self.bodies.get_mut(slot) else { continue };
                    body.flags.topic_in_log |= body.flags.retained;
                }
                Dirty::WillKept(number) => {
                    let Some(kept) = self.wills.get_mut(&number) else { continue };
                    kept.place.dirty = false;
                    let cost = kept.cost();
                    moves(&mut kept.place.segment, cost, cost);
                }
                Dirty::Ended(_)
                | Dirty::Unsubscribed(..)
                | Dirty::Done(..)
                | Dirty::WillPublished(..)
                | Dirty::WillGone(_)
                | Dirty::ReceiptReleased(..)
                | Dirty::RetainedSent(..)
                | Dirty::Cleared(_) => {}
            }
        }
        self.recycle(dirty);
    }

    /// Keeps the memory of `dirty`, which is empty, for the next batch.
    fn recycle(&mut self, dirty: Vec<Dirty>) {
        self.dirty = if dirty.capacity() > MOST_KEPT { Vec::new() } else { dirty };
        self.sessions.recycle();
        self.bodies.recycle();
    }

    /// Marks live items of `segment` as changed, up to about `most` bytes, and looks at no more than `looks` items.
    /// `true`: call again with this cursor.
    pub(crate) fn collect(&mut self, segment: SegmentId, cursor: &mut Cursor, most: u64, looks: usize) -> bool {
        let Self { sessions, bodies, wills, dirty, .. } = self;
        let (mut bytes, mut looked) = (0, 0);
        while cursor.session < sessions.end() {
            let slot = cursor.session;
            if let Some(session) = sessions.get_mut(slot) {
                if cursor.number == 0 {
                    collect_parts(session, slot, segment, dirty, &mut bytes);
                }
                looked += 1 + session.subscriptions.len() + session.retained_due.len();
                let from = session.begin(cursor.number);
                for entry in session.entries.range_mut(from..) {
                    if bytes >= most || looked >= looks {
                        cursor.number = entry.number.max(1);
                        return true;
                    }
                    looked += 1;
                    if entry.segment == segment && !entry.is_done() && !entry.is_dirty() {
                        entry.set_dirty(true);
                        dirty.push(Dirty::Entry(slot, entry.number));
                        bytes += ENTRY_COST;
                    }
                }
            } else {
                looked += 1;
            }
            (cursor.session, cursor.number) = (slot + 1, 0);
            if bytes >= most || looked >= looks {
                return true;
            }
        }
        for (&number, kept) in wills.range_mut(cursor.will..) {
            if bytes >= most || looked >= looks {
                return true;
            }
            cursor.will = number + 1;
            looked += 1;
            if kept.place.segment == segment && !kept.place.dirty {
                kept.place.dirty = true;
                dirty.push(Dirty::WillKept(number));
                bytes += kept.cost();
            }
        }
        while cursor.body < bodies.end() {
            if let Some(body) = bodies.get_mut(cursor.body)
                && body.segment == segment
                && !body.flags.dirty
            {
                body.flags.dirty = true;
                dirty.push(Dirty::Body(cursor.body));
                bytes += body_cost(&body.message);
            }
            cursor.body += 1;
            looked += 1;
            if bytes >= most || looked >= looks {
                return true;
            }
        }
        false
    }
}

/// The place of a part of a session, and the bytes of its record.
fn part_of<'s>(session: &'s mut Session, part: &Dirty) -> Option<(&'s mut Place, u64)> {
    Some(match part {
        Dirty::Subscribed(_, filter) => (&mut session.subscriptions.get_mut(filter)?.place, subscription_cost(filter)),
        Dirty::WillDue(_, number) => {
            let due = session.due.get_mut(number)?;
            (&mut due.place, due_cost(&due.will))
        }
        Dirty::Received(_, packet_id) => (&mut session.received_mut(*packet_id)?.place, RECEIVED_COST),
        Dirty::RetainedDue(_, topic) => (session.retained_due.get_mut(topic)?, retained_due_cost(topic)),
        _ => return None,
    })
}

/// Marks the parts of a session in `segment` as changed, except its entries.
fn collect_parts(session: &mut Session, slot: u32, segment: SegmentId, dirty: &mut Vec<Dirty>, bytes: &mut u64) {
    if session.place.segment == segment && !session.place.dirty {
        session.place.dirty = true;
        dirty.push(Dirty::Session(slot));
        *bytes += u64::from(session.cost);
    }
    for (filter, subscription) in &mut session.subscriptions {
        if subscription.place.segment == segment && !subscription.place.dirty {
            subscription.place.dirty = true;
            dirty.push(Dirty::Subscribed(slot, filter.clone()));
            *bytes += subscription_cost(filter);
        }
    }
    for (&number, due) in &mut session.due {
        if due.place.segment == segment && !due.place.dirty {
            due.place.dirty = true;
            dirty.push(Dirty::WillDue(slot, number));
            *bytes += due_cost(&due.will);
        }
    }
    for received in &mut session.received {
        if received.place.segment == segment && !received.place.dirty {
            received.place.dirty = true;
            dirty.push(Dirty::Received(slot, received.packet_id));
            *bytes += RECEIVED_COST;
        }
    }
    for (topic, place) in &mut session.retained_due {
        if place.segment == segment && !place.dirty {
            place.dirty = true;
            dirty.push(Dirty::RetainedDue(slot, topic.clone()));
            *bytes += retained_due_cost(topic);
        }
    }
}

pub(crate) fn session_record(session: &Session) -> LogRecord<'_> {
    LogRecord::Session {
        session: session.number,
        client: session.client.as_str(),
        away: session.away_since.map(Away::Age),
        will: session.will.as_ref().map(log_will),
        owner: session.owner.as_ref().map(|owner| Owner { user: owner.user.as_str(), login: owner.login }),
        lasts: session.lasts,
        will_due: session.will_due,
    }
}

pub(crate) fn log_will(will: &StoredWill) -> Will<'_> {
    let (message, properties) = (&will.message, will.message.stored_properties());
    Will {
        qos: message.qos(),
        retain: will.retain,
        topic: message.topic(),
        payload: message.payload(),
        extras: WillExtras { properties, delay: will.delay, expiry: will.expiry },
    }
}

pub(crate) fn will_record(number: u64, kept: &KeptWill) -> LogRecord<'_> {
    let user = kept.user.as_ref().map(UserName::as_str);
    LogRecord::WillKept { number, client: kept.client.as_str(), user, will: log_will(&kept.will) }
}

fn origin(origin: &body::Origin) -> Origin<'_> {
    let publisher = origin.publisher.as_ref();
    Origin {
        time: origin.time,
        client: publisher.map(|publisher| publisher.client.as_str()),
        user: publisher.and_then(|publisher| publisher.user.as_ref()).map(UserName::as_str),
    }
}

/// The record of a message; `slot` is the slot of `body`.
pub(crate) fn body_record<'a>(index: &'a Index, slot: u32, body: &'a Body) -> LogRecord<'a> {
    LogRecord::Body {
        message: message_number(&body.message),
        qos: body.message.qos(),
        retained: body.flags.retained,
        topic: body.message.topic(),
        payload: body.message.payload(),
        origin: index.origins.get(&slot).map(origin),
        extras: Extras { properties: body.message.stored_properties(), expires: body.expires },
    }
}

/// Capacity of `dirty` that is kept from one batch to the next.
const MOST_KEPT: usize = 1 << 16;
