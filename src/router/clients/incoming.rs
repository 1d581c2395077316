//! [`Incoming`]: a client's PUBLISH with what it means: the topic that a Topic Alias stands for, when the message
//! expires, and which properties go on to subscribers (MQTT 5 section 3.3.2.3).

use std::time::Instant;

use crate::{
    codec::{PropertiesBuf, PropertyId, Publish},
    session::{Extras, Message, Outgoing},
    topic::TopicName,
    types::{ClientId, ProtocolVersion, UserName},
};

/// A PUBLISH of a client.
pub(crate) struct Incoming<'a> {
    /// Its topic is that which an alias stands for.
    pub(crate) publish: Publish<'a>,
    version: ProtocolVersion,
    extras: Extras<'a>,
    /// Its bytes, where they can be passed on as they are.
    frame: Option<&'a [u8]>,
}

/// Properties that end here: what they say is said to each subscriber anew, or to none.
const NOT_PASSED_ON: [PropertyId; 2] = [PropertyId::TopicAlias, PropertyId::MessageExpiryInterval];

impl<'a> Incoming<'a> {
    /// Of MQTT 3.1 or 3.1.1.
    #[inline]
    pub(crate) fn plain(version: ProtocolVersion, publish: &Publish<'a>, frame: &'a [u8]) -> Self {
        Self { publish: *publish, version, extras: Extras::default(), frame: Some(frame) }
    }

    /// Of MQTT 5. `topic` is what its alias stands for, if it has one; `left`: room for its properties.
    pub(crate) fn with_properties(
        publish: &Publish<'a>,
        topic: Option<&'a TopicName>,
        left: &'a mut PropertiesBuf,
        frame: &'a [u8],
        now: Instant,
    ) -> Self {
        let said = publish.properties;
        let expires = said
            .number(PropertyId::MessageExpiryInterval)
            .and_then(|seconds| now.checked_add(std::time::Duration::from_secs(seconds.into())));
        let properties = if NOT_PASSED_ON.iter().any(|&id| said.has(id)) {
            *left = said.without(&NOT_PASSED_ON);
            left.as_properties()
        } else {
            said
        };
        Self {
            publish: Publish { topic: topic.unwrap_or(publish.topic), ..*publish },
            version: ProtocolVersion::V5,
            extras: Extras { properties, expires, identifiers: &[] },
            frame: topic.is_none().then_some(frame),
        }
    }

    /// On its way.
    #[inline]
    pub(crate) fn outgoing(&self, client: &'a ClientId, user: Option<&'a UserName>) -> Outgoing<'a> {
        let mut outgoing = match self.version {
            ProtocolVersion::V5 => Outgoing::from_publish_5(client, &self.publish, self.extras, self.frame),
            _ => Outgoing::from_publish(client, &self.publish, self.frame.unwrap_or_default()),
        };
        outgoing.user = user;
        outgoing
    }

    /// A copy to keep.
    pub(crate) fn message(&self) -> Message {
        Message::with(self.publish.topic, self.publish.payload, self.publish.qos, self.extras)
    }
}
