//! Reasons for which the broker closes a connection that are violations by the client, with their statements.

use crate::{
    codec::DecodeError,
    session::{CloseReason, ProtocolError},
    types::ProtocolVersion,
};

/// Statements of MQTT 3.1.1 that texts of reasons name, and those of MQTT 5 in their place.
const FIVE: [(&str, &str); 12] = [
    ("MQTT-1.5.3-1", "MQTT-1.5.4-1"),
    ("MQTT-1.5.3-2", "MQTT-1.5.4-2"),
    ("MQTT-2.2.2-2", "MQTT-2.1.3-1"),
    ("MQTT-2.3.1-1", "MQTT-2.2.1-3"),
    ("MQTT-3.1.2-13", "MQTT-3.1.2-11"),
    ("MQTT-3.1.2-14", "MQTT-3.1.2-12"),
    ("MQTT-3.1.2-15", "MQTT-3.1.2-13"),
    ("MQTT-3.1.2-24", "MQTT-3.1.2-22"),
    ("MQTT-3.8.3-3", "MQTT-3.8.3-2"),
    ("MQTT-4.7.1-2", "MQTT-4.7.1-1"),
    ("MQTT-4.7.1-3", "MQTT-4.7.1-2"),
    ("MQTT-4.8.0-1", "MQTT-4.13.1-1"),
];

/// The violation: its description and its statement. `None`: the client is not to blame.
pub(super) fn violation(reason: &CloseReason, version: ProtocolVersion) -> Option<(String, String)> {
    let is_5 = version == ProtocolVersion::V5;
    let text = blames(reason, is_5).then(|| reason.to_string())?;
    let (text, statement) = match text.split_once(" [") {
        Some((before, rest)) => (before.to_owned(), rest.split(']').next().unwrap_or(rest).to_owned()),
        // it has no number
        None if matches!(reason, CloseReason::Malformed(DecodeError::PacketTooLarge { .. })) => {
            (text, "MQTT-3.2.2-15".into())
        }
        None => (text, "MQTT-4.8.0-1".into()),
    };
    let five = FIVE.iter().find(|(before, _)| is_5 && *before == statement);
    Some((text, five.map_or(statement, |(_, five)| (*five).to_owned())))
}

fn blames(reason: &CloseReason, is_5: bool) -> bool {
    use CloseReason::{BadAuthenticationMethod, KeepAliveTimeout, Malformed, Protocol};
    match reason {
        Protocol(error) => match error {
            // the server's limits are announced in MQTT 5 only
            ProtocolError::QosNotSupported | ProtocolError::RetainNotSupported => is_5,
            // they depend on the broker's state or on limits that it does not announce
            ProtocolError::HealthCheck
            | ProtocolError::TooManyUnreleased
            | ProtocolError::TooManyUnacknowledged
            | ProtocolError::StillPublishing
            | ProtocolError::TopicTooLarge
            | ProtocolError::NoRoomForAlias
            | ProtocolError::AnswerTooLarge => false,
            _ => true,
        },
        Malformed(DecodeError::PacketTooLarge { .. }) => is_5,
        // a later version is no mistake
        Malformed(DecodeError::UnsupportedLevel(_)) => false,
        Malformed(_) | KeepAliveTimeout { .. } | BadAuthenticationMethod => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Field;

    #[test]
    fn a_violation_has_the_statement_of_its_version() {
        let malformed = |error: DecodeError| CloseReason::Malformed(error);
        let text = malformed(DecodeError::IllFormedText(Field::TopicName));
        let found = |reason: &CloseReason, version| violation(reason, version).map(|(_, statement)| statement);
        for (reason, four, five) in [
            (text, Some("MQTT-1.5.3-1"), Some("MQTT-1.5.4-1")),
            (malformed(DecodeError::WillQosWithoutWill(1)), Some("MQTT-3.1.2-13"), Some("MQTT-3.1.2-11")),
            (malformed(DecodeError::PacketTooLarge { size: 2, limit: 1 }), None, Some("MQTT-3.2.2-15")),
            (malformed(DecodeError::UnsupportedLevel(9)), None, None),
            (ProtocolError::ServerPacket.into(), Some("MQTT-4.8.0-1"), Some("MQTT-4.13.1-1")),
            (ProtocolError::QosNotSupported.into(), None, Some("MQTT-3.2.2-11")),
            (ProtocolError::AnswerTooLarge.into(), None, None),
            (CloseReason::ConnectionLost, None, None),
        ] {
            assert_eq!(found(&reason, ProtocolVersion::V311).as_deref(), four, "{reason}");
            assert_eq!(found(&reason, ProtocolVersion::V5).as_deref(), five, "{reason}");
        }
        let (text, _) = violation(&ProtocolError::SecondConnect.into(), ProtocolVersion::V311).unwrap();
        assert_eq!(text, "a second CONNECT");
    }
}
