//! [`How`]: how a message is sent to one subscriber, by the options of its subscription.

use super::Share;
use crate::types::QoS;

/// How a message is sent to one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// At most the QoS of the message and the granted QoS [MQTT-3.8.4-6].
    pub qos: QoS,
    /// RETAIN: 0, unless the subscription has Retain As Published [MQTT-3.3.1-9].
    pub retain: bool,
    /// The Subscription Identifiers of the subscriptions that match (MQTT 5 section 3.3.4), as properties on the wire.
    pub identifiers: &'a [u8],
    /// The shared subscription that matched.
    pub share: Share,
}

impl From<QoS> for How<'_> {
    fn from(qos: QoS) -> Self {
        Self { qos, retain: false, identifiers: &[], share: Share::NONE }
    }
}
