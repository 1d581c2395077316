//! Packets of MQTT 3.1, 3.1.1 and 5 → bytes, appended to a buffer. [`encode`] writes any packet; further functions
//! write the most frequent packets of a broker without a [`Packet`].

use smallvec::SmallVec;

use crate::{
    topic::TopicName,
    types::{PacketId, ProtocolVersion, QoS},
};

use super::{
    Ack, BRIDGE, Connack, Connect, EncodeError, Field, MAX_REMAINING_LENGTH, Packet, PacketType, Properties,
    PropertyId, Publish, ReasonCode, Suback, SubackCode, Subscribe, Unsuback, Unsubscribe,
    properties::{variable, variable_len},
};

/// The flags of a PUBLISH (section 3.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PublishFlags {
    /// May be a re-delivery; not with QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// Quality of Service.
    pub qos: QoS,
    /// Retain.
    pub retain: bool,
}

impl PublishFlags {
    /// The first byte of the PUBLISH.
    #[inline]
    pub const fn first_byte(self) -> u8 {
        0x30 | ((self.dup as u8) << 3) | ((self.qos as u8) << 1) | self.retain as u8
    }
}

/// Bytes of a whole PUBLISH, including its fixed header. More than [`MAX_REMAINING_LENGTH`] + 5 cannot be sent.
#[inline]
pub const fn publish_len(topic_len: usize, qos: QoS, payload_len: usize) -> usize {
    let body = publish_body_len(topic_len, !matches!(qos, QoS::AtMostOnce), payload_len);
    header_len(body) + body
}

/// Appends a PUBLISH (section 3.3).
///
/// The caller must pass a `packet_id` exactly if the QoS is above 0 [MQTT-2.3.1-5], and at most
/// [`MAX_REMAINING_LENGTH`] bytes after the fixed header; decoded packets never have more.
#[inline]
pub fn publish(out: &mut Vec<u8>, flags: PublishFlags, topic: &TopicName, packet_id: Option<PacketId>, payload: &[u8]) {
    let body = publish_body_len(topic.as_str().len(), packet_id.is_some(), payload.len());
    out.reserve(5 + body);
    publish_header(out, flags, topic, packet_id, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a PUBLISH without its payload, which the caller writes from its place. Preconditions as [`publish`].
#[inline]
pub fn publish_header(
    out: &mut Vec<u8>,
    flags: PublishFlags,
    topic: &TopicName,
    packet_id: Option<PacketId>,
    payload_len: usize,
) {
    publish_header_of(out, flags, topic.as_str().as_bytes(), packet_id, payload_len);
}

/// The same for a valid Topic Name as bytes.
#[inline]
pub(crate) fn publish_header_of(
    out: &mut Vec<u8>,
    flags: PublishFlags,
    topic: &[u8],
    packet_id: Option<PacketId>,
    payload_len: usize,
) {
    debug_assert_eq!(packet_id.is_some(), flags.qos != QoS::AtMostOnce, "a Packet Identifier goes with QoS 1 and 2");
    let body = publish_body_len(topic.len(), packet_id.is_some(), payload_len);
    out.reserve(5 + 2 + topic.len() + 2);
    header(out, flags.first_byte(), body);
    out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    out.extend_from_slice(topic);
    if let Some(id) = packet_id {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
}

/// The properties of a PUBLISH in MQTT 5 to a subscriber (section 3.3.2.3).
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishProperties<'a> {
    /// The publisher's properties, without those below.
    pub of_publisher: &'a [u8],
    /// Message Expiry Interval, in seconds.
    pub expiry: Option<u32>,
    /// Topic Alias.
    pub alias: Option<Alias>,
    /// Subscription Identifiers, as properties on the wire: see [`identifier`].
    pub identifiers: &'a [u8],
}

/// A Topic Alias as a PUBLISH has it (section 3.3.2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Above 0.
    pub number: u16,
    /// Does the PUBLISH define the topic of the alias?
    pub is_new: bool,
}

impl PublishProperties<'_> {
    /// Does the PUBLISH contain its Topic Name?
    pub fn names_topic(&self) -> bool {
        self.alias.is_none_or(|alias| alias.is_new)
    }

    /// Their bytes, without those of their length.
    pub fn len(&self) -> usize {
        let [expiry, alias] = [if self.expiry.is_some() { 5 } else { 0 }, if self.alias.is_some() { 3 } else { 0 }];
        self.of_publisher.len() + expiry + alias + self.identifiers.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes of a whole PUBLISH of MQTT 5, its fixed header included.
pub fn publish_len_5(topic_len: usize, qos: QoS, properties: &PublishProperties<'_>, payload_len: usize) -> usize {
    let body = publish_body_len_5(topic_len, qos != QoS::AtMostOnce, properties.len(), payload_len);
    header_len(body) + body
}

const fn publish_body_len_5(topic_len: usize, has_packet_id: bool, properties: usize, payload_len: usize) -> usize {
    publish_body_len(topic_len, has_packet_id, payload_len) + variable_len(properties) + properties
}

/// Bytes of a whole CONNACK of MQTT 5.
pub fn connack_len_5(properties: &Properties<'_>) -> usize {
    let body = 2 + properties_len(properties);
    header_len(body) + body
}

/// Bytes of a whole DISCONNECT of MQTT 5 with a Reason Code and these properties.
pub fn disconnect_len(properties: &Properties<'_>) -> usize {
    let body = 1 + properties_len(properties);
    header_len(body) + body
}

/// Bytes of a whole SUBACK or UNSUBACK of MQTT 5 without properties, for so many filters.
pub const fn suback_len_5(filters: usize) -> usize {
    let body = 3 + filters;
    header_len(body) + body
}

/// Appends a PUBLISH in MQTT 5 without its payload. Preconditions as [`publish`].
pub fn publish_header_5(
    out: &mut Vec<u8>,
    flags: PublishFlags,
    topic: &[u8],
    packet_id: Option<PacketId>,
    properties: &PublishProperties<'_>,
    payload_len: usize,
) {
    let length = properties.len();
    let body = publish_body_len_5(topic.len(), packet_id.is_some(), length, payload_len);
    out.reserve(5 + body - payload_len);
    header(out, flags.first_byte(), body);
    binary(out, topic);
    if let Some(id) = packet_id {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
    variable(out, length as u32);
    if let Some(Alias { number, .. }) = properties.alias {
        out.push(PropertyId::TopicAlias as u8);
        out.extend_from_slice(&number.to_be_bytes());
    }
    if let Some(expiry) = properties.expiry {
        out.push(PropertyId::MessageExpiryInterval as u8);
        out.extend_from_slice(&expiry.to_be_bytes());
    }
    out.extend_from_slice(properties.of_publisher);
    out.extend_from_slice(properties.identifiers);
}

/// Appends a Subscription Identifier, no more than 268,435,455, as a property.
pub fn identifier(out: &mut SmallVec<[u8; 16]>, number: u32) {
    out.push(PropertyId::SubscriptionIdentifier as u8);
    variable(out, number);
}

/// Appends a CONNACK (section 3.2) in the client's version. `false`: the version has no code for the reason, and
/// nothing was appended. The caller passes Session Present only with [`ReasonCode::Success`] [MQTT-3.2.2-4].
pub fn connack(out: &mut Vec<u8>, version: ProtocolVersion, connack: &Connack<'_>) -> bool {
    let Connack { session_present, reason, properties } = *connack;
    debug_assert!(!session_present || reason == ReasonCode::Success, "a refusal has no Session Present");
    if version == ProtocolVersion::V5 {
        let reason = if reason.is_for(PacketType::Connack) { reason } else { ReasonCode::UnspecifiedError };
        header(out, 0x20, 2 + properties_len(&properties));
        out.extend_from_slice(&[u8::from(session_present), reason as u8]);
        write_properties(out, &properties);
        return true;
    }
    let Some(code) = reason.connect_return_code() else { return false };
    // the byte is reserved in MQTT 3.1
    let session_present = session_present && version != ProtocolVersion::V31;
    out.extend_from_slice(&[0x20, 2, u8::from(session_present), code]);
    true
}

/// Appends a PUBACK (section 3.4).
#[inline]
pub fn puback(out: &mut Vec<u8>, id: PacketId) {
    ack(out, 0x40, id);
}

/// Appends a PUBREC (section 3.5).
#[inline]
pub fn pubrec(out: &mut Vec<u8>, id: PacketId) {
    ack(out, 0x50, id);
}

/// Appends a PUBREL (section 3.6).
#[inline]
pub fn pubrel(out: &mut Vec<u8>, id: PacketId) {
    ack(out, 0x62, id);
}

/// Appends a PUBCOMP (section 3.7).
#[inline]
pub fn pubcomp(out: &mut Vec<u8>, id: PacketId) {
    ack(out, 0x70, id);
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP in MQTT 5. Optional parts with default values are left out, so success
/// without properties has the same four bytes as before MQTT 5.
pub fn ack_with(out: &mut Vec<u8>, packet: PacketType, ack: &Ack<'_>) {
    let first = (packet as u8) << 4 | if packet == PacketType::Pubrel { 0b10 } else { 0 };
    with_reason(out, first, Some(ack.packet_id), ack.reason, &ack.properties);
}

/// Appends a DISCONNECT of MQTT 5 (section 3.14).
pub fn disconnect(out: &mut Vec<u8>, reason: ReasonCode, properties: &Properties<'_>) {
    if reason == ReasonCode::Success && properties.is_empty() {
        return header(out, 0xE0, 0);
    }
    // rumqttc needs the length of the properties, although it is optional
    header(out, 0xE0, 1 + properties_len(properties));
    out.push(reason as u8);
    write_properties(out, properties);
}

/// Bytes of a whole AUTH with these properties.
pub fn auth_len(properties: &Properties<'_>) -> usize {
    disconnect_len(properties)
}

/// Appends an AUTH (MQTT 5 section 3.15).
pub fn auth(out: &mut Vec<u8>, reason: ReasonCode, properties: &Properties<'_>) {
    with_reason(out, 0xF0, None, reason, properties);
}

fn with_reason(out: &mut Vec<u8>, first: u8, id: Option<PacketId>, reason: ReasonCode, properties: &Properties<'_>) {
    let said = match (reason, properties.is_empty()) {
        (ReasonCode::Success, true) => 0,
        (_, true) => 1,
        _ => 1 + properties_len(properties),
    };
    header(out, first, if id.is_some() { 2 } else { 0 } + said);
    if let Some(id) = id {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
    if said > 0 {
        out.push(reason as u8);
    }
    if said > 1 {
        write_properties(out, properties);
    }
}

/// Appends an UNSUBACK (section 3.11); the codes only in MQTT 5.
#[inline]
pub fn unsuback(out: &mut Vec<u8>, version: ProtocolVersion, packet: &Unsuback<'_>) {
    if version != ProtocolVersion::V5 {
        return ack(out, 0xB0, packet.packet_id);
    }
    header(out, 0xB0, 2 + properties_len(&packet.properties) + packet.codes.len());
    out.extend_from_slice(&packet.packet_id.get().to_be_bytes());
    write_properties(out, &packet.properties);
    out.extend(packet.codes.iter().map(|&code| code as u8));
}

/// Appends a SUBACK (section 3.9): an answer for each filter, in the order of the SUBSCRIBE [MQTT-3.9.3-1].
pub fn suback(out: &mut Vec<u8>, version: ProtocolVersion, packet: &Suback<'_>) {
    let Suback { packet_id, codes, properties } = packet;
    let is_5 = version == ProtocolVersion::V5;
    let body = 2 + if is_5 { properties_len(properties) } else { 0 } + codes.len();
    out.reserve(5 + body);
    header(out, 0x90, body);
    out.extend_from_slice(&packet_id.get().to_be_bytes());
    if is_5 {
        write_properties(out, properties);
    }
    out.extend(codes.iter().map(|code| match code {
        SubackCode::Granted(qos) => *qos as u8,
        SubackCode::Failure(reason) if is_5 => *reason as u8,
        SubackCode::Failure(_) => 0x80,
    }));
}

/// Appends a PINGRESP (section 3.13).
#[inline]
pub fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xD0, 0]);
}

/// Appends any packet. A CONNECT is written in its own version, and `version` is ignored.
///
/// # Errors
///
/// A text or a body that is longer than its length field allows; `out` is then unchanged.
pub fn encode(version: ProtocolVersion, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(packet) => return connect(out, packet),
        Packet::Connack(packet) => {
            connack(out, version, packet);
        }
        Packet::Publish(packet) if version == ProtocolVersion::V5 => return publish_with_properties(out, packet),
        Packet::Publish(packet) => {
            check_body(publish_body_len(
                packet.topic.as_str().len(),
                packet.packet_id.is_some(),
                packet.payload.len(),
            ))?;
            let flags = PublishFlags { dup: packet.dup, qos: packet.qos, retain: packet.retain };
            publish(out, flags, packet.topic, packet.packet_id, packet.payload);
        }
        Packet::Puback(packet) => ack_of(out, version, PacketType::Puback, packet),
        Packet::Pubrec(packet) => ack_of(out, version, PacketType::Pubrec, packet),
        Packet::Pubrel(packet) => ack_of(out, version, PacketType::Pubrel, packet),
        Packet::Pubcomp(packet) => ack_of(out, version, PacketType::Pubcomp, packet),
        Packet::Subscribe(packet) => return subscribe(out, version, packet),
        Packet::Suback(packet) => {
            check_body(2 + properties_len(&packet.properties) + packet.codes.len())?;
            suback(out, version, packet);
        }
        Packet::Unsubscribe(packet) => return unsubscribe(out, version, packet),
        Packet::Unsuback(packet) => {
            check_body(2 + properties_len(&packet.properties) + packet.codes.len())?;
            unsuback(out, version, packet);
        }
        Packet::Pingreq => out.extend_from_slice(&[0xC0, 0]),
        Packet::Pingresp => pingresp(out),
        Packet::Disconnect(packet) if version == ProtocolVersion::V5 => {
            disconnect(out, packet.reason, &packet.properties);
        }
        Packet::Disconnect(_) => out.extend_from_slice(&[0xE0, 0]),
        Packet::Auth(packet) => auth(out, packet.reason, &packet.properties),
    }
    Ok(())
}

/// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP: all of it in MQTT 5, only its Packet Identifier before.
#[inline]
pub fn ack_of(out: &mut Vec<u8>, version: ProtocolVersion, packet: PacketType, said: &Ack<'_>) {
    match version {
        ProtocolVersion::V5 => ack_with(out, packet, said),
        _ => ack_with(out, packet, &Ack::from(said.packet_id)),
    }
}

/// PUBLISH of MQTT 5 (section 3.3).
fn publish_with_properties(out: &mut Vec<u8>, packet: &Publish<'_>) -> Result<(), EncodeError> {
    let Publish { topic, packet_id, payload, properties, .. } = packet;
    let id_len = if packet_id.is_some() { 2 } else { 0 };
    let body = 2 + topic.as_str().len() + id_len + properties_len(properties) + payload.len();
    check_body(body)?;
    let flags = PublishFlags { dup: packet.dup, qos: packet.qos, retain: packet.retain };
    out.reserve(5 + body);
    header(out, flags.first_byte(), body);
    binary(out, topic.as_str().as_bytes());
    if let Some(id) = packet_id {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
    write_properties(out, properties);
    out.extend_from_slice(payload);
    Ok(())
}

/// Bytes of properties and of their length.
pub fn properties_len(properties: &Properties<'_>) -> usize {
    let length = properties.as_bytes().len();
    variable_len(length) + length
}

/// Appends properties after their length. They were read from a packet, or written by `PropertiesBuf`.
fn write_properties(out: &mut Vec<u8>, properties: &Properties<'_>) {
    let bytes = properties.as_bytes();
    let written = u32::try_from(bytes.len()).is_ok_and(|length| variable(out, length));
    debug_assert!(written, "{} bytes of properties", bytes.len());
    out.extend_from_slice(bytes);
}

/// CONNECT (section 3.1).
fn connect(out: &mut Vec<u8>, packet: &Connect<'_>) -> Result<(), EncodeError> {
    let (name, level): (&[u8], u8) = match packet.version {
        ProtocolVersion::V31 => (b"MQIsdp", 3),
        ProtocolVersion::V311 => (b"MQTT", 4),
        ProtocolVersion::V5 => (b"MQTT", 5),
    };
    let is_5 = packet.version == ProtocolVersion::V5;
    let level = if packet.bridge { level | BRIDGE } else { level };
    let will = packet.will.as_ref();
    let fields = [
        (Field::ClientId, Some(packet.client_id.as_bytes())),
        (Field::WillTopic, will.map(|will| will.topic.as_str().as_bytes())),
        (Field::WillMessage, will.map(|will| will.payload)),
        (Field::UserName, packet.username.map(str::as_bytes)),
        (Field::Password, packet.password),
    ];
    let fields = fields.into_iter().filter_map(|(field, bytes)| Some((field, bytes?)));
    for (field, bytes) in fields.clone() {
        check_field(field, bytes.len())?;
    }
    let properties = is_5.then_some(&packet.properties);
    let will_properties = will.filter(|_| is_5).map(|will| &will.properties);
    let body = 2
        + name.len()
        + 1
        + 1
        + 2
        + fields.clone().map(|(_, bytes)| 2 + bytes.len()).sum::<usize>()
        + properties.into_iter().chain(will_properties).map(properties_len).sum::<usize>();
    check_body(body)?;
    out.reserve(5 + body);
    header(out, 0x10, body);
    binary(out, name);
    let will_flags = will.map_or(0, |will| 0b100 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    let flags = u8::from(packet.username.is_some()) << 7
        | u8::from(packet.password.is_some()) << 6
        | will_flags
        | u8::from(packet.clean_session) << 1;
    out.extend_from_slice(&[level, flags]);
    out.extend_from_slice(&packet.keep_alive.to_be_bytes());
    if let Some(properties) = properties {
        write_properties(out, properties);
    }
    for (field, bytes) in fields {
        if field == Field::WillTopic
            && let Some(properties) = will_properties
        {
            write_properties(out, properties);
        }
        binary(out, bytes);
    }
    Ok(())
}

/// SUBSCRIBE (section 3.8).
fn subscribe(out: &mut Vec<u8>, version: ProtocolVersion, packet: &Subscribe<'_>) -> Result<(), EncodeError> {
    let is_5 = version == ProtocolVersion::V5;
    let properties = if is_5 { properties_len(&packet.properties) } else { 0 };
    let body = 2 + properties + packet.filters.iter().map(|(filter, _)| 2 + filter.as_str().len() + 1).sum::<usize>();
    check_body(body)?;
    out.reserve(5 + body);
    header(out, 0x82, body);
    out.extend_from_slice(&packet.packet_id.get().to_be_bytes());
    if is_5 {
        write_properties(out, &packet.properties);
    }
    for (filter, options) in &packet.filters {
        binary(out, filter.as_str().as_bytes());
        let more = u8::from(options.no_local) << 2
            | u8::from(options.retain_as_published) << 3
            | (options.retain_handling as u8) << 4;
        out.push(options.qos as u8 | if is_5 { more } else { 0 });
    }
    Ok(())
}

/// UNSUBSCRIBE (section 3.10).
fn unsubscribe(out: &mut Vec<u8>, version: ProtocolVersion, packet: &Unsubscribe<'_>) -> Result<(), EncodeError> {
    let is_5 = version == ProtocolVersion::V5;
    let properties = if is_5 { properties_len(&packet.properties) } else { 0 };
    let body = 2 + properties + packet.filters.iter().map(|filter| 2 + filter.as_str().len()).sum::<usize>();
    check_body(body)?;
    out.reserve(5 + body);
    header(out, 0xA2, body);
    out.extend_from_slice(&packet.packet_id.get().to_be_bytes());
    if is_5 {
        write_properties(out, &packet.properties);
    }
    packet.filters.iter().for_each(|filter| binary(out, filter.as_str().as_bytes()));
    Ok(())
}

/// A packet with only a Packet Identifier.
#[inline]
fn ack(out: &mut Vec<u8>, first: u8, id: PacketId) {
    let [high, low] = id.get().to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

/// Bytes after a length of two bytes; at most 65,535, which [`check_field`] or the type of a topic ensures.
fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The fixed header (section 2.2). Each length is a copy of constant size.
#[inline]
fn header(out: &mut Vec<u8>, first: u8, length: usize) {
    debug_assert!(length <= MAX_REMAINING_LENGTH, "{length} bytes are more than a Remaining Length can say");
    let low = |shift: u32| (length >> shift) as u8 & 0x7F;
    match length {
        0..0x80 => out.extend_from_slice(&[first, low(0)]),
        0x80..0x4000 => out.extend_from_slice(&[first, low(0) | 0x80, low(7)]),
        0x4000..0x20_0000 => out.extend_from_slice(&[first, low(0) | 0x80, low(7) | 0x80, low(14)]),
        _ => out.extend_from_slice(&[first, low(0) | 0x80, low(7) | 0x80, low(14) | 0x80, low(21)]),
    }
}

/// Bytes of the fixed header before `length` bytes.
const fn header_len(length: usize) -> usize {
    1 + variable_len(length)
}

#[inline]
const fn publish_body_len(topic_len: usize, has_packet_id: bool, payload_len: usize) -> usize {
    2 + topic_len + if has_packet_id { 2 } else { 0 } + payload_len
}

fn check_body(length: usize) -> Result<(), EncodeError> {
    if length > MAX_REMAINING_LENGTH { Err(EncodeError::PacketTooLarge(length)) } else { Ok(()) }
}

fn check_field(field: Field, length: usize) -> Result<(), EncodeError> {
    if length > usize::from(u16::MAX) { Err(EncodeError::FieldTooLong(field)) } else { Ok(()) }
}
