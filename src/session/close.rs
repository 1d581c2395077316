//! [`CloseReason`]: why a connection ended. The log, the events and the decision on the Will use it.

use std::{borrow::Cow, io};

use thiserror::Error;

use crate::{
    codec::{DecodeError, PacketType, ReasonCode},
    topic::TopicError,
    types::ProtocolVersion,
};

/// Why a connection ended. Its text is what the log says.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// DISCONNECT (3.14): the one end that publishes no Will.
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
    /// What stands between the socket and MQTT, such as TLS or WebSocket, was used wrongly.
    #[error("the transport failed: {0}")]
    Transport(Box<str>),
    /// [MQTT-3.1.2-24].
    #[error("nothing received for 1.5 times the Keep Alive of {keep_alive} s [MQTT-3.1.2-24]")]
    KeepAliveTimeout {
        /// Seconds, as in the CONNECT or as its CONNACK said.
        keep_alive: u16,
    },
    /// The same, in the middle of a packet: it came too slowly to count as life.
    #[error(
        "less than 1 KiB received in 1.5 times the Keep Alive of {keep_alive} s, within a packet of which {received} of \
         {expected} bytes have come [MQTT-3.1.2-24]"
    )]
    PacketTooSlow {
        /// Seconds, as in the CONNECT or as its CONNACK said.
        keep_alive: u16,
        /// Bytes.
        received: usize,
        /// Bytes, as far as the packet's header has said.
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
        /// Which.
        spoken: &'static str,
        /// What its listener is for.
        taken: &'static str,
    },
    /// The packet was one, but may not be sent now, or may not say this.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// No CONNECT came in time.
    #[error(
        "no {} within the connect timeout (limits.connect_timeout)",
        if *received > 0 { format!("whole CONNECT (only {received} bytes)") } else { "CONNECT".into() }
    )]
    ConnectTimeout {
        /// Bytes of it that had come.
        received: usize,
    },
    /// Its CONNECT was not answered yet, and others needed the room.
    #[error("closed to make room: the connections without an answered CONNECT used up limits.max_connecting_bytes")]
    MadeRoom,
    /// The client published faster than it may.
    #[error(
        "the client publishes faster than publish_rate or publish_bytes_rate allows (limits.publish_rate_action is \
         \"disconnect\")"
    )]
    PublishRate,
    /// The client's socket took nothing for too long.
    #[error("the client read nothing for limits.write_timeout while {waiting} bytes waited for it")]
    WriteTimeout {
        /// Bytes.
        waiting: usize,
    },
    /// CONNACK with a reason other than success.
    #[error("{why}")]
    Refused {
        /// What the client was told.
        code: ReasonCode,
        /// What the operator should know.
        why: Cow<'static, str>,
    },
    /// A token that let the client in is not valid any longer.
    #[error("the client's token ended")]
    TokenEnded,
    /// The client did not prove once more who it is, or not in time.
    #[error("authentication failed: {0}")]
    AuthenticationFailed(Cow<'static, str>),
    /// AUTH with another method than CONNECT.
    #[error("AUTH names another Authentication Method than CONNECT did [MQTT-4.12.0-5]")]
    BadAuthenticationMethod,
    /// What let the client in is not in the configuration any more: its user, password or key, or that nameless clients
    /// are served.
    #[error("login revoked by a configuration change (auth.password_file, auth.token_…, allow_anonymous)")]
    UserGone,
    /// An administrator closed it.
    #[error("{0}")]
    Administrator(Box<ByAdministrator>),
    /// The certificate that the client showed is revoked, or its authority is not believed any more.
    #[error("the client's certificate is not valid any more (client_ca_file, revocation_list_file): {0}")]
    CertificateGone(Box<str>),
    /// A PUBLISH to a topic that the client may not publish to.
    #[error("the client may not publish to this topic")]
    NotAuthorized,
    /// What it sent would have to be stored, and there is no room.
    #[error("the client's packet must be stored and is not acknowledged: the disk of data_dir is full")]
    StoreFull,
    /// What it sent would have to be stored, and nothing can be any more.
    #[error("the client's packet must be stored and is not acknowledged: writing to data_dir has failed")]
    StoreFailed,
    /// A plug-in of the embedding program panicked in the client's turn, or the broker itself did.
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
    /// Who did: a name for the log.
    pub by: Box<str>,
    /// Why; a client of MQTT 5 is told it. May be empty.
    pub reason: Box<str>,
    /// Is the client's Will published?
    pub publishes_will: bool,
}

impl ByAdministrator {
    /// The Will is published.
    pub fn new(by: &str, reason: &str) -> Self {
        Self { by: by.into(), reason: reason.into(), publishes_will: true }
    }
}

/// A packet that is well-formed, but may not come now, or may not say this.
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
    /// AUTH of a client that authenticates otherwise.
    #[error("AUTH from a client whose CONNECT had no Authentication Method [MQTT-4.12.0-7]")]
    NoAuthentication,
    /// Another packet than AUTH before the client is let in.
    #[error("a packet other than AUTH and DISCONNECT before the client has proved who it is [MQTT-3.1.2-30]")]
    NotAuthenticated,
    /// AUTH that nobody asked for, or that begins another exchange while there is one.
    #[error("AUTH out of turn: with a Reason Code that does not fit the exchange (MQTT 5 section 4.12)")]
    AuthOutOfTurn,
    /// PUBACK for a QoS 2 message, PUBREC for a QoS 1 message and the like.
    #[error("the acknowledgement of Packet Identifier {0} does not fit the QoS of that message (section 4.3)")]
    WrongAcknowledgement(u16),
    /// More unreleased QoS 2 messages than a session may hold back.
    #[error("the client sends QoS 2 messages faster than it releases them: more than limits.max_queued_bytes wait")]
    TooManyUnreleased,
    /// [MQTT-2.3.1-2]: as long as Packet Identifiers in use are not used again, the default limit is out of reach.
    #[error("the client does not wait for acknowledgements: more than limits.max_outbound_bytes wait for the store")]
    TooManyUnacknowledged,
    /// It goes on when the first one is done.
    #[error(
        "a QoS 2 PUBLISH came again while another connection of the client was publishing it; it may try once more"
    )]
    StillPublishing,
    /// Too long, or too many levels.
    #[error("a topic is longer than limits.max_topic_length or has more levels than limits.max_topic_levels")]
    TopicTooLarge,
    /// `$health` is for a CONNECT alone.
    #[error("a health check ($health) may send nothing behind its CONNECT")]
    HealthCheck,
    /// PUBLISH with an alias above those that the server takes.
    #[error("PUBLISH has the Topic Alias {0}, above the Topic Alias Maximum [MQTT-3.3.2-9]")]
    TopicAliasTooLarge(u16),
    /// PUBLISH with an alias that stands for no topic.
    #[error("PUBLISH has the Topic Alias {0}, which stands for no topic yet (MQTT 5 section 3.3.2.3.4)")]
    TopicAliasUnknown(u16),
    /// One more topic is not remembered.
    #[error("PUBLISH has a new Topic Alias, and all queues together are full (limits.max_queued_bytes_total)")]
    NoRoomForAlias,
    /// DISCONNECT that would keep a session for which CONNECT said that it ends with its connection.
    #[error("DISCONNECT has a Session Expiry Interval, and that of CONNECT was 0 (MQTT 5 section 3.14.2.2.2)")]
    ExpiryRaised,
    /// CONNACK, SUBACK or UNSUBACK would be larger than the client takes.
    #[error("the answer is larger than the Maximum Packet Size that the client said [MQTT-3.1.2-24]")]
    AnswerTooLarge,
    /// More messages than the server said that it takes at a time.
    #[error("more messages are unacknowledged than Receive Maximum allows (limits.receive_maximum) [MQTT-3.3.4-7]")]
    ReceiveMaximum,
    /// PUBLISH with a QoS that the server does not take.
    #[error("PUBLISH has a QoS above limits.max_qos [MQTT-3.2.2-11]")]
    QosNotSupported,
    /// PUBLISH with RETAIN, which the server does not take.
    #[error("PUBLISH has RETAIN set, and limits.retain_available is false [MQTT-3.2.2-14]")]
    RetainNotSupported,
    /// A topic that is none.
    #[error("a topic {0}")]
    Topic(#[from] TopicError),
}

impl CloseReason {
    /// The Reason Code of MQTT 5 that says the same.
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

    /// Of a PUBLISH: its client is told in PUBACK or PUBREC if it speaks MQTT 5, and stays connected.
    pub fn is_for_acknowledgement(&self) -> bool {
        matches!(self, Self::StoreFull | Self::StoreFailed | Self::Protocol(ProtocolError::TopicTooLarge))
    }

    /// The Reason Code of the DISCONNECT by which a client of MQTT 5 is told; `None`: it ended the connection itself.
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

    /// The Reason Code of the CONNACK by which a client of this version that is not accepted is told; `None`: it is not
    /// told. (Before MQTT 5, a CONNECT that is wrong just closes its connection [MQTT-3.1.4-1].)
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

    /// Does the Will go out? On every end but a DISCONNECT [MQTT-3.1.2-8], [MQTT-3.14.4-3], and that for which an
    /// administrator said so.
    pub fn publishes_will(&self) -> bool {
        match self {
            Self::ClientDisconnect => false,
            Self::Administrator(closed) => closed.publishes_will,
            _ => true,
        }
    }
}
