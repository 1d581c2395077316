//! [`Operation`]: the state of a client's packet that takes several turns. `resume` continues it.

use std::{fmt, ops::Range, sync::Arc};

use super::{
    super::{RouterThread, publish::Publishing, sessions::Access, subscriptions::Present},
    filters::{KeptFilters, Seen},
};
use crate::{
    codec::{PropertiesBuf, ReasonCode, SubackCode},
    session::Stored,
    topic::Place,
    types::{PacketId, RetainHandling, SubscriptionOptions},
};

/// What is left to do for a packet.
#[derive(Debug)]
pub(crate) enum Operation {
    Subscribe {
        subscribing: Subscribing,
        filters: KeptFilters,
    },
    Unsubscribe {
        unsubscribing: Unsubscribing,
        filters: KeptFilters,
    },
    Publish {
        publishing: Box<Publishing>,
        packet_id: Option<PacketId>,
    },
    /// QoS 2 messages that waited for a place, which others that were refused have given back.
    TakeDeferred,
}

/// A SUBSCRIBE on its way. Its filters go into the trie first, then the retained messages of each are looked up; each
/// in as many steps as it takes, with nothing locked in between. The SUBACK follows, behind it the retained messages,
/// then what was published meanwhile.
pub(crate) struct Subscribing {
    pub(super) packet_id: PacketId,
    /// Of the packet, where somebody is told of them.
    pub(super) properties: PropertiesBuf,
    /// The number of the last message before the SUBSCRIBE.
    pub(super) before: u64,
    pub(super) access: Option<Arc<Access>>,
    /// Nothing more can be stored.
    pub(super) refuses: bool,
    /// Filters that the client has.
    pub(super) held: usize,
    /// For each filter that was looked at.
    pub(super) codes: Vec<SubackCode>,
    /// The retained messages when all filters were in the trie. What was retained since is delivered as it is
    /// published: it is newer than other messages of its topic that may wait by now.
    pub(super) present: Option<Present>,
    /// Filters in front of this have their retained messages.
    pub(super) next: usize,
    pub(super) seen: Seen,
    /// Filters that the client had before, and whose retained messages it wants only if it had not.
    pub(super) had: Vec<usize>,
    /// Where the walk over those of the next filter was left.
    pub(super) place: Option<Place>,
    /// The numbers of retained messages, where they are looked up in more than one step: in front of what is published
    /// meanwhile.
    pub(super) numbers: Option<Range<u64>>,
    /// The session was told that the SUBACK is due.
    pub(super) waits: bool,
    /// It takes more than one turn.
    pub(super) is_left: bool,
    /// There were retained messages.
    pub(super) brings: bool,
    /// When what was granted is durable.
    pub(super) stored: Stored,
}

impl fmt::Debug for Subscribing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribing").field("packet_id", &self.packet_id).finish_non_exhaustive()
    }
}

impl Subscribing {
    /// Does this filter bring its retained messages?
    pub(super) fn wants_retained(&self, options: SubscriptionOptions, place: usize) -> bool {
        match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => self.had.binary_search(&place).is_err(),
            RetainHandling::DoNotSend => false,
        }
    }

    /// As many retained messages may wait for a session as there are, and a queue's worth more.
    pub(super) fn max(&self, local: &RouterThread) -> usize {
        let messages = self.present.map_or(0, |present| present.messages);
        messages.saturating_add(local.limits.session.max_queued_messages)
    }
}

/// An UNSUBSCRIBE on its way.
#[derive(Debug)]
pub(crate) struct Unsubscribing {
    pub(super) packet_id: PacketId,
    /// Of the packet, where somebody is told of them.
    pub(super) properties: PropertiesBuf,
    /// Filters in front of this are given up.
    pub(super) next: usize,
    pub(super) stored: Stored,
    /// For each of them, in MQTT 5.
    pub(super) codes: Vec<ReasonCode>,
}
