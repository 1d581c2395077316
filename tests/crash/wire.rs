//! [`Broker`]: the process that is killed; [`Connection`]: a socket that may end at any time.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use crate::support::{
    GUARD,
    random::Random,
    raw::{Connect, DISCONNECT, Frame, connack},
    running::Running,
};

/// A broker that is killed at the moment when its clients have had so many acknowledgements and messages.
pub struct Broker {
    address: SocketAddr,
    process: Mutex<Running>,
    /// Until the kill; below 1 where there is none.
    left: AtomicI64,
    killed: AtomicBool,
    killed_at: OnceLock<Instant>,
}

impl Broker {
    /// A broker that is killed only after [`kill_after`](Self::kill_after).
    pub fn new(process: Running) -> Self {
        let address = process.addresses[0];
        let (process, left, killed) = (Mutex::new(process), AtomicI64::new(0), AtomicBool::new(false));
        Self { address, process, left, killed, killed_at: OnceLock::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGKILL comes with this many more calls of [`heard`](Self::heard).
    pub fn kill_after(&self, heard: usize) {
        self.left.store(heard as i64, Ordering::SeqCst);
    }

    /// A client received a packet of the broker. The client that receives the last one kills the broker.
    pub fn heard(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.killed.store(true, Ordering::SeqCst);
            let _ = self.killed_at.set(Instant::now());
            self.process.lock().kill();
        }
    }

    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// When it was killed; now, if it was not.
    pub fn killed_at(&self) -> Instant {
        self.killed_at.get().copied().unwrap_or_else(Instant::now)
    }

    pub fn into_process(self) -> Running {
        self.process.into_inner()
    }
}

/// A client's connection. After the kill nothing arrives, and sent packets are lost.
pub struct Connection<'b> {
    broker: &'b Broker,
    stream: BufReader<TcpStream>,
    may_be_closed: bool,
}

impl<'b> Connection<'b> {
    /// Nothing was sent yet; `None`: the broker was killed.
    pub fn open(broker: &'b Broker) -> Option<Self> {
        if broker.is_killed() {
            return None;
        }
        let stream = match TcpStream::connect(broker.address) {
            Ok(stream) => stream,
            Err(error) => {
                assert!(broker.is_killed(), "the broker runs and does not accept: {error}");
                return None;
            }
        };
        // what ends a test whose event never comes
        stream.set_read_timeout(Some(GUARD)).expect("a read timeout");
        stream.set_write_timeout(Some(GUARD)).expect("a write timeout");
        stream.set_nodelay(true).expect("no delay");
        Some(Self { broker, stream: BufReader::new(stream), may_be_closed: false })
    }

    /// With a session that stays; Session Present too, which the caller judges. `None`: the broker was killed.
    pub fn persistent(broker: &'b Broker, id: &str) -> Option<(Self, bool)> {
        let mut connection = Self::open(broker)?;
        connection.send(&Connect::new(id).persistent().frame());
        let present = connection.accepted()?;
        Some((connection, present))
    }

    /// Receives until its client goes away, which it does in one of three cases after some messages: with a DISCONNECT
    /// or without a word, when what it did not answer comes again. `handle` gives the answer to a message; `None`: the
    /// frame is none. Answers are sent several at once. `false`: the client does not come back, or the broker was
    /// killed.
    pub fn hear(mut self, random: &mut Random, mut handle: impl FnMut(&Frame) -> Option<Vec<u8>>) -> bool {
        let leaves = random.once_in(3).then(|| random.below(300));
        // it does not answer before it has so many answers
        let patience = random.below(8);
        let (mut heard, mut waiting, mut answers) = (0, 0, Vec::new());
        while leaves.is_none_or(|at| heard < at) {
            let Some(frame) = self.read() else { return false };
            let Some(answer) = handle(&frame) else { continue };
            answers.extend(answer);
            waiting += 1;
            if waiting > patience {
                self.send(&answers);
                (waiting, answers) = (0, Vec::new());
            }
            heard += 1;
        }
        let goes = random.below(3);
        if goes < 2 {
            self.disconnect();
        }
        goes > 0
    }

    /// CONNACK: Session Present.
    pub fn accepted(&mut self) -> Option<bool> {
        let frame = self.read()?;
        let present = frame.bytes() == connack(1, 0);
        assert!(present || frame.bytes() == connack(0, 0), "not a CONNACK that accepts: {:02x?}", frame.bytes());
        Some(present)
    }

    /// CONNACK with this return code.
    pub fn refused(&mut self, code: u8) {
        let frame = self.read().expect("nobody kills it");
        assert_eq!(frame.bytes(), connack(0, code));
    }

    /// CONNACK of MQTT 5: Session Present.
    pub fn accepted_5(&mut self) -> Option<bool> {
        let frame = self.read()?;
        assert!(frame.first == 0x20 && frame.body[1] == 0, "not a CONNACK that accepts: {:02x?}", frame.bytes());
        Some(frame.body[0] == 1)
    }

    /// Waits until the broker has taken the CONNECT that was sent: `true`, it answered; `false`, it closed instead, for
    /// another with the same Client Identifier or a DISCONNECT, and what it did may not be kept yet. `None`: it was
    /// killed.
    pub fn is_answered(&mut self) -> Option<bool> {
        let answered = self.frame().is_ok();
        if answered {
            self.broker.heard();
        }
        (!self.broker.is_killed()).then_some(answered)
    }

    /// The broker may close it: a QoS 2 PUBLISH is repeated that another thread may still be publishing for the
    /// connection before, which ends the one that repeats it.
    pub fn may_be_closed(mut self) -> Self {
        self.may_be_closed = true;
        self
    }

    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.get_mut().write_all(bytes) {
            assert!(self.may_be_closed || self.broker.is_killed(), "the broker runs and takes nothing: {error}");
        }
    }

    /// The next frame, of which the broker hears; `None`: it was killed, perhaps within a frame, or closed what it may.
    pub fn read(&mut self) -> Option<Frame> {
        let frame = self.frame();
        match &frame {
            Ok(_) => self.broker.heard(),
            Err(error) => {
                assert!(self.may_be_closed || self.broker.is_killed(), "the broker runs and sends no frame: {error}");
            }
        }
        frame.ok()
    }

    fn frame(&mut self) -> std::io::Result<Frame> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        let first = byte[0];
        let (mut length, mut shift) = (0, 0);
        loop {
            self.stream.read_exact(&mut byte)?;
            length |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Frame { first, body })
    }

    /// DISCONNECT, then all that still comes; it is lost, as for a client that does not look any more.
    pub fn disconnect(self) {
        self.disconnect_with(DISCONNECT);
    }

    /// The same with further fields in DISCONNECT.
    pub fn disconnect_with(mut self, bytes: &[u8]) {
        self.send(bytes);
        let mut rest = Vec::new();
        // a reset is an end too
        let _ = self.stream.read_to_end(&mut rest);
    }
}

/// The Packet Identifier of a frame that begins with one, as all acknowledgements do.
pub fn packet_id(frame: &Frame) -> u16 {
    u16::from_be_bytes([frame.body[0], frame.body[1]])
}
