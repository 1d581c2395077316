//! CONNECT of a bridge.

use std::{pin::pin, time::Duration};

use super::{error::Lost, options::Options};
use crate::{
    clock::Clock,
    codec::{Connect, Properties, PropertiesBuf, PropertyId, Will},
    outbound::{Accepted, Line, log_in},
    topic::TopicName,
    types::{ProtocolVersion, QoS},
};

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    /// The version.
    pub(super) version: ProtocolVersion,
    /// MQTT 3.1.1: bit 7 of the Protocol Level marks the client as a bridge.
    pub(super) private: bool,
}

impl Protocol {
    /// Does the other broker send none of the bridge's own messages back?
    pub(super) fn has_no_local(self) -> bool {
        self.version == ProtocolVersion::V5 || self.private
    }
}

/// Messages of QoS 1 and 2 that the other broker may send before they are acknowledged.
const RECEIVE_MAXIMUM: u32 = 1_024;
/// Payloads of the notification topic.
pub(super) const UP: &[u8] = b"1";
pub(super) const DOWN: &[u8] = b"0";

/// Sends CONNECT and reads CONNACK, within this time; what came behind it is left in `read`.
pub(super) async fn send_connect(
    (clock, within): (&Clock, Duration),
    line: &mut dyn Line,
    options: &Options,
    Protocol { version, private }: Protocol,
    password: Option<&[u8]>,
    max_packet_size: usize,
    read: &mut Vec<u8>,
) -> Result<Accepted, Lost> {
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
    let answered = clock.timeout(within, pin!(log_in(line, connect, read))).await;
    Ok(answered.map_err(|_| Lost::NoAnswer(within))??)
}
