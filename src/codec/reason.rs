//! Reason codes: the words in which the rooms tell each other what was wrong, and what versions before MQTT 5 say
//! instead.

/// Reason Codes of MQTT 5 (section 2.4 there), whatever a client's version lets the server say to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum ReasonCode {
    /// It was done; also "Normal disconnection" and "Granted QoS 0".
    #[default]
    Success = 0x00,
    /// No more can be said.
    UnspecifiedError = 0x80,
    /// The bytes are not a packet of this version.
    MalformedPacket = 0x81,
    /// A packet that may not come now, or may not say this.
    ProtocolError = 0x82,
    /// The server does not speak the version that the client asks for.
    UnsupportedProtocolVersion = 0x84,
    /// The Client Identifier is well-formed text, but not accepted by this server.
    ClientIdentifierNotValid = 0x85,
    /// The server does not accept the user name or password.
    BadUserNameOrPassword = 0x86,
    /// The peer may not do this.
    NotAuthorized = 0x87,
    /// The server cannot serve the client now.
    ServerUnavailable = 0x88,
    /// The server shuts down.
    ServerShuttingDown = 0x8B,
    /// Nothing was received for one and a half times the Keep Alive.
    KeepAliveTimeout = 0x8D,
    /// Another connection uses the same Client Identifier.
    SessionTakenOver = 0x8E,
    /// The Topic Filter is valid, but not accepted by this server.
    TopicFilterInvalid = 0x8F,
    /// The Topic Name is valid, but not accepted by this server.
    TopicNameInvalid = 0x90,
    /// The packet is larger than this server takes.
    PacketTooLarge = 0x95,
    /// A limit of this server is reached.
    QuotaExceeded = 0x97,
    /// This server has no shared subscriptions.
    SharedSubscriptionsNotSupported = 0x9E,
}

/// The Connect Return codes of MQTT 3.1 and 3.1.1 (section 3.2.2.3), each in its place.
const CONNECT_RETURN_CODES: [ReasonCode; 6] = [
    ReasonCode::Success,
    ReasonCode::UnsupportedProtocolVersion,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::ServerUnavailable,
    ReasonCode::BadUserNameOrPassword,
    ReasonCode::NotAuthorized,
];

impl ReasonCode {
    /// The Connect Return code by which MQTT 3.1 and 3.1.1 say this, or what comes nearest. `None`: they have no word
    /// for it, and the connection closes without a CONNACK [MQTT-3.2.2-6].
    pub fn connect_return_code(self) -> Option<u8> {
        let said = match self {
            Self::QuotaExceeded | Self::ServerShuttingDown => Self::ServerUnavailable,
            reason => reason,
        };
        CONNECT_RETURN_CODES.iter().position(|&reason| reason == said).and_then(|code| u8::try_from(code).ok())
    }

    /// What a Connect Return code says; `None` for a reserved one.
    pub(super) fn from_connect_return_code(code: u8) -> Option<Self> {
        CONNECT_RETURN_CODES.get(usize::from(code)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_word_before_mqtt_5_is_said_by_the_nearest_or_not_at_all() {
        for code in 0..=5 {
            let reason = ReasonCode::from_connect_return_code(code);
            assert_eq!(reason.and_then(ReasonCode::connect_return_code), Some(code));
        }
        assert_eq!(ReasonCode::from_connect_return_code(6), None);
        assert_eq!(ReasonCode::QuotaExceeded.connect_return_code(), Some(3));
        assert_eq!(ReasonCode::MalformedPacket.connect_return_code(), None);
    }
}
