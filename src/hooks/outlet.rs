//! [`Outlet`]: the messages of a durable webhook or of a file sink. They are queued in the session of a client within
//! this process, until they are acknowledged there.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

use super::sending::wait;
use crate::{
    clock::Clock,
    inside::{Ack, ClientError, Inside, InsideClient, Received, Relay},
    session::{Bound, Missed, Stored},
    types::QoS,
};

/// The queue of a durable webhook or of a file sink.
pub(super) struct Outlet {
    relay: Relay,
    limits: Limits,
    /// Lost messages that a request has reported.
    reported: AtomicU64,
}

/// The bounds of the messages that are taken at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub messages: usize,
    pub bytes: usize,
    /// How long the first message waits for more.
    pub linger: Duration,
    /// At the end all messages are taken that are there; otherwise they stay for the next process.
    pub drains: bool,
}

/// Time limit for the session of a queue to be on the disk.
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// The wait before it is asked again whether messages are durable.
const AGAIN: Duration = Duration::from_millis(500);

impl Outlet {
    /// Begins or resumes the session of the client `id`.
    pub(super) async fn open(
        inside: &Inside,
        id: String,
        filters: Vec<String>,
        queue: Bound,
        limits: Limits,
    ) -> Result<Self, ClientError> {
        let qos = QoS::ExactlyOnce;
        let (no_local, retain_as_published, durable) = (false, true, true);
        let asked = InsideClient { id, filters, qos, queue, no_local, retain_as_published, durable };
        Ok(Self { relay: inside.outlet(asked).await?, limits, reported: AtomicU64::new(0) })
    }

    /// The same queue with other bounds. What was taken and not acknowledged is taken again.
    pub(super) fn with(self, limits: Limits) -> Self {
        self.relay.turn(|turn| turn.session(|session| session.begin()));
        Self { limits, ..self }
    }

    /// The number of its session in the store.
    pub(super) fn session(&self) -> u64 {
        self.relay.session_number().unwrap_or_default()
    }

    /// Messages that the queue lost and that were not reported.
    pub(super) fn lost(&self) -> u64 {
        let Missed { queue_full, expired } = self.relay.missed();
        queue_full + expired - self.reported.load(Ordering::Relaxed)
    }

    /// So many lost messages were reported.
    pub(super) fn reported(&self, lost: u64) {
        self.reported.fetch_add(lost, Ordering::Relaxed);
    }

    /// Waits for the next messages, at least one. They are durable, except those of QoS 0 and 1 that were published
    /// just now. `None`: it is closing, or the server has stopped.
    pub(super) async fn next(&self, closing: &mut watch::Receiver<bool>) -> Option<Vec<Received>> {
        let clock = self.relay.clock();
        let Limits { messages, bytes, linger, drains } = self.limits;
        let size = |batch: &[Received]| batch.iter().map(|one| one.topic().len() + one.payload().len()).sum::<usize>();
        let (mut batch, mut stored, mut due) = (Vec::new(), Stored::Done, None);
        loop {
            let is_closing = *closing.borrow_and_update();
            if is_closing && !drains {
                return None;
            }
            let room = bytes.saturating_sub(size(&batch));
            stored = stored.and(self.relay.take(messages - batch.len(), room, &mut batch)?);
            let has_skipped = self.skip(&mut batch);
            let is_full = batch.len() >= messages || size(&batch) >= bytes;
            // more may wait behind what was skipped
            if has_skipped && !is_full {
                continue;
            }
            let is_full = is_full || is_closing;
            if is_closing && batch.is_empty() {
                return None;
            }
            if !batch.is_empty() && (is_full || due.is_some_and(|due| due <= clock.now())) {
                break;
            }
            if !batch.is_empty() && due.is_none() {
                due = clock.now().checked_add(linger);
            }
            tokio::select! {
                () = self.relay.rings() => {}
                () = wait(clock, due) => {}
                // an error means that the webhook or the sink is gone
                changed = closing.changed() => if changed.is_err() { return None },
            }
        }
        self.is_kept(stored, clock, closing).await.then_some(batch)
    }

    /// Waits until this is durable. `false`: it is closing, and it is not durable now.
    async fn is_kept(&self, stored: Stored, clock: &Clock, closing: &mut watch::Receiver<bool>) -> bool {
        loop {
            let is_closing = *closing.borrow_and_update();
            tokio::select! {
                kept = self.relay.kept(stored) => match kept {
                    Ok(()) => return true,
                    // the disk is full, or the server ends
                    Err(_) if is_closing => return false,
                    Err(_) => clock.sleep(AGAIN).await,
                },
                changed = closing.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// Acknowledges messages to topics that begin with `$`, which make no events. Were there any?
    fn skip(&self, batch: &mut Vec<Received>) -> bool {
        let is_own = |one: &Received| one.topic().starts_with('$');
        let has_own = batch.iter().any(is_own);
        if has_own {
            self.acknowledge(batch.iter().filter(|one| is_own(one)).filter_map(|one| one.ack));
            batch.retain(|one| !is_own(one));
        }
        has_own
    }

    /// Removes messages from the queue.
    pub(super) fn acknowledge(&self, acks: impl Iterator<Item = Ack>) {
        self.relay.acknowledge(acks);
    }

    /// Ends the session, and discards the queue.
    pub(super) fn end_session(self) {
        self.relay.end_session();
    }
}

/// Opens a queue on the thread of this handle, and waits for it.
pub(super) fn opened(
    handle: &Handle,
    opening: impl Future<Output = Result<Outlet, ClientError>> + Send + 'static,
) -> Result<Outlet, ClientError> {
    let (begun, is_begun) = mpsc::channel();
    handle.spawn(async move { begun.send(opening.await) });
    is_begun.recv_timeout(OPENS_WITHIN).unwrap_or(Err(ClientError::Stopped))
}
