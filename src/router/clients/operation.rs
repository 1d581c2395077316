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
    types::{PacketId, QoS, RetainHandling, SubscriptionOptions},
};

/// The rest of a packet.
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
        /// That of the packet.
        qos: QoS,
    },
    /// Waiting QoS 2 messages can take places that refused messages freed.
    TakeDeferred,
}

/// A SUBSCRIBE in progress. First all filters go into the trie, then the retained messages of each are looked up, in as
/// many steps as necessary and with nothing locked in between. Then follow the SUBACK, the retained messages, and
/// messages that were published meanwhile.
pub(crate) struct Subscribing {
    pub(super) packet_id: PacketId,
    /// The properties of the packet, if an observer gets them.
    pub(super) properties: PropertiesBuf,
    /// The number of the last message before the SUBSCRIBE.
    pub(super) before: u64,
    pub(super) access: Option<Arc<Access>>,
    /// May the client subscribe to each filter, if that was asked elsewhere?
    pub(super) answers: Vec<Option<bool>>,
    /// The store refuses records that need room.
    pub(super) refuses: bool,
    /// Number of filters that the client has.
    pub(super) held: usize,
    /// For each filter that was handled.
    pub(super) codes: Vec<SubackCode>,
    /// The retained messages when all filters were in the trie. Later ones are delivered when they are published,
    /// because they are newer than queued messages of their topic.
    pub(super) present: Option<Present>,
    /// The index of the first filter whose retained messages are not looked up.
    pub(super) next: usize,
    pub(super) seen: Seen,
    /// Filters that the client had before, and whose retained messages it wants only for a new subscription.
    pub(super) had: Vec<usize>,
    /// Where the walk for the next filter was interrupted.
    pub(super) place: Option<Place>,
    /// The reserved numbers of retained messages, if they are looked up in several steps: they precede messages that
    /// are published meanwhile.
    pub(super) numbers: Option<Range<u64>>,
    /// The session knows that the SUBACK is due.
    pub(super) waits: bool,
    /// It takes more than one turn.
    pub(super) is_left: bool,
    /// There were retained messages.
    pub(super) brings: bool,
    /// When the granted subscriptions are durable.
    pub(super) stored: Stored,
}

impl fmt::Debug for Subscribing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribing").field("packet_id", &self.packet_id).finish_non_exhaustive()
    }
}

impl Subscribing {
    /// Are retained messages sent for this filter?
    pub(super) fn wants_retained(&self, options: SubscriptionOptions, place: usize) -> bool {
        match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => self.had.binary_search(&place).is_err(),
            RetainHandling::DoNotSend => false,
        }
    }

    /// Most retained messages that may be queued for the session: as many as exist, and a queue's limit more.
    pub(super) fn max(&self, local: &RouterThread) -> usize {
        let messages = self.present.map_or(0, |present| present.messages);
        messages.saturating_add(local.limits.session.max_queued_messages)
    }
}

/// An UNSUBSCRIBE in progress.
#[derive(Debug)]
pub(crate) struct Unsubscribing {
    pub(super) packet_id: PacketId,
    /// The properties of the packet, if an observer gets them.
    pub(super) properties: PropertiesBuf,
    /// The index of the first filter that is not removed.
    pub(super) next: usize,
    pub(super) stored: Stored,
    /// For each removed filter, in MQTT 5.
    pub(super) codes: Vec<ReasonCode>,
}
