//! Frames → packets of MQTT 3.1 and 3.1.1, in both directions of travel. Owns what a packet's body may say; which
//! packet may come when, and from whom, is the session's, except that [`decode_from_client`] refuses what only servers
//! send.

use crate::{
    topic::TopicName,
    types::{PacketId, ProtocolVersion, QoS, SubscriptionOptions},
};

use super::{
    Ack, BRIDGE, Connack, Connect, DecodeError, Disconnect, Field, Frame, Packet, PacketType, Properties, Publish,
    ReasonCode, Suback, SubackCode, Subscribe, Unsubscribe, Will,
    cursor::{self, Cursor},
};

/// Parses a frame that [`frame`](super::frame()) cut with the same `version`. A CONNECT says its own version, whatever
/// `version` is.
///
/// # Errors
///
/// The first thing wrong with the bytes. [`DecodeError::UnsupportedLevel`] asks for a CONNACK before the connection is
/// closed; all others just close it [MQTT-4.8.0-1].
#[inline]
pub fn decode<'a>(version: ProtocolVersion, frame: Frame<'a>) -> Result<Packet<'a>, DecodeError> {
    if frame.first >> 4 == PacketType::Publish as u8 {
        return decode_publish(frame).map(Packet::Publish);
    }
    decode_other(version, frame)
}

/// [`decode`] as a server does it: a packet that only servers send is an error, before it is looked at.
#[inline]
pub fn decode_from_client<'a>(version: ProtocolVersion, frame: Frame<'a>) -> Result<Packet<'a>, DecodeError> {
    if !frame.is_from_client() {
        return Err(frame.packet_type().map_or_else(|error| error, DecodeError::NotFromClient));
    }
    decode(version, frame)
}

/// Parses a PUBLISH frame (section 3.3).
#[inline]
pub fn decode_publish(frame: Frame<'_>) -> Result<Publish<'_>, DecodeError> {
    let parts = publish_parts(frame)?;
    let topic = cursor::topic_name(parts.topic, Field::TopicName)?;
    Ok(parts.with_topic(frame.first, topic))
}

/// The bytes of a PUBLISH frame's Topic Name, not validated; `None` where the frame is too short for it, or another
/// packet's (a CONNECT begins as a PUBLISH to the topic `MQTT` does). A connection
/// compares them with the last Topic Name it validated, and calls [`decode_publish_with_topic`] where they are equal.
#[inline]
pub fn publish_topic_bytes<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    if frame.first >> 4 != PacketType::Publish as u8 {
        return None;
    }
    let (&length, rest) = frame.body.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(length)))
}

/// Parses a PUBLISH frame whose [`publish_topic_bytes`] the caller found equal to those of `topic`, without looking at
/// them again.
#[inline]
pub fn decode_publish_with_topic<'a>(frame: Frame<'a>, topic: &'a TopicName) -> Result<Publish<'a>, DecodeError> {
    let parts = publish_parts(frame)?;
    debug_assert_eq!(parts.topic, topic.as_str().as_bytes());
    Ok(parts.with_topic(frame.first, topic))
}

/// A PUBLISH, cut into fields.
struct PublishParts<'a> {
    qos: QoS,
    topic: &'a [u8],
    packet_id: Option<PacketId>,
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
            properties: Properties::default(),
        }
    }
}

#[inline]
fn publish_parts(frame: Frame<'_>) -> Result<PublishParts<'_>, DecodeError> {
    debug_assert_eq!(frame.first >> 4, PacketType::Publish as u8);
    let qos = QoS::from_bits((frame.first >> 1) & 0b11).ok_or(DecodeError::PublishQos)?;
    let mut cursor = Cursor::new(frame.body);
    let topic = cursor.binary(Field::TopicName)?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(cursor.packet_id()?) };
    Ok(PublishParts { qos, topic, packet_id, payload: cursor.rest() })
}

fn decode_other<'a>(version: ProtocolVersion, frame: Frame<'a>) -> Result<Packet<'a>, DecodeError> {
    let mut cursor = Cursor::new(frame.body);
    let packet = match frame.packet_type()? {
        PacketType::Publish => return decode_publish(frame).map(Packet::Publish),
        PacketType::Connect => Packet::Connect(Box::new(connect(frame.first, &mut cursor)?)),
        PacketType::Connack => Packet::Connack(connack(version, &mut cursor)?),
        PacketType::Puback => Packet::Puback(ack(&mut cursor)?),
        PacketType::Pubrec => Packet::Pubrec(ack(&mut cursor)?),
        PacketType::Pubrel => Packet::Pubrel(ack(&mut cursor)?),
        PacketType::Pubcomp => Packet::Pubcomp(ack(&mut cursor)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe(version, &mut cursor)?),
        PacketType::Suback => Packet::Suback(suback(&mut cursor)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(unsubscribe(&mut cursor)?),
        PacketType::Unsuback => Packet::Unsuback(ack(&mut cursor)?),
        PacketType::Pingreq => Packet::Pingreq,
        PacketType::Pingresp => Packet::Pingresp,
        PacketType::Disconnect => {
            Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Properties::default() })
        }
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
    let client_id = cursor.text(Field::ClientId)?;
    let will = match flags.will {
        Some(qos) => Some(Will {
            topic: cursor.topic_name(Field::WillTopic)?,
            payload: cursor.binary(Field::WillMessage)?,
            qos,
            retain: flags.will_retain,
            properties: Properties::default(),
        }),
        None => None,
    };
    // MQTT 3.1: the Remaining Length takes precedence over these two flags, a field that is missing is no error.
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
        properties: Properties::default(),
    })
}

/// What Protocol Name and Protocol Level say.
struct Protocol {
    version: ProtocolVersion,
    bridge: bool,
}

fn protocol(cursor: &mut Cursor<'_>) -> Result<Protocol, DecodeError> {
    let (level, version) = match cursor.binary(Field::ProtocolName)? {
        b"MQTT" => (4, ProtocolVersion::V311),
        b"MQIsdp" => (3, ProtocolVersion::V31),
        _ => return Err(DecodeError::ProtocolName),
    };
    match cursor.u8(Field::ProtocolLevel)? {
        found if found & !BRIDGE == level => Ok(Protocol { version, bridge: found & BRIDGE != 0 }),
        other => Err(DecodeError::UnsupportedLevel(other)),
    }
}

/// The Connect Flags (section 3.1.2.3), found consistent.
struct ConnectFlags {
    username: bool,
    password: bool,
    /// Will QoS, if the Will Flag is set.
    will: Option<QoS>,
    will_retain: bool,
    clean_session: bool,
}

impl ConnectFlags {
    /// MQTT 3.1 leaves bit 0 unused, and says nothing of a password without a user name.
    fn read(version: ProtocolVersion, bits: u8) -> Result<Self, DecodeError> {
        let is_set = |bit: u8| bits & (1 << bit) != 0;
        let is_strict = version != ProtocolVersion::V31;
        if is_strict && is_set(0) {
            return Err(DecodeError::ConnectReservedFlag);
        }
        if is_strict && is_set(6) && !is_set(7) {
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
    let code = cursor.u8(Field::ReturnCode)?;
    match ReasonCode::from_connect_return_code(code) {
        None => Err(DecodeError::ConnackCode(code)),
        Some(ReasonCode::Success) => Ok(Connack::accepted(flags == 1)),
        Some(_) if flags == 1 => Err(DecodeError::SessionPresentInRefusal(code)),
        Some(reason) => Ok(Connack::refused(reason)),
    }
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK: a Packet Identifier alone.
fn ack<'a>(cursor: &mut Cursor<'a>) -> Result<Ack<'a>, DecodeError> {
    cursor.packet_id().map(Ack::from)
}

/// SUBSCRIBE (section 3.8).
fn subscribe<'a>(version: ProtocolVersion, cursor: &mut Cursor<'a>) -> Result<Subscribe<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    if cursor.is_empty() {
        return Err(DecodeError::SubscribeEmpty);
    }
    let mut filters = Vec::with_capacity(likely_filters(cursor));
    while !cursor.is_empty() {
        let filter = cursor.topic_filter()?;
        let bits = match (version, cursor.u8(Field::RequestedQos)?) {
            // the upper six bits are not used there
            (ProtocolVersion::V31, bits) => bits & 0b11,
            (_, bits) => bits,
        };
        let qos = QoS::from_bits(bits).ok_or(DecodeError::RequestedQos(bits))?;
        filters.push((filter, SubscriptionOptions::from(qos)));
    }
    Ok(Subscribe { packet_id, filters, properties: Properties::default() })
}

/// SUBACK (section 3.9).
fn suback<'a>(cursor: &mut Cursor<'a>) -> Result<Suback<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    let mut codes = Vec::with_capacity(1);
    while !cursor.is_empty() {
        codes.push(match cursor.u8(Field::ReturnCode)? {
            0x80 => SubackCode::Failure(ReasonCode::UnspecifiedError),
            code => SubackCode::Granted(QoS::from_bits(code).ok_or(DecodeError::SubackCode(code))?),
        });
    }
    Ok(Suback { packet_id, codes, properties: Properties::default() })
}

/// UNSUBSCRIBE (section 3.10).
fn unsubscribe<'a>(cursor: &mut Cursor<'a>) -> Result<Unsubscribe<'a>, DecodeError> {
    let packet_id = cursor.packet_id()?;
    if cursor.is_empty() {
        return Err(DecodeError::UnsubscribeEmpty);
    }
    let mut filters = Vec::with_capacity(likely_filters(cursor));
    while !cursor.is_empty() {
        filters.push(cursor.topic_filter()?);
    }
    Ok(Unsubscribe { packet_id, filters, properties: Properties::default() })
}

/// How many filters to make room for: a guess that is small whatever the length claims.
fn likely_filters(cursor: &Cursor<'_>) -> usize {
    (cursor.len() / 16).clamp(1, 16)
}
