//! [`LogRecord`]: one record of the log as bytes (see `FORMAT.md`). Each record has the whole state of an item, or its
//! end, and replaces the item's earlier records. `records` encodes several in a row.

use super::{
    optional::{self, Extras, Origin, Owner, SessionFields, WillExtras},
    varint::{self, Reader, Why},
};
use crate::{
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS, SubscriptionOptions},
};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogRecord<'a> {
    /// A session: its client, since when that is away, its Will, the user that owns it.
    Session {
        session: u64,
        client: &'a str,
        away: Option<Away>,
        will: Option<Will<'a>>,
        owner: Option<Owner<'a>>,
        /// The Session Expiry Interval in seconds; `None`: the session does not expire.
        lasts: Option<u32>,
        /// The age of the log at which its Will falls due, in milliseconds; only while the client is away.
        will_due: Option<u64>,
    },
    /// A session ended, with everything in it.
    Ended { session: u64 },
    /// A subscription.
    Subscribed { session: u64, filter: &'a TopicFilter, options: SubscriptionOptions },
    /// A subscription ended.
    Unsubscribed { session: u64, filter: &'a TopicFilter },
    /// A message. If `retained`, it is now the retained message of its topic, published by `origin`.
    Body {
        message: u64,
        qos: QoS,
        retained: bool,
        topic: &'a TopicName,
        payload: &'a [u8],
        origin: Option<Origin<'a>>,
        extras: Extras<'a>,
    },
    /// A delivery: a message that is queued or in flight for a session.
    Entry { session: u64, number: u64, entry: EntryState<'a> },
    /// A delivery is complete.
    Done { session: u64, number: u64 },
    /// A QoS 2 message that arrived and is not released; `arrival` is its place in the order.
    Received { session: u64, packet_id: PacketId, arrival: u64 },
    /// A QoS 2 message was released.
    ReceiptReleased { session: u64, packet_id: PacketId },
    /// The retained message of a topic was set or cleared, and is due to another broker; without a topic: all are due.
    RetainedDue { session: u64, topic: &'a str },
    /// It is not due any more.
    RetainedSent { session: u64, topic: &'a str },
    /// A message with a body record is now the retained message of its topic.
    Retained { message: u64, topic: &'a TopicName, origin: Option<Origin<'a>> },
    /// The retained message of a topic was cleared.
    Cleared { topic: &'a TopicName },
    /// A Will of a session that still has to be published.
    WillDue { session: u64, number: u64, will: Will<'a> },
    /// This Will was published.
    WillPublished { session: u64, number: u64 },
    /// The Will of a connected client without a stored session.
    WillKept { number: u64, client: &'a str, user: Option<&'a str>, will: Will<'a> },
    /// This Will was published, or discarded because the client disconnected properly.
    WillGone { number: u64 },
}

/// Since when a client is away, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Away {
    /// Since 1970, as in format 1: by a clock that may have been set since.
    Wall(u64),
    /// Since the log began.
    Age(u64),
}

/// A Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Will<'a> {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) topic: &'a TopicName,
    pub(crate) payload: &'a [u8],
    pub(crate) extras: WillExtras<'a>,
}

/// The state of a delivery: queued (with a message), sent (with a message and `sent`), released (without a message).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryState<'a> {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// It matched a shared subscription.
    pub(crate) shared: bool,
    /// Its place in the order of sending.
    pub(crate) sent: Option<u64>,
    pub(crate) message: Option<u64>,
    /// Its Subscription Identifiers, as properties on the wire.
    pub(crate) identifiers: &'a [u8],
}

impl<'a> LogRecord<'a> {
    #[inline]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        match *self {
            Self::Session { .. } => self.encode_session(out),
            Self::Ended { session } => varint::put(out, session),
            Self::Subscribed { session, filter, options } => {
                varint::put(out, session);
                out.push(options.qos as u8);
                varint::put_bytes(out, filter.as_str().as_bytes());
                if self.tag() == SUBSCRIBED {
                    optional::put(out, |out| optional::put_options(out, &options));
                }
            }
            Self::Unsubscribed { session, filter } => put_in(out, session, filter.as_str()),
            Self::Body { message, qos, retained, topic, payload, origin, extras } => {
                varint::put(out, message);
                out.push(qos as u8 | u8::from(retained) << 2);
                varint::put_bytes(out, topic.as_str().as_bytes());
                varint::put_bytes(out, payload);
                if self.tag() == BODY {
                    optional::put(out, |out| {
                        origin.iter().for_each(|origin| origin.put(out));
                        extras.put(out);
                    });
                }
            }
            Self::Entry { session, number, entry } => {
                varint::put(out, session);
                varint::put(out, number);
                let has = u8::from(entry.sent.is_some()) << 3 | u8::from(entry.message.is_some()) << 4;
                let has = has | u8::from(entry.shared) << 5;
                out.push(entry.qos as u8 | u8::from(entry.retain) << 2 | has);
                for part in [entry.sent, entry.message].into_iter().flatten() {
                    varint::put(out, part);
                }
                if !entry.identifiers.is_empty() {
                    optional::put(out, |out| optional::put_field(out, optional::PROPERTIES, entry.identifiers));
                }
            }
            Self::Done { session, number } | Self::WillPublished { session, number } => {
                [session, number].into_iter().for_each(|number| varint::put(out, number));
            }
            Self::WillDue { session, number, will } => {
                varint::put(out, session);
                varint::put(out, number);
                will.encode(out);
                if self.tag() == WILL_DUE {
                    optional::put(out, |out| will.extras.put(out));
                }
            }
            Self::Received { session, packet_id, arrival } => {
                [session, packet_id.get().into(), arrival].into_iter().for_each(|number| varint::put(out, number));
            }
            Self::ReceiptReleased { session, packet_id } => {
                varint::put(out, session);
                varint::put(out, packet_id.get().into());
            }
            Self::RetainedDue { session, topic } | Self::RetainedSent { session, topic } => put_in(out, session, topic),
            Self::Retained { message, topic, origin } => {
                varint::put(out, message);
                varint::put_bytes(out, topic.as_str().as_bytes());
                if let Some(origin) = origin {
                    optional::put(out, |out| origin.put(out));
                }
            }
            Self::Cleared { topic } => varint::put_bytes(out, topic.as_str().as_bytes()),
            Self::WillKept { number, client, user, will } => {
                varint::put(out, number);
                varint::put_bytes(out, client.as_bytes());
                will.encode(out);
                optional::put(out, |out| {
                    user.iter().for_each(|user| optional::put_field(out, optional::USER, user.as_bytes()));
                    will.extras.put(out);
                });
            }
            Self::WillGone { number } => varint::put(out, number),
        }
    }

    fn encode_session(&self, out: &mut Vec<u8>) {
        let Self::Session { session, client, away, will, owner, lasts, will_due } = *self else { return };
        varint::put(out, session);
        varint::put_bytes(out, client.as_bytes());
        out.push(u8::from(away.is_some()) | u8::from(will.is_some()) << 1);
        if let Some(Away::Wall(since) | Away::Age(since)) = away {
            varint::put(out, since);
        }
        if let Some(will) = will {
            will.encode(out);
        }
        if self.tag() == SESSION {
            optional::put(out, |out| {
                owner.iter().for_each(|owner| owner.put(out));
                lasts.iter().for_each(|&seconds| optional::put_number(out, optional::LASTS, seconds.into()));
                will.iter().for_each(|will| will.extras.put(out));
                will_due.iter().for_each(|&age| optional::put_number(out, optional::WILL_DUE, age));
            });
        }
    }

    /// The kind. [`NEXT_DELIVERY`] is another one. A record without new fields has its kind of format 1.
    fn tag(&self) -> u8 {
        match self {
            Self::Session {
                away: None | Some(Away::Wall(_)), owner: None, lasts: None, will, will_due: None, ..
            } if will.is_none_or(|will| will.extras.is_empty()) => 1,
            Self::Session { .. } => SESSION,
            Self::Ended { .. } => 2,
            Self::Subscribed { options, .. } if options.is_special() => SUBSCRIBED,
            Self::Subscribed { .. } => 3,
            Self::Unsubscribed { .. } => 4,
            Self::Body { origin: None, extras, .. } if extras.is_empty() => 5,
            Self::Body { .. } => BODY,
            Self::Entry { entry, .. } if entry.identifiers.is_empty() => 6,
            Self::Entry { .. } => DELIVERY,
            Self::Done { .. } => 7,
            Self::Received { .. } => 8,
            Self::ReceiptReleased { .. } => 9,
            Self::Retained { origin: None, .. } => 10,
            Self::Retained { .. } => RETAINED,
            Self::Cleared { .. } => 11,
            Self::WillDue { will, .. } if will.extras.is_empty() => 12,
            Self::WillDue { .. } => WILL_DUE,
            Self::WillPublished { .. } => 13,
            Self::WillKept { .. } => WILL_KEPT,
            Self::WillGone { .. } => WILL_GONE,
            Self::RetainedDue { .. } => RETAINED_DUE,
            Self::RetainedSent { .. } => RETAINED_SENT,
        }
    }

    /// Takes a record off the front.
    pub(crate) fn decode(from: &mut Reader<'a>) -> Result<Self, Why> {
        Ok(match from.byte()? {
            tag @ (1 | SESSION) => {
                let (session, client) = (id(from)?, from.text()?);
                let has = from.byte()?;
                if has > 3 {
                    return Err("has flags that are not known");
                }
                let since = if tag == 1 { Away::Wall } else { Away::Age };
                let away = if has & 1 == 0 { None } else { Some(since(from.number()?)) };
                let will = if has & 2 == 0 { None } else { Some(will(from)?) };
                let fields = if tag == 1 { SessionFields::default() } else { SessionFields::read(from)? };
                let SessionFields { owner, lasts, will: extras, will_due } = fields;
                let will = will.map(|will| Will { extras, ..will });
                Self::Session { session, client, away, will, owner, lasts, will_due }
            }
            2 => Self::Ended { session: id(from)? },
            tag @ (3 | SUBSCRIBED) => {
                let (session, qos) = (id(from)?, from.byte()?);
                let qos = QoS::from_bits(qos).ok_or("has a QoS that is none")?;
                let (filter, mut options) = (filter(from)?, SubscriptionOptions::from(qos));
                if tag == SUBSCRIBED {
                    optional::read_options(from, &mut options)?;
                }
                Self::Subscribed { session, filter, options }
            }
            4 => Self::Unsubscribed { session: id(from)?, filter: filter(from)? },
            tag @ (5 | BODY) => {
                let message = id(from)?;
                let (qos, retained) = qos_and_retain(from.byte()?)?;
                let (topic, payload) = (topic(from)?, payload(from)?);
                let (origin, extras) = if tag == 5 { Default::default() } else { Origin::read(from)? };
                Self::Body { message, qos, retained, topic, payload, origin, extras }
            }
            tag @ (6 | DELIVERY) => Self::decode_entry(tag, from)?,
            7 => Self::Done { session: id(from)?, number: from.number()? },
            8 => Self::Received { session: id(from)?, packet_id: packet_id(from)?, arrival: from.number()? },
            9 => Self::ReceiptReleased { session: id(from)?, packet_id: packet_id(from)? },
            10 => Self::Retained { message: id(from)?, topic: topic(from)?, origin: None },
            RETAINED => Self::Retained { message: id(from)?, topic: topic(from)?, origin: Origin::read(from)?.0 },
            11 => Self::Cleared { topic: topic(from)? },
            tag @ (12 | WILL_DUE) => {
                let (session, number, mut will) = (id(from)?, from.number()?, will(from)?);
                if tag == WILL_DUE {
                    optional::read(from, |kind, field| will.extras.take(kind, field))?;
                }
                Self::WillDue { session, number, will }
            }
            13 => Self::WillPublished { session: id(from)?, number: from.number()? },
            WILL_KEPT => {
                let (number, client, mut will) = (id(from)?, from.text()?, will(from)?);
                let mut user = None;
                optional::read(from, |kind, field| {
                    match kind {
                        optional::USER => user = Some(optional::text(field)?),
                        _ => will.extras.take(kind, field)?,
                    }
                    Ok(())
                })?;
                Self::WillKept { number, client, user, will }
            }
            WILL_GONE => Self::WillGone { number: id(from)? },
            RETAINED_DUE => Self::RetainedDue { session: id(from)?, topic: topic_or_all(from)? },
            RETAINED_SENT => Self::RetainedSent { session: id(from)?, topic: topic_or_all(from)? },
            _ => return Err("is of a kind that is not known"),
        })
    }

    fn decode_entry(tag: u8, from: &mut Reader<'a>) -> Result<Self, Why> {
        let (session, number, flags) = (id(from)?, from.number()?, from.byte()?);
        if flags >= 0x40 {
            return Err("has flags that are not known");
        }
        let (qos, retain) = qos_and_retain(flags & 7)?;
        let sent = if flags & 8 == 0 { None } else { Some(id(from)?).filter(|&sent| sent <= MAX_SENT) };
        let message = if flags & 16 == 0 { None } else { Some(id(from)?) };
        if sent.is_none() && (message.is_none() || flags & 8 != 0) {
            return Err("has a message that was neither queued nor sent");
        }
        let identifiers = if tag == DELIVERY { optional::read_identifiers(from)? } else { &[] };
        let entry = EntryState { qos, retain, shared: flags & 0x20 != 0, sent, message, identifiers };
        Ok(Self::Entry { session, number, entry })
    }
}

impl Will<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.qos as u8 | u8::from(self.retain) << 2);
        varint::put_bytes(out, self.topic.as_str().as_bytes());
        varint::put_bytes(out, self.payload);
    }
}

/// A session, and the text that names a part of it.
fn put_in(out: &mut Vec<u8>, session: u64, text: &str) {
    varint::put(out, session);
    varint::put_bytes(out, text.as_bytes());
}

fn id(from: &mut Reader<'_>) -> Result<u64, Why> {
    match from.number()? {
        0 | u64::MAX => Err("has a number that none has"),
        id => Ok(id),
    }
}

fn topic<'a>(from: &mut Reader<'a>) -> Result<&'a TopicName, Why> {
    TopicName::new(from.text()?).map_err(|_| "has a Topic Name that is none")
}

/// Empty: of all topics.
fn topic_or_all<'a>(from: &mut Reader<'a>) -> Result<&'a str, Why> {
    let text = from.text()?;
    if text.is_empty() || TopicName::new(text).is_ok() { Ok(text) } else { Err("has a Topic Name that is none") }
}

fn filter<'a>(from: &mut Reader<'a>) -> Result<&'a TopicFilter, Why> {
    TopicFilter::new(from.text()?).map_err(|_| "has a Topic Filter that is none")
}

fn payload<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], Why> {
    Ok(from.bytes()?).and_then(|payload| {
        if payload.len() <= MAX_PAYLOAD { Ok(payload) } else { Err("has a payload that is too long") }
    })
}

fn will<'a>(from: &mut Reader<'a>) -> Result<Will<'a>, Why> {
    let (qos, retain) = qos_and_retain(from.byte()?)?;
    Ok(Will { qos, retain, topic: topic(from)?, payload: payload(from)?, extras: WillExtras::default() })
}

fn qos_and_retain(flags: u8) -> Result<(QoS, bool), Why> {
    if flags >= 8 {
        return Err("has flags that are not known");
    }
    Ok((QoS::from_bits(flags & 3).ok_or("has a QoS that is none")?, flags & 4 != 0))
}

fn packet_id(from: &mut Reader<'_>) -> Result<PacketId, Why> {
    let id = u16::try_from(from.number()?).ok().and_then(PacketId::new);
    id.ok_or("has a Packet Identifier that is none")
}

/// The kind of a delivery that continues the previous one: it has only the difference between their message numbers.
pub(crate) const NEXT_DELIVERY: u8 = 14;
/// Kinds of format 2, with optional fields at the end.
const BODY: u8 = 15;
const SESSION: u8 = 16;
const SUBSCRIBED: u8 = 17;
const DELIVERY: u8 = 18;
const RETAINED: u8 = 19;
const WILL_KEPT: u8 = 20;
const WILL_GONE: u8 = 21;
const WILL_DUE: u8 = 22;
const RETAINED_DUE: u8 = 23;
const RETAINED_SENT: u8 = 24;
/// The largest place in the order of sending. A session does not reach it in hundreds of years.
pub(crate) const MAX_SENT: u64 = (1 << 58) - 1;
/// More than a packet can hold.
const MAX_PAYLOAD: usize = 1 << 29;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of each kind, with all its parts.
    pub(crate) fn examples() -> Vec<LogRecord<'static>> {
        let filter = TopicFilter::new("a/+/#").unwrap();
        let topic = TopicName::new("a/b").unwrap();
        let packet_id = PacketId::new(65_535).unwrap();
        let (qos, session, number) = (QoS::ExactlyOnce, 300, 70_000);
        let will = Will { qos, retain: true, topic, payload: b"gone", extras: WillExtras::default() };
        // of MQTT 5
        let extras = WillExtras { properties: b"\x01\x01", delay: 300, expiry: Some(u32::MAX) };
        let will_5 = Will { extras, ..will };
        let only_delayed = Will { extras: WillExtras { delay: 1, ..WillExtras::default() }, ..will };
        // one that is longer than its length in one byte
        let owner = Owner { user: Box::leak("u".repeat(300).into_boxed_str()), login: crate::router::Login::Token };
        let origin = Origin { time: 1 << 41, client: Some("client"), user: Some("user") };
        let entry = |sent: Option<u64>, message| LogRecord::Entry {
            session,
            number,
            entry: EntryState {
                qos,
                retain: sent.is_none(),
                shared: message == Some(1),
                sent,
                message,
                identifiers: &[],
            },
        };
        let special = SubscriptionOptions {
            no_local: true,
            retain_as_published: true,
            identifier: std::num::NonZeroU32::new(268_435_455),
            ..QoS::AtLeastOnce.into()
        };
        let extras = Extras { properties: b"\x01\x01", expires: Some(1 << 40) };
        vec![
            LogRecord::Session {
                session,
                client: "client",
                away: None,
                will: Some(will),
                owner: None,
                lasts: None,
                will_due: None,
            },
            LogRecord::Session {
                session: 1,
                client: "",
                away: Some(Away::Wall(1 << 41)),
                will: None,
                owner: None,
                lasts: None,
                will_due: None,
            },
            LogRecord::Session {
                session: 1,
                client: "",
                away: Some(Away::Age(1 << 33)),
                will: None,
                owner: None,
                lasts: None,
                will_due: None,
            },
            LogRecord::Session {
                session,
                client: "client",
                away: None,
                will: Some(will),
                owner: Some(owner),
                lasts: None,
                will_due: None,
            },
            LogRecord::Session {
                session,
                client: "c",
                away: Some(Away::Age(0)),
                will: None,
                owner: Some(owner),
                lasts: None,
                will_due: None,
            },
            LogRecord::Session {
                session,
                client: "c",
                away: Some(Away::Age(5)),
                will: None,
                owner: None,
                lasts: Some(3_600),
                will_due: None,
            },
            LogRecord::Session {
                session,
                client: "c",
                away: None,
                will: Some(only_delayed),
                owner: None,
                lasts: None,
                will_due: None,
            },
            LogRecord::Session {
                session,
                client: "c",
                away: Some(Away::Age(5)),
                will: Some(will_5),
                owner: Some(owner),
                lasts: Some(3_600),
                will_due: Some(300_005),
            },
            LogRecord::Ended { session },
            LogRecord::Subscribed { session, filter, options: qos.into() },
            LogRecord::Subscribed { session, filter, options: special },
            LogRecord::Unsubscribed { session, filter },
            LogRecord::Body { message: 3, qos, retained: false, topic, payload: b"p", origin: None, extras },
            LogRecord::Body {
                message: 1 << 33,
                qos,
                retained: true,
                topic,
                payload: b"payload",
                origin: None,
                extras: Extras::default(),
            },
            LogRecord::Body {
                message: 1,
                qos: QoS::AtMostOnce,
                retained: false,
                topic,
                payload: b"",
                origin: None,
                extras: Extras::default(),
            },
            LogRecord::Body {
                message: 2,
                qos,
                retained: true,
                topic,
                payload: b"",
                origin: Some(origin),
                extras: Extras::default(),
            },
            entry(None, Some(77)),
            entry(Some(MAX_SENT), Some(77)),
            entry(Some(1), None),
            LogRecord::Entry {
                session,
                number,
                entry: EntryState {
                    qos,
                    retain: true,
                    shared: true,
                    sent: None,
                    message: Some(1),
                    identifiers: b"\x0B\x07\x0B\x09",
                },
            },
            LogRecord::Done { session, number },
            LogRecord::Received { session, packet_id, arrival: 12 },
            LogRecord::ReceiptReleased { session, packet_id },
            LogRecord::RetainedDue { session, topic: "t" },
            LogRecord::RetainedDue { session, topic: "" },
            LogRecord::RetainedSent { session, topic: "t" },
            LogRecord::Retained { message: 77, topic, origin: None },
            LogRecord::Retained { message: 77, topic, origin: Some(Origin { client: None, user: None, ..origin }) },
            LogRecord::Cleared { topic },
            LogRecord::WillDue { session, number, will },
            LogRecord::WillDue { session, number, will: will_5 },
            LogRecord::WillPublished { session, number },
            LogRecord::WillKept { number, client: "client", user: None, will },
            LogRecord::WillKept { number, client: "client", user: Some("user"), will },
            LogRecord::WillKept { number, client: "client", user: Some("user"), will: will_5 },
            LogRecord::WillGone { number },
        ]
    }

    #[test]
    fn each_kind_of_record_is_read_back() {
        for record in examples() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let mut reader = Reader(&bytes);
            assert_eq!(LogRecord::decode(&mut reader), Ok(record));
            assert!(reader.0.is_empty());
            for cut in 0..bytes.len() {
                assert!(LogRecord::decode(&mut Reader(&bytes[..cut])).is_err(), "{record:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn records_that_no_writer_writes_are_refused() {
        let table: &[(&[u8], &str)] = &[
            (&[0], "is of a kind that is not known"),
            (&[NEXT_DELIVERY], "is of a kind that is not known"),
            (&[25], "is of a kind that is not known"),
            (&[23, 1, 1, b'#'], "has a Topic Name that is none"),
            (&[18, 1, 1, 0x11, 1, 4, 5, 2, 0x0B, 0], "has Subscription Identifiers that are none"),
            (&[18, 1, 1, 0x11, 1, 4, 5, 2, 1, 1], "has Subscription Identifiers that are none"),
            (&[2, 0], "has a number that none has"),
            (&[1, 1, 0, 4], "has flags that are not known"),
            (&[16, 1, 0, 4], "has flags that are not known"),
            (&[16, 1, 0, 0, 2, 2], "has a length beyond its end"),
            (&[1, 1, 1, 0xFF, 0], "has text that is not UTF-8"),
            (&[3, 1, 3, 1, b'a'], "has a QoS that is none"),
            (&[3, 1, 1, 0], "has a Topic Filter that is none"),
            (&[5, 1, 1, 1, b'#', 0], "has a Topic Name that is none"),
            (&[5, 1, 8, 1, b'a', 0], "has flags that are not known"),
            (&[5, 1, 1, 1, b'a', 9], "has a length beyond its end"),
            (&[6, 1, 1, 0x40], "has flags that are not known"),
            (&[6, 1, 1, 1], "has a message that was neither queued nor sent"),
            (&[8, 1, 0, 0], "has a Packet Identifier that is none"),
            (&[9, 1, 0x80, 0x80, 4], "has a Packet Identifier that is none"),
        ];
        for (bytes, why) in table {
            assert_eq!(LogRecord::decode(&mut Reader(bytes)), Err(*why), "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut reader = Reader(&bytes);
            while LogRecord::decode(&mut reader).is_ok() {}
        }
    }
}
