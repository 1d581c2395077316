//! What CONNECT and CONNACK of MQTT 5 say beside what those of 3.1.1 do (MQTT 5 sections 3.1.2.11 and 3.2.2.3): how
//! long a session lasts, what a client says of itself, what it is told.

use super::super::RouterLimits;
use crate::{
    codec::{self, Connect, PropertiesBuf, PropertyId, Will},
    session::{ClientSays, Expiry, Extras, Message, ProtocolError, StoredWill},
    types::{ClientId, ProtocolVersion, SharedSubscriptions},
};

/// How long the session of a client lasts: as its CONNECT asks, and no longer than the server keeps any.
pub(crate) fn expiry_of(connect: &Connect<'_>) -> Expiry {
    match connect.version {
        ProtocolVersion::V5 => Expiry::of_seconds(connect.properties.number(PropertyId::SessionExpiryInterval)),
        _ if connect.clean_session => Expiry::WithConnection,
        _ => Expiry::Never,
    }
}

/// What a client that is accepted is told, and what it says of itself; or it does not take as much as it is to be told.
pub(crate) fn both(
    connect: &Connect<'_>,
    client: &ClientId,
    limits: &RouterLimits,
) -> Result<(PropertiesBuf, ClientSays), ProtocolError> {
    let (told, says) = (properties(connect, client, limits), says(connect, limits));
    if codec::encode::connack_len_5(&told.as_properties()) > says.maximum_packet_size as usize {
        return Err(ProtocolError::AnswerTooLarge);
    }
    Ok((told, says))
}

/// What a client says of itself.
fn says(connect: &Connect<'_>, limits: &RouterLimits) -> ClientSays {
    let (properties, default) = (&connect.properties, ClientSays::default());
    ClientSays {
        receive_maximum: properties.short(PropertyId::ReceiveMaximum).unwrap_or(default.receive_maximum),
        maximum_packet_size: properties.number(PropertyId::MaximumPacketSize).unwrap_or(default.maximum_packet_size),
        topic_alias_maximum: properties
            .short(PropertyId::TopicAliasMaximum)
            .unwrap_or_default()
            .min(limits.topic_alias_maximum),
    }
}

/// What a client that is accepted is told.
fn properties(connect: &Connect<'_>, client: &ClientId, limits: &RouterLimits) -> PropertiesBuf {
    let mut told = PropertiesBuf::default();
    if connect.version != ProtocolVersion::V5 {
        return told;
    }
    let asked = connect.properties.number(PropertyId::SessionExpiryInterval);
    if let Some(most) = limits.session_expiry {
        let most = u32::try_from(most.as_secs()).unwrap_or(u32::MAX);
        if asked.is_some_and(|asked| asked > most) {
            told.number(PropertyId::SessionExpiryInterval, most);
        }
    }
    if limits.receive_maximum < u16::MAX {
        told.number(PropertyId::ReceiveMaximum, limits.receive_maximum.into());
    }
    told.number(PropertyId::MaximumPacketSize, u32::try_from(limits.max_packet_size).unwrap_or(u32::MAX));
    if connect.client_id.is_empty() {
        told.text(PropertyId::AssignedClientIdentifier, client.as_str());
    }
    if limits.topic_alias_maximum > 0 {
        told.number(PropertyId::TopicAliasMaximum, limits.topic_alias_maximum.into());
    }
    if limits.shared_subscriptions == SharedSubscriptions::Off {
        told.flag(PropertyId::SharedSubscriptionAvailable, false);
    }
    told
}

/// Its Will.
pub(crate) fn will_of(will: &Will<'_>) -> StoredWill {
    let properties = will.properties.without(&[PropertyId::WillDelayInterval, PropertyId::MessageExpiryInterval]);
    let extras = Extras { properties: properties.as_properties(), ..Extras::default() };
    StoredWill { message: Message::with(will.topic, will.payload, will.qos, extras), retain: will.retain }
}
