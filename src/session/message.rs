//! [`Message`]: an Application Message that outlives the packet it arrived in, allocated once and shared by all queues.
//! [`Outgoing`]: a message on its way to its subscribers; it becomes a `Message` only if a session has to store it.

use std::{
    cell::OnceCell,
    num::NonZeroU64,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use triomphe::{Arc, ThinArc};

use super::identifiers::Identifiers;
use crate::{
    codec::{self, Properties, PropertyId, Publish, PublishProperties},
    topic::TopicName,
    types::{ClientId, PacketId, QoS, UserName},
};

/// A shared Application Message: topic, payload, QoS. A clone costs a count; topic and payload are one allocation.
#[derive(Clone, Debug)]
pub struct Message(ThinArc<Head, u8>);

#[derive(Debug)]
struct Head {
    topic_len: u16,
    /// Unused bytes behind the topic: the Packet Identifier, and in MQTT 5 the length of the properties and properties
    /// that are not forwarded.
    gap: u8,
    qos: QoS,
    /// Number of queues and windows that hold it: see [`Message::hold`].
    holders: AtomicU32,
    /// [`Message::store_place`].
    store_place: AtomicU32,
    /// [`Message::store_number`]; 0: none yet.
    store_number: AtomicU64,
    /// [`Message::came_at`], and one more; 0: it is not known.
    came_at: AtomicU32,
    more: Option<Box<More>>,
}

/// Only messages of MQTT 5 and messages that expire have this.
#[derive(Debug)]
struct More {
    /// Bytes in front of the payload: [`Extras::properties`].
    properties: usize,
    there: u64,
    expires: Expires,
}

/// When a message expires.
#[derive(Debug)]
enum Expires {
    Never,
    At(Instant),
    /// A message from the store: at the time that the store sets.
    Told(OnceLock<Instant>),
}

impl Expires {
    #[inline]
    fn at(&self) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(*at),
            Self::Told(told) => told.get().copied(),
        }
    }
}

/// The parts of a message besides topic, payload and QoS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The publisher's properties (MQTT 5 section 3.3.2.3) in order, without Topic Alias and Message Expiry Interval.
    pub properties: Properties<'a>,
    /// When it expires.
    pub expires: Option<Instant>,
}

impl Extras<'_> {
    fn is_empty(&self) -> bool {
        self.properties.is_empty() && self.expires.is_none()
    }
}

impl<'a> Extras<'a> {
    /// The properties of a PUBLISH in MQTT 5 to a subscriber with these Subscription Identifiers, if it is sent now.
    fn publish_properties<'b>(&self, identifiers: &'b [u8], now: Instant) -> PublishProperties<'b>
    where
        'a: 'b,
    {
        let expiry = self.expires.map(|at| seconds_until(at, now));
        PublishProperties { of_publisher: self.properties.as_bytes(), expiry, alias: None, identifiers }
    }
}

impl Message {
    /// Copies topic and payload.
    pub fn new(topic: &TopicName, payload: &[u8], qos: QoS) -> Self {
        let text = topic.as_str().as_bytes();
        Self::from_contiguous(&[text, payload].concat(), text.len(), 0, qos, None)
    }

    /// Copies topic, payload and properties.
    pub fn with(topic: &TopicName, payload: &[u8], qos: QoS, extras: Extras<'_>) -> Self {
        if extras.is_empty() {
            return Self::new(topic, payload, qos);
        }
        let expires = extras.expires.map_or(Expires::Never, Expires::At);
        Self::that_expires(topic, payload, qos, extras, expires)
    }

    /// The same, but `expires` replaces the expiry in `extras`.
    fn that_expires(topic: &TopicName, payload: &[u8], qos: QoS, extras: Extras<'_>, expires: Expires) -> Self {
        let properties = extras.properties;
        let (text, of_publisher) = (topic.as_str().as_bytes(), properties.as_bytes());
        let more = More { properties: of_publisher.len(), there: properties.there(), expires };
        let all = [text, of_publisher, payload].concat();
        Self::from_contiguous(&all, text.len(), 0, qos, Some(Box::new(more)))
    }

    fn from_contiguous(bytes: &[u8], topic_len: usize, gap: u8, qos: QoS, more: Option<Box<More>>) -> Self {
        let head = Head {
            topic_len: u16::try_from(topic_len).expect("a Topic Name has at most 65,535 bytes"),
            gap,
            qos,
            holders: AtomicU32::new(0),
            store_place: AtomicU32::new(0),
            store_number: AtomicU64::new(0),
            came_at: AtomicU32::new(0),
            more,
        };
        Self(ThinArc::from_header_and_slice(head, bytes))
    }

    /// The Topic Name.
    pub fn topic(&self) -> &TopicName {
        TopicName::from_valid(std::str::from_utf8(self.topic_bytes()).expect("copied from a TopicName"))
    }

    /// The text of the Topic Name.
    pub(super) fn topic_bytes(&self) -> &[u8] {
        &self.0.slice[..usize::from(self.0.header.header.topic_len)]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        let Head { topic_len, gap, more, .. } = &self.0.header.header;
        let before = usize::from(*topic_len) + usize::from(*gap) + more.as_ref().map_or(0, |more| more.properties);
        &self.0.slice[before..]
    }

    /// Properties and expiry.
    pub fn extras(&self) -> Extras<'_> {
        let Some(More { there, expires, .. }) = self.0.header.header.more.as_deref() else { return Extras::default() };
        let properties = Properties::from_checked(self.stored_properties(), *there);
        Extras { properties, expires: expires.at() }
    }

    /// The properties as on the wire, for a store.
    pub fn stored_properties(&self) -> &[u8] {
        let Head { topic_len, gap, more, .. } = &self.0.header.header;
        let length = more.as_ref().map_or(0, |more| more.properties);
        &self.0.slice[usize::from(*topic_len) + usize::from(*gap)..][..length]
    }

    /// A message from a store, with these properties as on the wire. `expires`: [`set_expiry`](Self::set_expiry)
    /// follows. `None`: the properties are invalid.
    ///
    /// Earlier versions stored Subscription Identifiers with the message: they are returned too.
    pub fn restored(
        topic: &TopicName,
        payload: &[u8],
        qos: QoS,
        stored: &[u8],
        expires: bool,
    ) -> Option<(Self, Identifiers)> {
        let all = Properties::of_stored(stored)?;
        let own = all.without(&[PropertyId::SubscriptionIdentifier]);
        let properties = own.as_properties();
        let identifiers = Identifiers::from(stored.get(properties.as_bytes().len()..)?);
        if properties.is_empty() && !expires {
            return Some((Self::new(topic, payload, qos), identifiers));
        }
        let extras = Extras { properties, expires: None };
        let expires = if expires { Expires::Told(OnceLock::new()) } else { Expires::Never };
        Some((Self::that_expires(topic, payload, qos, extras, expires), identifiers))
    }

    /// Sets the expiry of a message from a store, once.
    pub fn set_expiry(&self, at: Instant) {
        if let Some(More { expires: Expires::Told(told), .. }) = self.0.header.header.more.as_deref() {
            let _first_counts = told.set(at);
        }
    }

    /// When it expires.
    #[inline]
    pub fn expires(&self) -> Option<Instant> {
        self.0.header.header.more.as_ref().and_then(|more| more.expires.at())
    }

    /// Has its Message Expiry Interval passed?
    #[inline]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// The properties of its PUBLISH in MQTT 5 to a subscriber with these Subscription Identifiers, if it is sent now.
    pub(super) fn publish_properties<'a>(&'a self, identifiers: &'a [u8], now: Instant) -> PublishProperties<'a> {
        self.extras().publish_properties(identifiers, now)
    }

    /// The QoS it was published at.
    pub fn qos(&self) -> QoS {
        self.0.header.header.qos
    }

    /// The number of this message in the store, the same for all sessions. `None` until the first
    /// [`set_store_number`](Self::set_store_number).
    pub fn store_number(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0.header.header.store_number.load(Ordering::Relaxed))
    }

    /// Sets the number unless it has one. Returns its number.
    pub fn set_store_number(&self, number: NonZeroU64) -> NonZeroU64 {
        let place = &self.0.header.header.store_number;
        match place.compare_exchange(0, number.get(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => number,
            Err(other) => NonZeroU64::new(other).unwrap_or(number),
        }
    }

    /// The place that the store noted with [`set_store_place`](Self::set_store_place). Only the store uses it. 0 until
    /// then.
    pub fn store_place(&self) -> u32 {
        self.0.header.header.store_place.load(Ordering::Relaxed)
    }

    /// The store notes its place for the message.
    pub fn set_store_place(&self, place: u32) {
        self.0.header.header.store_place.store(place, Ordering::Relaxed);
    }

    /// Its arrival, in the router's count of moments; `None`: before this process, or not recorded.
    pub fn came_at(&self) -> Option<u32> {
        self.0.header.header.came_at.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Records its arrival, unless it is recorded already.
    pub fn note_when_it_came(&self, moment: impl FnOnce() -> Option<u32>) {
        let place = &self.0.header.header.came_at;
        if place.load(Ordering::Relaxed) == 0
            && let Some(moment) = moment()
        {
            place.store(moment.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Another place of a session holds the message. Returns the bytes of memory that this adds: 0 if others hold it
    /// already.
    pub(super) fn hold(&self) -> usize {
        if self.0.header.header.holders.fetch_add(1, Ordering::Relaxed) == 0 { self.cost() } else { 0 }
    }

    /// A place of a session releases the message. Returns the bytes of memory that are freed: 0 if others hold it.
    pub(super) fn release(&self) -> usize {
        if self.0.header.header.holders.fetch_sub(1, Ordering::Relaxed) == 1 { self.cost() } else { 0 }
    }

    /// Approximate bytes of memory, with the counts in front and the overhead of the allocation.
    pub fn cost(&self) -> usize {
        const IN_FRONT: usize = 2 * size_of::<usize>() + size_of::<Head>();
        let more = self.0.header.header.more.as_ref().map_or(0, |_| size_of::<More>() + ALLOCATION);
        (IN_FRONT + self.0.slice.len() + more + ALLOCATION).next_multiple_of(ALLOCATION_UNIT)
    }

    /// The address, which identifies the message.
    pub(crate) fn address(&self) -> usize {
        self.0.slice.as_ptr() as usize
    }

    /// Bytes of topic, properties and payload, as limits count them.
    pub fn size(&self) -> usize {
        let Head { topic_len, gap, .. } = &self.0.header.header;
        debug_assert!(self.0.slice.len() >= usize::from(*topic_len) + usize::from(*gap));
        self.0.slice.len() - usize::from(*gap)
    }
}

/// Bytes that the allocator adds to each allocation; sizes are multiples of a unit.
const ALLOCATION: usize = 8;
const ALLOCATION_UNIT: usize = 16;

/// The rest of a Message Expiry Interval, in seconds: whole seconds of waiting are subtracted [MQTT-3.3.2-6].
fn seconds_until(at: Instant, now: Instant) -> u32 {
    let left = at.saturating_duration_since(now);
    let up = u64::from(left.subsec_nanos() > 0);
    u32::try_from(left.as_secs() + up).unwrap_or(u32::MAX)
}

/// An Application Message that is being published.
///
/// It borrows the packet that it arrived in. PUBLISH packets to subscribers are copied from that packet if the QoS is
/// the same. A shared [`Message`] is made when the first session has to store it.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Topic Name.
    pub topic: &'a TopicName,
    /// The payload.
    pub payload: &'a [u8],
    /// The QoS it was published at.
    pub qos: QoS,
    /// The QoS at which it is offered to subscriptions, which is mostly the same.
    pub offered: QoS,
    /// RETAIN of its PUBLISH.
    pub retain: bool,
    /// The publisher, or the client whose Will it is; `None`: the broker itself.
    pub from: Option<&'a ClientId>,
    /// The user of that client.
    pub user: Option<&'a UserName>,
    /// Properties and expiry.
    pub extras: Extras<'a>,
    frame: Option<FrameBytes<'a>>,
    /// The same PUBLISH in the other protocol version: made for the first subscriber with that version, copied for the
    /// others.
    translated: OnceCell<Box<[u8]>>,
    message: OnceCell<Message>,
}

/// The whole packet of a PUBLISH, and the offsets of its parts.
#[derive(Clone, Copy, Debug)]
struct FrameBytes<'a> {
    bytes: &'a [u8],
    topic_at: usize,
    /// It has properties: it is of MQTT 5.
    is_5: bool,
}

/// Payloads of at least this size are not copied: subscribers share them. Copying smaller ones costs less than counting
/// references.
pub const LARGE_PAYLOAD: usize = 8 << 10;

impl<'a> Outgoing<'a> {
    /// A message from the broker itself.
    pub fn new(topic: &'a TopicName, payload: &'a [u8], qos: QoS) -> Self {
        Self {
            topic,
            payload,
            qos,
            offered: qos,
            retain: false,
            from: None,
            user: None,
            extras: Extras::default(),
            frame: None,
            translated: OnceCell::new(),
            message: OnceCell::new(),
        }
    }

    /// The same message with this RETAIN.
    pub fn with_retain(self, retain: bool) -> Self {
        Self { retain, ..self }
    }

    /// The same message, which expires at `latest` or earlier.
    pub fn expiring(&self, latest: Instant) -> Self {
        let expires = Some(self.extras.expires.map_or(latest, |own| own.min(latest)));
        let is_same = expires == self.extras.expires;
        Self {
            extras: Extras { expires, ..self.extras },
            // the MQTT 5 packet has another expiry interval, or none
            frame: self.frame.filter(|frame| is_same || !frame.is_5),
            translated: OnceCell::new(),
            message: if is_same { self.message.clone() } else { OnceCell::new() },
            ..*self
        }
    }

    /// The same message, offered to subscriptions at this QoS.
    pub fn offered_at(&self, offered: QoS) -> Self {
        Self {
            offered,
            frame: self.frame.filter(|_| offered == self.qos),
            translated: OnceCell::new(),
            message: if offered == self.offered { self.message.clone() } else { OnceCell::new() },
            ..*self
        }
    }

    /// The same message from this client and user.
    pub fn with_sender(self, client: &'a ClientId, user: Option<&'a UserName>) -> Self {
        Self { from: Some(client), user, ..self }
    }

    /// The message of a client's PUBLISH. `frame`: the whole packet, fixed header included.
    #[inline(always)]
    pub fn from_publish(client: &'a ClientId, publish: &Publish<'a>, frame: &'a [u8]) -> Self {
        Self::of_publish(client, publish, Extras::default(), frame, None)
    }

    /// The message of an MQTT 5 PUBLISH, with the properties that are forwarded. `frame`: the whole packet, or empty if
    /// its bytes cannot be forwarded, for example because of a Topic Alias.
    #[inline(always)]
    pub fn from_publish_5(client: &'a ClientId, publish: &Publish<'a>, extras: Extras<'a>, frame: &'a [u8]) -> Self {
        Self::of_publish(client, publish, extras, frame, Some(codec::properties_len(&publish.properties)))
    }

    /// `properties`: their number of bytes in the packet, with the length field; `None`: the version is not MQTT 5.
    #[inline(always)]
    fn of_publish(
        client: &'a ClientId,
        publish: &Publish<'a>,
        extras: Extras<'a>,
        frame: &'a [u8],
        properties: Option<usize>,
    ) -> Self {
        let identifier = if publish.qos == QoS::AtMostOnce { 0 } else { 2 };
        // a Remaining Length that ends with a zero byte is too long; decoders of clients may refuse it
        let is_shortest = frame.get(1).is_some_and(|&byte| byte < 0x80)
            || frame.iter().skip(1).find(|&&byte| byte < 0x80).is_some_and(|&last| last != 0);
        let tail = publish.topic.as_str().len() + identifier + properties.unwrap_or_default() + publish.payload.len();
        Self {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            offered: publish.qos,
            retain: publish.retain,
            from: Some(client),
            user: None,
            extras,
            frame: frame.len().checked_sub(tail).filter(|_| is_shortest).map(|topic_at| FrameBytes {
                bytes: frame,
                topic_at,
                is_5: properties.is_some(),
            }),
            translated: OnceCell::new(),
            message: OnceCell::new(),
        }
    }

    /// The shared form, made by the first call.
    pub fn message(&self) -> &Message {
        self.message.get_or_init(|| match self.frame {
            Some(frame) if !self.extras.is_empty() => self.of_frame(frame),
            None if !self.extras.is_empty() => Message::with(self.topic, self.payload, self.offered, self.extras),
            Some(FrameBytes { bytes, topic_at, .. }) => {
                let topic_len = self.topic.as_str().len();
                let gap = bytes.len() - self.payload.len() - topic_at - topic_len;
                let gap = u8::try_from(gap).expect("a Packet Identifier and the length of no properties, at most");
                Message::from_contiguous(&bytes[topic_at..], topic_len, gap, self.offered, None)
            }
            None => Message::new(self.topic, self.payload, self.offered),
        })
    }

    /// Copies the packet in one piece, then moves the forwarded properties in front of the payload.
    fn of_frame(&self, FrameBytes { bytes, topic_at, .. }: FrameBytes<'_>) -> Message {
        let (topic_len, properties) = (self.topic.as_str().len(), self.extras.properties);
        let before = bytes.len() - topic_at - self.payload.len() - topic_len;
        let gap = before.checked_sub(properties.as_bytes().len()).and_then(|gap| u8::try_from(gap).ok());
        let Some(gap) = gap else {
            return Message::with(self.topic, self.payload, self.offered, self.extras);
        };
        let more = More {
            properties: properties.as_bytes().len(),
            there: properties.there(),
            expires: self.extras.expires.map_or(Expires::Never, Expires::At),
        };
        let mut message =
            Message::from_contiguous(&bytes[topic_at..], topic_len, gap, self.offered, Some(Box::new(more)));
        message.0.with_arc_mut(|shared| {
            let shared = Arc::get_mut(shared).expect("nobody else has it yet");
            shared.slice_mut()[topic_len + usize::from(gap)..][..properties.as_bytes().len()]
                .copy_from_slice(properties.as_bytes());
        });
        message
    }

    /// Bytes of topic, properties and payload.
    pub fn size(&self) -> usize {
        self.topic.as_str().len() + self.extras.properties.as_bytes().len() + self.payload.len()
    }

    /// The properties of its PUBLISH in MQTT 5 to a subscriber with these Subscription Identifiers, if it is sent now.
    pub(super) fn publish_properties<'b>(&'b self, identifiers: &'b [u8], now: Instant) -> PublishProperties<'b> {
        self.extras.publish_properties(identifiers, now)
    }

    /// Appends a PUBLISH of this message without DUP, payload included.
    #[inline(always)]
    pub fn write_small(&self, out: &mut Vec<u8>, qos: QoS, retain: bool, packet_id: Option<PacketId>) {
        let Some(found) = self.frame.filter(|frame| qos == self.qos && !frame.is_5) else {
            return self.write_plain(out, qos, retain, packet_id);
        };
        self.write_frame(out, found, retain, packet_id);
    }

    /// For a publisher with MQTT 5, or another QoS.
    #[inline(never)]
    fn write_plain(&self, out: &mut Vec<u8>, qos: QoS, retain: bool, packet_id: Option<PacketId>) {
        let flags = codec::PublishFlags { dup: false, qos, retain };
        let write = |out: &mut Vec<u8>| codec::encode::publish(out, flags, self.topic, packet_id, self.payload);
        match self.frame {
            Some(frame) if qos == self.qos && frame.is_5 => self.write_translated(out, false, retain, packet_id, write),
            _ => write(out),
        }
    }

    /// A PUBLISH with the publisher's QoS in the other version. `write` makes it for the first subscriber.
    fn write_translated(
        &self,
        out: &mut Vec<u8>,
        is_5: bool,
        retain: bool,
        packet_id: Option<PacketId>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let bytes = self.translated.get_or_init(|| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            bytes.into()
        });
        // behind the Remaining Length, whose last byte alone is below 0x80, and the length of the topic
        let length = bytes.iter().skip(1).take_while(|&&byte| byte >= 0x80).count() + 1;
        self.write_frame(out, FrameBytes { bytes, topic_at: 1 + length + 2, is_5 }, retain, packet_id);
    }

    /// The same in MQTT 5, with properties of this subscriber: Subscription Identifiers or a Topic Alias.
    pub(super) fn write_small_5(
        &self,
        out: &mut Vec<u8>,
        flags: codec::PublishFlags,
        packet_id: Option<PacketId>,
        properties: &PublishProperties<'_>,
    ) {
        // a topic that the client knows by its alias is left out
        let topic = if properties.names_topic() { self.topic.as_str().as_bytes() } else { &[] };
        codec::encode::publish_header_5(out, flags, topic, packet_id, properties, self.payload.len());
        out.extend_from_slice(self.payload);
    }

    /// The same without such properties, sent now.
    #[inline]
    pub(super) fn write_plain_5(
        &self,
        out: &mut Vec<u8>,
        flags: codec::PublishFlags,
        packet_id: Option<PacketId>,
        now: Instant,
    ) {
        let write = |out: &mut Vec<u8>| self.write_small_5(out, flags, packet_id, &self.publish_properties(&[], now));
        match self.frame.filter(|_| flags.qos == self.qos) {
            Some(found) if found.is_5 => self.write_frame(out, found, flags.retain, packet_id),
            Some(_) => self.write_translated(out, true, flags.retain, packet_id, write),
            None => write(out),
        }
    }

    /// The address of the bytes in the other version, if they were made.
    #[cfg(test)]
    pub(super) fn translated(&self) -> Option<usize> {
        self.translated.get().map(|bytes| bytes.as_ptr() as usize)
    }

    /// Appends the publisher's bytes, or those in the other version.
    #[inline(always)]
    fn write_frame(&self, out: &mut Vec<u8>, frame: FrameBytes<'_>, retain: bool, packet_id: Option<PacketId>) {
        let FrameBytes { bytes, topic_at, .. } = frame;
        let start = out.len();
        out.extend_from_slice(bytes);
        // DUP is not forwarded [MQTT-3.3.1-3], and RETAIN only with Retain As Published [MQTT-3.3.1-9]
        out[start] = 0x30 | (self.qos as u8) << 1 | u8::from(retain);
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
            offered: message.qos(),
            retain: false,
            from: None,
            user: None,
            extras: message.extras(),
            frame: None,
            translated: OnceCell::new(),
            message: OnceCell::from(message.clone()),
        }
    }
}
