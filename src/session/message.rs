//! [`Message`]: an Application Message that outlives the packet it came in, made once and shared by all that hold it;
//! and [`Outgoing`]: one on its way to its subscribers, which becomes a `Message` only if somebody has to keep it.

use std::{
    cell::OnceCell,
    num::NonZeroU64,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use triomphe::ThinArc;

use crate::{
    codec::{self, Publish},
    topic::TopicName,
    types::{ClientId, PacketId, QoS, UserName},
};

/// A shared Application Message: topic, payload, QoS. A clone costs a count; topic and payload are one allocation.
#[derive(Clone, Debug)]
pub struct Message(ThinArc<Head, u8>);

#[derive(Debug)]
struct Head {
    topic_len: u16,
    /// Bytes between topic and payload: those of the Packet Identifier, where it came with one.
    gap: u8,
    qos: QoS,
    /// Places in queues and windows that hold it: see [`Message::hold`].
    holders: AtomicU32,
    /// [`Message::store_place`].
    store_place: AtomicU32,
    /// [`Message::store_number`]; 0: none yet.
    store_number: AtomicU64,
}

impl Message {
    /// Copies topic and payload.
    pub fn new(topic: &TopicName, payload: &[u8], qos: QoS) -> Self {
        let text = topic.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(text.len() + payload.len());
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(payload);
        Self::from_contiguous(&bytes, text.len(), 0, qos)
    }

    fn from_contiguous(bytes: &[u8], topic_len: usize, gap: u8, qos: QoS) -> Self {
        let head = Head {
            topic_len: u16::try_from(topic_len).expect("a Topic Name has at most 65,535 bytes"),
            gap,
            qos,
            holders: AtomicU32::new(0),
            store_place: AtomicU32::new(0),
            store_number: AtomicU64::new(0),
        };
        Self(ThinArc::from_header_and_slice(head, bytes))
    }

    /// Topic Name.
    pub fn topic(&self) -> &TopicName {
        TopicName::from_valid(std::str::from_utf8(self.topic_bytes()).expect("copied from a TopicName"))
    }

    /// The text of the Topic Name.
    pub(super) fn topic_bytes(&self) -> &[u8] {
        &self.0.slice[..usize::from(self.0.header.header.topic_len)]
    }

    /// Application Message.
    pub fn payload(&self) -> &[u8] {
        let Head { topic_len, gap, .. } = self.0.header.header;
        &self.0.slice[usize::from(topic_len) + usize::from(gap)..]
    }

    /// The QoS it was published at.
    pub fn qos(&self) -> QoS {
        self.0.header.header.qos
    }

    /// The number under which a store keeps this message, however many sessions it waits in: none until the first
    /// [`set_store_number`](Self::set_store_number).
    pub fn store_number(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0.header.header.store_number.load(Ordering::Relaxed))
    }

    /// Gives it a number, unless it has one: the number that it has from then on.
    pub fn set_store_number(&self, number: NonZeroU64) -> NonZeroU64 {
        let place = &self.0.header.header.store_number;
        match place.compare_exchange(0, number.get(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => number,
            Err(other) => NonZeroU64::new(other).unwrap_or(number),
        }
    }

    /// Where a store has it, as it noted by [`set_store_place`](Self::set_store_place): for that store alone. 0 until
    /// then.
    pub fn store_place(&self) -> u32 {
        self.0.header.header.store_place.load(Ordering::Relaxed)
    }

    /// A store notes where it has it.
    pub fn set_store_place(&self, place: u32) {
        self.0.header.header.store_place.store(place, Ordering::Relaxed);
    }

    /// One more place of a session holds it. Gives the bytes of memory that are held from now on: none if others hold
    /// it already.
    pub(super) fn hold(&self) -> usize {
        if self.0.header.header.holders.fetch_add(1, Ordering::Relaxed) == 0 { self.cost() } else { 0 }
    }

    /// One of them does not any more. Gives the bytes that none holds from now on.
    pub(super) fn release(&self) -> usize {
        if self.0.header.header.holders.fetch_sub(1, Ordering::Relaxed) == 1 { self.cost() } else { 0 }
    }

    /// Bytes of memory for it, about: with the counts in front of it, and what an allocation takes.
    pub fn cost(&self) -> usize {
        const IN_FRONT: usize = 2 * size_of::<usize>() + size_of::<Head>();
        (IN_FRONT + self.0.slice.len() + ALLOCATION).next_multiple_of(ALLOCATION_UNIT)
    }

    /// Where it is: two are the same message if they are there.
    #[cfg(test)]
    pub(crate) fn address(&self) -> usize {
        self.0.slice.as_ptr() as usize
    }

    /// Bytes of topic and payload: what limits count.
    pub fn size(&self) -> usize {
        usize::from(self.0.header.header.topic_len) + self.payload().len()
    }
}

/// Bytes that the allocator needs for each allocation, which are multiples of a unit.
const ALLOCATION: usize = 8;
const ALLOCATION_UNIT: usize = 16;

/// An Application Message on its way to its subscribers.
///
/// It borrows the packet it came in. Frames for subscribers are copied from that packet's bytes where the QoS is the
/// same; a shared [`Message`] is made the first time that somebody has to keep it.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Topic Name.
    pub topic: &'a TopicName,
    /// Application Message.
    pub payload: &'a [u8],
    /// The QoS it was published at.
    pub qos: QoS,
    /// RETAIN, as it was published.
    pub retain: bool,
    /// The client that published it, also by its Will; `None`: the broker itself.
    pub from: Option<&'a ClientId>,
    /// The user of that client.
    pub user: Option<&'a UserName>,
    frame: Option<FrameBytes<'a>>,
    message: OnceCell<Message>,
}

/// The whole frame a PUBLISH came in, and where its parts begin.
#[derive(Clone, Copy, Debug)]
struct FrameBytes<'a> {
    bytes: &'a [u8],
    topic_at: usize,
}

/// Payloads of at least this many bytes are shared by all subscribers and written from where they are; smaller ones
/// are copied behind one another, which costs less than to keep count of them.
pub const LARGE_PAYLOAD: usize = 8 << 10;

impl<'a> Outgoing<'a> {
    /// A message that comes from within the broker.
    pub fn new(topic: &'a TopicName, payload: &'a [u8], qos: QoS) -> Self {
        Self { topic, payload, qos, retain: false, from: None, user: None, frame: None, message: OnceCell::new() }
    }

    /// The same message, published with this RETAIN.
    pub fn with_retain(self, retain: bool) -> Self {
        Self { retain, ..self }
    }

    /// The same message, published by this client of this user.
    pub fn with_sender(self, client: &'a ClientId, user: Option<&'a UserName>) -> Self {
        Self { from: Some(client), user, ..self }
    }

    /// The message of a client's PUBLISH; `frame` is all its bytes, fixed header included.
    pub fn from_publish(client: &'a ClientId, publish: &Publish<'a>, frame: &'a [u8]) -> Self {
        let identifier = if publish.qos == QoS::AtMostOnce { 0 } else { 2 };
        // a Remaining Length that ends with a zero is longer than need be: decoders of others may refuse it
        let is_shortest = frame.get(1).is_some_and(|&byte| byte < 0x80)
            || frame.iter().skip(1).find(|&&byte| byte < 0x80).is_some_and(|&last| last != 0);
        let tail = publish.topic.as_str().len() + identifier + publish.payload.len();
        Self {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            from: Some(client),
            user: None,
            frame: frame
                .len()
                .checked_sub(tail)
                .filter(|_| is_shortest)
                .map(|topic_at| FrameBytes { bytes: frame, topic_at }),
            message: OnceCell::new(),
        }
    }

    /// The shared form, made at the first call.
    pub fn message(&self) -> &Message {
        self.message.get_or_init(|| match self.frame {
            Some(FrameBytes { bytes, topic_at }) => {
                let topic_len = self.topic.as_str().len();
                let gap = bytes.len() - self.payload.len() - topic_at - topic_len;
                let gap = u8::try_from(gap).expect("a Packet Identifier or nothing");
                Message::from_contiguous(&bytes[topic_at..], topic_len, gap, self.qos)
            }
            None => Message::new(self.topic, self.payload, self.qos),
        })
    }

    /// Bytes of topic and payload.
    pub fn size(&self) -> usize {
        self.topic.as_str().len() + self.payload.len()
    }

    /// Appends a PUBLISH of this message without DUP, payload included.
    #[inline(always)]
    pub fn write_small(&self, out: &mut Vec<u8>, qos: QoS, retain: bool, packet_id: Option<PacketId>) {
        let Some(FrameBytes { bytes, topic_at }) = self.frame.filter(|_| qos == self.qos) else {
            let flags = codec::PublishFlags { dup: false, qos, retain };
            return codec::encode::publish(out, flags, self.topic, packet_id, self.payload);
        };
        let start = out.len();
        out.extend_from_slice(bytes);
        // the publisher's DUP does not travel on [MQTT-3.3.1-3], nor its RETAIN unless that was asked for
        // [MQTT-3.3.1-9]
        out[start] = 0x30 | (qos as u8) << 1 | u8::from(retain);
        if let Some(id) = packet_id {
            let at = start + topic_at + self.topic.as_str().len();
            out[at..at + 2].copy_from_slice(&id.get().to_be_bytes());
        }
    }
}

impl<'a> From<&'a Message> for Outgoing<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            topic: message.topic(),
            payload: message.payload(),
            qos: message.qos(),
            retain: false,
            from: None,
            user: None,
            frame: None,
            message: OnceCell::from(message.clone()),
        }
    }
}
