//! CONNECT and CONNACK: how a bridge says who it is, and what the other broker lets it do.

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

/// How a bridge speaks to the other broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speech {
    /// The version.
    pub(super) version: ProtocolVersion,
    /// It says that it is a bridge, in MQTT 3.1.1.
    pub(super) private: bool,
}

impl Speech {
    /// Does the other broker not send back what it is sent?
    pub(super) fn has_no_local(self) -> bool {
        self.version == ProtocolVersion::V5 || self.private
    }
}

/// What the other broker says in its CONNACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Welcome {
    /// It has the session of the connection before.
    pub(super) session_present: bool,
    /// Seconds.
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
/// A longer CONNACK is none.
const LONGEST_CONNACK: usize = 256 << 10;
/// Of the state of the connection: as a retained message.
pub(super) const UP: &[u8] = b"1";
pub(super) const DOWN: &[u8] = b"0";

/// Sends CONNECT and reads CONNACK; what came behind it is left in `read`.
pub(super) async fn greet(
    line: &mut dyn Line,
    options: &Options,
    speech: Speech,
    password: Option<&[u8]>,
    max_packet_size: usize,
    read: &mut Vec<u8>,
) -> Result<Welcome, Lost> {
    let mut bytes = Vec::new();
    write_connect(options, speech, password, max_packet_size, &mut bytes)?;
    line.write_all(&bytes).await?;
    line.flush().await?;
    loop {
        if let Some(welcome) = answer(options, speech, read)? {
            return Ok(welcome);
        }
        if line.read_buf(read).await? == 0 {
            return Err(Lost::Closed(" before it answered CONNECT"));
        }
    }
}

/// The same, for so long at most.
pub(super) async fn greet_within(
    clock: &Clock,
    within: std::time::Duration,
    greeting: impl Future<Output = Result<Welcome, Lost>>,
) -> Result<Welcome, Lost> {
    clock.timeout(within, std::pin::pin!(greeting)).await.unwrap_or(Err(Lost::NoAnswer(within)))
}

fn write_connect(
    options: &Options,
    Speech { version, private }: Speech,
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
fn answer(options: &Options, speech: Speech, read: &mut Vec<u8>) -> Result<Option<Welcome>, Lost> {
    let version = speech.version;
    if read.first().is_some_and(|first| first >> 4 != PacketType::Connack as u8) {
        return Err(Lost::Protocol("another packet before its CONNACK"));
    }
    // a broker that knows no MQTT 5 answers in the form of 3.1.1
    if version == ProtocolVersion::V5
        && let [0x20, 2, _, code @ 1..=5] = read[..]
    {
        return Err(refused(speech, ReasonCode::from_connect_return_code(code), &Properties::default()));
    }
    let (len, welcome) = match codec::frame(version, read, LONGEST_CONNACK)? {
        Cut::Need(_) => return Ok(None),
        Cut::Frame(frame) => (frame.len, read_connack(options, speech, frame)?),
    };
    read.drain(..len);
    Ok(Some(welcome))
}

fn read_connack(options: &Options, speech: Speech, frame: Frame<'_>) -> Result<Welcome, Lost> {
    let Packet::Connack(connack) = codec::decode(speech.version, frame)? else {
        return Err(Lost::Protocol("another packet before its CONNACK"));
    };
    let Connack { session_present, reason, properties } = connack;
    if reason != ReasonCode::Success {
        return Err(refused(speech, Some(reason), &properties));
    }
    let number = |id| properties.number(id);
    Ok(Welcome {
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

fn refused(speech: Speech, reason: Option<ReasonCode>, properties: &Properties<'_>) -> Lost {
    match reason {
        Some(ReasonCode::UnsupportedProtocolVersion) => Lost::Version(speech.version),
        reason => Lost::Refused(reason.unwrap_or(ReasonCode::UnspecifiedError), said(properties)),
    }
}

/// Why, as the other broker says it.
pub(super) fn said(properties: &Properties<'_>) -> String {
    let text = properties.text(PropertyId::ReasonString).unwrap_or_default();
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
}
