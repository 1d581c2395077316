//! [`Marks`]: unusual properties of a connection, as bits of one byte, so that a PUBLISH of an ordinary client needs a
//! single check.

use super::super::{RouterLimits, sessions::Access};
use crate::{
    codec::Connect,
    topic::{SHARE_PREFIX, TopicFilter},
    types::{ProtocolVersion, QoS, SubscriptionOptions},
};

/// The restrictions of one connection. They are fixed at CONNECT, because an MQTT 5 client was told about them then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

/// Bits of the first byte of a PUBLISH (section 3.3.1). As a mark: the client may not set the bit.
const RETAIN: u8 = 0b0001;
const QOS_1: u8 = 0b0010;
const QOS_2: u8 = 0b0100;
/// The client uses MQTT 5.
const FIVE: u8 = 0b0001_0000;
/// Its CONNACK had a Receive Maximum.
const RECEIVE_MAXIMUM: u8 = 0b0010_0000;
/// See [`Connect::bridge`].
const BRIDGE: u8 = 0b0100_0000;
/// The size of its payloads is limited, or its rights are asked about elsewhere.
const FURTHER: u8 = 0b1000_0000;
/// Its messages are delivered at the QoS of the subscriptions.
const UPGRADE: u8 = 0b0000_1000;

impl Marks {
    /// The marks of a new connection, and whether its rights are asked about elsewhere.
    pub(crate) fn new(
        connect: &Connect<'_>,
        max_qos: QoS,
        limits: &RouterLimits,
        access: Option<&Access>,
    ) -> (Self, bool) {
        let asks = access.is_some_and(|access| access.asks);
        let is_five = connect.version == ProtocolVersion::V5;
        let mut marks = match max_qos {
            QoS::AtMostOnce => QOS_1 | QOS_2,
            QoS::AtLeastOnce => QOS_2,
            QoS::ExactlyOnce => 0,
        };
        let others = [
            (!limits.says.retain_available, RETAIN),
            (is_five, FIVE),
            (is_five && limits.receive_maximum < u16::MAX, RECEIVE_MAXIMUM),
            (connect.bridge, BRIDGE),
            (asks || limits.max_message_size.is_some(), FURTHER),
            (limits.upgrade_outgoing_qos, UPGRADE),
        ];
        others.iter().filter(|(is_set, _)| *is_set).for_each(|(_, mark)| marks |= mark);
        (Self(marks), asks)
    }

    /// Does a PUBLISH need further checks?
    #[inline]
    pub(crate) fn concern_publish(self) -> bool {
        self.0 & !BRIDGE != 0
    }

    /// Does a PUBLISH with this first byte have a QoS that the client may not use?
    pub(crate) fn refuse_qos(self, first: u8) -> bool {
        self.0 & first & (QOS_1 | QOS_2) != 0
    }

    /// Does it have RETAIN, which the client may not set?
    pub(crate) fn refuse_retain(self, first: u8) -> bool {
        self.0 & first & RETAIN != 0
    }

    /// Must the size of a payload be checked, or may its topic have to be asked about?
    pub(crate) fn look_further(self) -> bool {
        self.0 & FURTHER != 0
    }

    /// The QoS at which a message of the client is offered to subscriptions.
    pub(crate) fn offered(self, qos: QoS) -> QoS {
        if self.0 & UPGRADE != 0 { QoS::ExactlyOnce } else { qos }
    }

    pub(crate) fn have_receive_maximum(self) -> bool {
        self.0 & RECEIVE_MAXIMUM != 0
    }

    /// Are subscriptions changed before they are granted?
    pub(crate) fn concern_subscriptions(self) -> bool {
        self.0 & (BRIDGE | QOS_1 | QOS_2) != 0
    }

    /// Changes a subscription to the granted form.
    pub(crate) fn grant(self, filter: &TopicFilter, options: &mut SubscriptionOptions) {
        let most = match self.0 & (QOS_1 | QOS_2) {
            0 => QoS::ExactlyOnce,
            QOS_2 => QoS::AtLeastOnce,
            _ => QoS::AtMostOnce,
        };
        options.qos = options.qos.min(most);
        if self.0 & BRIDGE != 0 {
            // MQTT 5 lets bridges request this themselves
            options.retain_as_published = true;
            // except in a group: messages of its other members would be lost [MQTT-3.8.3-4]
            options.no_local = !filter.as_str().starts_with(SHARE_PREFIX);
        }
    }
}
