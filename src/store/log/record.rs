//! [`LogRecord`]: what the log says, one record at a time, as bytes (see `FORMAT.md`). Each gives the whole state of
//! one thing, or its end, so that a later one stands in place of an earlier one. `records` has them one after the
//! other.

use super::varint::{self, Reader, Why};
use crate::{
    topic::{TopicFilter, TopicName},
    types::{PacketId, QoS, SubscriptionOptions},
};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogRecord<'a> {
    /// A session: whose it is, since when (ms since 1970) the client is away, its Will.
    Session { session: u64, client: &'a str, away_since: Option<u64>, will: Option<Will<'a>> },
    /// It is no more, and nothing of it is.
    Ended { session: u64 },
    /// A subscription.
    Subscribed { session: u64, filter: &'a TopicFilter, options: SubscriptionOptions },
    /// It is no more.
    Unsubscribed { session: u64, filter: &'a TopicFilter },
    /// A message, and whether it is the retained message of its topic from here on.
    Body { message: u64, qos: QoS, retained: bool, topic: &'a TopicName, payload: &'a [u8] },
    /// What a session is to be sent.
    Entry { session: u64, number: u64, entry: EntryState },
    /// It is no more.
    Done { session: u64, number: u64 },
    /// A QoS 2 message that was taken and not released; `arrival` gives the order.
    Received { session: u64, packet_id: PacketId, arrival: u64 },
    /// It is no more.
    ReceiptReleased { session: u64, packet_id: PacketId },
    /// A message that has a record is the retained message of its topic from here on.
    Retained { message: u64, topic: &'a TopicName },
    /// The topic has none.
    Cleared { topic: &'a TopicName },
    /// A Will of a session that is still to be published.
    WillDue { session: u64, number: u64, will: Will<'a> },
    /// It is published.
    WillPublished { session: u64, number: u64 },
}

/// A Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Will<'a> {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) topic: &'a TopicName,
    pub(crate) payload: &'a [u8],
}

/// How far a message of a session came: waiting (a message), sent (both), released (no message).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryState {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Its place in the order of sending.
    pub(crate) sent: Option<u64>,
    pub(crate) message: Option<u64>,
}

impl<'a> LogRecord<'a> {
    #[inline]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        match *self {
            Self::Session { session, client, away_since, will } => {
                varint::put(out, session);
                varint::put_bytes(out, client.as_bytes());
                out.push(u8::from(away_since.is_some()) | u8::from(will.is_some()) << 1);
                if let Some(since) = away_since {
                    varint::put(out, since);
                }
                if let Some(will) = will {
                    will.encode(out);
                }
            }
            Self::Ended { session } => varint::put(out, session),
            Self::Subscribed { session, filter, options } => {
                varint::put(out, session);
                out.push(options.qos as u8);
                varint::put_bytes(out, filter.as_str().as_bytes());
            }
            Self::Unsubscribed { session, filter } => {
                varint::put(out, session);
                varint::put_bytes(out, filter.as_str().as_bytes());
            }
            Self::Body { message, qos, retained, topic, payload } => {
                varint::put(out, message);
                out.push(qos as u8 | u8::from(retained) << 2);
                varint::put_bytes(out, topic.as_str().as_bytes());
                varint::put_bytes(out, payload);
            }
            Self::Entry { session, number, entry } => {
                varint::put(out, session);
                varint::put(out, number);
                let has = u8::from(entry.sent.is_some()) << 3 | u8::from(entry.message.is_some()) << 4;
                out.push(entry.qos as u8 | u8::from(entry.retain) << 2 | has);
                for part in [entry.sent, entry.message].into_iter().flatten() {
                    varint::put(out, part);
                }
            }
            Self::Done { session, number } | Self::WillPublished { session, number } => {
                varint::put(out, session);
                varint::put(out, number);
            }
            Self::WillDue { session, number, will } => {
                varint::put(out, session);
                varint::put(out, number);
                will.encode(out);
            }
            Self::Received { session, packet_id, arrival } => {
                varint::put(out, session);
                varint::put(out, packet_id.get().into());
                varint::put(out, arrival);
            }
            Self::ReceiptReleased { session, packet_id } => {
                varint::put(out, session);
                varint::put(out, packet_id.get().into());
            }
            Self::Retained { message, topic } => {
                varint::put(out, message);
                varint::put_bytes(out, topic.as_str().as_bytes());
            }
            Self::Cleared { topic } => varint::put_bytes(out, topic.as_str().as_bytes()),
        }
    }

    /// Beside these there is [`NEXT_DELIVERY`].
    fn tag(&self) -> u8 {
        match self {
            Self::Session { .. } => 1,
            Self::Ended { .. } => 2,
            Self::Subscribed { .. } => 3,
            Self::Unsubscribed { .. } => 4,
            Self::Body { .. } => 5,
            Self::Entry { .. } => 6,
            Self::Done { .. } => 7,
            Self::Received { .. } => 8,
            Self::ReceiptReleased { .. } => 9,
            Self::Retained { .. } => 10,
            Self::Cleared { .. } => 11,
            Self::WillDue { .. } => 12,
            Self::WillPublished { .. } => 13,
        }
    }

    /// Takes the next record off the front.
    pub(crate) fn decode(from: &mut Reader<'a>) -> Result<Self, Why> {
        Ok(match from.byte()? {
            1 => {
                let (session, client) = (id(from)?, from.text()?);
                let has = from.byte()?;
                if has > 3 {
                    return Err("has flags that are not known");
                }
                Self::Session {
                    session,
                    client,
                    away_since: if has & 1 == 0 { None } else { Some(from.number()?) },
                    will: if has & 2 == 0 { None } else { Some(will(from)?) },
                }
            }
            2 => Self::Ended { session: id(from)? },
            3 => {
                let (session, options) = (id(from)?, from.byte()?);
                let qos = QoS::from_bits(options).ok_or("has a QoS that is none")?;
                Self::Subscribed { session, filter: filter(from)?, options: qos.into() }
            }
            4 => Self::Unsubscribed { session: id(from)?, filter: filter(from)? },
            5 => {
                let message = id(from)?;
                let (qos, retained) = qos_and_retain(from.byte()?)?;
                Self::Body { message, qos, retained, topic: topic(from)?, payload: payload(from)? }
            }
            6 => {
                let (session, number, flags) = (id(from)?, from.number()?, from.byte()?);
                if flags >= 0x20 {
                    return Err("has flags that are not known");
                }
                let (qos, retain) = qos_and_retain(flags & 7)?;
                let sent = if flags & 8 == 0 { None } else { Some(id(from)?).filter(|&sent| sent <= MAX_SENT) };
                let message = if flags & 16 == 0 { None } else { Some(id(from)?) };
                if sent.is_none() && (message.is_none() || flags & 8 != 0) {
                    return Err("has a message that was neither queued nor sent");
                }
                Self::Entry { session, number, entry: EntryState { qos, retain, sent, message } }
            }
            7 => Self::Done { session: id(from)?, number: from.number()? },
            8 => Self::Received { session: id(from)?, packet_id: packet_id(from)?, arrival: from.number()? },
            9 => Self::ReceiptReleased { session: id(from)?, packet_id: packet_id(from)? },
            10 => Self::Retained { message: id(from)?, topic: topic(from)? },
            11 => Self::Cleared { topic: topic(from)? },
            12 => Self::WillDue { session: id(from)?, number: from.number()?, will: will(from)? },
            13 => Self::WillPublished { session: id(from)?, number: from.number()? },
            _ => return Err("is of a kind that is not known"),
        })
    }
}

impl Will<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.qos as u8 | u8::from(self.retain) << 2);
        varint::put_bytes(out, self.topic.as_str().as_bytes());
        varint::put_bytes(out, self.payload);
    }
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
    Ok(Will { qos, retain, topic: topic(from)?, payload: payload(from)? })
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

/// The kind of what stands in a frame for a delivery that goes on from the one before: no more than how far its message
/// is beyond that one's.
pub(crate) const NEXT_DELIVERY: u8 = 14;
/// The largest place in the order of sending: beyond what a session reaches in a thousand years.
pub(crate) const MAX_SENT: u64 = (1 << 60) - 1;
/// More than a packet holds.
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
        let will = Will { qos, retain: true, topic, payload: b"gone" };
        let entry = |sent: Option<u64>, message| LogRecord::Entry {
            session,
            number,
            entry: EntryState { qos, retain: sent.is_none(), sent, message },
        };
        vec![
            LogRecord::Session { session, client: "client", away_since: None, will: Some(will) },
            LogRecord::Session { session: 1, client: "", away_since: Some(1 << 41), will: None },
            LogRecord::Ended { session },
            LogRecord::Subscribed { session, filter, options: qos.into() },
            LogRecord::Unsubscribed { session, filter },
            LogRecord::Body { message: 1 << 33, qos, retained: true, topic, payload: b"payload" },
            LogRecord::Body { message: 1, qos: QoS::AtMostOnce, retained: false, topic, payload: b"" },
            entry(None, Some(77)),
            entry(Some(MAX_SENT), Some(77)),
            entry(Some(1), None),
            LogRecord::Done { session, number },
            LogRecord::Received { session, packet_id, arrival: 12 },
            LogRecord::ReceiptReleased { session, packet_id },
            LogRecord::Retained { message: 77, topic },
            LogRecord::Cleared { topic },
            LogRecord::WillDue { session, number, will },
            LogRecord::WillPublished { session, number },
        ]
    }

    #[test]
    fn each_kind_comes_back_and_ends_nowhere_else() {
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
    fn what_no_writer_writes_is_refused() {
        let table: &[(&[u8], &str)] = &[
            (&[0], "is of a kind that is not known"),
            (&[NEXT_DELIVERY], "is of a kind that is not known"),
            (&[15], "is of a kind that is not known"),
            (&[2, 0], "has a number that none has"),
            (&[1, 1, 0, 4], "has flags that are not known"),
            (&[1, 1, 1, 0xFF, 0], "has text that is not UTF-8"),
            (&[3, 1, 3, 1, b'a'], "has a QoS that is none"),
            (&[3, 1, 1, 0], "has a Topic Filter that is none"),
            (&[5, 1, 1, 1, b'#', 0], "has a Topic Name that is none"),
            (&[5, 1, 8, 1, b'a', 0], "has flags that are not known"),
            (&[5, 1, 1, 1, b'a', 9], "has a length beyond its end"),
            (&[6, 1, 1, 0x20], "has flags that are not known"),
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
