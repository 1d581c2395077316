//! The router's port to what keeps state beyond the process: [`Store`], what it is asked to keep ([`Record`]), and what
//! it gives back at the next start ([`Restored`]).

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

/// Keeps what must survive the process. Without one, "kept" means in memory.
///
/// Records of one session come in the order in which they happened: they are appended with the session locked. Only
/// [`append_copies`](Self::append_copies) comes later.
pub trait Store: Send + Sync {
    /// Takes a record over; the answer says when it is durable. What is acknowledged for it waits until then.
    fn append(&self, record: Record) -> Stored;

    /// A message that was queued for a session is queued for others too, at least one: as a [`Record::Queued`] each.
    /// `first` is as the message's own [`Record::Queued`] said, which was appended in the same group. What was appended
    /// since may be about these copies already: to be kept is what it would be if they had come right behind that. Once
    /// a message, at most.
    fn append_copies(&self, message: &Message, first: &QueuedCopy, others: &[QueuedCopy]) -> Stored;

    /// Runs `append`, which appends records that are kept together or not at all. Not to be nested.
    fn together(&self, append: &mut dyn FnMut());

    /// Every commit up to this one is durable.
    fn done(&self) -> CommitSeq;

    /// Clients acknowledged what they were sent: what needs not be written for it is [`done`](Self::done). Adds who
    /// waits for that to `wakes`, who are to be called with nothing locked. Whether anybody calls this changes when
    /// something is done, and not whether.
    fn settle(&self, _wakes: &mut Vec<Waker>) {}

    /// Wakes `waker` when `commit` is durable, or when the condition is [`Condition::Failed`] and it never will be; at
    /// once if that is so already. Until then it also wakes it when the condition becomes [`Condition::Stuck`] (at once
    /// if it is that already), and `waker` stays: nobody has to ask again.
    fn wake_when_done(&self, commit: CommitSeq, waker: &Waker);

    /// Whether it takes more. What was appended before this says [`Condition::Stuck`], and is not [`done`](Self::done)
    /// when that is asked afterwards, is what is stuck.
    fn condition(&self) -> Condition;

    /// As much as may be waits to become durable: in [`Condition::Busy`], and in [`Condition::Full`] too, where what
    /// ends things is taken.
    fn is_behind(&self) -> bool {
        self.condition() == Condition::Busy
    }

    /// What it did and has, for `$SYS/broker/store/…`: names and numbers.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// How many records were written with each frame; `None`: it does not know.
    fn batch_sizes(&self) -> Option<Distribution> {
        None
    }

    /// How long each fsync took, in seconds; `None`: it does not know.
    fn fsync_times(&self) -> Option<Distribution> {
        None
    }
}

/// How many of something were how large.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Upper bounds, in ascending order, with how many are between each and the one before it; the last bound is
    /// `f64::INFINITY`.
    pub buckets: Vec<(f64, u64)>,
    /// All of them added up.
    pub sum: f64,
}

/// Whether a [`Store`] takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does.
    Ready,
    /// As much as may be waits to become durable: clients that have something in it are not read from until some is.
    Busy,
    /// There is no room on the disk but a reserve: what would grow is refused. What was taken over is written, and so
    /// is what ends something or changes it, which makes room: it becomes durable as ever.
    Full,
    /// There is no room for what was taken over either: nothing becomes durable until there is, and who waits for it is
    /// not to be kept waiting. What would grow is refused.
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

/// What a [`Store`] is asked to keep.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A session that outlives its connections begins, its client connected.
    SessionStarted {
        /// Its number from now on.
        session: SessionNumber,
        /// Whose.
        client: ClientId,
        /// The user who has it.
        owner: Option<Box<SessionOwner>>,
        /// The Will of the connection.
        will: Option<StoredWill>,
    },
    /// How long a session lasts while its client is away, if it is not until its client ends it.
    Lasts {
        /// Which.
        session: SessionNumber,
        /// `None`: until its client ends it.
        seconds: Option<u32>,
    },
    /// The client is back.
    Attached {
        /// Of its session.
        session: SessionNumber,
        /// The user who has it from now on.
        owner: Option<Box<SessionOwner>>,
        /// The Will of the new connection.
        will: Option<StoredWill>,
    },
    /// The client went away, now, unless it was away already.
    Detached {
        /// Of its session.
        session: SessionNumber,
        /// What becomes of its Will.
        will: WillLeft,
    },
    /// A Will of the client has to be published, and can not yet be. It is nothing that the store grows by: it had it
    /// with the session.
    WillDue {
        /// Of its session.
        session: SessionNumber,
        /// Its number, never given twice: the order in which Wills became due.
        number: u64,
        /// What is to be published.
        will: StoredWill,
    },
    /// It is published.
    WillPublished {
        /// Of its session.
        session: SessionNumber,
        /// Of its `WillDue`.
        number: u64,
    },
    /// The Will of a connected client whose session is not kept.
    WillKept {
        /// Its number: the order in which such clients came, among the numbers of Wills that are due.
        number: u64,
        /// The client.
        client: ClientId,
        /// The client's user.
        user: Option<UserName>,
        /// What is to be published if its connection does not end in order.
        will: StoredWill,
    },
    /// It is published, or its client took it back.
    WillGone {
        /// Of its `WillKept`.
        number: u64,
    },
    /// The session ends: by a clean session, or because it expired.
    SessionEnded {
        /// Its number, which is not used again.
        session: SessionNumber,
    },
    /// A subscription, in place of the one with the same filter.
    Subscribed {
        /// Whose.
        session: SessionNumber,
        /// A valid Topic Filter.
        filter: Box<str>,
        /// How.
        options: SubscriptionOptions,
    },
    /// A subscription ended.
    Unsubscribed {
        /// Whose.
        session: SessionNumber,
        /// Its Topic Filter.
        filter: Box<str>,
    },
    /// A QoS 1 or 2 message that a session is to be sent, see [`SessionChange::Queued`].
    Queued {
        /// Shared by all sessions that it is queued for.
        message: Message,
        /// For which session, and how.
        copy: QueuedCopy,
        /// Its Subscription Identifiers, as properties on the wire, where they are several.
        identifiers: Option<Box<Identifiers>>,
        /// See [`SessionChange::Queued`].
        sent: Option<u64>,
    },
    /// See [`SessionChange::Sent`].
    Sent {
        /// Whose.
        session: SessionNumber,
        /// The number of the first message.
        number: u64,
        /// See [`SessionChange::Sent`].
        sent: u64,
        /// How many.
        count: u32,
    },
    /// See [`SessionChange::Released`].
    Released {
        /// Whose.
        session: SessionNumber,
        /// The number of the message.
        number: u64,
    },
    /// See [`SessionChange::Completed`].
    Completed {
        /// Whose.
        session: SessionNumber,
        /// The number of the first message.
        number: u64,
        /// How many.
        count: u32,
    },
    /// See [`SessionChange::Received`].
    Received {
        /// Whose.
        session: SessionNumber,
        /// Of the client's PUBLISH.
        packet_id: PacketId,
    },
    /// See [`SessionChange::ReceiptReleased`].
    ReceiptReleased {
        /// Whose.
        session: SessionNumber,
        /// Of the client's PUBLISH.
        packet_id: PacketId,
    },
    /// A retained message, in place of the one its topic had. The store notes when that was.
    Retained {
        /// Its topic is the key.
        message: Message,
        /// Who published it.
        publisher: Option<Publisher>,
    },
    /// A topic has no retained message any more.
    RetainedCleared {
        /// Its Topic Name.
        topic: Box<str>,
    },
}

impl Record {
    /// Of a change that a session tells.
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
        }
    }
}

/// What becomes of the Will of a client that went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WillLeft {
    /// It is published, discarded, or has a record of its own; or there was none.
    Gone,
    /// It stays with the session, and falls due then.
    Until(Instant),
    /// It stays with the session; its delay begins at the next start.
    FromNextStart,
}

/// A message's copy for one more session, see [`SessionChange::Queued`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedCopy {
    /// Whose.
    pub session: SessionNumber,
    /// Its number.
    pub number: u64,
    /// At which QoS it is to be sent.
    pub qos: QoS,
    /// With RETAIN.
    pub retain: bool,
    /// Through a shared subscription.
    pub shared: bool,
    /// With this Subscription Identifier, where it is one.
    pub identifier: Option<NonZeroU32>,
}

/// The user whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// The user name.
    pub user: UserName,
    /// What let the user in.
    pub login: Login,
}

/// What let a user in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The password file.
    PasswordFile,
    /// A token.
    Token,
    /// A certificate.
    Certificate,
    /// What the embedding program plugged in.
    PlugIn,
}

/// Who published a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// The Client Identifier.
    pub client: ClientId,
    /// The user name.
    pub user: Option<UserName>,
}

/// What a [`Store`] kept, as it was when the process ended.
#[derive(Debug)]
pub struct Restored {
    /// In no particular order.
    pub sessions: Vec<RestoredSession>,
    /// One a topic.
    pub retained: Vec<RestoredRetained>,
    /// Of clients that were connected when the process ended and whose sessions are not kept; or of before, and still
    /// due.
    pub wills: Vec<RestoredWill>,
    /// The first number for sessions to come.
    pub next_session: SessionNumber,
}

/// A retained message.
#[derive(Debug)]
pub struct RestoredRetained {
    /// The message.
    pub message: Message,
    /// When it was retained, in milliseconds since 1970; `None`: by an earlier version, which did not note it.
    pub time: Option<u64>,
    /// Who published it.
    pub publisher: Option<Publisher>,
}

/// A Will that a [`WillKept`](Record::WillKept) was about.
#[derive(Debug)]
pub struct RestoredWill {
    /// Its number.
    pub number: u64,
    /// Whose.
    pub client: ClientId,
    /// The client's user.
    pub user: Option<UserName>,
    /// What is to be published.
    pub will: StoredWill,
}

/// A session as it was.
#[derive(Debug)]
pub struct RestoredSession {
    /// Its number.
    pub session: SessionNumber,
    /// Whose.
    pub client: ClientId,
    /// The user who has it; `None`: anonymous, or from an earlier version, which did not note it.
    pub owner: Option<SessionOwner>,
    /// How many seconds it lasts while its client is away; `None`: until its client ends it.
    pub lasts: Option<u32>,
    /// A Will that is still to be published: the client was connected when the process ended, or the delay was not
    /// over.
    pub will: Option<StoredWill>,
    /// What is left of its delay; `None`: all of it.
    pub will_left: Option<Duration>,
    /// Wills that were due before, by rising number.
    pub due: Vec<(u64, StoredWill)>,
    /// How long the client has been away.
    pub away: Duration,
    /// Filters that were valid when they were subscribed to.
    pub subscriptions: Vec<(Box<str>, SubscriptionOptions)>,
    /// By rising number.
    pub messages: Vec<RestoredMessage>,
    /// QoS 2 messages taken from the client and not released, in the order in which they came.
    pub received: Vec<PacketId>,
}

impl Default for Restored {
    fn default() -> Self {
        let next_session = SessionNumber(NonZeroU64::MIN);
        Self { sessions: Vec::new(), retained: Vec::new(), wills: Vec::new(), next_session }
    }
}
