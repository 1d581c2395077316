//! [`How`]: how a message is sent to one subscriber, by the options of its subscription.

use super::Share;
use crate::types::QoS;

/// How a message is sent to one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// At most that of the message, and that which its subscription was granted [MQTT-3.8.4-6].
    pub qos: QoS,
    /// RETAIN: 0, unless the subscription asks for it as it was published [MQTT-3.3.1-9].
    pub retain: bool,
    /// The Subscription Identifiers of the subscriptions that match (MQTT 5 section 3.3.4), as properties on the wire.
    pub identifiers: &'a [u8],
    /// The shared subscription that it comes through.
    pub share: Share,
}

impl From<QoS> for How<'_> {
    fn from(qos: QoS) -> Self {
        Self { qos, retain: false, identifiers: &[], share: Share::NONE }
    }
}
