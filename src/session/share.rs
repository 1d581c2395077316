//! [`Share`]: the shared subscription through which a message arrived (MQTT 5 section 4.8.2).

use super::message::Message;

/// Which shared subscription of its session a message matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(u8);

/// A message of a group that its session did not send: another member gets it.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Its number in order of arrival.
    pub number: u64,
    /// The message.
    pub message: Message,
    /// RETAIN of the delivery.
    pub retain: bool,
    /// Its group.
    pub share: Share,
}

impl Share {
    /// No shared subscription.
    pub const NONE: Self = Self(0);
    /// An unknown shared subscription.
    pub const SOME: Self = Self(u8::MAX);
    /// The highest number; beyond it shared subscriptions are not distinguished.
    pub const MOST: u8 = u8::MAX - 1;

    /// The shared subscription with this number, from 1 to [`MOST`](Self::MOST).
    pub const fn of(number: u8) -> Self {
        Self(number)
    }

    /// The store keeps only whether there was one.
    pub(super) fn restored(shared: bool) -> Self {
        if shared { Self::SOME } else { Self::NONE }
    }

    /// Does it exist?
    #[inline]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}
