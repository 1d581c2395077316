//! [`ReasonCode`]: the Reason Codes of MQTT 5, used in all rooms, and the codes of earlier versions that correspond.

use std::fmt;

use super::PacketType;

/// Reason Codes of MQTT 5 (section 2.4 there), also for clients of earlier versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ReasonCode {
    /// Success; also "Normal disconnection" and "Granted QoS 0".
    #[default]
    Success = 0x00,
    /// The subscription has a maximum QoS of 1.
    GrantedQoS1 = 0x01,
    /// The subscription has a maximum QoS of 2.
    GrantedQoS2 = 0x02,
    /// The client disconnects, and its Will Message must still be published.
    DisconnectWithWill = 0x04,
    /// The message was accepted, and its topic has no subscribers.
    NoMatchingSubscribers = 0x10,
    /// There was no such subscription.
    NoSubscriptionExisted = 0x11,
    /// The authentication continues with another step.
    ContinueAuthentication = 0x18,
    /// The client re-authenticates.
    ReAuthenticate = 0x19,
    /// Without a more specific reason.
    UnspecifiedError = 0x80,
    /// The bytes are not a packet of this version.
    MalformedPacket = 0x81,
    /// A packet that violates the protocol.
    ProtocolError = 0x82,
    /// The packet is valid, but not accepted by this server.
    ImplementationSpecificError = 0x83,
    /// The server does not support the requested version.
    UnsupportedProtocolVersion = 0x84,
    /// The Client Identifier is well-formed text, but not accepted by this server.
    ClientIdentifierNotValid = 0x85,
    /// The server does not accept the user name or password.
    BadUserNameOrPassword = 0x86,
    /// The peer may not do this.
    NotAuthorized = 0x87,
    /// The server cannot serve the client now.
    ServerUnavailable = 0x88,
    /// The server is busy; the client may try again later.
    ServerBusy = 0x89,
    /// An operator banned the client.
    Banned = 0x8A,
    /// The server shuts down.
    ServerShuttingDown = 0x8B,
    /// The Authentication Method is not supported, or is not the one in use.
    BadAuthenticationMethod = 0x8C,
    /// Nothing was received for one and a half times the Keep Alive.
    KeepAliveTimeout = 0x8D,
    /// Another connection uses the same Client Identifier.
    SessionTakenOver = 0x8E,
    /// The Topic Filter is valid, but not accepted by this server.
    TopicFilterInvalid = 0x8F,
    /// The Topic Name is valid, but not accepted by this server.
    TopicNameInvalid = 0x90,
    /// The Packet Identifier is in use.
    PacketIdentifierInUse = 0x91,
    /// The Packet Identifier is not known.
    PacketIdentifierNotFound = 0x92,
    /// More messages are unacknowledged than Receive Maximum allows.
    ReceiveMaximumExceeded = 0x93,
    /// The Topic Alias is 0, or greater than Topic Alias Maximum.
    TopicAliasInvalid = 0x94,
    /// The packet is larger than the receiver accepts.
    PacketTooLarge = 0x95,
    /// Messages arrive too fast.
    MessageRateTooHigh = 0x96,
    /// A limit of this server is reached.
    QuotaExceeded = 0x97,
    /// An operator, or a change of the configuration, closed the connection.
    AdministrativeAction = 0x98,
    /// The payload does not fit its Payload Format Indicator.
    PayloadFormatInvalid = 0x99,
    /// The server does not support retained messages.
    RetainNotSupported = 0x9A,
    /// The QoS is above Maximum QoS.
    QosNotSupported = 0x9B,
    /// The client should use another server for a while.
    UseAnotherServer = 0x9C,
    /// The client should use another server from now on.
    ServerMoved = 0x9D,
    /// The server does not support shared subscriptions.
    SharedSubscriptionsNotSupported = 0x9E,
    /// Connections arrive too fast.
    ConnectionRateExceeded = 0x9F,
    /// The connection has lasted as long as it was authorized for.
    MaximumConnectTime = 0xA0,
    /// The server does not support Subscription Identifiers.
    SubscriptionIdentifiersNotSupported = 0xA1,
    /// The server does not support subscriptions with wildcards.
    WildcardSubscriptionsNotSupported = 0xA2,
}

/// Which packets may have which Reason Code (the table of section 2.4, and those of chapter 3).
#[rustfmt::skip]
static TABLE: [(ReasonCode, &[PacketType]); 43] = {
    use {PacketType::*, ReasonCode::*};
    [
        (Success, &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth]),
        (GrantedQoS1, &[Suback]),
        (GrantedQoS2, &[Suback]),
        (DisconnectWithWill, &[Disconnect]),
        (NoMatchingSubscribers, &[Puback, Pubrec]),
        (NoSubscriptionExisted, &[Unsuback]),
        (ContinueAuthentication, &[Auth]),
        (ReAuthenticate, &[Auth]),
        (UnspecifiedError, &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (MalformedPacket, &[Connack, Disconnect]),
        (ProtocolError, &[Connack, Disconnect]),
        (ImplementationSpecificError, &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (UnsupportedProtocolVersion, &[Connack]),
        (ClientIdentifierNotValid, &[Connack]),
        (BadUserNameOrPassword, &[Connack]),
        (NotAuthorized, &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (ServerUnavailable, &[Connack]),
        (ServerBusy, &[Connack, Disconnect]),
        (Banned, &[Connack]),
        (ServerShuttingDown, &[Disconnect]),
        (BadAuthenticationMethod, &[Connack, Disconnect]),
        (KeepAliveTimeout, &[Disconnect]),
        (SessionTakenOver, &[Disconnect]),
        (TopicFilterInvalid, &[Suback, Unsuback, Disconnect]),
        (TopicNameInvalid, &[Connack, Puback, Pubrec, Disconnect]),
        (PacketIdentifierInUse, &[Puback, Pubrec, Suback, Unsuback]),
        (PacketIdentifierNotFound, &[Pubrel, Pubcomp]),
        (ReceiveMaximumExceeded, &[Disconnect]),
        (TopicAliasInvalid, &[Disconnect]),
        (PacketTooLarge, &[Connack, Disconnect]),
        (MessageRateTooHigh, &[Disconnect]),
        (QuotaExceeded, &[Connack, Puback, Pubrec, Suback, Disconnect]),
        (AdministrativeAction, &[Disconnect]),
        (PayloadFormatInvalid, &[Connack, Puback, Pubrec, Disconnect]),
        (RetainNotSupported, &[Connack, Disconnect]),
        (QosNotSupported, &[Connack, Disconnect]),
        (UseAnotherServer, &[Connack, Disconnect]),
        (ServerMoved, &[Connack, Disconnect]),
        (SharedSubscriptionsNotSupported, &[Suback, Disconnect]),
        (ConnectionRateExceeded, &[Connack, Disconnect]),
        (MaximumConnectTime, &[Disconnect]),
        (SubscriptionIdentifiersNotSupported, &[Suback, Disconnect]),
        (WildcardSubscriptionsNotSupported, &[Suback, Disconnect]),
    ]
};

/// The Connect Return codes of MQTT 3.1 and 3.1.1 (section 3.2.2.3), by value.
const CONNECT_RETURN_CODES: [ReasonCode; 6] = [
    ReasonCode::Success,
    ReasonCode::UnsupportedProtocolVersion,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::ServerUnavailable,
    ReasonCode::BadUserNameOrPassword,
    ReasonCode::NotAuthorized,
];

impl ReasonCode {
    /// The Reason Code of a byte in a packet of this type; `None`: not allowed there.
    pub fn from_byte(byte: u8, packet: PacketType) -> Option<Self> {
        TABLE.iter().find(|(reason, packets)| *reason as u8 == byte && packets.contains(&packet)).map(|row| row.0)
    }

    /// May a packet of this type have it?
    pub fn is_for(self, packet: PacketType) -> bool {
        Self::from_byte(self as u8, packet).is_some()
    }

    /// Is it an error?
    pub fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Does it refuse a client that another server could serve?
    pub fn is_for_another_server(self) -> bool {
        matches!(self, Self::ServerUnavailable | Self::ServerBusy | Self::QuotaExceeded | Self::ServerShuttingDown)
    }

    /// The corresponding Connect Return code of MQTT 3.1 and 3.1.1, or the nearest one. `None`: there is none, and the
    /// connection closes without a CONNACK [MQTT-3.2.2-6].
    pub fn connect_return_code(self) -> Option<u8> {
        let said = match self {
            Self::QuotaExceeded | Self::ServerShuttingDown => Self::ServerUnavailable,
            Self::Banned => Self::NotAuthorized,
            // about a Will: the nearest code that tells the client not to try again unchanged
            Self::QosNotSupported | Self::RetainNotSupported => Self::ClientIdentifierNotValid,
            reason => reason,
        };
        CONNECT_RETURN_CODES.iter().position(|&reason| reason == said).and_then(|code| u8::try_from(code).ok())
    }

    /// The Reason Code of a Connect Return code; `None`: a reserved one.
    pub(crate) fn from_connect_return_code(code: u8) -> Option<Self> {
        CONNECT_RETURN_CODES.get(usize::from(code)).copied()
    }
}

/// Its name in section 2.4.
impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::GrantedQoS1 => "granted QoS 1",
            Self::GrantedQoS2 => "granted QoS 2",
            Self::DisconnectWithWill => "disconnect with Will Message",
            Self::NoMatchingSubscribers => "no matching subscribers",
            Self::NoSubscriptionExisted => "no subscription existed",
            Self::ContinueAuthentication => "continue authentication",
            Self::ReAuthenticate => "re-authenticate",
            Self::UnspecifiedError => "unspecified error",
            Self::MalformedPacket => "malformed packet",
            Self::ProtocolError => "protocol error",
            Self::ImplementationSpecificError => "implementation specific error",
            Self::UnsupportedProtocolVersion => "unsupported protocol version",
            Self::ClientIdentifierNotValid => "Client Identifier not valid",
            Self::BadUserNameOrPassword => "bad user name or password",
            Self::NotAuthorized => "not authorized",
            Self::ServerUnavailable => "server unavailable",
            Self::ServerBusy => "server busy",
            Self::Banned => "banned",
            Self::ServerShuttingDown => "server shutting down",
            Self::BadAuthenticationMethod => "bad Authentication Method",
            Self::KeepAliveTimeout => "Keep Alive timeout",
            Self::SessionTakenOver => "session taken over",
            Self::TopicFilterInvalid => "Topic Filter invalid",
            Self::TopicNameInvalid => "Topic Name invalid",
            Self::PacketIdentifierInUse => "Packet Identifier in use",
            Self::PacketIdentifierNotFound => "Packet Identifier not found",
            Self::ReceiveMaximumExceeded => "Receive Maximum exceeded",
            Self::TopicAliasInvalid => "Topic Alias invalid",
            Self::PacketTooLarge => "packet too large",
            Self::MessageRateTooHigh => "message rate too high",
            Self::QuotaExceeded => "quota exceeded",
            Self::AdministrativeAction => "administrative action",
            Self::PayloadFormatInvalid => "payload format invalid",
            Self::RetainNotSupported => "retain not supported",
            Self::QosNotSupported => "QoS not supported",
            Self::UseAnotherServer => "use another server",
            Self::ServerMoved => "server moved",
            Self::SharedSubscriptionsNotSupported => "shared subscriptions not supported",
            Self::ConnectionRateExceeded => "connection rate exceeded",
            Self::MaximumConnectTime => "maximum connect time",
            Self::SubscriptionIdentifiersNotSupported => "Subscription Identifiers not supported",
            Self::WildcardSubscriptionsNotSupported => "wildcard subscriptions not supported",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_code_is_translated_to_the_nearest_code_of_3_1_1() {
        for code in 0..=5 {
            let reason = ReasonCode::from_connect_return_code(code);
            assert_eq!(reason.and_then(ReasonCode::connect_return_code), Some(code));
        }
        assert_eq!(ReasonCode::from_connect_return_code(6), None);
        assert_eq!(ReasonCode::QuotaExceeded.connect_return_code(), Some(3));
        assert_eq!(ReasonCode::QosNotSupported.connect_return_code(), Some(2));
        assert_eq!(ReasonCode::MalformedPacket.connect_return_code(), None);
    }
}
