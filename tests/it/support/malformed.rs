//! Malformed packets of MQTT 3.1.1 as data: the fault, the normative statement, the codec's error. The codec's own
//! tests use it, and tests that send each row to a running broker, which must close the connection: a row whose first
//! byte is 0x1_ is sent first, the others after a CONNECT.

/// One malformed packet.
#[allow(dead_code)]
pub struct Malformed {
    /// The fault in a few words; unique.
    pub name: &'static str,
    /// The normative statement it breaks.
    pub statement: &'static str,
    /// A part of the message of the error.
    pub error: &'static str,
    /// The bytes, to the end of the frame where there is one.
    pub bytes: &'static [u8],
}

const fn row(name: &'static str, statement: &'static str, error: &'static str, bytes: &'static [u8]) -> Malformed {
    Malformed { name, statement, error, bytes }
}

/// The table.
#[rustfmt::skip]
pub const MALFORMED: &[Malformed] = &[
    // The fixed header, 2.2.
    row("type 0", "MQTT-4.8.0-1", "packet type 0 is reserved", b"\x00\x00"),
    row("type 15", "MQTT-4.8.0-1", "packet type 15 is reserved", b"\xF0\x00"),
    row("type 15, all flags, no length", "MQTT-4.8.0-1", "packet type 15 is reserved", b"\xFF"),
    row("CONNECT with flags 0001", "MQTT-2.2.2-2", "CONNECT has the flags 0b0001", b"\x11\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00"),
    row("CONNACK with flags 0001", "MQTT-2.2.2-2", "CONNACK has the flags 0b0001", b"\x21\x02\x00\x00"),
    row("PUBACK with flags 0010", "MQTT-2.2.2-2", "PUBACK has the flags 0b0010", b"\x42\x02\x00\x01"),
    row("PUBREC with flags 1000", "MQTT-2.2.2-2", "PUBREC has the flags 0b1000", b"\x58\x02\x00\x01"),
    row("PUBREL with flags 0000", "MQTT-2.2.2-2", "PUBREL has the flags 0b0000", b"\x60\x02\x00\x01"),
    row("PUBREL with DUP, as in MQTT 3.1", "MQTT-2.2.2-2", "PUBREL has the flags 0b1010", b"\x6A\x02\x00\x01"),
    row("PUBCOMP with flags 0100", "MQTT-2.2.2-2", "PUBCOMP has the flags 0b0100", b"\x74\x02\x00\x01"),
    row("SUBSCRIBE with flags 0000", "MQTT-2.2.2-2", "SUBSCRIBE has the flags 0b0000", b"\x80\x06\x00\x01\x00\x01a\x00"),
    row("SUBSCRIBE with flags 0011", "MQTT-2.2.2-2", "SUBSCRIBE has the flags 0b0011", b"\x83\x06\x00\x01\x00\x01a\x00"),
    row("SUBSCRIBE with DUP, as in MQTT 3.1", "MQTT-2.2.2-2", "SUBSCRIBE has the flags 0b1010", b"\x8A\x06\x00\x01\x00\x01a\x00"),
    row("SUBACK with flags 0010", "MQTT-2.2.2-2", "SUBACK has the flags 0b0010", b"\x92\x03\x00\x01\x00"),
    row("UNSUBSCRIBE with flags 0000", "MQTT-2.2.2-2", "UNSUBSCRIBE has the flags 0b0000", b"\xA0\x05\x00\x01\x00\x01a"),
    row("UNSUBSCRIBE with DUP, as in MQTT 3.1", "MQTT-2.2.2-2", "UNSUBSCRIBE has the flags 0b1010", b"\xAA\x05\x00\x01\x00\x01a"),
    row("UNSUBACK with flags 0001", "MQTT-2.2.2-2", "UNSUBACK has the flags 0b0001", b"\xB1\x02\x00\x01"),
    row("PINGREQ with flags 0001", "MQTT-2.2.2-2", "PINGREQ has the flags 0b0001", b"\xC1\x00"),
    row("PINGRESP with flags 1111", "MQTT-2.2.2-2", "PINGRESP has the flags 0b1111", b"\xDF\x00"),
    row("DISCONNECT with flags 0001", "MQTT-2.2.2-2", "DISCONNECT has the flags 0b0001", b"\xE1\x00"),
    row("a Remaining Length of 5 bytes", "MQTT-4.8.0-1", "Remaining Length has more than 4 bytes", b"\x30\x80\x80\x80\x80\x01"),
    row("a Remaining Length of 5 bytes, 4 of them there", "MQTT-4.8.0-1", "Remaining Length has more than 4 bytes", b"\x30\xFF\xFF\xFF\xFF"),
    row("CONNECT of 0 bytes", "MQTT-4.8.0-1", "CONNECT cannot have a Remaining Length of 0", b"\x10\x00"),
    row("CONNACK of 3 bytes", "MQTT-4.8.0-1", "CONNACK cannot have a Remaining Length of 3", b"\x20\x03\x00\x00\x00"),
    row("PUBLISH of 1 byte", "MQTT-4.8.0-1", "PUBLISH cannot have a Remaining Length of 1", b"\x30\x01\x00"),
    row("PUBACK of 1 byte", "MQTT-4.8.0-1", "PUBACK cannot have a Remaining Length of 1", b"\x40\x01\x01"),
    row("PUBACK of 3 bytes", "MQTT-4.8.0-1", "PUBACK cannot have a Remaining Length of 3", b"\x40\x03\x00\x01\x00"),
    row("PUBREC of 3 bytes", "MQTT-4.8.0-1", "PUBREC cannot have a Remaining Length of 3", b"\x50\x03\x00\x01\x00"),
    row("PUBREL of 0 bytes", "MQTT-4.8.0-1", "PUBREL cannot have a Remaining Length of 0", b"\x62\x00"),
    row("PUBCOMP of 3 bytes", "MQTT-4.8.0-1", "PUBCOMP cannot have a Remaining Length of 3", b"\x70\x03\x00\x01\x00"),
    row("SUBSCRIBE of 1 byte", "MQTT-4.8.0-1", "SUBSCRIBE cannot have a Remaining Length of 1", b"\x82\x01\x00"),
    row("SUBACK of 2 bytes", "MQTT-4.8.0-1", "SUBACK cannot have a Remaining Length of 2", b"\x90\x02\x00\x01"),
    row("UNSUBSCRIBE of 0 bytes", "MQTT-4.8.0-1", "UNSUBSCRIBE cannot have a Remaining Length of 0", b"\xA2\x00"),
    row("UNSUBACK of 3 bytes", "MQTT-4.8.0-1", "UNSUBACK cannot have a Remaining Length of 3", b"\xB0\x03\x00\x01\x00"),
    row("PINGREQ of 1 byte", "MQTT-4.8.0-1", "PINGREQ cannot have a Remaining Length of 1", b"\xC0\x01\x00"),
    row("PINGRESP of 1 byte", "MQTT-4.8.0-1", "PINGRESP cannot have a Remaining Length of 1", b"\xD0\x01\x00"),
    row("DISCONNECT of 2 bytes, as in MQTT 5", "MQTT-4.8.0-1", "DISCONNECT cannot have a Remaining Length of 2", b"\xE0\x02\x00\x00"),

    // What only servers send, 2.2.1.
    row("CONNACK from a client", "MQTT-4.8.0-1", "a client may not send CONNACK", b"\x20\x02\x00\x00"),
    row("SUBACK from a client", "MQTT-4.8.0-1", "a client may not send SUBACK", b"\x90\x03\x00\x01\x00"),
    row("UNSUBACK from a client", "MQTT-4.8.0-1", "a client may not send UNSUBACK", b"\xB0\x02\x00\x01"),
    row("PINGRESP from a client", "MQTT-4.8.0-1", "a client may not send PINGRESP", b"\xD0\x00"),

    // CONNECT, 3.1.
    row("protocol name MQTX", "MQTT-3.1.2-1", "Protocol Name is neither", b"\x10\x0C\x00\x04MQTX\x04\x02\x00\x3C\x00\x00"),
    row("protocol name mqtt", "MQTT-3.1.2-1", "Protocol Name is neither", b"\x10\x0C\x00\x04mqtt\x04\x02\x00\x3C\x00\x00"),
    row("no protocol name", "MQTT-3.1.2-1", "Protocol Name is neither", b"\x10\x0C\x00\x00\x04\x02\x00\x3C\x00\x04abcd"),
    row("an HTTP request's first bytes as a name", "MQTT-4.8.0-1", "before the end of its Protocol Name", b"\x10\x0CGET / HTTP/1"),
    row("level 6", "MQTT-3.1.2-2", "Protocol Level 6 is not supported", b"\x10\x0C\x00\x04MQTT\x06\x02\x00\x3C\x00\x00"),
    row("level 0", "MQTT-3.1.2-2", "Protocol Level 0 is not supported", b"\x10\x0C\x00\x04MQTT\x00\x02\x00\x3C\x00\x00"),
    row("level 3 of MQTT", "MQTT-3.1.2-2", "Protocol Level 3 is not supported", b"\x10\x0C\x00\x04MQTT\x03\x02\x00\x3C\x00\x00"),
    row("level 4 of MQIsdp", "MQTT-3.1.2-2", "Protocol Level 4 is not supported", b"\x10\x0E\x00\x06MQIsdp\x04\x02\x00\x3C\x00\x00"),
    row("level 0x86, the bit of a bridge and no version", "MQTT-3.1.2-2", "Protocol Level 134 is not supported", b"\x10\x0C\x00\x04MQTT\x86\x02\x00\x3C\x00\x00"),
    row("level 0x84 of a bridge with the name of 3.1", "MQTT-3.1.2-2", "Protocol Level 132 is not supported", b"\x10\x0E\x00\x06MQIsdp\x84\x02\x00\x3C\x00\x00"),
    row("reserved connect flag", "MQTT-3.1.2-3", "reserved flag set", b"\x10\x0C\x00\x04MQTT\x04\x03\x00\x3C\x00\x00"),
    row("Will QoS 1 without a Will", "MQTT-3.1.2-13", "Will QoS 1 without the Will Flag", b"\x10\x0C\x00\x04MQTT\x04\x0A\x00\x3C\x00\x00"),
    row("Will QoS 2 without a Will", "MQTT-3.1.2-11", "Will QoS 2 without the Will Flag", b"\x10\x0C\x00\x04MQTT\x04\x12\x00\x3C\x00\x00"),
    row("Will QoS 3", "MQTT-3.1.2-14", "Will QoS 3", b"\x10\x12\x00\x04MQTT\x04\x1E\x00\x3C\x00\x00\x00\x01w\x00\x01m"),
    row("Will QoS 3 without a Will", "MQTT-3.1.2-14", "Will QoS 3", b"\x10\x0C\x00\x04MQTT\x04\x1A\x00\x3C\x00\x00"),
    row("Will Retain without a Will", "MQTT-3.1.2-15", "Will Retain without the Will Flag", b"\x10\x0C\x00\x04MQTT\x04\x22\x00\x3C\x00\x00"),
    row("password without user name", "MQTT-3.1.2-22", "Password Flag without the User Name Flag", b"\x10\x0F\x00\x04MQTT\x04\x42\x00\x3C\x00\x00\x00\x01p"),
    row("CONNECT without a client id", "MQTT-4.8.0-1", "before the end of its Client Identifier", b"\x10\x0C\x00\x06MQIsdp\x03\x02\x00\x3C"),
    row("CONNECT ends in its client id", "MQTT-4.8.0-1", "before the end of its Client Identifier", b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x3C\x00\x02a"),
    row("CONNECT without its Will Topic", "MQTT-4.8.0-1", "before the end of its Will Topic", b"\x10\x0C\x00\x04MQTT\x04\x06\x00\x3C\x00\x00"),
    row("CONNECT without its Will Message", "MQTT-4.8.0-1", "before the end of its Will Message", b"\x10\x0F\x00\x04MQTT\x04\x06\x00\x3C\x00\x00\x00\x01w"),
    row("CONNECT without its user name", "MQTT-4.8.0-1", "before the end of its User Name", b"\x10\x0C\x00\x04MQTT\x04\x82\x00\x3C\x00\x00"),
    row("CONNECT without its password", "MQTT-4.8.0-1", "before the end of its Password", b"\x10\x0F\x00\x04MQTT\x04\xC2\x00\x3C\x00\x00\x00\x01u"),
    row("CONNECT with a Will Topic and no flag for it", "MQTT-4.8.0-1", "3 bytes after its last field", b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x3C\x00\x00\x00\x01w"),
    row("client id of ill-formed UTF-8", "MQTT-1.5.3-1", "Client Identifier is not well-formed UTF-8", b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x3C\x00\x01\xFF"),
    row("client id with a surrogate", "MQTT-1.5.3-1", "Client Identifier is not well-formed UTF-8", b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x3C\x00\x03\xED\xA0\x80"),
    row("client id with an overlong slash", "MQTT-1.5.3-1", "Client Identifier is not well-formed UTF-8", b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x3C\x00\x02\xC0\xAF"),
    row("client id with U+0000", "MQTT-1.5.3-2", "Client Identifier contains U+0000", b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x3C\x00\x03a\0b"),
    row("user name with U+0000", "MQTT-1.5.3-2", "User Name contains U+0000", b"\x10\x0F\x00\x04MQTT\x04\x82\x00\x3C\x00\x00\x00\x01\0"),
    row("user name of ill-formed UTF-8", "MQTT-1.5.3-1", "User Name is not well-formed UTF-8", b"\x10\x0F\x00\x04MQTT\x04\x82\x00\x3C\x00\x00\x00\x01\x80"),
    row("Will Topic of ill-formed UTF-8", "MQTT-1.5.3-1", "Will Topic is not well-formed UTF-8", b"\x10\x11\x00\x04MQTT\x04\x06\x00\x3C\x00\x00\x00\x01\xFE\x00\x00"),
    row("Will Topic with a wildcard", "MQTT-3.3.2-2", "Will Topic has a wildcard", b"\x10\x11\x00\x04MQTT\x04\x06\x00\x3C\x00\x00\x00\x01#\x00\x00"),
    row("empty Will Topic", "MQTT-4.7.3-1", "Will Topic is empty", b"\x10\x10\x00\x04MQTT\x04\x06\x00\x3C\x00\x00\x00\x00\x00\x00"),

    // CONNACK, 3.2.
    row("CONNACK with reserved flags", "MQTT-4.8.0-1", "acknowledge flags 0x02", b"\x20\x02\x02\x00"),
    row("CONNACK that refuses with Session Present", "MQTT-3.2.2-4", "Session Present with return code 5", b"\x20\x02\x01\x05"),
    row("CONNACK with return code 6", "MQTT-4.8.0-1", "reserved return code 6", b"\x20\x02\x00\x06"),

    // PUBLISH, 3.3, and its answers, 3.4 to 3.7.
    row("PUBLISH with QoS 3", "MQTT-3.3.1-4", "QoS 3", b"\x36\x05\x00\x01a\x00\x01"),
    row("PUBLISH with QoS 3, DUP, RETAIN", "MQTT-3.3.1-4", "QoS 3", b"\x3F\x05\x00\x01a\x00\x01"),
    row("PUBLISH with DUP and QoS 0", "MQTT-3.3.1-2", "DUP set and QoS 0", b"\x38\x03\x00\x01a"),
    row("PUBLISH with DUP, RETAIN and QoS 0", "MQTT-3.3.1-2", "DUP set and QoS 0", b"\x39\x03\x00\x01a"),
    row("PUBLISH ends in its topic", "MQTT-4.8.0-1", "before the end of its Topic Name", b"\x30\x03\x00\x02a"),
    row("PUBLISH with an empty topic", "MQTT-4.7.3-1", "Topic Name is empty", b"\x30\x02\x00\x00"),
    row("PUBLISH to `+`", "MQTT-3.3.2-2", "Topic Name has a wildcard", b"\x30\x03\x00\x01+"),
    row("PUBLISH to `a/#`", "MQTT-3.3.2-2", "Topic Name has a wildcard", b"\x30\x05\x00\x03a/#"),
    row("PUBLISH to U+0000", "MQTT-4.7.3-2", "Topic Name contains U+0000", b"\x30\x05\x00\x03a\0b"),
    row("PUBLISH to ill-formed UTF-8", "MQTT-1.5.3-1", "Topic Name is not well-formed UTF-8", b"\x30\x05\x00\x03a\xC3("),
    row("PUBLISH of QoS 1 without a packet id", "MQTT-4.8.0-1", "before the end of its Packet Identifier", b"\x32\x03\x00\x01a"),
    row("PUBLISH of QoS 1 with half a packet id", "MQTT-4.8.0-1", "before the end of its Packet Identifier", b"\x32\x04\x00\x01a\x01"),
    row("PUBLISH of QoS 1 with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x32\x05\x00\x01a\x00\x00"),
    row("PUBLISH of QoS 2 with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x34\x05\x00\x01a\x00\x00"),
    row("PUBACK with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x40\x02\x00\x00"),
    row("PUBREC with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x50\x02\x00\x00"),
    row("PUBREL with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x62\x02\x00\x00"),
    row("PUBCOMP with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x70\x02\x00\x00"),

    // SUBSCRIBE, SUBACK, UNSUBSCRIBE: 3.8 to 3.10.
    row("SUBSCRIBE with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x82\x06\x00\x00\x00\x01a\x00"),
    row("SUBSCRIBE without a filter", "MQTT-3.8.3-3", "SUBSCRIBE has no Topic Filter", b"\x82\x02\x00\x01"),
    row("SUBSCRIBE with QoS 3", "MQTT-3-8.3-4", "Requested QoS byte 0x03", b"\x82\x06\x00\x01\x00\x01a\x03"),
    row("SUBSCRIBE with a reserved bit", "MQTT-3-8.3-4", "Requested QoS byte 0x04", b"\x82\x06\x00\x01\x00\x01a\x04"),
    row("SUBSCRIBE with the highest reserved bit", "MQTT-3-8.3-4", "Requested QoS byte 0x82", b"\x82\x06\x00\x01\x00\x01a\x82"),
    row("SUBSCRIBE with a wrong second filter", "MQTT-3-8.3-4", "Requested QoS byte 0x03", b"\x82\x0A\x00\x01\x00\x01a\x02\x00\x01b\x03"),
    row("SUBSCRIBE without the QoS of a filter", "MQTT-4.8.0-1", "before the end of its Requested QoS", b"\x82\x05\x00\x01\x00\x01a"),
    row("SUBSCRIBE ends in a filter", "MQTT-4.8.0-1", "before the end of its Topic Filter", b"\x82\x05\x00\x01\x00\x02a"),
    row("SUBSCRIBE ends in the length of a filter", "MQTT-4.8.0-1", "before the end of its Topic Filter", b"\x82\x03\x00\x01\x00"),
    row("SUBSCRIBE to an empty filter", "MQTT-4.7.3-1", "Topic Filter is empty", b"\x82\x05\x00\x01\x00\x00\x00"),
    row("SUBSCRIBE to `a/#/b`", "MQTT-4.7.1-2", "Topic Filter has a `#`", b"\x82\x0A\x00\x01\x00\x05a/#/b\x00"),
    row("SUBSCRIBE to `a#`", "MQTT-4.7.1-2", "Topic Filter has a `#`", b"\x82\x07\x00\x01\x00\x02a#\x00"),
    row("SUBSCRIBE to `a+`", "MQTT-4.7.1-3", "Topic Filter has a `+`", b"\x82\x07\x00\x01\x00\x02a+\x00"),
    row("SUBSCRIBE to U+0000", "MQTT-4.7.3-2", "Topic Filter contains U+0000", b"\x82\x06\x00\x01\x00\x01\0\x00"),
    row("SUBSCRIBE to ill-formed UTF-8", "MQTT-1.5.3-1", "Topic Filter is not well-formed UTF-8", b"\x82\x06\x00\x01\x00\x01\xFF\x00"),
    row("SUBACK with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x90\x03\x00\x00\x00"),
    row("SUBACK with return code 3", "MQTT-3.9.3-2", "reserved return code 0x03", b"\x90\x03\x00\x01\x03"),
    row("SUBACK with return code 0x81", "MQTT-3.9.3-2", "reserved return code 0x81", b"\x90\x04\x00\x01\x00\x81"),
    row("UNSUBSCRIBE with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\xA2\x05\x00\x00\x00\x01a"),
    row("UNSUBSCRIBE without a filter", "MQTT-3.10.3-2", "UNSUBSCRIBE has no Topic Filter", b"\xA2\x02\x00\x01"),
    row("UNSUBSCRIBE ends in a filter", "MQTT-4.8.0-1", "before the end of its Topic Filter", b"\xA2\x05\x00\x01\x00\x02a"),
    row("UNSUBSCRIBE from `#/a`", "MQTT-4.7.1-2", "Topic Filter has a `#`", b"\xA2\x07\x00\x01\x00\x03#/a"),
    row("UNSUBSCRIBE from ill-formed UTF-8", "MQTT-1.5.3-1", "Topic Filter is not well-formed UTF-8", b"\xA2\x05\x00\x01\x00\x01\x80"),
    row("UNSUBACK with packet id 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\xB0\x02\x00\x00"),
];

/// The same for MQTT 5: packets that 3.1.1 does not define, and those that it treats differently.
#[rustfmt::skip]
#[allow(dead_code)]
pub const MALFORMED_5: &[Malformed] = &[
    // The fixed header.
    row("5: type 0", "MQTT-4.8.0-1", "packet type 0 is reserved", b"\x00\x00"),
    row("5: AUTH with flags 0001", "MQTT-2.2.2-2", "AUTH has the flags 0b0001", b"\xF1\x00"),
    row("5: DISCONNECT with flags 0001", "MQTT-2.2.2-2", "DISCONNECT has the flags 0b0001", b"\xE1\x00"),
    row("5: CONNACK without properties", "MQTT-4.8.0-1", "CONNACK cannot have a Remaining Length of 2", b"\x20\x02\x00\x00"),
    // Properties, 2.2.2.
    row("5: PUBLISH without Property Length", "MQTT-4.8.0-1", "ends before the end of its Property Length", b"\x30\x03\x00\x01a"),
    row("5: Property Length beyond the packet", "MQTT-4.8.0-1", "ends before the end of its properties", b"\x30\x05\x00\x01a\x02\x01"),
    row("5: Property Length in more bytes than it needs", "MQTT-1.5.5-1", "Property Length is not a Variable Byte Integer", b"\x30\x05\x00\x01a\x80\x00"),
    row("5: Property Length of five bytes", "MQTT-1.5.5-1", "Property Length is not a Variable Byte Integer", b"\x30\x09\x00\x01a\x80\x80\x80\x80\x01x"),
    row("5: property 0", "MQTT-4.13.1-1", "PUBLISH may not have the property 0x00", b"\x30\x05\x00\x01a\x01\x00"),
    row("5: property that there is not", "MQTT-4.13.1-1", "PUBLISH may not have the property 0x7f", b"\x30\x06\x00\x01a\x02\x7F\x00"),
    row("5: property of another packet", "MQTT-4.13.1-1", "PUBLISH may not have the property 0x11", b"\x30\x09\x00\x01a\x05\x11\x00\x00\x00\x01"),
    row("5: Will Delay Interval in CONNECT", "MQTT-4.13.1-1", "CONNECT may not have the property 0x18", b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3C\x05\x18\x00\x00\x00\x01\x00\x00"),
    row("5: Session Expiry Interval in a Will", "MQTT-4.13.1-1", "Will may not have the property 0x11", b"\x10\x18\x00\x04MQTT\x05\x06\x00\x3C\x00\x00\x00\x05\x11\x00\x00\x00\x01\x00\x01w\x00\x00"),
    row("5: property that the bytes end within", "MQTT-4.8.0-1", "ends before the end of its Message Expiry Interval", b"\x30\x07\x00\x01a\x03\x02\x00\x00"),
    row("5: User Property without value", "MQTT-4.8.0-1", "ends before the end of its User Property", b"\x30\x08\x00\x01a\x04\x26\x00\x01n"),
    row("5: User Property of ill-formed UTF-8", "MQTT-1.5.3-1", "User Property is not well-formed UTF-8", b"\x30\x0B\x00\x01a\x07\x26\x00\x01\xFF\x00\x01v"),
    row("5: User Property with U+0000", "MQTT-1.5.3-2", "User Property contains U+0000", b"\x30\x0B\x00\x01a\x07\x26\x00\x01n\x00\x01\x00"),
    row("5: Content Type with a surrogate", "MQTT-1.5.3-1", "Content Type is not well-formed UTF-8", b"\x30\x0A\x00\x01a\x06\x03\x00\x03\xED\xA0\x80"),
    row("5: Payload Format Indicator twice", "MQTT-4.13.1-1", "Payload Format Indicator appears twice", b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00"),
    row("5: Payload Format Indicator 2", "MQTT-4.13.1-1", "Payload Format Indicator has the value 2", b"\x30\x06\x00\x01a\x02\x01\x02"),
    row("5: Response Topic with a wildcard", "MQTT-3.3.2-2", "Response Topic", b"\x30\x09\x00\x01a\x05\x08\x00\x02a#"),
    row("5: Topic Alias 0", "MQTT-4.13.1-1", "Topic Alias has the value 0", b"\x30\x07\x00\x01a\x03\x23\x00\x00"),
    row("5: neither topic nor alias", "MQTT-4.13.1-1", "neither Topic Name nor Topic Alias", b"\x30\x03\x00\x00\x00"),
    row("5: Receive Maximum 0", "MQTT-4.13.1-1", "Receive Maximum has the value 0", b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3C\x03\x21\x00\x00\x00\x00"),
    row("5: Maximum Packet Size 0", "MQTT-4.13.1-1", "Maximum Packet Size has the value 0", b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3C\x05\x27\x00\x00\x00\x00\x00\x00"),
    row("5: Receive Maximum twice", "MQTT-4.13.1-1", "Receive Maximum appears twice", b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3C\x06\x21\x00\x01\x21\x00\x01\x00\x00"),
    row("5: Message Expiry Interval twice", "MQTT-4.13.1-1", "Message Expiry Interval appears twice", b"\x30\x0E\x00\x01a\x0A\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01"),
    row("5: Correlation Data twice", "MQTT-4.13.1-1", "Correlation Data appears twice", b"\x30\x0C\x00\x01a\x08\x09\x00\x01x\x09\x00\x01x"),
    row("5: Response Topic twice", "MQTT-4.13.1-1", "Response Topic appears twice", b"\x30\x0C\x00\x01a\x08\x08\x00\x01x\x08\x00\x01x"),
    row("5: Topic Alias twice", "MQTT-4.13.1-1", "Topic Alias appears twice", b"\x30\x0A\x00\x01a\x06\x23\x00\x01\x23\x00\x01"),
    row("5: Session Expiry Interval twice", "MQTT-4.13.1-1", "Session Expiry Interval appears twice", b"\x10\x17\x00\x04MQTT\x05\x02\x00\x3C\x0A\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01\x00\x00"),
    row("5: Content Type longer than the properties", "MQTT-4.8.0-1", "ends before the end of its Content Type", b"\x30\x0C\x00\x01a\x04\x03\x00\x05xabcd"),
    row("5: Response Topic with U+0000", "MQTT-4.7.3-2", "Response Topic contains U+0000", b"\x30\x08\x00\x01a\x04\x08\x00\x01\0"),
    // CONNECT, 3.1.
    row("5: Client Identifier with U+0000", "MQTT-1.5.3-2", "Client Identifier contains U+0000", b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x01\0"),
    row("5: CONNECT with the reserved flag", "MQTT-3.1.2-3", "CONNECT has its reserved flag set", b"\x10\x0D\x00\x04MQTT\x05\x03\x00\x3C\x00\x00\x00"),
    row("5: Authentication Data without a method", "MQTT-4.13.1-1", "Authentication Data without Authentication Method", b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3C\x04\x16\x00\x01x\x00\x00"),
    // PUBLISH, 3.3.
    row("5: PUBLISH with DUP and QoS 0", "MQTT-3.3.1-2", "DUP set and QoS 0", b"\x38\x04\x00\x01a\x00"),
    row("5: PUBLISH of QoS 1 with Packet Identifier 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x32\x06\x00\x01a\x00\x00\x00"),
    row("5: PUBLISH to a surrogate", "MQTT-1.5.3-1", "Topic Name is not well-formed UTF-8", b"\x30\x06\x00\x03\xED\xA0\x80\x00"),
    row("5: PUBLISH to U+0000", "MQTT-4.7.3-2", "Topic Name contains U+0000", b"\x30\x04\x00\x01\0\x00"),
    // PUBLISH of a client, 3.3.4.
    row("5: PUBLISH of a client with a Subscription Identifier", "MQTT-3.3.4-6", "PUBLISH of a client has a Subscription Identifier", b"\x30\x06\x00\x01a\x02\x0B\x01"),
    // Acknowledgements, 3.4 to 3.7.
    row("5: PUBACK with a Reason Code that there is not", "MQTT-4.13.1-1", "PUBACK has the Reason Code 0x03", b"\x40\x03\x00\x01\x03"),
    row("5: PUBREL with a Reason Code of PUBACK", "MQTT-4.13.1-1", "PUBREL has the Reason Code 0x10", b"\x62\x03\x00\x01\x10"),
    row("5: PUBACK with bytes after its properties", "MQTT-4.8.0-1", "1 bytes after its last field", b"\x40\x05\x00\x01\x00\x00\x00"),
    row("5: PUBACK with Packet Identifier 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x40\x02\x00\x00"),
    row("5: PUBREL with flags 0000", "MQTT-2.2.2-2", "PUBREL has the flags 0b0000", b"\x60\x02\x00\x01"),
    // SUBSCRIBE, 3.8.
    row("5: SUBSCRIBE with flags 0000", "MQTT-2.2.2-2", "SUBSCRIBE has the flags 0b0000", b"\x80\x07\x00\x01\x00\x00\x01a\x00"),
    row("5: SUBSCRIBE with Packet Identifier 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\x82\x07\x00\x00\x00\x00\x01a\x00"),
    row("5: SUBSCRIBE to a surrogate", "MQTT-1.5.3-1", "Topic Filter is not well-formed UTF-8", b"\x82\x09\x00\x01\x00\x00\x03\xED\xBF\xBF\x00"),
    row("5: SUBSCRIBE without a filter", "MQTT-3.8.3-3", "SUBSCRIBE has no Topic Filter", b"\x82\x03\x00\x01\x00"),
    row("5: SUBSCRIBE with a reserved bit", "MQTT-3.8.3-5", "SUBSCRIBE has the Subscription Options 0x40", b"\x82\x07\x00\x01\x00\x00\x01a\x40"),
    row("5: SUBSCRIBE with QoS 3", "MQTT-4.13.1-1", "SUBSCRIBE has Maximum QoS 3", b"\x82\x07\x00\x01\x00\x00\x01a\x03"),
    row("5: SUBSCRIBE with Retain Handling 3", "MQTT-4.13.1-1", "SUBSCRIBE has Retain Handling 3", b"\x82\x07\x00\x01\x00\x00\x01a\x30"),
    row("5: SUBSCRIBE with No Local for a shared subscription", "MQTT-3.8.3-4", "No Local for a shared subscription", b"\x82\x10\x00\x01\x00\x00\x0A$share/g/a\x04"),
    row("5: Subscription Identifier 0", "MQTT-4.13.1-1", "Subscription Identifier has the value 0", b"\x82\x09\x00\x01\x02\x0B\x00\x00\x01a\x00"),
    row("5: Subscription Identifier twice", "MQTT-4.13.1-1", "Subscription Identifier appears twice", b"\x82\x0B\x00\x01\x04\x0B\x01\x0B\x02\x00\x01a\x00"),
    row("5: Subscription Identifier in five bytes", "MQTT-1.5.5-1", "Subscription Identifier is not a Variable Byte Integer", b"\x82\x0D\x00\x01\x06\x0B\xFF\xFF\xFF\xFF\x01\x00\x01a\x00"),
    row("5: SUBACK with a Reason Code that there is not", "MQTT-3.9.3-2", "SUBACK has the reserved return code 0x03", b"\x90\x04\x00\x01\x00\x03"),
    // UNSUBSCRIBE, 3.10.
    row("5: UNSUBSCRIBE with Packet Identifier 0", "MQTT-2.3.1-1", "Packet Identifier is 0", b"\xA2\x06\x00\x00\x00\x00\x01a"),
    row("5: UNSUBSCRIBE without a filter", "MQTT-3.10.3-2", "UNSUBSCRIBE has no Topic Filter", b"\xA2\x03\x00\x01\x00"),
    row("5: UNSUBSCRIBE with a Subscription Identifier", "MQTT-4.13.1-1", "UNSUBSCRIBE may not have the property 0x0b", b"\xA2\x08\x00\x01\x02\x0B\x01\x00\x01a"),
    // DISCONNECT and AUTH, 3.14 and 3.15.
    row("5: DISCONNECT with a Reason Code of PUBACK", "MQTT-4.13.1-1", "DISCONNECT has the Reason Code 0x10", b"\xE0\x01\x10"),
    row("5: AUTH without a method", "MQTT-4.13.1-1", "AUTH has no Authentication Method", b"\xF0\x02\x18\x00"),
    row("5: AUTH with a Reason Code of CONNACK", "MQTT-4.13.1-1", "AUTH has the Reason Code 0x87", b"\xF0\x02\x87\x00"),
];
