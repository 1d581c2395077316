//! [`Target`]: selects the packets of a trace.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::packet::{Direction, Looked};
use crate::{
    codec::Packet,
    topic::{TopicFilter, TopicName},
    types::{Network, PacketId, ProtocolVersion},
};

/// Selects the packets of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// All packets of the client with this Client Identifier.
    Client(Box<str>),
    /// PUBLISH packets whose topic matches this filter, SUBSCRIBE and UNSUBSCRIBE packets with this filter or a
    /// matching topic, and their acknowledgements.
    Topics(Box<str>),
    /// All packets of clients in a network. A Unix socket has no network.
    Network(Network),
}

/// Packets of a trace by topic whose acknowledgements are outstanding: their direction and Packet Identifier.
#[derive(Debug, Default)]
pub(super) struct Awaited(HashSet<(Direction, PacketId)>);

/// A trace that selects the connection.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) id: u64,
    pub(super) target: Target,
    pub(super) payload: bool,
    pub(super) begun: Instant,
    pub(super) awaited: Awaited,
}

/// A connection, for the selection of traces.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) client: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) version: ProtocolVersion,
    /// `None`: a Unix socket.
    pub(crate) address: Option<SocketAddr>,
}

impl Target {
    /// May a connection have selected packets? `client`: empty before its CONNECT.
    pub(super) fn concerns(&self, client: &str, address: Option<IpAddr>) -> bool {
        match self {
            Self::Client(id) => client == &**id,
            Self::Topics(_) => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(address)),
        }
    }

    /// Is this packet selected?
    pub(super) fn is_about(&self, looked: &Looked<'_>, direction: Direction, awaited: &mut Awaited) -> bool {
        let Self::Topics(filter) = self else { return true };
        let filter = TopicFilter::from_valid(filter);
        let Ok(contents) = &looked.contents else { return false };
        let is_wanted = |other: &TopicFilter| {
            other == filter || TopicName::new(other.as_str()).is_ok_and(|topic| filter.matches(topic))
        };
        let (id, is_about) = match contents {
            Packet::Publish(publish) => {
                let topic = looked.topic.as_deref().and_then(|topic| TopicName::new(topic).ok());
                (publish.packet_id, topic.is_some_and(|topic| filter.matches(topic)))
            }
            Packet::Subscribe(all) => (Some(all.packet_id), all.filters.iter().any(|(filter, _)| is_wanted(filter))),
            Packet::Unsubscribe(all) => (Some(all.packet_id), all.filters.iter().any(|filter| is_wanted(filter))),
            answer => return awaited.has(answer, direction),
        };
        if let Some(id) = id {
            match is_about {
                true => awaited.0.insert((direction, id)),
                // another packet uses the identifier now
                false => awaited.0.remove(&(direction, id)),
            };
        }
        is_about
    }
}

impl Awaited {
    /// Is this an outstanding acknowledgement? After the last one of an exchange, the identifier is forgotten.
    fn has(&mut self, answer: &Packet<'_>, direction: Direction) -> bool {
        let (id, by, is_last) = match answer {
            Packet::Puback(ack) | Packet::Pubcomp(ack) => (ack.packet_id, direction.reverse(), true),
            Packet::Pubrec(ack) => (ack.packet_id, direction.reverse(), ack.reason as u8 >= FAILURE),
            Packet::Pubrel(ack) => (ack.packet_id, direction, false),
            Packet::Suback(ack) => (ack.packet_id, direction.reverse(), true),
            Packet::Unsuback(ack) => (ack.packet_id, direction.reverse(), true),
            _ => return false,
        };
        if is_last { self.0.remove(&(by, id)) } else { self.0.contains(&(by, id)) }
    }
}

const FAILURE: u8 = 0x80;
