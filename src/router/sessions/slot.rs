//! [`SlotRef`]: the place of one session in the router. It outlives connections: a client that reconnects attaches its
//! new connection to the same slot.

use std::{
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU64,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::Waker,
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use triomphe::Arc;

use super::{
    super::ports::{ClientInfo, Identity, Origin, SessionOwner},
    memberships::Memberships,
    presence::Presence,
    rights::Access,
    ring::Place,
    waiting::{ExpiryKey, Looked, WaitingWill},
};
use crate::{
    session::{CloseReason, CommitSeq, Session, StoredWill},
    types::ProtocolVersion,
};

/// A handle of a session's place. Two are equal if they are the same place.
#[derive(Clone)]
pub struct SlotRef(Arc<Slot>);

struct Slot {
    state: Mutex<SlotState>,
    /// A store keeps the session.
    kept: bool,
    /// The number of the attached connection, [`NOBODY`] where there is none. Changes with the lock held only.
    owner: AtomicU64,
    /// The attached connection was told that there is something for it, and has not looked since.
    signalled: AtomicBool,
}

/// What the lock guards.
pub(crate) struct SlotState {
    pub(crate) session: Session,
    /// The user and the rights of its client; `None` if no port is plugged in.
    pub(crate) access: Option<std::sync::Arc<Access>>,
    /// The user that owns it; `None`: the next client that connects gets it.
    pub(crate) whose: Option<Box<SessionOwner>>,
    /// Restored from disk; the user it belonged to is unknown until the client reconnects. Until then no ACL is
    /// applied to its queue.
    pub(crate) restored_unauthenticated: bool,
    /// The origin of its client. Kept here because an anonymous client has no `access`.
    pub(crate) origin: Origin,
    /// The version that its client speaks, or spoke last.
    pub(crate) version: ProtocolVersion,
    attachment: Attachment,
    /// Under which a store has the Will of its connected client, where it does not keep the session.
    pub(crate) will_number: Option<NonZeroU64>,
    /// It is in the list of sessions in whose queues messages wait that expire.
    pub(crate) is_listed: bool,
    /// The session has ended: a task that still has the handle must not use it.
    pub(crate) ended: bool,
    /// The Will of the client that is away.
    pub(crate) waiting: Option<Box<WaitingWill>>,
    /// The groups of shared subscriptions that it is in.
    pub(crate) shared: Option<Box<Memberships<SlotRef>>>,
    /// The commit that its beginning waits for: no CONNACK is sent before.
    pub(crate) started_by: CommitSeq,
}

/// Whether a connection has the session.
enum Attachment {
    Attached {
        /// Of the task that drives the connection.
        waker: Waker,
        presence: Arc<Presence>,
    },
    /// The client is away. When the session is looked at if it stays away: its key in the router's list.
    Away(Option<ExpiryKey>),
}

/// The counter of an `Arc`, and a slot.
const ALLOCATED: usize = size_of::<usize>() + size_of::<Slot>();
// tokio aligns the two allocations that it makes for a connection at 128 bytes. glibc's allocator has room for 232
// bytes between them; a slot that needs more leaves a gap for each connection, of 200 bytes as measured
const _: () = assert!(ALLOCATED <= 232, "a slot fits between the allocations of its connection");

/// The number of a connection, unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub(crate) u64);

/// No connection has this number.
const NOBODY: u64 = u64::MAX;

impl SlotRef {
    /// Where it is in memory: an order among handles.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    pub(crate) fn new(session: Session) -> Self {
        Self::with(session, false)
    }

    /// The place of a session from before this process: see [`SlotState::restored_unauthenticated`].
    pub(crate) fn restored(session: Session) -> Self {
        Self::with(session, true)
    }

    fn with(session: Session, restored_unauthenticated: bool) -> Self {
        let kept = session.number().is_some();
        let state = SlotState {
            session,
            access: None,
            whose: None,
            restored_unauthenticated,
            origin: Origin::default(),
            version: ProtocolVersion::default(),
            attachment: Attachment::Away(None),
            will_number: None,
            is_listed: false,
            ended: false,
            waiting: None,
            shared: None,
            started_by: CommitSeq::default(),
        };
        Self(Arc::new(Slot {
            state: Mutex::new(state),
            kept,
            owner: AtomicU64::new(NOBODY),
            signalled: AtomicBool::new(false),
        }))
    }

    /// Does a store keep the session? Needs no lock.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.kept
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.0.state.lock()
    }

    /// There is something for the attached connection: puts its waker into `wakes`, unless it is there already. To be
    /// called with the lock held; the connection is woken when the locks are gone.
    #[inline]
    pub(crate) fn signal(&self, state: &SlotState, wakes: &mut Vec<Waker>) {
        if self.0.signalled.load(Ordering::Relaxed) {
            return;
        }
        if let Some(waker) = state.waker() {
            self.0.signalled.store(true, Ordering::Relaxed);
            wakes.push(waker.clone());
        }
    }

    /// A connection, whose task `waker` wakes, has the session from now on.
    pub(crate) fn attach(
        &self,
        state: &mut SlotState,
        connection: ConnectionId,
        waker: Waker,
        presence: Arc<Presence>,
    ) {
        self.0.owner.store(connection.0, Ordering::Release);
        self.0.signalled.store(false, Ordering::Relaxed);
        state.attachment = Attachment::Attached { waker, presence };
    }

    /// No connection has the session any more: gives the waker of the one that had it.
    pub(crate) fn detach(&self, state: &mut SlotState) -> Option<Waker> {
        self.0.owner.store(NOBODY, Ordering::Release);
        self.0.signalled.store(false, Ordering::Relaxed);
        state.forget_closing();
        if let Attachment::Away(_) = state.attachment {
            return None;
        }
        match std::mem::replace(&mut state.attachment, Attachment::Away(None)) {
            Attachment::Attached { waker, .. } => Some(waker),
            Attachment::Away(_) => None,
        }
    }

    /// Is the session this connection's? Certain with the lock held, a good guess without.
    #[inline]
    pub(crate) fn is_owned_by(&self, connection: ConnectionId) -> bool {
        self.0.owner.load(Ordering::Acquire) == connection.0
    }

    /// Has a connection the session? A good guess without the lock.
    pub(crate) fn is_attached(&self) -> bool {
        self.0.owner.load(Ordering::Acquire) != NOBODY
    }

    /// Is there something for the attached connection? Needs no lock.
    #[inline]
    pub fn is_signalled(&self) -> bool {
        self.0.signalled.load(Ordering::Relaxed)
    }

    /// The attached connection looks now. To be called with the lock held.
    #[inline]
    pub(crate) fn clear_signal(&self) {
        self.0.signalled.store(false, Ordering::Relaxed);
    }
}

impl SlotState {
    /// The client is away. Its session ends at `ends`; `will` waits, until `due` at most. Gives when the session is to
    /// be looked at; `number` makes that unique.
    pub(crate) fn leave(
        &mut self,
        ends: Option<Instant>,
        will: Option<StoredWill>,
        due: Option<Instant>,
        number: u64,
    ) -> Option<ExpiryKey> {
        let due = due.filter(|_| will.is_some());
        self.waiting = will.map(|will| Box::new(WaitingWill { will, due, ends }));
        let expiry = [ends, due].into_iter().flatten().min().map(|at| (at, number));
        self.attachment = Attachment::Away(expiry);
        expiry
    }

    /// When it is looked at if its client stays away.
    pub(crate) fn expiry(&self) -> Option<ExpiryKey> {
        match self.attachment {
            Attachment::Attached { .. } => None,
            Attachment::Away(expiry) => expiry,
        }
    }

    /// It is not looked at any more: gives its key in the router's list.
    pub(crate) fn take_expiry(&mut self) -> Option<ExpiryKey> {
        match &mut self.attachment {
            Attachment::Attached { .. } => None,
            Attachment::Away(expiry) => expiry.take(),
        }
    }

    /// It is time to look at it; `key` says so.
    pub(crate) fn look(&mut self, key: ExpiryKey, now: Instant) -> Looked {
        let Some(waiting) = self.waiting.take() else { return Looked::Ends(None) };
        let WaitingWill { will, ends, .. } = *waiting;
        if ends.is_some_and(|at| at <= now) {
            return Looked::Ends(Some(will));
        }
        let (_, number) = key;
        Looked::Due(will, self.leave(ends, None, None, number))
    }

    /// The attached connection is to end, for this reason: it finds that when it looks next. It may send nothing until
    /// then.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.forget_closing();
        let nobody = Identity { origin: self.origin, version: self.version, ..Identity::default() };
        self.access = Some(Access::that_closes(self.access.take(), nobody, reason).into());
    }

    /// Why the attached connection is to end, if it was told to.
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        let closing = self.access.as_ref()?.closing.as_ref()?;
        Some(closing.reason.clone())
    }

    /// It has ended, or another has its place.
    fn forget_closing(&mut self) {
        let closing = self.access.as_ref().and_then(|access| access.closing.clone());
        if let Some(closing) = closing {
            self.access = closing.before;
        }
    }

    /// What events say of its client.
    pub(crate) fn info(&self) -> ClientInfo<'_> {
        let user = self.access.as_ref().and_then(|access| access.user());
        ClientInfo::new(user, self.origin.listener, self.version)
    }

    /// What the attached connection remembers of itself.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        match &self.attachment {
            Attachment::Attached { presence, .. } => Some(presence),
            Attachment::Away(_) => None,
        }
    }

    /// Wakes the task that drives the attached connection.
    #[inline]
    pub(crate) fn waker(&self) -> Option<&Waker> {
        match &self.attachment {
            Attachment::Attached { waker, .. } => Some(waker),
            Attachment::Away(_) => None,
        }
    }
}

impl fmt::Debug for SlotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // no more: its lock may be held
        f.debug_tuple("SlotRef").field(&self.address()).finish()
    }
}

impl PartialEq for SlotRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SlotRef {}

impl Place for SlotRef {
    fn address(&self) -> usize {
        self.address()
    }

    fn is_kept(&self) -> bool {
        self.is_kept()
    }
}

impl Hash for SlotRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}
