//! Frames as bytes, and one socket to send and read them through. It does not use the broker's codec, so that both
//! cannot have the same fault.

use std::{
    collections::VecDeque,
    io::{BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use super::GUARD;

pub const PINGREQ: &[u8] = &[0xC0, 0];
pub const PINGRESP: &[u8] = &[0xD0, 0];
pub const DISCONNECT: &[u8] = &[0xE0, 0];

/// One connection, as a client sees it.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// Messages that came while a PUBREL was awaited.
    early: VecDeque<Frame>,
    last_id: u16,
    /// The step of the test, for the message at a time-out.
    pub context: String,
}

impl Client {
    /// A connection on which nothing was sent yet.
    pub fn open(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("the broker accepts connections"))
    }

    /// The client's side of this connection.
    pub fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(GUARD)).expect("a read timeout");
        stream.set_write_timeout(Some(GUARD)).expect("a write timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream), early: VecDeque::new(), last_id: 0, context: String::new() }
    }

    /// A client that is accepted with this Session Present flag.
    #[track_caller]
    pub fn accepted(address: SocketAddr, connect: &Connect, session_present: u8) -> Self {
        let mut client = Self::open(address);
        client.send(&connect.frame());
        client.expect(&connack(session_present, 0));
        client
    }

    /// Writes bytes; `false` once that is not possible any more.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Writes bytes as they are. That the broker closes meanwhile is for the next expectation to judge.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.get_mut().write_all(bytes) {
            Err(error) if !is_close(error.kind()) => panic!("cannot write: {error}"),
            _ => {}
        }
    }

    /// The next frame; `None` once the broker has closed the connection.
    pub fn read(&mut self) -> Option<Frame> {
        self.early.pop_front().or_else(|| self.read_from_wire())
    }

    fn read_from_wire(&mut self) -> Option<Frame> {
        let first = self.byte()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte().expect("the connection ended within a fixed header");
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body).expect("a whole frame");
                return Some(Frame { first, body });
            }
        }
        panic!("a Remaining Length of more than four bytes");
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => None,
            Ok(_) => Some(byte[0]),
            // where a read has a time-out, a process that was stopped and goes on has this
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => self.byte(),
            Err(error) if is_close(error.kind()) => None,
            Err(error) => panic!("neither a frame nor a close came: {error} {}", self.context),
        }
    }

    /// The next bytes, of any packet.
    pub fn read_exact(&mut self, bytes: &mut [u8]) {
        self.stream.read_exact(bytes).expect("bytes");
    }

    /// The next frame, where a close is a failure.
    #[track_caller]
    pub fn expect_any(&mut self) -> Frame {
        self.read().expect("a frame, but the broker closed the connection")
    }

    /// The next frame is exactly this one.
    #[track_caller]
    pub fn expect(&mut self, bytes: &[u8]) {
        let next = self.expect_any();
        assert_eq!(next.bytes(), bytes, "another frame came than was expected");
    }

    /// The broker closes, and sends nothing before.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        if let Some(frame) = self.read() {
            panic!("a close was expected, but {:02x?} came", frame.bytes());
        }
    }

    /// A CONNACK with this code and no Session Present, then the close.
    #[track_caller]
    pub fn expect_refused(&mut self, code: u8) {
        self.expect(&connack(0, code));
        self.expect_closed();
    }

    /// The broker still serves the client, and sent it nothing that the client has not read.
    #[track_caller]
    pub fn expect_nothing_pending(&mut self) {
        self.send(PINGREQ);
        self.expect(PINGRESP);
    }

    /// Nothing has arrived that was not read, as far as this machine knows now.
    #[track_caller]
    pub fn expect_no_bytes(&mut self) {
        assert_eq!(self.stream.buffer(), b"", "{}", self.context);
        let socket = self.stream.get_ref();
        socket.set_nonblocking(true).expect("a socket that does not block");
        let arrived = socket.peek(&mut [0]);
        socket.set_nonblocking(false).expect("a socket that blocks");
        assert!(arrived.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "bytes came {}", self.context);
    }

    /// Subscribes where no retained message matches; every filter gets the QoS it asked for.
    #[track_caller]
    pub fn subscribe(&mut self, filters: &[(&str, u8)]) {
        let (id, granted) = self.send_subscribe(filters);
        self.expect(&suback(id, &granted));
    }

    /// Subscribes and returns the `count` retained messages that come before or after the SUBACK, not acknowledged.
    #[track_caller]
    pub fn subscribe_retained(&mut self, filters: &[(&str, u8)], count: usize) -> Vec<Message> {
        let (id, granted) = self.send_subscribe(filters);
        let mut messages = Vec::new();
        let mut acknowledged = false;
        while !acknowledged || messages.len() < count {
            let frame = self.expect_any();
            match frame.message() {
                Some(message) => messages.push(message),
                None => {
                    assert_eq!(frame.bytes(), suback(id, &granted));
                    acknowledged = true;
                }
            }
        }
        self.expect_nothing_pending();
        messages
    }

    fn send_subscribe(&mut self, filters: &[(&str, u8)]) -> (u16, Vec<u8>) {
        let id = self.fresh_id();
        self.send(&subscribe(id, filters));
        (id, filters.iter().map(|(_, qos)| *qos).collect())
    }

    /// Unsubscribes; nothing may be on its way.
    #[track_caller]
    pub fn unsubscribe(&mut self, filters: &[&str]) {
        let id = self.fresh_id();
        self.send(&unsubscribe(id, filters));
        self.expect(&ack(0xB0, id));
    }

    /// Publishes and waits until the broker owns the message; a QoS 0 message is followed by a ping for that.
    #[track_caller]
    pub fn publish(&mut self, mut message: Message) {
        if message.qos > 0 && message.id == 0 {
            message.id = self.fresh_id();
        }
        self.send(&message.frame());
        match message.qos {
            0 => self.expect_nothing_pending(),
            1 => self.expect(&puback(message.id)),
            _ => {
                self.expect(&pubrec(message.id));
                self.send(&pubrel(message.id));
                self.expect(&pubcomp(message.id));
            }
        }
    }

    /// The same where messages may come before the acknowledgement: they are received after it.
    pub fn publish_apart(&mut self, topic: &str, payload: &str, qos: u8) {
        let id = if qos > 0 { self.fresh_id() } else { 0 };
        self.send(&Message::new(topic, payload).qos(qos).id(id).frame());
        match qos {
            0 => {}
            1 => self.expect_behind(&puback(id)),
            _ => {
                self.expect_behind(&pubrec(id));
                self.send(&pubrel(id));
                self.expect_behind(&pubcomp(id));
            }
        }
    }

    /// The next frame but for messages; those are received later.
    fn expect_behind(&mut self, bytes: &[u8]) {
        loop {
            let frame = self.read_from_wire().expect("an acknowledgement, but the broker closed the connection");
            if frame.message().is_none() {
                return assert_eq!(frame.bytes(), bytes);
            }
            self.early.push_back(frame);
        }
    }

    /// The next frame is a PUBLISH; it is not acknowledged.
    #[track_caller]
    pub fn receive(&mut self) -> Message {
        let frame = self.expect_any();
        frame.message().unwrap_or_else(|| panic!("a PUBLISH was expected, but {:02x?} came", frame.bytes()))
    }

    /// Receives a message and acknowledges it; messages that come before its PUBREL are received after it.
    #[track_caller]
    pub fn take(&mut self) -> Message {
        let message = self.receive();
        match message.qos {
            0 => {}
            1 => self.send(&puback(message.id)),
            _ => {
                self.send(&pubrec(message.id));
                let released = loop {
                    let frame = self.read_from_wire().expect("a PUBREL, but the broker closed the connection");
                    if frame.message().is_none() {
                        break frame;
                    }
                    self.early.push_back(frame);
                };
                assert_eq!(released.bytes(), pubrel(message.id));
                self.send(&pubcomp(message.id));
            }
        }
        message
    }

    /// Takes a message and compares the publisher's fields: topic, payload, QoS.
    #[track_caller]
    pub fn expect_message(&mut self, topic: &str, payload: &str, qos: u8) {
        let message = self.take();
        assert_eq!((message.topic.as_str(), message.text(), message.qos), (topic, payload, qos));
    }

    /// DISCONNECT, then waits until the broker has closed: the session is then one of a client that is away.
    #[track_caller]
    pub fn disconnect(mut self) {
        self.send(DISCONNECT);
        self.expect_closed();
    }

    /// To write on another thread, where the broker has to be read from meanwhile.
    pub fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("another handle of the socket")
    }

    /// Ends the connection without a DISCONNECT.
    pub fn abort(self) {
        // An error means that the broker has closed it already.
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
    }

    fn fresh_id(&mut self) -> u16 {
        self.last_id += 1;
        self.last_id
    }
}

/// A connection whose buffers on this side are as small as the kernel makes them: few bytes fill it.
pub fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(1).expect("a buffer");
    socket.set_send_buffer_size(1).expect("a buffer");
    socket.connect(&address.into()).expect("the broker accepts connections");
    socket.into()
}

fn is_close(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

/// A frame as read.
pub struct Frame {
    pub first: u8,
    pub body: Vec<u8>,
}

impl Frame {
    pub fn bytes(&self) -> Vec<u8> {
        frame(self.first, &self.body)
    }

    /// The PUBLISH that it is, if it is one.
    pub fn message(&self) -> Option<Message> {
        if self.first >> 4 != 3 {
            return None;
        }
        let (topic, mut rest) = split_text(&self.body);
        let qos = self.first >> 1 & 3;
        let mut id = 0;
        if qos > 0 {
            id = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
        }
        Some(Message {
            topic: String::from_utf8(topic.to_vec()).expect("a topic in UTF-8"),
            payload: rest.to_vec(),
            qos,
            id,
            dup: self.first & 8 != 0,
            retain: self.first & 1 != 0,
        })
    }
}

fn split_text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2..].split_at(length)
}

/// A PUBLISH, to be sent or as received; the Packet Identifier is 0 where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub id: u16,
    pub dup: bool,
    pub retain: bool,
}

impl Message {
    pub fn new(topic: &str, payload: &str) -> Self {
        let payload = payload.as_bytes().to_vec();
        Self { topic: topic.to_owned(), payload, qos: 0, id: 0, dup: false, retain: false }
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

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a payload in UTF-8")
    }

    pub fn frame(&self) -> Vec<u8> {
        let first = 0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut body = text(&self.topic);
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        body.extend(&self.payload);
        frame(first, &body)
    }
}

/// A well-formed CONNECT, clean session and without keep alive unless told otherwise.
#[derive(Clone)]
pub struct Connect {
    head: Vec<u8>,
    flags: u8,
    keep_alive: u16,
    client_id: String,
    will: Vec<u8>,
    user: Vec<u8>,
}

impl Connect {
    pub fn new(client_id: &str) -> Self {
        let client_id = client_id.to_owned();
        Self { head: head("MQTT", 4), flags: 2, keep_alive: 0, client_id, will: Vec::new(), user: Vec::new() }
    }

    /// Another protocol name and level.
    pub fn protocol(self, name: &str, level: u8) -> Self {
        Self { head: head(name, level), ..self }
    }

    /// Clean Session 0.
    pub fn persistent(self) -> Self {
        Self { flags: self.flags & !2, ..self }
    }

    pub fn keep_alive(self, keep_alive: u16) -> Self {
        Self { keep_alive, ..self }
    }

    pub fn will(self, will: &Message) -> Self {
        let flags = self.flags | 4 | will.qos << 3 | u8::from(will.retain) << 5;
        let payload = u16::try_from(will.payload.len()).expect("a short payload").to_be_bytes();
        Self { flags, will: [&text(&will.topic)[..], &payload, &will.payload].concat(), ..self }
    }

    pub fn user(self, name: &str, password: &str) -> Self {
        Self { flags: self.flags | 0xC0, user: [text(name), text(password)].concat(), ..self }
    }

    pub fn frame(&self) -> Vec<u8> {
        let keep_alive = self.keep_alive.to_be_bytes();
        let body = [&self.head[..], &[self.flags], &keep_alive, &text(&self.client_id), &self.will, &self.user];
        frame(0x10, &body.concat())
    }
}

fn head(name: &str, level: u8) -> Vec<u8> {
    [&text(name)[..], &[level]].concat()
}

/// A CONNECT of version 3.1.1 with these flags and these payload fields, whether or not they agree.
pub fn connect(flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields: Vec<u8> = fields.iter().copied().flat_map(text).collect();
    frame(0x10, &[&head("MQTT", 4)[..], &[flags, 0, 0], &fields].concat())
}

/// Takes a fixed header and the rest of the packet.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let digit = (length & 0x7F) as u8;
        length >>= 7;
        bytes.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// Bytes with their length before them, UTF-8 or not.
pub fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("at most 65,535 bytes");
    [&length.to_be_bytes()[..], bytes].concat()
}

pub fn connack(flags: u8, code: u8) -> Vec<u8> {
    frame(0x20, &[flags, code])
}

pub fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(|(filter, qos)| [text(filter), vec![*qos]].concat()).collect();
    frame(0x82, &[&id.to_be_bytes()[..], &filters].concat())
}

pub fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    frame(0x90, &[&id.to_be_bytes()[..], codes].concat())
}

pub fn unsubscribe(id: u16, filters: &[&str]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(text).collect();
    frame(0xA2, &[&id.to_be_bytes()[..], &filters].concat())
}

/// A frame of a first byte and a Packet Identifier, which is what all acknowledgements but SUBACK are.
pub fn ack(first: u8, id: u16) -> Vec<u8> {
    frame(first, &id.to_be_bytes())
}

pub fn puback(id: u16) -> Vec<u8> {
    ack(0x40, id)
}

pub fn pubrec(id: u16) -> Vec<u8> {
    ack(0x50, id)
}

pub fn pubrel(id: u16) -> Vec<u8> {
    ack(0x62, id)
}

pub fn pubcomp(id: u16) -> Vec<u8> {
    ack(0x70, id)
}
