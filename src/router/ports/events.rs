//! [`EventKinds`]: the kinds of events that an observer wants; [`ClientInfo`]: the description of a client in events,
//! besides its identifier.

use std::ops::BitOr;

use crate::types::ProtocolVersion;

/// Kinds of events, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(u16);

impl EventKinds {
    /// None: nothing is computed for such an observer.
    pub const NONE: Self = Self(0);
    /// All but [`ACKNOWLEDGE`](Self::ACKNOWLEDGE), which has to be asked for.
    pub const ALL: Self = Self(0x3FF);
    /// `Event::Connect`.
    pub const CONNECT: Self = Self(1);
    /// `Event::Disconnect`.
    pub const DISCONNECT: Self = Self(1 << 1);
    /// `Event::Subscribe`.
    pub const SUBSCRIBE: Self = Self(1 << 2);
    /// `Event::Unsubscribe`.
    pub const UNSUBSCRIBE: Self = Self(1 << 3);
    /// `Event::Publish`.
    pub const PUBLISH: Self = Self(1 << 4);
    /// `Event::Deliver`.
    pub const DELIVER: Self = Self(1 << 5);
    /// `Event::Drop`.
    pub const DROP: Self = Self(1 << 6);
    /// `Event::Ping`.
    pub const PING: Self = Self(1 << 7);
    /// `Event::Will`.
    pub const WILL: Self = Self(1 << 8);
    /// `Event::SessionExpired`.
    pub const SESSION_EXPIRED: Self = Self(1 << 9);

    /// With the payloads of messages, for streams: see [`EventStream`](crate::inspect::EventStream). Observers always
    /// get them.
    pub const PAYLOADS: Self = Self(1 << 10);

    /// `Event::Acknowledge`: of few messages. An observer that wants it has some messages timed.
    pub const ACKNOWLEDGE: Self = Self(1 << 11);

    /// As a number.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// The set with this number.
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Both of them.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is one of the `others` in this set?
    #[inline]
    pub const fn have(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl BitOr for EventKinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// The description of a client in events, besides its identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo<'a> {
    /// The User Name in force.
    pub user: Option<&'a str>,
    /// Its listener, by its place in the configuration.
    pub listener: u16,
    /// Its protocol version.
    pub version: ProtocolVersion,
}

impl<'a> ClientInfo<'a> {
    pub(crate) fn new(user: Option<&'a str>, listener: u16, version: ProtocolVersion) -> Self {
        Self { user, listener, version }
    }
}
