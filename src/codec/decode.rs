//! Frames → packets of MQTT 3.1, 3.1.1 and 5, in both directions. It checks the body of a packet. The session checks
//! which packet may arrive when, except that [`decode_from_client`] refuses packets that only servers send.

use std::num::NonZeroU32;

use crate::{
    topic::{SHARE_PREFIX, TopicName},
    types::{PacketId, ProtocolVersion, QoS, RetainHandling, SubscriptionOptions},
};

use super::{
    Ack, Auth, BRIDGE, Carrier, Connack, Connect, DecodeError, Disconnect, Field, Frame, Packet, PacketType,
    Properties, PropertyId, Publish, ReasonCode, Suback, SubackCode, Subscribe, Unsuback, Unsubscribe, Will,
    cursor::{self, Cursor},
};

/// Parses a frame that [`frame`](super::frame()) cut with the same `version`. A CONNECT contains its own version, and
/// `version` is ignored.
///
/// # Errors
///
/// The first thing wrong with the bytes. [`DecodeError::UnsupportedLevel`] asks for a CONNACK before the connection is
/// closed; all others just close it [MQTT-4.8.0-1], but in MQTT 5 (section 4.13): see [`version_of_connect`].
#[inline]
pub fn decode<'a>(version: ProtocolVersion, frame: Frame<'a>) -> Result<Packet<'a>, DecodeError> {
    if frame.first >> 4 == PacketType::Publish as u8 {
        return decode_publish(version, frame).map(Packet::Publish);
    }
    decode_other(version, frame)
}

/// [`decode`] for servers: a packet that only servers send is an error, and is not parsed.
#[inline]
pub fn decode_from_client<'a>(version: ProtocolVersion, frame: Frame<'a>) -> Result<Packet<'a>, DecodeError> {
    if !frame.is_from_client() {
        return Err(frame.packet_type().map_or_else(|error| error, DecodeError::NotFromClient));
    }
    if frame.first >> 4 == PacketType::Publish as u8 {
        return decode_publish_from_client(version, frame).map(Packet::Publish);
    }
    decode_other(version, frame)
}

/// Parses a PUBLISH frame (section 3.3).
#[inline]
pub fn decode_publish(version: ProtocolVersion, frame: Frame<'_>) -> Result<Publish<'_>, DecodeError> {
    let parts = publish_parts(version, frame, Properties::default)?;
    if parts.topic.is_empty() && version == ProtocolVersion::V5 {
        return match parts.properties.has(PropertyId::TopicAlias) {
            true => Ok(parts.with_topic(frame.first, TopicName::from_valid(""))),
            false => Err(DecodeError::NoTopic),
        };
    }
    let topic = cursor::topic_name(parts.topic, Field::TopicName)?;
    Ok(parts.with_topic(frame.first, topic))
}

/// The same for servers.
#[inline]
pub fn decode_publish_from_client(version: ProtocolVersion, frame: Frame<'_>) -> Result<Publish<'_>, DecodeError> {
    from_client(decode_publish(version, frame)?)
}

#[inline]
fn from_client(publish: Publish<'_>) -> Result<Publish<'_>, DecodeError> {
    match publish.properties.has(PropertyId::SubscriptionIdentifier) {
        true => Err(DecodeError::IdentifierFromClient),
        false => Ok(publish),
    }
}

/// The bytes of a PUBLISH frame's Topic Name, not validated. `None`: the frame is too short, or of another packet type
/// (a CONNECT begins like a PUBLISH to the topic `MQTT`). A connection compares them with the last Topic Name that it
/// validated, and calls [`decode_publish_with_topic`] if they are equal.
#[inline]
pub fn publish_topic_bytes<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    if frame.first >> 4 != PacketType::Publish as u8 {
        return None;
    }
    let (&length, rest) = frame.body.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(length)))
}

/// Parses a client's PUBLISH frame whose [`publish_topic_bytes`] equal `topic`, without validating them again.
#[inline]
pub fn decode_publish_with_topic<'a>(
    version: ProtocolVersion,
    frame: Frame<'a>,
    topic: &'a TopicName,
) -> Result<Publish<'a>, DecodeError> {
    decode_publish_again(version, frame, topic, Properties::default)
}

/// The same with the properties of the client's previous PUBLISH, `known`: if they are equal, they are not validated
/// again either.
#[inline]
pub fn decode_publish_again<'a, 'k>(
    version: ProtocolVersion,
    frame: Frame<'a>,
    topic: &'a TopicName,
    known: impl FnOnce() -> Properties<'k>,
) -> Result<Publish<'a>, DecodeError> {
    let parts = publish_parts(version, frame, known)?;
    debug_assert_eq!(parts.topic, topic.as_str().as_bytes());
    from_client(parts.with_topic(frame.first, topic))
}

/// The fields of a PUBLISH.
struct PublishParts<'a> {
    qos: QoS,
    topic: &'a [u8],
    packet_id: Option<PacketId>,
    properties: Properties<'a>,
    payload: &'a [u8],
}

impl<'a> PublishParts<'a> {
    #[inline]
    fn with_topic(self, first: u8, topic: &'a TopicName) -> Publish<'a> {
        Publish {
            dup: first & 0b1000 != 0,
            qos: self.qos,
            retain: first & 0b0001 != 0,
            topic,
            packet_id: self.packet_id,
            payload: self.payload,
            properties: self.properties,
        }
    }
}

#[inline]
fn publish_parts<'a, 'k>(
    version: ProtocolVersion,
    frame: Frame<'a>,
    known: impl FnOnce() -> Properties<'k>,
) -> Result<PublishParts<'a>, DecodeError> {
    debug_assert_eq!(frame.first >> 4, PacketType::Publish as u8);
    let qos = QoS::from_bits((frame.first >> 1) & 0b11).ok_or(DecodeError::PublishQos)?;
    let mut cursor = Cursor::new(frame.body);
    let topic = cursor.binary(Field::TopicName)?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(cursor.packet_id()?) };
    let properties = match version {
        ProtocolVersion::V5 => Properties::read_again(&mut cursor, Carrier::Packet(PacketType::Publish), known)?,
        _ => Properties::default(),
    };
    Ok(PublishParts { qos, topic, packet_id, properties, payload: cursor.rest() })
}

/// The properties at this place in MQTT 5.
#[inline]
fn properties<'a>(
    version: ProtocolVersion,
    carrier: Carrier,
    cursor: &mut Cursor<'a>,
) -> Result<Properties<'a>, DecodeError> {
    if version == ProtocolVersion::V5 { Properties::read(cursor, carrier) } else { Ok(Properties::default()) }
}

fn decode_other<'a>(version: ProtocolVersion, frame: Frame<'a>) -> Result<Packet<'a>, DecodeError> {
    let mut cursor = Cursor::new(frame.body);
    let packet_type = frame.packet_type()?;
    let packet = match packet_type {
        PacketType::Publish => return decode_publish(version, frame).map(Packet::Publish),
        PacketType::Connect => Packet::Connect(Box::new(connect(frame.first, &mut cursor)?)),
        PacketType::Connack => Packet::Connack(connack(version, &mut cursor)?),
        PacketType::Puback => Packet::Puback(ack(version, packet_type, &mut cursor)?),
        PacketType::Pubrec => Packet::Pubrec(ack(version, packet_type, &mut cursor)?),
        PacketType::Pubrel => Packet::Pubrel(ack(version, packet_type, &mut cursor)?),
        PacketType::Pubcomp => Packet::Pubcomp(ack(version, packet_type, &mut cursor)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe(version, &mut cursor)?),
        PacketType::Suback => Packet::Suback(suback(version, &mut cursor)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(unsubscribe(version, &mut cursor)?),
        PacketType::Unsuback => Packet::Unsuback(unsuback(version, &mut cursor)?),
        PacketType::Pingreq => Packet::Pingreq,
        PacketType::Pingresp => Packet::Pingresp,
        PacketType::Disconnect => {
            let Said { reason, properties } = said(packet_type, &mut cursor)?;
            Packet::Disconnect(Disconnect { reason, properties })
        }
        PacketType::Auth => Packet::Auth(auth(&mut cursor)?),
    };
    cursor.finish()?;
    Ok(packet)
}

/// CONNECT (section 3.1), whose first byte is `first`.
fn connect<'a>(first: u8, cursor: &mut Cursor<'a>) -> Result<Connect<'a>, DecodeError> {
    let Protocol { version, bridge } = protocol(cursor)?;
    if first & 0x0F != 0 && version != ProtocolVersion::V31 {
        return Err(DecodeError::HeaderFlags { packet: PacketType::Connect, flags: first & 0x0F });
    }
    let flags = ConnectFlags::read(version, cursor.u8(Field::ConnectFlags)?)?;
    let keep_alive = cursor.u16(Field::KeepAlive)?;
    let properties_of_connect = properties(version, Carrier::Packet(PacketType::Connect), cursor)?;
    check_method(&properties_of_connect)?;
    let client_id = cursor.text(Field::ClientId)?;
    let will = match flags.will {
        Some(qos) => Some(Will {
            properties: properties(version, Carrier::Will, cursor)?,
            topic: cursor.topic_name(Field::WillTopic)?,
            payload: cursor.binary(Field::WillMessage)?,
            qos,
            retain: flags.will_retain,
        }),
        None => None,
    };
    // MQTT 3.1: the Remaining Length takes precedence over these two flags; a missing field is no error
    let is_there = |flag, cursor: &Cursor<'_>| flag && !(version == ProtocolVersion::V31 && cursor.is_empty());
    let username = if is_there(flags.username, cursor) { Some(cursor.text(Field::UserName)?) } else { None };
    let password = if is_there(flags.password, cursor) { Some(cursor.binary(Field::Password)?) } else { None };
    Ok(Connect {
        version,
        bridge,
        clean_session: flags.clean_session,
        keep_alive,
        client_id,
        will,
        username,
        password,
        properties: properties_of_connect,
    })
}

/// Authentication Data need an Authentication Method.
fn check_method(properties: &Properties<'_>) -> Result<(), DecodeError> {
    match properties.has(PropertyId::AuthenticationData) && !properties.has(PropertyId::AuthenticationMethod) {
        true => Err(DecodeError::DataWithoutMethod),
        false => Ok(()),
    }
}

/// The version of the CONNECT at the front of `bytes`, also an unsupported one: it may be of an MQTT 5 bridge, which
/// sets a bit of the level like 3.1.1 bridges. `None`: not a CONNECT, or too few bytes.
pub fn version_of_connect(bytes: &[u8]) -> Option<ProtocolVersion> {
    let (&first, rest) = bytes.split_first()?;
    if first >> 4 != PacketType::Connect as u8 {
        return None;
    }
    let length = 1 + rest.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    match protocol(&mut Cursor::new(&rest[length..])) {
        Ok(protocol) => Some(protocol.version),
        Err(DecodeError::UnsupportedLevel(level)) if level == BRIDGE | 5 => Some(ProtocolVersion::V5),
        Err(_) => None,
    }
}

/// Protocol Name and Protocol Level.
struct Protocol {
    version: ProtocolVersion,
    bridge: bool,
}

fn protocol(cursor: &mut Cursor<'_>) -> Result<Protocol, DecodeError> {
    let is_first_name = match cursor.binary(Field::ProtocolName)? {
        b"MQTT" => false,
        b"MQIsdp" => true,
        _ => return Err(DecodeError::ProtocolName),
    };
    let level = cursor.u8(Field::ProtocolLevel)?;
    // bridges of MQTT 5 use Subscription Options instead of this bit
    let bridge = level & BRIDGE != 0;
    let version = match (level & !BRIDGE, is_first_name) {
        (3, true) => ProtocolVersion::V31,
        (4, false) => ProtocolVersion::V311,
        (5, false) if !bridge => ProtocolVersion::V5,
        _ => return Err(DecodeError::UnsupportedLevel(level)),
    };
    Ok(Protocol { version, bridge })
}

/// Consistent Connect Flags (section 3.1.2.3).
struct ConnectFlags {
    username: bool,
    password: bool,
    /// Will QoS, if the Will Flag is set.
    will: Option<QoS>,
    will_retain: bool,
    clean_session: bool,
}

impl ConnectFlags {
    /// MQTT 3.1 leaves bit 0 unused, and does not mention a password without a user name; MQTT 5 allows it.
    fn read(version: ProtocolVersion, bits: u8) -> Result<Self, DecodeError> {
        let is_set = |bit: u8| bits & (1 << bit) != 0;
        let is_strict = version != ProtocolVersion::V31;
        if is_strict && is_set(0) {
            return Err(DecodeError::ConnectReservedFlag);
        }
        if version == ProtocolVersion::V311 && is_set(6) && !is_set(7) {
            return Err(DecodeError::PasswordWithoutUsername);
        }
        let will_qos = QoS::from_bits((bits >> 3) & 0b11).ok_or(DecodeError::WillQos)?;
        if !is_set(2) && will_qos != QoS::AtMostOnce {
            return Err(DecodeError::WillQosWithoutWill(will_qos as u8));
        }
        if !is_set(2) && is_set(5) {
            return Err(DecodeError::WillRetainWithoutWill);
        }
        Ok(Self {
            username: is_set(7),
            password: is_set(6),
            will: is_set(2).then_some(will_qos),
            will_retain: is_set(5),
            clean_session: is_set(1),
        })
    }
}

/// CONNACK (section 3.2). MQTT 3.1 leaves the first byte unused.
fn connack<'a>(version: ProtocolVersion, cursor: &mut Cursor<'a>) -> Result<Connack<'a>, DecodeError> {
    let flags = match (version, cursor.u8(Field::AcknowledgeFlags)?) {
        (ProtocolVersion::V31, _) => 0,
        (_, flags @ 0..=1) => flags,
        (_, flags) => return Err(DecodeError::ConnackFlags(flags)),
    };
    if version == ProtocolVersion::V5 {
        let reason = reason(PacketType::Connack, cursor)?;
        if flags == 1 && reason != ReasonCode::Success {
            return Err(DecodeError::SessionPresentInRefusal(reason as u8));
        }
        let properties = properties(version, Carrier::Packet(PacketType::Connack), cursor)?;
        return Ok(Connack { session_present: flags == 1, reason, properties });
    }
    let code = cursor.u8(Field::ReturnCode)?;
    match ReasonCode::from_connect_return_code(code) {
        None => Err(DecodeError::ConnackCode(code)),
        Some(ReasonCode::Success) => Ok(Connack::accepted(flags == 1)),
        Some(_) if flags == 1 => Err(DecodeError::SessionPresentInRefusal(code)),
        Some(reason) => Ok(Connack::refused(reason)),
    }
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP: before MQTT 5 only a Packet Identifier.
fn ack<'a>(version: ProtocolVersion, packet: PacketType, cursor: &mut Cursor<'a>) -> Result<Ack<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    if version != ProtocolVersion::V5 {
        return Ok(packet_id.into());
    }
    let Said { reason, properties } = said(packet, cursor)?;
    Ok(Ack { packet_id, reason, properties })
}

/// The optional end of MQTT 5 packets: properties, and a Reason Code that defaults to Success.
struct Said<'a> {
    reason: ReasonCode,
    properties: Properties<'a>,
}

fn said<'a>(packet: PacketType, cursor: &mut Cursor<'a>) -> Result<Said<'a>, DecodeError> {
    let mut said = Said { reason: ReasonCode::Success, properties: Properties::default() };
    if !cursor.is_empty() {
        said.reason = reason(packet, cursor)?;
    }
    if !cursor.is_empty() {
        said.properties = Properties::read(cursor, Carrier::Packet(packet))?;
    }
    Ok(said)
}

fn reason(packet: PacketType, cursor: &mut Cursor<'_>) -> Result<ReasonCode, DecodeError> {
    let code = cursor.u8(Field::ReasonCode)?;
    ReasonCode::from_byte(code, packet).ok_or(DecodeError::Reason { packet, code })
}

/// AUTH (MQTT 5 section 3.15): a missing Reason Code means Success, and then there is no method.
fn auth<'a>(cursor: &mut Cursor<'a>) -> Result<Auth<'a>, DecodeError> {
    let Said { reason, properties } = said(PacketType::Auth, cursor)?;
    match properties.has(PropertyId::AuthenticationMethod) {
        true => Ok(Auth { reason, properties }),
        false => Err(DecodeError::AuthWithoutMethod),
    }
}

/// SUBSCRIBE (section 3.8).
fn subscribe<'a>(version: ProtocolVersion, cursor: &mut Cursor<'a>) -> Result<Subscribe<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    let properties = properties(version, Carrier::Packet(PacketType::Subscribe), cursor)?;
    if cursor.is_empty() {
        return Err(DecodeError::SubscribeEmpty);
    }
    let mut filters = Vec::with_capacity(likely_filters(cursor));
    let identifier = properties.number(PropertyId::SubscriptionIdentifier).and_then(NonZeroU32::new);
    while !cursor.is_empty() {
        let filter = cursor.topic_filter()?;
        if version == ProtocolVersion::V5 {
            let mut options = subscription_options(cursor.u8(Field::SubscriptionOptions)?)?;
            options.identifier = identifier;
            if options.no_local && filter.as_str().starts_with(SHARE_PREFIX) {
                return Err(DecodeError::SharedNoLocal);
            }
            filters.push((filter, options));
            continue;
        }
        let bits = match (version, cursor.u8(Field::RequestedQos)?) {
            // the upper six bits are not used there
            (ProtocolVersion::V31, bits) => bits & 0b11,
            (_, bits) => bits,
        };
        let qos = QoS::from_bits(bits).ok_or(DecodeError::RequestedQos(bits))?;
        filters.push((filter, SubscriptionOptions::from(qos)));
    }
    Ok(Subscribe { packet_id, filters, properties })
}

/// Subscription Options (MQTT 5 section 3.8.3.1).
fn subscription_options(bits: u8) -> Result<SubscriptionOptions, DecodeError> {
    if bits >> 6 != 0 {
        return Err(DecodeError::SubscriptionOptions(bits));
    }
    Ok(SubscriptionOptions {
        qos: QoS::from_bits(bits & 0b11).ok_or(DecodeError::MaximumQos)?,
        no_local: bits & 0b100 != 0,
        retain_as_published: bits & 0b1000 != 0,
        retain_handling: RetainHandling::from_bits(bits >> 4).ok_or(DecodeError::RetainHandling)?,
        identifier: None,
    })
}

/// SUBACK (section 3.9).
fn suback<'a>(version: ProtocolVersion, cursor: &mut Cursor<'a>) -> Result<Suback<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    let properties = properties(version, Carrier::Packet(PacketType::Suback), cursor)?;
    let mut codes = Vec::with_capacity(1);
    while !cursor.is_empty() {
        let code = cursor.u8(Field::ReturnCode)?;
        codes.push(match QoS::from_bits(code) {
            Some(qos) => SubackCode::Granted(qos),
            None => SubackCode::Failure(suback_failure(version, code).ok_or(DecodeError::SubackCode(code))?),
        });
    }
    Ok(Suback { packet_id, codes, properties })
}

/// Before MQTT 5 there is one failure code.
fn suback_failure(version: ProtocolVersion, code: u8) -> Option<ReasonCode> {
    match (version, code) {
        (ProtocolVersion::V5, code) => ReasonCode::from_byte(code, PacketType::Suback),
        (_, 0x80) => Some(ReasonCode::UnspecifiedError),
        _ => None,
    }
}

/// UNSUBSCRIBE (section 3.10).
fn unsubscribe<'a>(version: ProtocolVersion, cursor: &mut Cursor<'a>) -> Result<Unsubscribe<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    let properties = properties(version, Carrier::Packet(PacketType::Unsubscribe), cursor)?;
    if cursor.is_empty() {
        return Err(DecodeError::UnsubscribeEmpty);
    }
    let mut filters = Vec::with_capacity(likely_filters(cursor));
    while !cursor.is_empty() {
        filters.push(cursor.topic_filter()?);
    }
    Ok(Unsubscribe { packet_id, filters, properties })
}

/// UNSUBACK (section 3.11): before MQTT 5 only a Packet Identifier.
fn unsuback<'a>(version: ProtocolVersion, cursor: &mut Cursor<'a>) -> Result<Unsuback<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    let properties = properties(version, Carrier::Packet(PacketType::Unsuback), cursor)?;
    let mut codes = Vec::new();
    while version == ProtocolVersion::V5 && !cursor.is_empty() {
        codes.push(reason(PacketType::Unsuback, cursor)?);
    }
    Ok(Unsuback { packet_id, codes, properties })
}

/// Capacity for filters: an estimate that is small for any claimed length.
fn likely_filters(cursor: &Cursor<'_>) -> usize {
    (cursor.len() / 16).clamp(1, 16)
}
