//! [`Told`]: events that are reported to other services, by name; [`PayloadForm`]: the encoding of their payloads.

/// Something that happens, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// A client was accepted.
    ClientConnected,
    /// A client's connection ended.
    ClientDisconnected,
    /// A client's CONNECT was refused.
    ClientRefused,
    /// A ban was added.
    ClientBanned,
    /// A client was granted a subscription.
    ClientSubscribed,
    /// A client's subscription was removed.
    ClientUnsubscribed,
    /// A session ended as its client was away for too long.
    SessionExpired,
    /// A message was published.
    MessagePublished,
    /// A message was sent to a subscriber.
    MessageDelivered,
    /// A subscriber acknowledged a message.
    MessageAcknowledged,
    /// A message was dropped.
    MessageDropped,
    /// A Will was published.
    WillPublished,
    /// The broker started.
    BrokerStarted,
    /// The broker stops.
    BrokerStopping,
    /// The store's condition changed.
    StoreCondition,
    /// A bridge connected.
    BridgeUp,
    /// A bridge's connection ended or did not begin.
    BridgeDown,
}

impl Told {
    /// Each with its name.
    pub const WORDS: [(&'static str, Self); 17] = [
        ("client.connected", Self::ClientConnected),
        ("client.disconnected", Self::ClientDisconnected),
        ("client.refused", Self::ClientRefused),
        ("client.banned", Self::ClientBanned),
        ("client.subscribed", Self::ClientSubscribed),
        ("client.unsubscribed", Self::ClientUnsubscribed),
        ("session.expired", Self::SessionExpired),
        ("message.published", Self::MessagePublished),
        ("message.delivered", Self::MessageDelivered),
        ("message.acknowledged", Self::MessageAcknowledged),
        ("message.dropped", Self::MessageDropped),
        ("will.published", Self::WillPublished),
        ("broker.started", Self::BrokerStarted),
        ("broker.stopping", Self::BrokerStopping),
        ("store.condition", Self::StoreCondition),
        ("bridge.up", Self::BridgeUp),
        ("bridge.down", Self::BridgeDown),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, told)| *told == self).map_or("", |(name, _)| name)
    }

    /// Does it concern the broker itself, or what it is connected with?
    pub fn is_of_broker(self) -> bool {
        matches!(
            self,
            Self::BrokerStarted | Self::BrokerStopping | Self::StoreCondition | Self::BridgeUp | Self::BridgeDown
        )
    }

    /// Has it a topic?
    pub fn is_of_message(self) -> bool {
        matches!(
            self,
            Self::MessagePublished
                | Self::MessageDelivered
                | Self::MessageAcknowledged
                | Self::MessageDropped
                | Self::WillPublished
        )
    }
}

/// How a payload is written into an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadForm {
    /// In base64.
    #[default]
    Base64,
    /// As text, and in base64 where it is none.
    Text,
    /// As a value of JSON, and in base64 where it is none.
    Json,
    /// Not at all.
    None,
}
