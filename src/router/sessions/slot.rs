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

/// A handle of a session's place. Handles of the same place are equal.
#[derive(Clone)]
pub struct SlotRef(Arc<Slot>);

struct Slot {
    state: Mutex<SlotState>,
    /// A store has the session: it is a kept session.
    kept: bool,
    /// The number of the attached connection, or [`NOBODY`]. Changes only with the lock held.
    owner: AtomicU64,
    /// The attached connection was signalled and has not checked the session since.
    signalled: AtomicBool,
}

/// The state that the lock guards.
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
    /// The protocol version of its client, or of the last one.
    pub(crate) version: ProtocolVersion,
    attachment: Attachment,
    /// The number of its connected client's Will in the store, if the session is not stored.
    pub(crate) will_number: Option<NonZeroU64>,
    /// It is in the list of sessions with messages that expire.
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

/// Is a connection attached?
enum Attachment {
    Attached {
        /// The waker of the connection's task.
        waker: Waker,
        presence: Arc<Presence>,
    },
    /// The client is away. The key of the session's timer.
    Away(Option<ExpiryKey>),
}

/// The counts of an `Arc`, and a slot.
const ALLOCATED: usize = size_of::<usize>() + size_of::<Slot>();
// tokio aligns its two allocations for a connection (its task, the registration of its socket) at 128 bytes. glibc's
// allocator has 232 bytes between them; a slot that needs more leaves a gap of 200 bytes for each connection, as
// measured
const _: () = assert!(ALLOCATED <= 232, "a slot fits between the allocations of its connection");

/// The number of a connection, unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub(crate) u64);

/// No connection has this number.
const NOBODY: u64 = u64::MAX;

impl SlotRef {
    /// Its address in memory, which gives handles an order.
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

    /// Is the session stored? Needs no lock.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.kept
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.0.state.lock()
    }

    /// Signals the attached connection: adds its waker to `wakes`, unless it is signalled already. Call it with the
    /// lock held; wake it when no lock is held.
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

    /// Attaches a connection, whose task `waker` wakes.
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

    /// Detaches the connection. Returns its waker and its figures.
    pub(crate) fn detach(&self, state: &mut SlotState) -> Option<(Waker, Arc<Presence>)> {
        self.0.owner.store(NOBODY, Ordering::Release);
        self.0.signalled.store(false, Ordering::Relaxed);
        state.forget_closing();
        if let Attachment::Away(_) = state.attachment {
            return None;
        }
        match std::mem::replace(&mut state.attachment, Attachment::Away(None)) {
            Attachment::Attached { waker, presence } => Some((waker, presence)),
            Attachment::Away(_) => None,
        }
    }

    /// Is this the attached connection? Certain with the lock held, otherwise it may just have changed.
    #[inline]
    pub(crate) fn is_owned_by(&self, connection: ConnectionId) -> bool {
        self.0.owner.load(Ordering::Acquire) == connection.0
    }

    /// Is a connection attached? Without the lock, it may just have changed.
    pub(crate) fn is_attached(&self) -> bool {
        self.0.owner.load(Ordering::Acquire) != NOBODY
    }

    /// Is the attached connection signalled? Needs no lock.
    #[inline]
    pub fn is_signalled(&self) -> bool {
        self.0.signalled.load(Ordering::Relaxed)
    }

    /// The attached connection checks the session now. Call it with the lock held.
    #[inline]
    pub(crate) fn clear_signal(&self) {
        self.0.signalled.store(false, Ordering::Relaxed);
    }
}

impl SlotState {
    /// The client is away. Its session ends at `ends`; `will` waits until `due` at most. Returns the key of the
    /// session's timer, which `number` makes unique.
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

    /// The key of the session's timer.
    pub(crate) fn expiry(&self) -> Option<ExpiryKey> {
        match self.attachment {
            Attachment::Attached { .. } => None,
            Attachment::Away(expiry) => expiry,
        }
    }

    /// Takes the key of the session's timer, which is cancelled.
    pub(crate) fn take_expiry(&mut self) -> Option<ExpiryKey> {
        match &mut self.attachment {
            Attachment::Attached { .. } => None,
            Attachment::Away(expiry) => expiry.take(),
        }
    }

    /// What is due when the timer with this key has expired.
    pub(crate) fn look(&mut self, key: ExpiryKey, now: Instant) -> Looked {
        let Some(waiting) = self.waiting.take() else { return Looked::Ends(None) };
        let WaitingWill { will, ends, .. } = *waiting;
        if ends.is_some_and(|at| at <= now) {
            return Looked::Ends(Some(will));
        }
        let (_, number) = key;
        Looked::Due(will, self.leave(ends, None, None, number))
    }

    /// Tells the attached connection to end for this reason when it next checks the session. Until then it may send
    /// nothing.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.forget_closing();
        let nobody = Identity { origin: self.origin, version: self.version, ..Identity::default() };
        self.access = Some(Access::that_closes(self.access.take(), nobody, reason).into());
    }

    /// Why the attached connection must end, if it was told to.
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        let closing = self.access.as_ref()?.closing.as_ref()?;
        Some(closing.reason.clone())
    }

    /// The connection has ended, or another one is attached.
    fn forget_closing(&mut self) {
        let closing = self.access.as_ref().and_then(|access| access.closing.clone());
        if let Some(closing) = closing {
            self.access = closing.before;
        }
    }

    /// The description of its client for events.
    pub(crate) fn info(&self) -> ClientInfo<'_> {
        let user = self.access.as_ref().and_then(|access| access.user());
        ClientInfo::new(user, self.origin.listener, self.version)
    }

    /// The figures of the attached connection.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        match &self.attachment {
            Attachment::Attached { presence, .. } => Some(presence),
            Attachment::Away(_) => None,
        }
    }

    /// The waker of the attached connection's task.
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
        // only the address: the lock may be held
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
