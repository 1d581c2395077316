//! [`Publication`]: a message that is published from within this process.

use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    codec::{Carrier, PacketType, PropertiesBuf, PropertyId, PropertyValue},
    router::{Router, RouterThread},
    session::{CloseReason, Extras, Outgoing, Stored},
    topic::{TopicError, TopicName},
    types::{ClientId, QoS},
};

/// A message to be published from within this process.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    topic: String,
    payload: Bytes,
    qos: QoS,
    retain: bool,
    properties: PropertiesBuf,
}

/// The result of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Number of subscribers; a group of shared subscriptions counts as one.
    pub subscribers: usize,
}

/// The reason why a message was not published, or not stored.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic is invalid.
    #[error("not a Topic Name: it {0}")]
    Topic(#[from] TopicError),
    /// A property that a PUBLISH from a client may not have.
    #[error("a PUBLISH has no property {0}")]
    Property(PropertyId),
    /// Its PUBLISH would be longer than `limits.max_packet_size`.
    #[error("{bytes} bytes of topic, properties and payload: limits.max_packet_size is {most}")]
    TooLarge {
        /// Bytes of topic, properties and payload.
        bytes: usize,
        /// `limits.max_packet_size`.
        most: usize,
    },
    /// It was refused; or it was delivered, but could not be stored.
    #[error("{0}")]
    Refused(CloseReason),
    /// The server has stopped, or the client was closed.
    #[error("the client is closed, or the server has stopped")]
    Stopped,
}

/// Properties that are not passed on unchanged.
const MESSAGE_EXPIRY: &[PropertyId] = &[PropertyId::MessageExpiryInterval];

impl Publication {
    /// A message of QoS 0, without RETAIN and properties.
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), ..Self::default() }
    }

    /// Sets the QoS. (From within the process, QoS 2 costs as much as QoS 1.)
    pub fn qos(self, qos: QoS) -> Self {
        Self { qos, ..self }
    }

    /// Sets RETAIN.
    pub fn retain(self, retain: bool) -> Self {
        Self { retain, ..self }
    }

    /// Sets the properties of MQTT 5, Message Expiry Interval included; they replace earlier ones.
    pub fn properties(self, properties: PropertiesBuf) -> Self {
        Self { properties, ..self }
    }

    /// Adds a User Property. Names and values longer than 65,535 bytes are left out.
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.properties.push(PropertyId::UserProperty, PropertyValue::Pair(name, value));
        self
    }

    /// Publishes it for this client, or for the broker itself. Returns the commit to wait for, and the number of
    /// subscribers.
    pub(super) fn publish(
        &self,
        router: &Router,
        thread: &mut RouterThread,
        client: Option<&ClientId>,
        now: Instant,
    ) -> Result<(Stored, usize), PublishError> {
        let topic = TopicName::new(&self.topic)?;
        let said = self.properties.as_properties();
        let is_allowed = |id: PropertyId| {
            id.is_for(Carrier::Packet(PacketType::Publish))
                && !matches!(id, PropertyId::TopicAlias | PropertyId::SubscriptionIdentifier)
        };
        if let Some((id, _)) = said.iter().find(|(id, _)| !is_allowed(*id)) {
            return Err(PublishError::Property(id));
        }
        let (bytes, most) = (topic.as_str().len() + said.as_bytes().len() + self.payload.len(), thread.limits());
        if bytes > most.max_packet_size {
            return Err(PublishError::TooLarge { bytes, most: most.max_packet_size });
        }
        let expires = said
            .number(PropertyId::MessageExpiryInterval)
            .and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into())));
        let own = said.without(MESSAGE_EXPIRY);
        let mut outgoing = Outgoing::new(topic, &self.payload, self.qos).with_retain(self.retain);
        outgoing.from = client;
        outgoing.extras = Extras { properties: own.as_properties(), expires };
        router.publish_inside(thread, &outgoing).map_err(PublishError::Refused)
    }
}
