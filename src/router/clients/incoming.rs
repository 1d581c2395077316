//! [`Incoming`]: a client's PUBLISH, interpreted: the topic of its Topic Alias, the time at which it expires, and the
//! properties that subscribers receive (MQTT 5 section 3.3.2.3).

use super::{super::publish::Sender, marks::Marks};
use crate::{
    codec::{PropertyId, Publish},
    session::{Extras, Message, Outgoing},
    types::QoS,
};

/// A PUBLISH of a client.
pub(crate) struct Incoming<'a> {
    /// With the topic of its Topic Alias.
    pub(crate) publish: &'a Publish<'a>,
    /// `None`: it is of MQTT 3.1 or 3.1.1.
    extras: Option<Extras<'a>>,
    /// At which it is offered to subscriptions.
    offered: QoS,
    /// Its bytes; empty if they cannot be forwarded unchanged.
    frame: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// A PUBLISH of MQTT 3.1 or 3.1.1.
    #[inline]
    pub(crate) fn plain(publish: &'a Publish<'a>, frame: &'a [u8]) -> Self {
        Self { publish, extras: None, offered: publish.qos, frame }
    }

    /// A PUBLISH of MQTT 5 with its interpreted properties.
    #[inline]
    pub(crate) fn with_extras(publish: &'a Publish<'a>, extras: Extras<'a>, frame: &'a [u8]) -> Self {
        let is_as_it_was = !publish.properties.has(PropertyId::TopicAlias);
        let frame = if is_as_it_was { frame } else { &[] };
        Self { publish, extras: Some(extras), offered: publish.qos, frame }
    }

    /// The same, offered to subscriptions as the client's marks say.
    pub(crate) fn offered_by(self, marks: Marks) -> Self {
        let qos = marks.offered(self.offered);
        // bytes with another QoS are not forwarded
        let frame = if qos == self.offered { self.frame } else { &[] };
        Self { offered: qos, frame, ..self }
    }

    /// The message to publish.
    #[inline(always)]
    pub(crate) fn outgoing(&self, Sender { client, user }: Sender<'a>) -> Outgoing<'a> {
        let mut outgoing = match self.extras {
            None => Outgoing::from_publish(client, self.publish, self.frame),
            Some(extras) => Outgoing::from_publish_5(client, self.publish, extras, self.frame),
        };
        (outgoing.user, outgoing.offered) = (user, self.offered);
        outgoing
    }

    /// A copy to keep.
    pub(crate) fn message(&self) -> Message {
        Message::with(self.publish.topic, self.publish.payload, self.offered, self.extras.unwrap_or_default())
    }
}
