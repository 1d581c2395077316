//! CONNECT and CONNACK of a bridge, and the limits that CONNACK sets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{error::Lost, options::Options};
use crate::{
    clock::Clock,
    codec::{
        self, Connack, Connect, Cut, Frame, Packet, PacketType, Properties, PropertiesBuf, PropertyId, ReasonCode, Will,
    },
    outbound::Line,
    topic::TopicName,
    types::{ProtocolVersion, QoS},
};

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    /// The version.
    pub(super) version: ProtocolVersion,
    /// MQTT 3.1.1: bit 7 of the Protocol Level says that the client is a bridge.
    pub(super) private: bool,
}

impl Protocol {
    /// Does the other broker send none of the bridge's own messages back?
    pub(super) fn has_no_local(self) -> bool {
        self.version == ProtocolVersion::V5 || self.private
    }
}

/// The other broker's CONNACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    /// Session Present.
    pub(super) session_present: bool,
    /// Keep Alive in seconds.
    pub(super) keep_alive: u16,
    /// QoS 1 and 2 messages that may be sent and not be acknowledged.
    pub(super) receive_maximum: u16,
    /// The highest QoS that it takes.
    pub(super) max_qos: QoS,
    /// It takes messages with RETAIN.
    pub(super) retain: bool,
    /// Bytes of the largest packet that it takes.
    pub(super) max_packet_size: usize,
}

/// Messages of QoS 1 and 2 that the other broker may send before they are acknowledged.
const RECEIVE_MAXIMUM: u32 = 1_024;
/// Bytes of the longest CONNACK.
const LONGEST_CONNACK: usize = 256 << 10;
/// Payloads of the notification topic.
pub(super) const UP: &[u8] = b"1";
pub(super) const DOWN: &[u8] = b"0";

/// Sends CONNECT and reads CONNACK; what came behind it is left in `read`.
pub(super) async fn send_connect(
    line: &mut dyn Line,
    options: &Options,
    protocol: Protocol,
    password: Option<&[u8]>,
    max_packet_size: usize,
    read: &mut Vec<u8>,
) -> Result<Accepted, Lost> {
    let mut bytes = Vec::new();
    write_connect(options, protocol, password, max_packet_size, &mut bytes)?;
    line.write_all(&bytes).await?;
    line.flush().await?;
    loop {
        if let Some(accepted) = answer(options, protocol, read)? {
            return Ok(accepted);
        }
        if line.read_buf(read).await? == 0 {
            return Err(Lost::Closed(" before it answered CONNECT"));
        }
    }
}

/// The same, with a time limit.
pub(super) async fn send_connect_within(
    clock: &Clock,
    within: std::time::Duration,
    answered: impl Future<Output = Result<Accepted, Lost>>,
) -> Result<Accepted, Lost> {
    clock.timeout(within, std::pin::pin!(answered)).await.unwrap_or(Err(Lost::NoAnswer(within)))
}

fn write_connect(
    options: &Options,
    Protocol { version, private }: Protocol,
    password: Option<&[u8]>,
    max_packet_size: usize,
    out: &mut Vec<u8>,
) -> Result<(), Lost> {
    let mut properties = PropertiesBuf::default();
    properties.number(PropertyId::SessionExpiryInterval, options.session_expiry);
    properties.number(PropertyId::ReceiveMaximum, RECEIVE_MAXIMUM);
    properties.number(PropertyId::MaximumPacketSize, u32::try_from(max_packet_size).unwrap_or(u32::MAX));
    let topic = TopicName::new(&options.notification_topic).ok();
    let will = topic.filter(|_| options.notify == super::Notify::Both).map(|topic| Will {
        topic,
        payload: DOWN,
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: Properties::default(),
    });
    let connect = Connect {
        version,
        bridge: private && version == ProtocolVersion::V311,
        clean_session: options.clean_session,
        keep_alive: options.keep_alive,
        client_id: &options.client_id,
        will,
        username: options.username.as_deref(),
        password,
        properties: if version == ProtocolVersion::V5 { properties.as_properties() } else { Properties::default() },
    };
    Ok(codec::encode(version, &Packet::Connect(Box::new(connect)), out)?)
}

/// The CONNACK that `read` begins with, if it is whole: it is taken out.
fn answer(options: &Options, protocol: Protocol, read: &mut Vec<u8>) -> Result<Option<Accepted>, Lost> {
    let version = protocol.version;
    if read.first().is_some_and(|first| first >> 4 != PacketType::Connack as u8) {
        return Err(Lost::Protocol("another packet before its CONNACK"));
    }
    // a broker that knows no MQTT 5 answers in the form of 3.1.1
    if version == ProtocolVersion::V5
        && let [0x20, 2, _, code @ 1..=5] = read[..]
    {
        return Err(refused(protocol, ReasonCode::from_connect_return_code(code), &Properties::default()));
    }
    let (len, accepted) = match codec::frame(version, read, LONGEST_CONNACK)? {
        Cut::Need(_) => return Ok(None),
        Cut::Frame(frame) => (frame.len, read_connack(options, protocol, frame)?),
    };
    read.drain(..len);
    Ok(Some(accepted))
}

fn read_connack(options: &Options, protocol: Protocol, frame: Frame<'_>) -> Result<Accepted, Lost> {
    let Packet::Connack(connack) = codec::decode(protocol.version, frame)? else {
        return Err(Lost::Protocol("another packet before its CONNACK"));
    };
    let Connack { session_present, reason, properties } = connack;
    if reason != ReasonCode::Success {
        return Err(refused(protocol, Some(reason), &properties));
    }
    let number = |id| properties.number(id);
    Ok(Accepted {
        session_present,
        keep_alive: properties.short(PropertyId::ServerKeepAlive).unwrap_or(options.keep_alive),
        receive_maximum: properties.short(PropertyId::ReceiveMaximum).unwrap_or(u16::MAX),
        max_qos: match properties.get(PropertyId::MaximumQos) {
            Some(codec::PropertyValue::Flag(false)) => QoS::AtMostOnce,
            Some(_) => QoS::AtLeastOnce,
            None => QoS::ExactlyOnce,
        },
        retain: properties.flag(PropertyId::RetainAvailable).unwrap_or(true),
        max_packet_size: number(PropertyId::MaximumPacketSize).map_or(usize::MAX, |most| most as usize),
    })
}

fn refused(protocol: Protocol, reason: Option<ReasonCode>, properties: &Properties<'_>) -> Lost {
    match reason {
        Some(ReasonCode::UnsupportedProtocolVersion) => Lost::Version(protocol.version),
        reason => Lost::Refused(reason.unwrap_or(ReasonCode::UnspecifiedError), reason_string(properties)),
    }
}

/// Why, as the other broker says it.
pub(super) fn reason_string(properties: &Properties<'_>) -> String {
    let text = properties.text(PropertyId::ReasonString).unwrap_or_default();
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
}
