//! The properties of CONNECT and CONNACK (MQTT 5 sections 3.1.2.11 and 3.2.2.3): the session expiry, the client's
//! limits, the server's limits.

use super::{
    super::{RouterLimits, ServerSays, thread::Count},
    authentication::add_authentication,
};
use crate::{
    codec::{self, Connect, Properties, PropertiesBuf, PropertyId, ReasonCode, Will},
    session::{ClientSays, CloseReason, Expiry, Extras, Message, ProtocolError, StoredWill},
    types::{ClientId, ProtocolVersion, QoS, SharedSubscriptions, UserName},
};

/// How long a client's session lasts: the requested time, at most the server's limit.
pub(crate) fn expiry_of(connect: &Connect<'_>) -> Expiry {
    match connect.version {
        ProtocolVersion::V5 => Expiry::of_seconds(connect.properties.number(PropertyId::SessionExpiryInterval)),
        _ if connect.clean_session => Expiry::WithConnection,
        _ => Expiry::Never,
    }
}

/// A CONNECT to be accepted.
pub(crate) struct Asks<'a> {
    pub(crate) connect: &'a Connect<'a>,
    pub(crate) client: &'a ClientId,
    /// The highest QoS that it may use.
    pub(crate) max_qos: QoS,
}

/// The properties of the CONNACK for an accepted client, and those of its CONNECT. `Err`: the CONNACK is larger than
/// the client accepts. `data`: Authentication Data for it.
pub(crate) fn both(
    asks: &Asks<'_>,
    user: Option<&UserName>,
    data: Option<&[u8]>,
    limits: &RouterLimits,
) -> Result<(PropertiesBuf, ClientSays), ProtocolError> {
    let Asks { connect, client, .. } = *asks;
    let (mut told, says) = (properties(asks, limits), says(connect, limits));
    if let Some(method) = connect.properties.text(PropertyId::AuthenticationMethod) {
        add_authentication(&mut told, method, data)?;
    }
    let fits = |told: &Properties<'_>| codec::encode::connack_len_5(told) <= says.maximum_packet_size as usize;
    if !fits(&told.as_properties()) {
        return Err(ProtocolError::AnswerTooLarge);
    }
    if let Some(information) = response_information(connect, client, user, limits) {
        let without = told.clone();
        // left out if the CONNACK would be too large for the client
        if !(told.text(PropertyId::ResponseInformation, &information) && fits(&told.as_properties())) {
            told = without;
        }
    }
    Ok((told, says))
}

/// Response Information, for a client that requests it (section 3.1.2.11.7). A wildcard in an inserted name would make
/// it valid for other clients too.
fn response_information(
    connect: &Connect<'_>,
    client: &ClientId,
    user: Option<&UserName>,
    limits: &RouterLimits,
) -> Option<String> {
    let wanted = limits.says.response_information.as_deref()?;
    connect.properties.flag(PropertyId::RequestResponseInformation).filter(|asked| *asked)?;
    let (mut filled, mut rest) = (String::with_capacity(wanted.len()), wanted);
    // in one pass: an inserted name is not searched for placeholders
    while let Some(at) = rest.find('%') {
        filled += &rest[..at];
        rest = &rest[at..];
        let name = match rest.as_bytes().get(1) {
            Some(b'c') => client.as_str(),
            Some(b'u') => user?.as_str(),
            _ => {
                filled += "%";
                rest = &rest[1..];
                continue;
            }
        };
        if name.contains(['+', '#']) {
            return None;
        }
        filled += name;
        rest = &rest[2..];
    }
    filled += rest;
    Some(filled)
}

/// The Keep Alive in force, in seconds: the requested one, or a shorter one that the client is told [MQTT-3.1.2-21].
/// Clients before MQTT 5 cannot be told and are refused.
pub(crate) fn keep_alive(connect: &Connect<'_>, limits: &RouterLimits) -> Result<u16, CloseReason> {
    let asked = connect.keep_alive;
    match limits.says.max_keep_alive {
        Some(most) if asked == 0 || asked > most => match connect.version {
            ProtocolVersion::V5 => Ok(most),
            // this connection ends at once
            _ if connect.client_id == HEALTH_CHECK => Ok(most),
            _ => Err(refused(
                ReasonCode::ClientIdentifierNotValid,
                "its Keep Alive is longer than limits.max_keep_alive, or 0, which is none",
            )),
        },
        _ => Ok(asked),
    }
}

/// Is a Will retained? The error has the counter: the server does not support retained Wills.
pub(crate) fn will_retain(
    asks: &Asks<'_>,
    will: &Will<'_>,
    limits: &RouterLimits,
) -> Result<bool, (Count, CloseReason)> {
    let (version, retain_available) = (asks.connect.version, limits.says.retain_available);
    if will.qos > asks.max_qos {
        let why = "the QoS of its Will is above limits.max_qos [MQTT-3.2.2-12]";
        return Err((Count::RefusedQos, refused(ReasonCode::QosNotSupported, why)));
    }
    if will.retain && !retain_available && version == ProtocolVersion::V5 {
        let why = "its Will is to be retained, and limits.retain_available is false [MQTT-3.2.2-13]";
        return Err((Count::RefusedRetain, refused(ReasonCode::RetainNotSupported, why)));
    }
    Ok(will.retain && retain_available)
}

/// The properties of a CONNECT that concern packets to the client.
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

/// The properties of the CONNACK for an accepted client.
fn properties(asks: &Asks<'_>, limits: &RouterLimits) -> PropertiesBuf {
    let Asks { connect, client, max_qos } = *asks;
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
    let ServerSays { retain_available, max_keep_alive, .. } = limits.says;
    if max_qos < QoS::ExactlyOnce {
        told.flag(PropertyId::MaximumQos, max_qos == QoS::AtLeastOnce);
    }
    if !retain_available {
        told.flag(PropertyId::RetainAvailable, false);
    }
    told.number(PropertyId::MaximumPacketSize, limits.told_packet_size());
    if connect.client_id.is_empty() {
        told.text(PropertyId::AssignedClientIdentifier, client.as_str());
    }
    if limits.topic_alias_maximum > 0 {
        told.number(PropertyId::TopicAliasMaximum, limits.topic_alias_maximum.into());
    }
    if limits.shared_subscriptions == SharedSubscriptions::Off {
        told.flag(PropertyId::SharedSubscriptionAvailable, false);
    }
    if let Some(most) = max_keep_alive.filter(|most| connect.keep_alive == 0 || connect.keep_alive > *most) {
        told.number(PropertyId::ServerKeepAlive, most.into());
    }
    told
}

/// The Will of a CONNECT. The properties about its publication and expiry are not forwarded unchanged.
pub(crate) fn will_of(will: &Will<'_>) -> StoredWill {
    let own = will.properties.without(&[PropertyId::WillDelayInterval, PropertyId::MessageExpiryInterval]);
    let extras = Extras { properties: own.as_properties(), ..Extras::default() };
    StoredWill {
        message: Message::with(will.topic, will.payload, will.qos, extras),
        retain: will.retain,
        delay: will.properties.number(PropertyId::WillDelayInterval).unwrap_or_default(),
        expiry: will.properties.number(PropertyId::MessageExpiryInterval),
    }
}

/// The Client Identifier of a health check, which connections handle: the only one with `$` that is accepted from the
/// network.
pub const HEALTH_CHECK: &str = "$health";

pub(super) fn refused(code: ReasonCode, why: &'static str) -> CloseReason {
    CloseReason::Refused { code, why: why.into() }
}
