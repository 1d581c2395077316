//! Every row of the table is refused, in the words and with the statement that the row names.

use std::{
    collections::HashSet,
    mem::{Discriminant, discriminant},
};

use super::*;

#[path = "../../../tests/it/support/malformed.rs"]
mod data;

use data::{MALFORMED, MALFORMED_5, Malformed};

/// All rows, each with the version that it is for.
fn rows() -> impl Iterator<Item = (ProtocolVersion, &'static Malformed)> {
    let of = |version, rows: &'static [Malformed]| rows.iter().map(move |row| (version, row));
    of(ProtocolVersion::V311, MALFORMED).chain(of(ProtocolVersion::V5, MALFORMED_5))
}

/// As a server does it, except that the rows about a server's own packets reach the parser.
fn error_of(version: ProtocolVersion, row: &Malformed) -> DecodeError {
    let result = frame(version, row.bytes, usize::MAX).and_then(|cut| match cut {
        Cut::Frame(frame) if row.error.starts_with("a client may not") || row.error.contains("of a client") => {
            decode_from_client(version, frame).map(|_| ())
        }
        Cut::Frame(frame) => {
            assert_eq!(frame.len, row.bytes.len(), "{}: has bytes after the frame", row.name);
            decode(version, frame).map(|_| ())
        }
        Cut::Need(needed) => panic!("{}: is incomplete, {needed} bytes needed", row.name),
    });
    result.expect_err(row.name)
}

#[test]
fn each_malformed_packet_is_refused_with_its_reason() {
    for (version, row) in rows() {
        let said = error_of(version, row).to_string();
        assert!(said.contains(row.error), "{}: {said}", row.name);
        assert!(said.contains(&format!("[{}]", row.statement)), "{}: {said}", row.name);
    }
}

#[test]
fn a_server_refuses_each_row() {
    for (version, row) in rows() {
        let refused = frame(version, row.bytes, usize::MAX).and_then(|cut| match cut {
            Cut::Frame(frame) => decode_from_client(version, frame).map(|_| ()),
            Cut::Need(_) => Ok(()),
        });
        assert!(refused.is_err(), "{}", row.name);
    }
}

#[test]
fn names_are_unique() {
    let names: HashSet<_> = rows().map(|(_, row)| row.name).collect();
    assert_eq!(names.len(), rows().count());
}

/// All variants but the one that depends on a limit are in the table. A new variant is to be added to `all`.
#[test]
fn the_table_covers_every_error() {
    use DecodeError::*;
    let all = [
        ReservedType(0),
        HeaderFlags { packet: PacketType::Connect, flags: 0 },
        PublishQos,
        PublishDup,
        RemainingLength,
        PacketLength { packet: PacketType::Connect, length: 0 },
        NotFromClient(PacketType::Connack),
        Truncated(Field::ClientId),
        TrailingBytes(0),
        IllFormedText(Field::ClientId),
        NullInText(Field::ClientId),
        Topic { field: Field::TopicName, error: crate::topic::TopicError::Empty },
        PacketIdZero,
        ProtocolName,
        UnsupportedLevel(0),
        ConnectReservedFlag,
        WillQosWithoutWill(1),
        WillQos,
        WillRetainWithoutWill,
        PasswordWithoutUsername,
        ConnackFlags(0),
        SessionPresentInRefusal(1),
        ConnackCode(0),
        SubscribeEmpty,
        RequestedQos(3),
        SubackCode(3),
        UnsubscribeEmpty,
        VariableByteInteger(Field::PropertyLength),
        PropertyNotAllowed { id: 0, carrier: Carrier::Will },
        PropertyTwice(PropertyId::ReceiveMaximum),
        PropertyOutOfRange { id: PropertyId::ReceiveMaximum, value: 0 },
        IdentifierFromClient,
        NoTopic,
        DataWithoutMethod,
        AuthWithoutMethod,
        Reason { packet: PacketType::Puback, code: 3 },
        SubscriptionOptions(0x40),
        RetainHandling,
        MaximumQos,
        SharedNoLocal,
    ];
    let found: HashSet<Discriminant<DecodeError>> =
        rows().map(|(version, row)| discriminant(&error_of(version, row))).collect();
    for error in all {
        assert!(found.contains(&discriminant(&error)), "no row for {error:?}");
    }
    assert_eq!(found.len(), all.len());
}

#[test]
fn a_length_limit_is_enforced_before_the_content_arrives() {
    let publish = |bytes| frame(ProtocolVersion::V311, bytes, 100);
    assert_eq!(publish(&[0x30, 98]), Ok(Cut::Need(100)));
    assert_eq!(publish(&[0x30, 99]), Err(DecodeError::PacketTooLarge { size: 101, limit: 100 }));
    let error = publish(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).unwrap_err();
    assert_eq!(error, DecodeError::PacketTooLarge { size: 268_435_460, limit: 100 });
    assert_eq!(error.to_string(), "packet of 268435460 bytes is larger than the limit of 100");
    assert_eq!(error.reason(), ReasonCode::PacketTooLarge);
}

#[test]
fn an_invalid_first_byte_is_an_error_without_further_bytes() {
    for first in 0..=u8::MAX {
        let bytes = [first];
        let alone = frame(ProtocolVersion::V311, &bytes, usize::MAX);
        let legal = match first {
            0x62 | 0x82 | 0xA2 => true,
            // the flags of a CONNECT are looked at when its version is known
            0x10..=0x1F => true,
            0x60..=0x6F | 0x80..=0x8F | 0xA0..=0xAF => false,
            0x30..=0x3F => !matches!(first, 0x36 | 0x37 | 0x38 | 0x39 | 0x3E | 0x3F),
            0x20..=0xEF => first & 0x0F == 0,
            _ => false,
        };
        assert_eq!(alone == Ok(Cut::Need(2)), legal, "{first:#04x}: {alone:?}");
        assert_eq!(alone.is_err(), !legal, "{first:#04x}");
    }
}

#[test]
fn a_reason_code_tells_malformed_from_protocol_errors() {
    assert_eq!(DecodeError::PublishQos.reason(), ReasonCode::MalformedPacket);
    assert_eq!(DecodeError::NotFromClient(PacketType::Suback).reason(), ReasonCode::ProtocolError);
    assert_eq!(DecodeError::SubscribeEmpty.reason(), ReasonCode::ProtocolError);
    let alias = DecodeError::PropertyOutOfRange { id: PropertyId::TopicAlias, value: 0 };
    assert_eq!(alias.reason(), ReasonCode::TopicAliasInvalid);
}

#[test]
fn an_error_is_small() {
    assert!(size_of::<DecodeError>() <= 24);
}
