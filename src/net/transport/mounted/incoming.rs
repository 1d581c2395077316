//! [`Incoming`]: the bytes of a client, with the prefix in front of each topic and filter.

use std::sync::Arc;

use super::{Part, begin_packet, text};
use crate::codec::PacketType;

/// The bytes of one client.
pub(super) struct Incoming {
    prefix: Arc<str>,
    /// The largest packet that a client may send.
    longest: usize,
    /// The beginning of a packet, or of a field of a CONNECT, until it can be passed on.
    part: Vec<u8>,
    /// These many bytes are passed on as they are.
    passing: usize,
    state: State,
}

enum State {
    /// No CONNECT arrived yet.
    New,
    /// Within a CONNECT with a Will.
    Will(Will),
    /// Behind the CONNECT. Has a packet with subscriptions properties?
    Connected { is_five: bool },
    /// Nothing is passed on any more: the broker closes the connection.
    Ended,
}

/// The rest of a CONNECT with a Will.
struct Will {
    is_five: bool,
    /// The fields from here to the Will Topic.
    fields: &'static [Field],
    /// Bytes of the packet that did not arrive.
    left: usize,
}

#[derive(Clone, Copy)]
enum Field {
    Properties,
    Text,
    /// The Will Topic.
    Topic,
}

/// What to do with the bytes in `part`.
enum Next {
    /// As many are needed.
    Need(usize),
    /// They are passed on as they are, and so many behind them.
    Pass(usize),
    /// They were passed on with the prefix; these many behind them pass as they are.
    Passed(usize),
    /// The packet cannot be right.
    Wrong,
    /// The packet is larger than what is accepted.
    TooLong,
}

const CONNECT: u8 = PacketType::Connect as u8;
const PUBLISH: u8 = PacketType::Publish as u8;
const SUBSCRIBE: u8 = PacketType::Subscribe as u8;
const UNSUBSCRIBE: u8 = PacketType::Unsubscribe as u8;
/// A packet of a type that there is not: the broker closes the connection for it.
const WRONG: [u8; 2] = [0, 0];

impl Incoming {
    pub(super) fn new(prefix: Arc<str>, longest: usize) -> Self {
        Self { prefix, longest, part: Vec::new(), passing: 0, state: State::New }
    }

    /// Bytes that are held back.
    pub(super) fn held(&self) -> usize {
        self.part.len()
    }

    /// Is nothing passed on any more?
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Passes on what arrived.
    pub(super) fn hear(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !self.has_ended() {
            let count = self.passing.min(bytes.len());
            out.extend_from_slice(&bytes[..count]);
            (self.passing, bytes) = (self.passing - count, &bytes[count..]);
            if self.passing > 0 {
                return;
            }
            match self.next(out) {
                Next::Need(need) if bytes.is_empty() => {
                    debug_assert!(need > self.part.len());
                    return;
                }
                Next::Need(need) => {
                    let count = (need - self.part.len()).min(bytes.len());
                    self.part.extend_from_slice(&bytes[..count]);
                    bytes = &bytes[count..];
                }
                Next::Pass(behind) => {
                    out.append(&mut self.part);
                    self.passing = behind;
                }
                Next::Passed(behind) => {
                    self.part.clear();
                    self.passing = behind;
                }
                Next::Wrong => {
                    out.extend_from_slice(&WRONG);
                    self.state = State::Ended;
                }
                Next::TooLong => {
                    // a fixed header is enough for the broker: what follows it would be more than is accepted
                    if !begin_packet(out, self.part[0], self.most()) {
                        out.extend_from_slice(&WRONG);
                    }
                    self.state = State::Ended;
                }
            }
            if self.part.is_empty() && self.part.capacity() > super::KEPT {
                self.part = Vec::new();
            }
        }
    }

    fn next(&mut self, out: &mut Vec<u8>) -> Next {
        let is_five = match &mut self.state {
            State::Will(_) => return self.field(out),
            State::New => false,
            State::Connected { is_five } => *is_five,
            State::Ended => return Next::Wrong,
        };
        let is_new = matches!(self.state, State::New);
        let (header, length) = match Part::of(&self.part) {
            // it speaks another protocol: the broker finds out
            Part::Malformed if is_new => return Next::Pass(usize::MAX),
            Part::Malformed => return Next::Wrong,
            Part::Need(need) => return Next::Need(need),
            Part::Header { header, length } => (header, length),
        };
        // clients of MQTT 5 were told how much they may send; the broker itself accepts the prefix on top of that
        if is_five && header + length > self.longest {
            return Next::TooLong;
        }
        match self.part[0] >> 4 {
            CONNECT if is_new => self.connect(header, length, out),
            _ if is_new => Next::Pass(usize::MAX),
            PUBLISH => self.publish(header, length, out),
            packet @ (SUBSCRIBE | UNSUBSCRIBE) => {
                let all = header + length;
                if all > self.longest {
                    return Next::TooLong;
                }
                if self.part.len() < all {
                    return Next::Need(all);
                }
                let Some(body) = self.filters(header, is_five, packet == SUBSCRIBE) else { return Next::Wrong };
                if header + body.len() > self.most() {
                    return Next::TooLong;
                }
                if !begin_packet(out, self.part[0], body.len()) {
                    return Next::Wrong;
                }
                out.extend_from_slice(&body);
                Next::Passed(0)
            }
            _ => Next::Pass(header + length - self.part.len()),
        }
    }

    fn publish(&self, header: usize, length: usize, out: &mut Vec<u8>) -> Next {
        let Some(topic) = text(&self.part[header..]) else { return need(header + 2, header, length) };
        let all = header + 2 + usize::from(topic);
        if self.part.len() < all {
            return need(all, header, length);
        }
        // a Topic Alias stands for it
        if topic == 0 {
            return Next::Pass(length - 2);
        }
        let Some(whole) = self.length(usize::from(topic)) else { return Next::Wrong };
        if !begin_packet(out, self.part[0], length + self.prefix.len()) {
            return Next::Wrong;
        }
        out.extend_from_slice(&whole);
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(&self.part[header + 2..]);
        Next::Passed(length - (all - header))
    }

    /// The largest packet with a prefix that the broker accepts.
    fn most(&self) -> usize {
        self.longest + super::adds(&self.prefix)
    }

    /// The length of a topic or filter with the prefix, as it is written; `None`: it is too long.
    fn length(&self, own: usize) -> Option<[u8; 2]> {
        u16::try_from(self.prefix.len() + own).ok().map(u16::to_be_bytes)
    }

    /// The fixed header of a CONNECT, and what is in front of its Keep Alive.
    fn connect(&mut self, header: usize, length: usize, out: &mut Vec<u8>) -> Next {
        let Some(name) = text(&self.part[header..]) else { return need(header + 2, header, length) };
        // MQTT, or MQIsdp
        if name > 6 {
            return Next::Pass(usize::MAX);
        }
        let flags = header + 2 + usize::from(name) + 1;
        if self.part.len() <= flags {
            return need(flags + 1, header, length);
        }
        let is_five = self.part[flags - 1] == 5;
        if self.part[flags] & 0b100 == 0 {
            self.state = State::Connected { is_five };
            return Next::Pass(header + length - self.part.len());
        }
        let left = length - (flags + 1 - header);
        let Some(left) = left.checked_sub(2) else { return Next::Wrong };
        if !begin_packet(out, self.part[0], length + self.prefix.len()) {
            return Next::Wrong;
        }
        out.extend_from_slice(&self.part[header..]);
        let fields: &[Field] = match is_five {
            true => &[Field::Properties, Field::Text, Field::Properties, Field::Topic],
            false => &[Field::Text, Field::Topic],
        };
        self.state = State::Will(Will { is_five, fields, left });
        // the Keep Alive
        Next::Passed(2)
    }

    /// The next field of a CONNECT with a Will: as soon as its length is known, it passes.
    fn field(&mut self, out: &mut Vec<u8>) -> Next {
        let State::Will(will) = &mut self.state else { return Next::Wrong };
        let Some((field, rest)) = will.fields.split_first() else {
            let left = will.left;
            self.state = State::Connected { is_five: will.is_five };
            return Next::Passed(left);
        };
        let (own, length) = match field {
            Field::Properties => match Part::number(&self.part) {
                Some(Ok((own, number))) => (own, number),
                Some(Err(())) => return Next::Wrong,
                None => return Next::Need(self.part.len() + 1),
            },
            Field::Text | Field::Topic => match text(&self.part) {
                Some(length) => (2, usize::from(length)),
                None => return Next::Need(2),
            },
        };
        let Some(left) = will.left.checked_sub(own + length) else { return Next::Wrong };
        match field {
            Field::Properties | Field::Text => {
                (will.fields, will.left) = (rest, left);
                Next::Pass(length)
            }
            // none at all stays wrong
            Field::Topic if length == 0 => Next::Wrong,
            Field::Topic => {
                (will.fields, will.left) = (rest, left);
                let Some(whole) = self.length(length) else { return Next::Wrong };
                out.extend_from_slice(&whole);
                out.extend_from_slice(self.prefix.as_bytes());
                Next::Passed(length)
            }
        }
    }

    /// What follows the fixed header of a SUBSCRIBE or an UNSUBSCRIBE, with the prefix in each filter: as much of it as
    /// the broker accepts, and one filter more, because short filters get many times as long.
    fn filters(&self, header: usize, is_five: bool, with_options: bool) -> Option<Vec<u8>> {
        let body = &self.part[header..];
        let mut at = 2;
        if is_five {
            let (own, number) = Part::number(body.get(2..)?)?.ok()?;
            at += own + number;
        }
        let mut written = body.get(..at)?.to_vec();
        while at < body.len() && header + written.len() <= self.most() {
            let length = usize::from(text(&body[at..])?);
            let filter = body.get(at + 2..at + 2 + length)?;
            match front_of(filter) {
                // an empty one stays wrong
                None => written.extend_from_slice(&[0, 0]),
                Some(front) => {
                    written.extend_from_slice(&self.length(length)?);
                    written.extend_from_slice(&filter[..front]);
                    written.extend_from_slice(self.prefix.as_bytes());
                    written.extend_from_slice(&filter[front..]);
                }
            }
            at += 2 + length;
            if with_options {
                written.push(*body.get(at)?);
                at += 1;
            }
        }
        Some(written)
    }
}

/// The prefix is put behind these many bytes of a filter: behind `$share/group/`, or at its front. `None`: there is no
/// filter.
fn front_of(filter: &[u8]) -> Option<usize> {
    const SHARE: &[u8] = b"$share/";
    let Some(group) = filter.strip_prefix(SHARE) else { return (!filter.is_empty()).then_some(0) };
    // without a filter behind its group it stays wrong
    let end = group.iter().position(|byte| *byte == b'/')?;
    let front = SHARE.len() + end + 1;
    (end > 0 && front < filter.len()).then_some(front)
}

/// The first `all` bytes of a packet are needed, if it is so long.
fn need(all: usize, header: usize, length: usize) -> Next {
    if all - header > length { Next::Wrong } else { Next::Need(all) }
}
