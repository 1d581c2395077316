//! [`Incoming`]: a client's PUBLISH with what it means: the topic that a Topic Alias stands for, when the message
//! expires, and which properties go on to subscribers (MQTT 5 section 3.3.2.3).

use std::time::{Duration, Instant};

use super::super::publish::Sender;
use crate::{
    codec::{PropertiesBuf, PropertyId, Publish},
    session::{Extras, Message, Outgoing},
};

/// A PUBLISH of a client.
pub(crate) struct Incoming<'a> {
    /// Its topic is that which an alias stands for.
    pub(crate) publish: &'a Publish<'a>,
    /// `None`: it is of MQTT 3.1 or 3.1.1.
    extras: Option<Extras<'a>>,
    /// Its bytes; none where they cannot be passed on as they are.
    frame: &'a [u8],
}

/// Properties that end here: what they say is said to each subscriber anew, or to none.
const NOT_PASSED_ON: [PropertyId; 2] = [PropertyId::TopicAlias, PropertyId::MessageExpiryInterval];

impl<'a> Incoming<'a> {
    /// Of MQTT 3.1 or 3.1.1.
    #[inline]
    pub(crate) fn plain(publish: &'a Publish<'a>, frame: &'a [u8]) -> Self {
        Self { publish, extras: None, frame }
    }

    /// Of MQTT 5. `left`: room for its properties, with nothing in it.
    pub(crate) fn with_properties(
        publish: &'a Publish<'a>,
        left: &'a mut PropertiesBuf,
        frame: &'a [u8],
        now: Instant,
    ) -> Self {
        let said = publish.properties;
        let expires = said
            .number(PropertyId::MessageExpiryInterval)
            .and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into())));
        let properties = if NOT_PASSED_ON.iter().any(|&id| said.has(id)) {
            said.copy_without(&NOT_PASSED_ON, left);
            left.as_properties()
        } else {
            said
        };
        let is_as_it_was = !said.has(PropertyId::TopicAlias);
        let extras = Some(Extras { properties, expires });
        Self { publish, extras, frame: if is_as_it_was { frame } else { &[] } }
    }

    /// On its way.
    #[inline]
    pub(crate) fn outgoing(&self, Sender { client, user }: Sender<'a>) -> Outgoing<'a> {
        let mut outgoing = match self.extras {
            None => Outgoing::from_publish(client, self.publish, self.frame),
            Some(extras) => Outgoing::from_publish_5(client, self.publish, extras, self.frame),
        };
        outgoing.user = user;
        outgoing
    }

    /// A copy to keep.
    pub(crate) fn message(&self) -> Message {
        Message::with(self.publish.topic, self.publish.payload, self.publish.qos, self.extras.unwrap_or_default())
    }
}
