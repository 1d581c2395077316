//! MQTT as a client: CONNECT, CONNACK, and the limits that CONNACK sets.

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Line;
use crate::{
    codec::{
        self, Connack, Connect, Cut, DecodeError, EncodeError, Frame, Packet, PacketType, Properties, PropertyId,
        PropertyValue, ReasonCode,
    },
    types::{ProtocolVersion, QoS},
};

/// The other broker's CONNACK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// Session Present.
    pub(crate) session_present: bool,
    /// Keep Alive in seconds.
    pub(crate) keep_alive: u16,
    /// QoS 1 and 2 messages that may be sent and not be acknowledged.
    pub(crate) receive_maximum: u16,
    /// The highest QoS that it accepts.
    pub(crate) max_qos: QoS,
    /// It accepts messages with RETAIN.
    pub(crate) retain: bool,
    /// Bytes of the largest packet that it accepts.
    pub(crate) max_packet_size: usize,
}

/// Why the other broker did not accept a CONNECT.
#[derive(Debug, Error)]
pub(crate) enum NotAccepted {
    #[error("the other broker refuses MQTT {0}")]
    Version(ProtocolVersion),
    #[error("the other broker refuses the connection (0x{code:02x}): {0}{1}", code = *.0 as u8)]
    Refused(ReasonCode, String),
    #[error("the other broker closed the connection before it answered CONNECT")]
    Closed,
    #[error("the other broker sent what is not MQTT: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the other broker sent another packet before its CONNACK, which is against the protocol")]
    OtherPacket,
    #[error("a packet cannot be sent: {0}")]
    Encode(#[from] EncodeError),
    #[error("the connection is lost: {0}")]
    Io(#[from] std::io::Error),
}

/// Bytes of the longest CONNACK.
const LONGEST_CONNACK: usize = 256 << 10;

/// Sends CONNECT and reads CONNACK. Bytes behind the CONNACK are left in `read`.
pub(crate) async fn log_in(
    line: &mut dyn Line,
    connect: Connect<'_>,
    read: &mut Vec<u8>,
) -> Result<Accepted, NotAccepted> {
    let (version, keep_alive) = (connect.version, connect.keep_alive);
    let mut bytes = Vec::new();
    codec::encode(version, &Packet::Connect(Box::new(connect)), &mut bytes)?;
    line.write_all(&bytes).await?;
    line.flush().await?;
    loop {
        if let Some(accepted) = answer(version, keep_alive, read)? {
            return Ok(accepted);
        }
        if line.read_buf(read).await? == 0 {
            return Err(NotAccepted::Closed);
        }
    }
}

/// The CONNACK that `read` begins with, if it is whole: it is taken out.
fn answer(version: ProtocolVersion, keep_alive: u16, read: &mut Vec<u8>) -> Result<Option<Accepted>, NotAccepted> {
    if read.first().is_some_and(|first| first >> 4 != PacketType::Connack as u8) {
        return Err(NotAccepted::OtherPacket);
    }
    // a broker that knows no MQTT 5 answers in the form of 3.1.1
    if version == ProtocolVersion::V5
        && let [0x20, 2, _, code @ 1..=5] = read[..]
    {
        return Err(refused(version, ReasonCode::from_connect_return_code(code), &Properties::default()));
    }
    let (len, accepted) = match codec::frame(version, read, LONGEST_CONNACK)? {
        Cut::Need(_) => return Ok(None),
        Cut::Frame(frame) => (frame.len, read_connack(version, keep_alive, frame)?),
    };
    read.drain(..len);
    Ok(Some(accepted))
}

fn read_connack(version: ProtocolVersion, keep_alive: u16, frame: Frame<'_>) -> Result<Accepted, NotAccepted> {
    let Packet::Connack(connack) = codec::decode(version, frame)? else { return Err(NotAccepted::OtherPacket) };
    let Connack { session_present, reason, properties } = connack;
    if reason != ReasonCode::Success {
        return Err(refused(version, Some(reason), &properties));
    }
    Ok(Accepted {
        session_present,
        keep_alive: properties.short(PropertyId::ServerKeepAlive).unwrap_or(keep_alive),
        receive_maximum: properties.short(PropertyId::ReceiveMaximum).unwrap_or(u16::MAX),
        max_qos: match properties.get(PropertyId::MaximumQos) {
            Some(PropertyValue::Flag(false)) => QoS::AtMostOnce,
            Some(_) => QoS::AtLeastOnce,
            None => QoS::ExactlyOnce,
        },
        retain: properties.flag(PropertyId::RetainAvailable).unwrap_or(true),
        max_packet_size: properties
            .number(PropertyId::MaximumPacketSize)
            .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)),
    })
}

fn refused(version: ProtocolVersion, reason: Option<ReasonCode>, properties: &Properties<'_>) -> NotAccepted {
    match reason {
        Some(ReasonCode::UnsupportedProtocolVersion) => NotAccepted::Version(version),
        reason => NotAccepted::Refused(reason.unwrap_or(ReasonCode::UnspecifiedError), reason_string(properties)),
    }
}

/// The Reason String of the other broker, behind a colon; empty without one.
pub(crate) fn reason_string(properties: &Properties<'_>) -> String {
    let text = properties.text(PropertyId::ReasonString).unwrap_or_default();
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
}
