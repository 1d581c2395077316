//! [`Share`]: the shared subscription through which a message arrived (MQTT 5 section 4.8.2).

use super::message::Message;

/// Which of the shared subscriptions of its session a message came through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(u8);

/// A message of a group that its session does not send: it is another member's.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The place that it had in the order in which messages came.
    pub number: u64,
    /// The message.
    pub message: Message,
    /// With RETAIN.
    pub retain: bool,
    /// Its group.
    pub share: Share,
}

impl Share {
    /// None: the subscription is not shared.
    pub const NONE: Self = Self(0);
    /// One that nobody noted.
    pub const SOME: Self = Self(u8::MAX);
    /// The most that are told apart.
    pub const MOST: u8 = u8::MAX - 1;

    /// The shared subscription with this number, from 1 to [`MOST`](Self::MOST).
    pub const fn of(number: u8) -> Self {
        Self(number)
    }

    /// What a store keeps says whether there was one, and not which.
    pub(super) fn restored(shared: bool) -> Self {
        if shared { Self::SOME } else { Self::NONE }
    }

    /// Is there one?
    #[inline]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}
