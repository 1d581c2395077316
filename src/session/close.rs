//! [`CloseReason`]: why a connection ended. The log, the events and the decision on the Will use it.

use std::{borrow::Cow, io};

use thiserror::Error;

use crate::{
    codec::{DecodeError, PacketType, ReasonCode},
    topic::TopicError,
    types::ProtocolVersion,
};

/// Why a connection ended. Its text is the reason in the log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// DISCONNECT (3.14): the only end without a Will.
    #[error("the client sent DISCONNECT")]
    ClientDisconnect,
    /// DISCONNECT of MQTT 5 with a reason other than "Normal disconnection": it publishes the Will.
    #[error("the client sent DISCONNECT with Reason Code 0x{code:02x}: {0}", code = *.0 as u8)]
    ClientGaveUp(ReasonCode),
    /// The client closed the network connection without a DISCONNECT.
    #[error("the client closed the connection without DISCONNECT")]
    ConnectionLost,
    /// The socket failed.
    #[error("the network connection failed: {0}")]
    Network(io::ErrorKind),
    /// A protocol between the socket and MQTT, such as TLS or WebSocket, was violated.
    #[error("the transport failed: {0}")]
    Transport(Box<str>),
    /// [MQTT-3.1.2-24].
    #[error("nothing received for 1.5 times the Keep Alive of {keep_alive} s [MQTT-3.1.2-24]")]
    KeepAliveTimeout {
        /// Seconds, from the CONNECT, or from the CONNACK if that changed it.
        keep_alive: u16,
    },
    /// The same within a packet: it arrived too slowly to count as activity.
    #[error(
        "less than 1 KiB received in 1.5 times the Keep Alive of {keep_alive} s, within a packet of which {received} of \
         {expected} bytes have come [MQTT-3.1.2-24]"
    )]
    PacketTooSlow {
        /// Seconds, from the CONNECT, or from the CONNACK if that changed it.
        keep_alive: u16,
        /// Bytes.
        received: usize,
        /// Bytes, from the packet's header, as far as that has arrived.
        expected: usize,
    },
    /// [MQTT-3.1.4-2].
    #[error("another connection with the same Client Identifier took the session over [MQTT-3.1.4-2]")]
    SessionTakenOver,
    /// The bytes were not a packet.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// The first bytes were those of another protocol.
    #[error("wrong protocol: the client speaks {spoken}, and this listener takes {taken}")]
    WrongProtocol {
        /// The protocol that the client speaks.
        spoken: &'static str,
        /// The protocol of the listener.
        taken: &'static str,
    },
    /// The packet was well-formed, but violates the protocol.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// No complete CONNECT arrived in time.
    #[error(
        "no {} within the connect timeout (limits.connect_timeout)",
        if *received > 0 { format!("whole CONNECT (only {received} bytes)") } else { "CONNECT".into() }
    )]
    ConnectTimeout {
        /// Bytes of it that arrived.
        received: usize,
    },
    /// Its CONNECT was not answered yet, and other connections needed the space.
    #[error("closed to make room: the connections without an answered CONNECT used up limits.max_connecting_bytes")]
    MadeRoom,
    /// The client published faster than the limits allow.
    #[error(
        "the client publishes faster than publish_rate or publish_bytes_rate allows (limits.publish_rate_action is \
         \"disconnect\")"
    )]
    PublishRate,
    /// The client's socket accepted no bytes for too long.
    #[error("the client read nothing for limits.write_timeout while {waiting} bytes waited for it")]
    WriteTimeout {
        /// Bytes.
        waiting: usize,
    },
    /// CONNACK with a reason other than success.
    #[error("{why}")]
    Refused {
        /// The Reason Code for the client.
        code: ReasonCode,
        /// The reason for the operator.
        why: Cow<'static, str>,
    },
    /// The token of the client has expired.
    #[error("the client's token ended")]
    TokenEnded,
    /// The client's re-authentication failed, or took too long.
    #[error("authentication failed: {0}")]
    AuthenticationFailed(Cow<'static, str>),
    /// AUTH with another method than CONNECT.
    #[error("AUTH names another Authentication Method than CONNECT did [MQTT-4.12.0-5]")]
    BadAuthenticationMethod,
    /// The login is not in the configuration any more: the user, password or key, or `allow_anonymous`.
    #[error("login revoked by a configuration change (auth.password_file, auth.token_…, allow_anonymous)")]
    UserGone,
    /// An administrator closed it.
    #[error("{0}")]
    Administrator(Box<ByAdministrator>),
    /// The certificate of the client was revoked, or its authority is not trusted any more.
    #[error("the client's certificate is not valid any more (client_ca_file, revocation_list_file): {0}")]
    CertificateGone(Box<str>),
    /// A PUBLISH to a topic that the client may not publish to.
    #[error("the client may not publish to this topic")]
    NotAuthorized,
    /// A packet of the client must be stored, and the disk is full.
    #[error("the client's packet must be stored and is not acknowledged: the disk of data_dir is full")]
    StoreFull,
    /// A packet of the client must be stored, and the store has failed.
    #[error("the client's packet must be stored and is not acknowledged: writing to data_dir has failed")]
    StoreFailed,
    /// A plug-in of the embedding program, or the broker, panicked in the client's turn.
    #[error("a plug-in or the broker panicked while it served the client (see the panic's own message)")]
    Panicked,
    /// The server shuts down.
    #[error("the server shuts down")]
    ServerShutdown,
}

/// A connection that an administrator closed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("closed by {by}{}{reason}", if reason.is_empty() { "" } else { ": " })]
pub struct ByAdministrator {
    /// The administrator's name, for the log.
    pub by: Box<str>,
    /// The reason, which an MQTT 5 client is told. May be empty.
    pub reason: Box<str>,
    /// Is the client's Will published?
    pub publishes_will: bool,
}

impl ByAdministrator {
    /// With a Will that is published.
    pub fn new(by: &str, reason: &str) -> Self {
        Self { by: by.into(), reason: reason.into(), publishes_will: true }
    }
}

/// A well-formed packet that violates the protocol or a limit.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProtocolError {
    /// [MQTT-3.1.0-1].
    #[error("the first packet is not CONNECT [MQTT-3.1.0-1]")]
    NotConnected,
    /// [MQTT-3.1.0-2].
    #[error("a second CONNECT [MQTT-3.1.0-2]")]
    SecondConnect,
    /// A packet that only a server sends.
    #[error("a packet that only a server may send")]
    ServerPacket,
    /// AUTH from a client without an Authentication Method.
    #[error("AUTH from a client whose CONNECT had no Authentication Method [MQTT-4.12.0-7]")]
    NoAuthentication,
    /// A packet other than AUTH before the client is authenticated.
    #[error("a packet other than AUTH and DISCONNECT before the client has proved who it is [MQTT-3.1.2-30]")]
    NotAuthenticated,
    /// AUTH that the server did not ask for, or that begins a second exchange.
    #[error("AUTH out of turn: with a Reason Code that does not fit the exchange (MQTT 5 section 4.12)")]
    AuthOutOfTurn,
    /// PUBACK for a QoS 2 message, PUBREC for a QoS 1 message and the like.
    #[error("the acknowledgement of Packet Identifier {0} does not fit the QoS of that message (section 4.3)")]
    WrongAcknowledgement(u16),
    /// More unreleased QoS 2 messages than a session may have.
    #[error("the client sends QoS 2 messages faster than it releases them: more than limits.max_queued_bytes wait")]
    TooManyUnreleased,
    /// [MQTT-2.3.1-2]. A client that does not reuse Packet Identifiers in use does not reach the default limit.
    #[error(
        "the client does not wait for acknowledgements: more than limits.max_outbound_bytes of them wait for the store"
    )]
    TooManyUnacknowledged,
    /// The first connection continues, and the client may try again later.
    #[error(
        "a QoS 2 PUBLISH came again while another connection of the client was publishing it; it may try once more"
    )]
    StillPublishing,
    /// Too long, or with too many levels.
    #[error("a topic is longer than limits.max_topic_length or has more levels than limits.max_topic_levels")]
    TopicTooLarge,
    /// `$health` is for a CONNECT without further packets.
    #[error("a health check ($health) may send nothing behind its CONNECT")]
    HealthCheck,
    /// PUBLISH with a Topic Alias above the server's maximum.
    #[error("PUBLISH has the Topic Alias {0}, above the Topic Alias Maximum [MQTT-3.3.2-9]")]
    TopicAliasTooLarge(u16),
    /// PUBLISH with a Topic Alias that has no topic.
    #[error("PUBLISH has the Topic Alias {0}, which stands for no topic yet (MQTT 5 section 3.3.2.3.4)")]
    TopicAliasUnknown(u16),
    /// A new Topic Alias, and no memory left for its topic.
    #[error("PUBLISH has a new Topic Alias, and all queues together are full (limits.max_queued_bytes_total)")]
    NoRoomForAlias,
    /// DISCONNECT with a Session Expiry Interval, if that of CONNECT was 0.
    #[error("DISCONNECT has a Session Expiry Interval, and that of CONNECT was 0 (MQTT 5 section 3.14.2.2.2)")]
    ExpiryRaised,
    /// A CONNACK, SUBACK or UNSUBACK that is larger than the client accepts.
    #[error("the answer is larger than the client's Maximum Packet Size [MQTT-3.1.2-24]")]
    AnswerTooLarge,
    /// More unacknowledged messages than the server's Receive Maximum.
    #[error("more messages are unacknowledged than Receive Maximum allows (limits.receive_maximum) [MQTT-3.3.4-7]")]
    ReceiveMaximum,
    /// PUBLISH with a QoS that the server does not support.
    #[error("PUBLISH has a QoS above limits.max_qos [MQTT-3.2.2-11]")]
    QosNotSupported,
    /// PUBLISH with RETAIN, which the server does not support.
    #[error("PUBLISH has RETAIN set, and limits.retain_available is false [MQTT-3.2.2-14]")]
    RetainNotSupported,
    /// An invalid topic.
    #[error("a topic {0}")]
    Topic(#[from] TopicError),
}

impl CloseReason {
    /// The Reason Code of MQTT 5 for this reason.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::ClientDisconnect => ReasonCode::Success,
            Self::ClientGaveUp(code) => *code,
            Self::KeepAliveTimeout { .. } | Self::PacketTooSlow { .. } => ReasonCode::KeepAliveTimeout,
            Self::SessionTakenOver => ReasonCode::SessionTakenOver,
            Self::Malformed(error) => error.reason(),
            Self::Protocol(ProtocolError::TopicTooLarge | ProtocolError::Topic(_)) => ReasonCode::TopicNameInvalid,
            Self::Protocol(
                ProtocolError::TooManyUnreleased | ProtocolError::TooManyUnacknowledged | ProtocolError::NoRoomForAlias,
            ) => ReasonCode::QuotaExceeded,
            Self::Protocol(ProtocolError::AnswerTooLarge) => ReasonCode::PacketTooLarge,
            Self::Protocol(ProtocolError::TopicAliasTooLarge(_)) => ReasonCode::TopicAliasInvalid,
            Self::Protocol(ProtocolError::ReceiveMaximum) => ReasonCode::ReceiveMaximumExceeded,
            Self::Protocol(ProtocolError::QosNotSupported) => ReasonCode::QosNotSupported,
            Self::Protocol(ProtocolError::RetainNotSupported) => ReasonCode::RetainNotSupported,
            Self::Protocol(_) | Self::WrongProtocol { .. } => ReasonCode::ProtocolError,
            Self::Refused { code, .. } => *code,
            Self::NotAuthorized | Self::AuthenticationFailed(_) => ReasonCode::NotAuthorized,
            Self::BadAuthenticationMethod => ReasonCode::BadAuthenticationMethod,
            Self::TokenEnded => ReasonCode::MaximumConnectTime,
            Self::UserGone | Self::CertificateGone(_) | Self::Administrator(_) => ReasonCode::AdministrativeAction,
            Self::ServerShutdown => ReasonCode::ServerShuttingDown,
            Self::StoreFull | Self::PublishRate | Self::MadeRoom => ReasonCode::QuotaExceeded,
            Self::StoreFailed
            | Self::ConnectionLost
            | Self::Network(_)
            | Self::Transport(_)
            | Self::ConnectTimeout { .. }
            | Self::WriteTimeout { .. }
            | Self::Panicked => ReasonCode::UnspecifiedError,
        }
    }

    /// Is this the reason for refusing a PUBLISH? An MQTT 5 client gets it in PUBACK or PUBREC and stays connected.
    pub fn is_for_acknowledgement(&self) -> bool {
        matches!(self, Self::StoreFull | Self::StoreFailed | Self::Protocol(ProtocolError::TopicTooLarge))
    }

    /// The Reason Code of the DISCONNECT to an MQTT 5 client. `None`: the client ended the connection.
    pub fn disconnect_code(&self) -> Option<ReasonCode> {
        match self {
            Self::ClientDisconnect | Self::ClientGaveUp(_) | Self::ConnectionLost | Self::Network(_) => None,
            reason => Some(
                Some(reason.code())
                    .filter(|code| code.is_for(PacketType::Disconnect))
                    .unwrap_or(ReasonCode::UnspecifiedError),
            ),
        }
    }

    /// The Reason Code of the CONNACK to a client of this version that is not accepted. `None`: it gets no CONNACK.
    /// (Before MQTT 5, an invalid CONNECT only closes its connection [MQTT-3.1.4-1].)
    pub fn connack_code(&self, version: ProtocolVersion) -> Option<ReasonCode> {
        match self {
            Self::Refused { .. } | Self::Malformed(DecodeError::UnsupportedLevel(_)) => Some(self.code()),
            Self::Malformed(_) | Self::Protocol(_) | Self::AuthenticationFailed(_) | Self::BadAuthenticationMethod
                if version == ProtocolVersion::V5 =>
            {
                Some(self.code())
            }
            _ => None,
        }
    }

    /// In a word, for counters: one of [`KINDS`](Self::KINDS).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ClientDisconnect | Self::ClientGaveUp(_) => "disconnect",
            Self::ConnectionLost | Self::Network(_) => "connection_lost",
            Self::Transport(_) | Self::Malformed(_) | Self::WrongProtocol { .. } | Self::Protocol(_) => "protocol",
            Self::KeepAliveTimeout { .. } | Self::PacketTooSlow { .. } => "keep_alive",
            Self::SessionTakenOver => "taken_over",
            Self::ConnectTimeout { .. } | Self::MadeRoom | Self::Refused { .. } => "refused",
            Self::PublishRate => "publish_rate",
            Self::WriteTimeout { .. } => "write_timeout",
            Self::TokenEnded
            | Self::AuthenticationFailed(_)
            | Self::BadAuthenticationMethod
            | Self::UserGone
            | Self::CertificateGone(_) => "login",
            Self::Administrator(_) => "administrator",
            Self::NotAuthorized => "not_authorized",
            Self::StoreFull | Self::StoreFailed => "store",
            Self::Panicked => "panic",
            Self::ServerShutdown => "shutdown",
        }
    }

    /// All words for reasons. "refused" is for connections that no client had yet.
    pub const KINDS: [&'static str; 14] = [
        "disconnect",
        "connection_lost",
        "protocol",
        "keep_alive",
        "taken_over",
        "refused",
        "publish_rate",
        "write_timeout",
        "login",
        "administrator",
        "not_authorized",
        "store",
        "panic",
        "shutdown",
    ];

    /// Is the Will published? Always, except after DISCONNECT [MQTT-3.1.2-8], [MQTT-3.14.4-3], or if an administrator
    /// decided so.
    pub fn publishes_will(&self) -> bool {
        match self {
            Self::ClientDisconnect => false,
            Self::Administrator(closed) => closed.publishes_will,
            _ => true,
        }
    }
}
