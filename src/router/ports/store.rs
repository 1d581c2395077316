//! The router's port for persistence: [`Store`], the changes to be stored ([`Record`]), and the state at the next start
//! ([`Restored`]).

use std::{
    fmt,
    num::{NonZeroU32, NonZeroU64},
    task::Waker,
    time::{Duration, Instant},
};

use crate::{
    session::{
        CommitSeq, Identifiers, Message, RestoredMessage, SessionChange, SessionNumber, Stored, StoredWill,
        one_identifier,
    },
    types::{ClientId, PacketId, QoS, SubscriptionOptions, UserName},
};

/// Stores the state that must survive the process. Without a store, state is kept in memory only.
///
/// Records of one session are appended in the order of their changes, with the session locked. Only
/// [`append_copies`](Self::append_copies) is called later.
pub trait Store: Send + Sync {
    /// Accepts a record. Returns when it is durable. Its acknowledgement waits until then.
    fn append(&self, record: Record) -> Stored;

    /// Queues a message for further sessions, at least one, like a [`Record::Queued`] for each. `first`: the copy in
    /// the message's own [`Record::Queued`], which was appended in the same group. Records about the `others` may have
    /// been appended since: apply them as if the `others` had directly followed the first. Called at most once for each
    /// message.
    fn append_copies(&self, message: &Message, first: &QueuedCopy, others: &[QueuedCopy]) -> Stored;

    /// Calls `append`, whose records form a group: they are stored together or not at all. Do not nest it.
    fn together(&self, append: &mut dyn FnMut());

    /// The last commit that is durable together with all before it.
    fn done(&self) -> CommitSeq;

    /// Call it after acknowledgements of clients were recorded: commits that need no write any more complete now, and
    /// the wakers of their tasks are added to `wakes` (call them without locks). Optional: without this call they
    /// complete later.
    fn settle(&self, _wakes: &mut Vec<Waker>) {}

    /// Wakes `waker` when `commit` is durable, or when the condition becomes [`Condition::Failed`]; at once if that is
    /// so already. Until then it also wakes it when the condition becomes [`Condition::Stuck`] (at once if it is so
    /// already), and `waker` stays registered.
    fn wake_when_done(&self, commit: CommitSeq, waker: &Waker);

    /// The condition. If it is [`Condition::Stuck`], records that were appended before and are not [`done`](Self::done)
    /// afterwards wait for disk space.
    fn condition(&self) -> Condition;

    /// Has the store as much to write as it may have? It has in [`Condition::Busy`], and it may have in
    /// [`Condition::Full`], in which records that end items are still accepted.
    fn is_behind(&self) -> bool {
        self.condition() == Condition::Busy
    }

    /// Figures for `$SYS/broker/store/…`: names and values.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Does the store's thread answer within this time? Blocks until it answers, or the time has passed. A thread that
    /// waits for disk space answers.
    fn answers(&self, within: Duration) -> bool {
        let _ = within;
        true
    }

    /// The distribution of records in frames; `None`: unknown.
    fn batch_sizes(&self) -> Option<Distribution> {
        None
    }

    /// The distribution of durations of fsyncs, in seconds; `None`: unknown.
    fn fsync_times(&self) -> Option<Distribution> {
        None
    }
}

/// A histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Upper bounds in ascending order, with the number of values up to each and above the previous one. The last bound
    /// is `f64::INFINITY`.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all values.
    pub sum: f64,
}

/// The condition of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It accepts records.
    Ready,
    /// As much as allowed waits to become durable: clients that wait for it are not read from meanwhile.
    Busy,
    /// The disk is full except for a reserve: records that need space are refused. Accepted records are written, and so
    /// are records that end or change items, which frees space.
    Full,
    /// There is no space even for accepted records: nothing becomes durable until there is, and connections that wait
    /// for it are closed. Records that need space are refused.
    Stuck,
    /// A write or fsync failed, and the server ends: nothing more becomes durable.
    Failed,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
        })
    }
}

/// A change to be stored by a [`Store`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A session that outlives its connections begins, with its client connected.
    SessionStarted {
        /// Its number.
        session: SessionNumber,
        /// Its client.
        client: ClientId,
        /// The user that owns it.
        owner: Option<Box<SessionOwner>>,
        /// The Will of the connection.
        will: Option<StoredWill>,
    },
    /// The expiry of a session changed.
    Lasts {
        /// The session.
        session: SessionNumber,
        /// Seconds; `None`: it does not expire.
        seconds: Option<u32>,
    },
    /// The client returned.
    Attached {
        /// Its session.
        session: SessionNumber,
        /// The user that owns it from now on.
        owner: Option<Box<SessionOwner>>,
        /// The Will of the new connection.
        will: Option<StoredWill>,
    },
    /// The client left, unless it was away already.
    Detached {
        /// Its session.
        session: SessionNumber,
        /// What happens to its Will.
        will: WillLeft,
    },
    /// A Will of the client is due, and cannot be published yet. Needs no additional space: the session's record
    /// already contains the Will.
    WillDue {
        /// The client's session.
        session: SessionNumber,
        /// Its number. Numbers are never reused, and rise in the order in which Wills become due.
        number: u64,
        /// The Will.
        will: StoredWill,
    },
    /// This Will was published.
    WillPublished {
        /// The client's session.
        session: SessionNumber,
        /// The number of its `WillDue`.
        number: u64,
    },
    /// The Will of a connected client without a stored session.
    WillKept {
        /// Its number, from the same sequence as those of due Wills.
        number: u64,
        /// The client.
        client: ClientId,
        /// The client's user.
        user: Option<UserName>,
        /// The Will to publish if the connection ends without DISCONNECT.
        will: StoredWill,
    },
    /// This Will was published or discarded.
    WillGone {
        /// The number of its `WillKept`.
        number: u64,
    },
    /// The session ends: by a clean session, or because it expired.
    SessionEnded {
        /// Its number, which is not used again.
        session: SessionNumber,
    },
    /// A subscription, which replaces the one with the same filter.
    Subscribed {
        /// The session.
        session: SessionNumber,
        /// A valid Topic Filter.
        filter: Box<str>,
        /// Its options.
        options: SubscriptionOptions,
    },
    /// A subscription ended.
    Unsubscribed {
        /// The session.
        session: SessionNumber,
        /// Its Topic Filter.
        filter: Box<str>,
    },
    /// A QoS 1 or 2 message was queued or sent, see [`SessionChange::Queued`].
    Queued {
        /// Shared by all sessions that it is queued for.
        message: Message,
        /// The session, and the options of the delivery.
        copy: QueuedCopy,
        /// Its Subscription Identifiers, as properties on the wire, if there are several.
        identifiers: Option<Box<Identifiers>>,
        /// See [`SessionChange::Queued`].
        sent: Option<u64>,
    },
    /// See [`SessionChange::Sent`].
    Sent {
        /// The session.
        session: SessionNumber,
        /// The number of the first message.
        number: u64,
        /// See [`SessionChange::Sent`].
        sent: u64,
        /// Number of messages.
        count: u32,
    },
    /// See [`SessionChange::Released`].
    Released {
        /// The session.
        session: SessionNumber,
        /// The number of the message.
        number: u64,
    },
    /// See [`SessionChange::Completed`].
    Completed {
        /// The session.
        session: SessionNumber,
        /// The number of the first message.
        number: u64,
        /// Number of messages.
        count: u32,
    },
    /// See [`SessionChange::Received`].
    Received {
        /// The session.
        session: SessionNumber,
        /// The Packet Identifier of the client's PUBLISH.
        packet_id: PacketId,
    },
    /// See [`SessionChange::ReceiptReleased`].
    ReceiptReleased {
        /// The session.
        session: SessionNumber,
        /// The Packet Identifier of the client's PUBLISH.
        packet_id: PacketId,
    },
    /// See [`SessionChange::RetainedDue`].
    RetainedDue {
        /// The session.
        session: SessionNumber,
        /// The topic; empty: all retained messages are due.
        topic: Box<str>,
    },
    /// See [`SessionChange::RetainedSent`].
    RetainedSent {
        /// The session.
        session: SessionNumber,
        /// The topic of its `RetainedDue`.
        topic: Box<str>,
    },
    /// A retained message, which replaces the topic's previous one. The store notes the time.
    Retained {
        /// The message. Its topic is the key.
        message: Message,
        /// The publisher.
        publisher: Option<Publisher>,
    },
    /// The retained message of a topic was removed.
    RetainedCleared {
        /// Its Topic Name.
        topic: Box<str>,
    },
}

impl Record {
    /// The record of a session's change.
    #[inline]
    pub fn of(session: SessionNumber, change: SessionChange<'_>) -> Self {
        match change {
            SessionChange::Queued { number, message, qos, retain, shared, identifiers, sent } => {
                let identifier = one_identifier(identifiers);
                let several = identifier.is_none() && !identifiers.is_empty();
                Self::Queued {
                    message: message.clone(),
                    copy: QueuedCopy { session, number, qos, retain, shared, identifier },
                    identifiers: several.then(|| Box::new(identifiers.into())),
                    sent,
                }
            }
            SessionChange::Sent { number, sent, count } => Self::Sent { session, number, sent, count },
            SessionChange::Released { number } => Self::Released { session, number },
            SessionChange::Completed { number, count } => Self::Completed { session, number, count },
            SessionChange::Received { packet_id } => Self::Received { session, packet_id },
            SessionChange::ReceiptReleased { packet_id } => Self::ReceiptReleased { session, packet_id },
            SessionChange::RetainedDue { topic } => Self::RetainedDue { session, topic: topic.into() },
            SessionChange::RetainedSent { topic } => Self::RetainedSent { session, topic: topic.into() },
        }
    }
}

/// What happens to the Will of a client that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WillLeft {
    /// It was published or discarded, it has its own record, or there was none.
    Gone,
    /// It stays with the session, and is due at this time.
    Until(Instant),
    /// It stays with the session; its delay begins at the next start.
    FromNextStart,
}

/// A further copy of a message, see [`SessionChange::Queued`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedCopy {
    /// The session.
    pub session: SessionNumber,
    /// Its number in the session.
    pub number: u64,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// RETAIN of the delivery.
    pub retain: bool,
    /// It matched a shared subscription.
    pub shared: bool,
    /// Its Subscription Identifier, if there is exactly one.
    pub identifier: Option<NonZeroU32>,
}

/// The user that owns a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// The user name.
    pub user: UserName,
    /// How the user logged in.
    pub login: Login,
}

/// How a user logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// By the password file.
    PasswordFile,
    /// By a token.
    Token,
    /// By a certificate.
    Certificate,
    /// By a plug-in of the embedding program.
    PlugIn,
    /// By a service that was asked.
    Http,
}

/// The publisher of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// The Client Identifier.
    pub client: ClientId,
    /// The user name.
    pub user: Option<UserName>,
}

/// The state that a [`Store`] restores, as at the end of the process.
#[derive(Debug)]
pub struct Restored {
    /// In any order.
    pub sessions: Vec<RestoredSession>,
    /// At most one for each topic.
    pub retained: Vec<RestoredRetained>,
    /// Wills of clients without a stored session that were connected at the end of the process, or that were due
    /// before.
    pub wills: Vec<RestoredWill>,
    /// The next free number of a session.
    pub next_session: SessionNumber,
}

/// A retained message.
#[derive(Debug)]
pub struct RestoredRetained {
    /// The message.
    pub message: Message,
    /// When it was retained, in milliseconds since 1970; `None`: unknown, from an earlier version.
    pub time: Option<u64>,
    /// The same by the clock of this process, as far as that goes back.
    pub at: Option<Instant>,
    /// The publisher.
    pub publisher: Option<Publisher>,
}

/// A Will from a [`WillKept`](Record::WillKept).
#[derive(Debug)]
pub struct RestoredWill {
    /// Its number.
    pub number: u64,
    /// The client.
    pub client: ClientId,
    /// The client's user.
    pub user: Option<UserName>,
    /// The Will.
    pub will: StoredWill,
}

/// A session as at the end of the process.
#[derive(Debug)]
pub struct RestoredSession {
    /// Its number.
    pub session: SessionNumber,
    /// Its client.
    pub client: ClientId,
    /// The user that owns it; `None`: anonymous, or unknown, from an earlier version.
    pub owner: Option<SessionOwner>,
    /// Its expiry in seconds; `None`: it does not expire.
    pub lasts: Option<u32>,
    /// A Will that still has to be published, because the client was connected, or its delay was not over.
    pub will: Option<StoredWill>,
    /// The rest of its delay; `None`: the whole delay.
    pub will_left: Option<Duration>,
    /// Wills that were due before, by rising number.
    pub due: Vec<(u64, StoredWill)>,
    /// How long the client has been away.
    pub away: Duration,
    /// Filters that were valid when they were subscribed to.
    pub subscriptions: Vec<(Box<str>, SubscriptionOptions)>,
    /// By rising number.
    pub messages: Vec<RestoredMessage>,
    /// Unreleased QoS 2 messages of the client, in order of arrival.
    pub received: Vec<PacketId>,
    /// The topics of retained messages that are due to another broker; an empty one: all are due.
    pub retained_due: Vec<Box<str>>,
}

impl Default for Restored {
    fn default() -> Self {
        let next_session = SessionNumber(NonZeroU64::MIN);
        Self { sessions: Vec::new(), retained: Vec::new(), wills: Vec::new(), next_session }
    }
}
