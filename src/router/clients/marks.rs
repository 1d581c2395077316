//! [`Marks`]: unusual properties of a connection, as bits of one byte, so that a PUBLISH of an ordinary client needs a
//! single check.

use super::super::RouterLimits;
use crate::{
    codec::Connect,
    topic::{SHARE_PREFIX, TopicFilter},
    types::{ProtocolVersion, QoS, SubscriptionOptions},
};

/// What holds for one connection from its CONNECT to its end, whatever becomes of the limits meanwhile: a client of
/// MQTT 5 was told so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

/// The bits in which the first byte of a PUBLISH says these (section 3.3.1). As a mark: the client may not set it.
const RETAIN: u8 = 0b0001;
const QOS_1: u8 = 0b0010;
const QOS_2: u8 = 0b0100;
/// The client speaks MQTT 5.
const FIVE: u8 = 0b0001_0000;
/// It was told a Receive Maximum.
const RECEIVE_MAXIMUM: u8 = 0b0010_0000;
/// See [`Connect::bridge`].
const BRIDGE: u8 = 0b0100_0000;
/// Its payloads have a limit.
const MESSAGE_SIZE: u8 = 0b1000_0000;

impl Marks {
    /// Those of a connection that begins.
    pub(crate) fn new(connect: &Connect<'_>, limits: &RouterLimits) -> Self {
        let is_five = connect.version == ProtocolVersion::V5;
        let mut marks = match limits.says.max_qos {
            QoS::AtMostOnce => QOS_1 | QOS_2,
            QoS::AtLeastOnce => QOS_2,
            QoS::ExactlyOnce => 0,
        };
        let others = [
            (!limits.says.retain_available, RETAIN),
            (is_five, FIVE),
            (is_five && limits.receive_maximum < u16::MAX, RECEIVE_MAXIMUM),
            (connect.bridge, BRIDGE),
            (limits.max_message_size.is_some(), MESSAGE_SIZE),
        ];
        others.iter().filter(|(is_set, _)| *is_set).for_each(|(_, mark)| marks |= mark);
        Self(marks)
    }

    /// Is a PUBLISH to be looked at further?
    #[inline]
    pub(crate) fn concern_publish(self) -> bool {
        self.0 & !BRIDGE != 0
    }

    /// Has a PUBLISH with this first byte a QoS that the client may not use?
    pub(crate) fn refuse_qos(self, first: u8) -> bool {
        self.0 & first & (QOS_1 | QOS_2) != 0
    }

    /// Has it RETAIN, which the client may not set?
    pub(crate) fn refuse_retain(self, first: u8) -> bool {
        self.0 & first & RETAIN != 0
    }

    /// Is the payload of a PUBLISH to be looked at?
    pub(crate) fn limit_messages(self) -> bool {
        self.0 & MESSAGE_SIZE != 0
    }

    pub(crate) fn have_receive_maximum(self) -> bool {
        self.0 & RECEIVE_MAXIMUM != 0
    }

    /// Are subscriptions granted as they are asked for?
    pub(crate) fn concern_subscriptions(self) -> bool {
        self.0 & (BRIDGE | QOS_1 | QOS_2) != 0
    }

    /// A subscription as it is granted.
    pub(crate) fn grant(self, filter: &TopicFilter, options: &mut SubscriptionOptions) {
        let most = match self.0 & (QOS_1 | QOS_2) {
            0 => QoS::ExactlyOnce,
            QOS_2 => QoS::AtLeastOnce,
            _ => QoS::AtMostOnce,
        };
        options.qos = options.qos.min(most);
        if self.0 & BRIDGE != 0 {
            // as MQTT 5 lets bridges say for themselves
            options.retain_as_published = true;
            // not where a group shares messages: one that is nobody else's would be lost [MQTT-3.8.3-4]
            options.no_local = !filter.as_str().starts_with(SHARE_PREFIX);
        }
    }
}
