//! The helpers of `raw` for MQTT 5: packets with properties as bytes, and a client that sends and reads them. They do
//! not use the broker's codec either.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    ops::{Deref, DerefMut},
};

use super::raw::{Client, Frame, PINGREQ, PINGRESP, ack, frame, text};

/// Identifiers of properties (section 2.2.2.2).
pub mod property {
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const MAXIMUM_QOS: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub const SHARED_AVAILABLE: u8 = 0x2A;
}

/// Options of a subscription (section 3.8.3.1), beside its QoS.
pub const NO_LOCAL: u8 = 0x04;
pub const RETAIN_AS_PUBLISHED: u8 = 0x08;
pub const RETAIN_IF_NEW: u8 = 0x10;
pub const RETAIN_NEVER: u8 = 0x20;

/// Properties as on the wire, without their length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties(pub Vec<u8>);

impl Properties {
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, id: u8, value: &[u8]) -> Self {
        self.0.push(id);
        self.0.extend_from_slice(value);
        self
    }

    pub fn byte(self, id: u8, value: u8) -> Self {
        self.with(id, &[value])
    }

    pub fn short(self, id: u8, value: u16) -> Self {
        self.with(id, &value.to_be_bytes())
    }

    pub fn int(self, id: u8, value: u32) -> Self {
        self.with(id, &value.to_be_bytes())
    }

    pub fn variable(self, id: u8, value: u32) -> Self {
        self.with(id, &variable(value as usize))
    }

    /// Text or binary data.
    pub fn text(self, id: u8, value: impl AsRef<[u8]>) -> Self {
        self.with(id, &text(value))
    }

    pub fn user(self, name: &str, value: &str) -> Self {
        self.with(property::USER_PROPERTY, &[text(name), text(value)].concat())
    }

    /// Their length, and they themselves.
    pub fn framed(&self) -> Vec<u8> {
        [variable(self.0.len()), self.0.clone()].concat()
    }

    /// Takes the properties off the front.
    pub fn split(bytes: &[u8]) -> (Self, &[u8]) {
        let (length, rest) = split_variable(bytes);
        let (properties, rest) = rest.split_at(length);
        (Self(properties.to_vec()), rest)
    }

    /// Each with the bytes of its value.
    pub fn each(&self) -> Vec<(u8, Vec<u8>)> {
        let (mut each, mut rest) = (Vec::new(), &self.0[..]);
        while let [id, value @ ..] = rest {
            let length = |bytes: &[u8]| 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
            let length = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2A => 1,
                0x13 | 0x21..=0x23 => 2,
                0x02 | 0x11 | 0x18 | 0x27 => 4,
                0x0B => value.len() - split_variable(value).1.len(),
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => length(value),
                0x26 => length(value) + length(&value[length(value)..]),
                other => panic!("the property {other:#04x}"),
            };
            each.push((*id, value[..length].to_vec()));
            rest = &value[length..];
        }
        each
    }

    pub fn ids(&self) -> Vec<u8> {
        self.each().into_iter().map(|(id, _)| id).collect()
    }

    /// The value of one that is an integer of fixed length.
    pub fn number(&self, id: u8) -> Option<u32> {
        let value = self.each().into_iter().find(|(found, _)| *found == id)?.1;
        Some(value.into_iter().fold(0, |number, byte| number << 8 | u32::from(byte)))
    }

    /// The value of one that is text.
    pub fn string(&self, id: u8) -> Option<String> {
        let value = self.each().into_iter().find(|(found, _)| *found == id)?.1;
        Some(String::from_utf8(value[2..].to_vec()).expect("text in UTF-8"))
    }

    /// The Subscription Identifiers, sorted.
    pub fn identifiers(&self) -> Vec<usize> {
        let each = self.each().into_iter().filter(|(id, _)| *id == property::SUBSCRIPTION_IDENTIFIER);
        let mut identifiers: Vec<_> = each.map(|(_, value)| split_variable(&value).0).collect();
        identifiers.sort_unstable();
        identifiers
    }
}

fn variable(value: usize) -> Vec<u8> {
    // the length of a frame is written so
    let mut bytes = vec![(value & 0x7F) as u8];
    let mut rest = value >> 7;
    while rest > 0 {
        *bytes.last_mut().expect("a byte") |= 0x80;
        bytes.push((rest & 0x7F) as u8);
        rest >>= 7;
    }
    bytes
}

fn split_variable(bytes: &[u8]) -> (usize, &[u8]) {
    let length = 1 + bytes.iter().position(|byte| byte & 0x80 == 0).expect("a whole Variable Byte Integer");
    let (bytes, rest) = bytes.split_at(length);
    let value = bytes.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F));
    assert_eq!(variable(value), bytes, "more bytes than it needs [MQTT-1.5.5-1]");
    (value, rest)
}

/// A CONNECT, Clean Start 1 and without keep alive unless told otherwise.
#[derive(Clone)]
pub struct Connect {
    pub level: u8,
    pub flags: u8,
    pub keep_alive: u16,
    pub client_id: Vec<u8>,
    pub properties: Properties,
    /// Will Properties, Will Topic and Will Payload.
    pub will: Vec<u8>,
    /// User Name and Password.
    pub user: Vec<u8>,
}

impl Connect {
    pub fn new(client_id: &str) -> Self {
        Self {
            level: 5,
            flags: 2,
            keep_alive: 0,
            client_id: client_id.as_bytes().to_vec(),
            properties: Properties::new(),
            will: Vec::new(),
            user: Vec::new(),
        }
    }

    pub fn client_id(&self) -> &str {
        str::from_utf8(&self.client_id).expect("a Client Identifier in UTF-8")
    }

    /// Clean Start 0.
    pub fn resume(self) -> Self {
        Self { flags: self.flags & !2, ..self }
    }

    /// Clean Start 0, and a session that lasts so many seconds.
    pub fn lasting(self, seconds: u32) -> Self {
        let properties = self.properties.clone().int(property::SESSION_EXPIRY, seconds);
        self.resume().with(properties)
    }

    pub fn with(self, properties: Properties) -> Self {
        Self { properties, ..self }
    }

    pub fn keep_alive(self, keep_alive: u16) -> Self {
        Self { keep_alive, ..self }
    }

    pub fn will(self, will: &Publish) -> Self {
        let flags = self.flags | 4 | will.qos << 3 | u8::from(will.retain) << 5;
        Self { flags, will: [will.properties.framed(), text(&will.topic), text(&will.payload)].concat(), ..self }
    }

    pub fn frame(&self) -> Vec<u8> {
        let head = [&text("MQTT")[..], &[self.level, self.flags], &self.keep_alive.to_be_bytes()].concat();
        let body = [head, self.properties.framed(), text(&self.client_id), self.will.clone(), self.user.clone()];
        frame(0x10, &body.concat())
    }
}

/// A CONNACK as received.
#[derive(Debug)]
pub struct Connack {
    pub flags: u8,
    pub code: u8,
    pub properties: Properties,
}

/// A PUBLISH, to be sent or as received; the Packet Identifier is 0 where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub id: u16,
    pub dup: bool,
    pub retain: bool,
    pub properties: Properties,
}

impl Publish {
    pub fn new(topic: &str, payload: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_bytes().to_vec(),
            qos: 0,
            id: 0,
            dup: false,
            retain: false,
            properties: Properties::new(),
        }
    }

    pub fn qos(self, qos: u8) -> Self {
        Self { qos, ..self }
    }

    pub fn id(self, id: u16) -> Self {
        Self { id, ..self }
    }

    pub fn dup(self) -> Self {
        Self { dup: true, ..self }
    }

    pub fn retain(self) -> Self {
        Self { retain: true, ..self }
    }

    pub fn with(self, properties: Properties) -> Self {
        Self { properties, ..self }
    }

    /// Expires after so many seconds.
    pub fn expires(self, seconds: u32) -> Self {
        let properties = self.properties.clone().int(property::MESSAGE_EXPIRY, seconds);
        self.with(properties)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a payload in UTF-8")
    }

    pub fn frame(&self) -> Vec<u8> {
        let first = 0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let id = if self.qos > 0 { self.id.to_be_bytes().to_vec() } else { Vec::new() };
        frame(first, &[text(&self.topic), id, self.properties.framed(), self.payload.clone()].concat())
    }

    /// Decodes a frame, if it is valid.
    pub fn parse(frame: &Frame) -> Option<Self> {
        // up to the properties it is one of 3.1.1
        let plain = frame.message()?;
        let (properties, payload) = Properties::split(&plain.payload);
        Some(Self {
            topic: plain.topic,
            payload: payload.to_vec(),
            qos: plain.qos,
            id: plain.id,
            dup: plain.dup,
            retain: plain.retain,
            properties,
        })
    }
}

pub fn subscribe(id: u16, properties: &Properties, filters: &[(&str, u8)]) -> Vec<u8> {
    let filters: Vec<u8> =
        filters.iter().flat_map(|(filter, options)| [text(filter), vec![*options]].concat()).collect();
    frame(0x82, &[&id.to_be_bytes()[..], &properties.framed(), &filters].concat())
}

pub fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    frame(0x90, &[&id.to_be_bytes()[..], &[0], codes].concat())
}

pub fn unsubscribe(id: u16, filters: &[&str]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(text).collect();
    frame(0xA2, &[&id.to_be_bytes()[..], &[0], &filters].concat())
}

pub fn unsuback(id: u16, codes: &[u8]) -> Vec<u8> {
    frame(0xB0, &[&id.to_be_bytes()[..], &[0], codes].concat())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP with a Reason Code other than 0.
pub fn ack_with(first: u8, id: u16, code: u8) -> Vec<u8> {
    frame(first, &[&id.to_be_bytes()[..], &[code]].concat())
}

/// CONNACK with a Reason Code other than 0, and nothing else.
pub fn refused(code: u8) -> Vec<u8> {
    frame(0x20, &[0, code, 0])
}

/// DISCONNECT with a Reason Code other than 0.
pub fn disconnect(code: u8) -> Vec<u8> {
    frame(0xE0, &[code, 0])
}

/// DISCONNECT with properties.
pub fn disconnect_with(code: u8, properties: &Properties) -> Vec<u8> {
    frame(0xE0, &[vec![code], properties.framed()].concat())
}

/// One connection of a client of MQTT 5.
pub struct Five {
    client: Client,
    last_id: u16,
    /// Messages that came while a PUBREL was awaited.
    early: VecDeque<Publish>,
}

impl Deref for Five {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Five {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Five {
    /// A connection after this CONNECT and its CONNACK.
    #[track_caller]
    pub fn connect(address: SocketAddr, connect: &Connect) -> (Self, Connack) {
        let mut five = Self::open(address);
        five.send(&connect.frame());
        let connack = five.connack();
        (five, connack)
    }

    /// One that is accepted with this Session Present flag.
    #[track_caller]
    pub fn accepted(address: SocketAddr, connect: &Connect, session_present: u8) -> Self {
        let (five, connack) = Self::connect(address, connect);
        assert_eq!((connack.flags, connack.code), (session_present, 0));
        five
    }

    /// A connection on which nothing was sent yet.
    pub fn open(address: SocketAddr) -> Self {
        Self { client: Client::open(address), last_id: 0, early: VecDeque::new() }
    }

    /// The next frame is an AUTH with this Reason Code and method; its Authentication Data.
    #[track_caller]
    pub fn expect_auth(&mut self, code: u8, method: &str) -> String {
        let next = self.next_answer();
        assert_eq!((next.first, next.body[0]), (0xF0, code), "an AUTH was expected, but {:02x?} came", next.bytes());
        let (properties, rest) = Properties::split(&next.body[1..]);
        assert_eq!(rest, b"", "bytes behind the properties of AUTH");
        // and nothing else: no Reason String, no User Property
        assert!(properties.ids().iter().all(|id| [0x15, 0x16].contains(id)), "{properties:?}");
        assert_eq!(properties.string(property::AUTHENTICATION_METHOD).as_deref(), Some(method));
        properties.string(property::AUTHENTICATION_DATA).unwrap_or_default()
    }

    /// A CONNACK that refuses with this Reason Code, then the close.
    #[track_caller]
    pub fn expect_refused(&mut self, code: u8) {
        let connack = self.connack();
        assert_eq!((connack.flags, connack.code), (0, code), "{}", self.context);
        self.expect_closed();
    }

    /// The next frame is a CONNACK.
    #[track_caller]
    pub fn connack(&mut self) -> Connack {
        let next = self.expect_any();
        assert_eq!(next.first, 0x20, "a CONNACK was expected, but {:02x?} came", next.bytes());
        let (properties, rest) = Properties::split(&next.body[2..]);
        assert_eq!(rest, b"", "bytes behind the properties of CONNACK");
        Connack { flags: next.body[0], code: next.body[1], properties }
    }

    pub fn fresh_id(&mut self) -> u16 {
        self.last_id += 1;
        self.last_id
    }

    /// Subscribes where no retained message is sent; all are granted as asked.
    #[track_caller]
    pub fn subscribe(&mut self, filters: &[(&str, u8)]) {
        let granted: Vec<_> = filters.iter().map(|(_, options)| options & 3).collect();
        assert_eq!(self.ask(&Properties::new(), filters), granted);
    }

    /// Subscribes one filter with a Subscription Identifier.
    #[track_caller]
    pub fn subscribe_as(&mut self, identifier: u32, filter: &str, options: u8) {
        let properties = Properties::new().variable(property::SUBSCRIPTION_IDENTIFIER, identifier);
        assert_eq!(self.ask(&properties, &[(filter, options)]), [options & 3]);
    }

    /// The Reason Codes of the SUBACK; nothing comes before it.
    #[track_caller]
    pub fn ask(&mut self, properties: &Properties, filters: &[(&str, u8)]) -> Vec<u8> {
        let id = self.fresh_id();
        self.send(&subscribe(id, properties, filters));
        let next = self.expect_any();
        assert_eq!(next.bytes(), suback(id, &next.body[3..]), "SUBACK [MQTT-3.8.4-2]");
        assert_eq!(next.body.len(), 3 + filters.len(), "a Reason Code for each filter [MQTT-3.8.4-6]");
        next.body[3..].to_vec()
    }

    /// The Reason Codes of the UNSUBACK; nothing comes before it.
    #[track_caller]
    pub fn give_up(&mut self, filters: &[&str]) -> Vec<u8> {
        let id = self.fresh_id();
        self.send(&unsubscribe(id, filters));
        let next = self.expect_any();
        assert_eq!(next.bytes(), unsuback(id, &next.body[3..]), "UNSUBACK [MQTT-3.10.4-5]");
        next.body[3..].to_vec()
    }

    /// Publishes, and waits until the broker owns the message: the Reason Code of PUBACK or PUBREC. A QoS 0 message is
    /// followed by a ping for that.
    #[track_caller]
    pub fn publish(&mut self, publish: &Publish) -> u8 {
        let id = if publish.qos > 0 && publish.id == 0 { self.fresh_id() } else { publish.id };
        self.send(&publish.clone().id(id).frame());
        if publish.qos == 0 {
            self.send(PINGREQ);
            assert_eq!(self.next_answer().bytes(), PINGRESP);
            return 0;
        }
        let code = self.expect_ack(if publish.qos == 1 { 0x40 } else { 0x50 }, id);
        if publish.qos == 2 && code < 0x80 {
            self.send(&ack(0x62, id));
            assert_eq!(self.expect_ack(0x70, id), 0);
        }
        code
    }

    /// The next frame that is no PUBLISH; those that come before it are received later.
    #[track_caller]
    fn next_answer(&mut self) -> Frame {
        loop {
            let next = self.expect_any();
            match Publish::parse(&next) {
                Some(early) => self.early.push_back(early),
                None => return next,
            }
        }
    }

    /// Everything that came was received.
    #[track_caller]
    pub fn expect_nothing_pending(&mut self) {
        assert_eq!(self.early, [], "messages came");
        self.client.expect_nothing_pending();
    }

    /// The next frame but for messages is this acknowledgement; its Reason Code, and no property.
    #[track_caller]
    pub fn expect_ack(&mut self, first: u8, id: u16) -> u8 {
        let next = self.next_answer();
        let code = next.body.get(2).copied().unwrap_or(0);
        let expected = if code == 0 { ack(first, id) } else { ack_with(first, id, code) };
        assert_eq!(next.bytes(), expected, "another frame came than was expected");
        code
    }

    /// The next frame is a PUBLISH; it is not acknowledged.
    #[track_caller]
    pub fn receive(&mut self) -> Publish {
        if let Some(early) = self.early.pop_front() {
            return early;
        }
        let next = self.expect_any();
        Publish::parse(&next).unwrap_or_else(|| panic!("a PUBLISH was expected, but {:02x?} came", next.bytes()))
    }

    /// Receives a message and acknowledges it; messages that come before its PUBREL are received after it.
    #[track_caller]
    pub fn take(&mut self) -> Publish {
        let publish = self.receive();
        match publish.qos {
            0 => {}
            1 => self.send(&ack(0x40, publish.id)),
            _ => {
                self.send(&ack(0x50, publish.id));
                assert_eq!(self.next_answer().bytes(), ack(0x62, publish.id));
                self.send(&ack(0x70, publish.id));
            }
        }
        publish
    }

    /// Takes these payloads, and nothing else comes.
    #[track_caller]
    pub fn expect_payloads(&mut self, payloads: &[&str]) {
        let got: Vec<_> = payloads.iter().map(|_| self.take().text().to_owned()).collect();
        assert_eq!(got, payloads);
        self.expect_nothing_pending();
    }

    /// The next message if one has arrived; a ping marks the end.
    #[track_caller]
    pub fn take_if_any(&mut self) -> Option<Publish> {
        if self.early.is_empty() {
            self.send(PINGREQ);
            assert_eq!(self.next_answer().bytes(), PINGRESP);
        }
        (!self.early.is_empty()).then(|| self.take())
    }

    /// A DISCONNECT with this Reason Code and nothing else, then the close [MQTT-3.14.4-2].
    #[track_caller]
    pub fn expect_disconnect(&mut self, code: u8) {
        let next = self.read().unwrap_or_else(|| panic!("closed without DISCONNECT {}", self.context));
        assert_eq!(next.bytes(), disconnect(code), "{}", self.context);
        self.expect_closed();
    }

    /// Subscribes at QoS 2, and goes away.
    #[track_caller]
    pub fn leave_subscribed(self, filter: &str) {
        self.leave_with_options(filter, 2);
    }

    /// Subscribes with these options, and goes away.
    #[track_caller]
    pub fn leave_with_options(mut self, filter: &str, options: u8) {
        self.subscribe(&[(filter, options)]);
        self.leave();
    }

    /// Ends the connection without a DISCONNECT.
    pub fn abort(self) {
        self.client.abort();
    }

    /// DISCONNECT, then waits until the broker has closed.
    #[track_caller]
    pub fn leave(self) {
        self.client.disconnect();
    }

    /// Sends what ends the connection, then waits until the broker has closed without a word.
    #[track_caller]
    pub fn leave_with(mut self, bytes: &[u8]) {
        self.send(bytes);
        self.expect_closed();
    }
}
