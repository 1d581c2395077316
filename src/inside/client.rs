//! [`Client`]: the handle of a client within this process.

use std::{
    fmt,
    sync::{Arc, Weak},
    task::{Wake, Waker},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Ack, ClientError, Publication, PublishError, Published, Received, kept::until_kept, threads::Threads};
use crate::{
    clock::Clock,
    router::{self, InsideSession, Router, RouterThread},
    session::{Bound, CloseReason, Missed, Stored},
    topic::TopicFilter,
    types::{ClientId, QoS, RetainHandling, SubscriptionOptions},
};

/// The options of a client within this process.
#[derive(Clone, Debug, Default)]
pub struct InsideClient {
    /// Client Identifier. It must begin with `$`; clients on the network may not have such identifiers.
    pub id: String,
    /// Topic Filters of its subscriptions; also shared ones, `$share/group/filter`. They replace the filters of an
    /// earlier durable client with this identifier. New subscriptions bring retained messages.
    pub filters: Vec<String>,
    /// The highest QoS of messages to it.
    pub qos: QoS,
    /// The bound of its queue, and which message is dropped when it is full.
    pub queue: Bound,
    /// It does not receive messages that it publishes itself (No Local).
    pub no_local: bool,
    /// It receives RETAIN as the publisher set it (Retain As Published).
    pub retain_as_published: bool,
    /// Its session outlives it, like that of a client of MQTT 5 with the longest Session Expiry Interval; with a
    /// store, it also outlives the process. While no such client is open, the limits of the configuration apply to the
    /// session (`limits.session_expiry`, `limits.max_queued_messages`, …).
    pub durable: bool,
}

/// A client within this process. Several tasks may use it at a time. When it is dropped, its session ends, unless
/// it is [durable](InsideClient::durable).
pub struct Client {
    shared: Arc<Shared>,
    id: ClientId,
}

/// The part that the server shares, to end the client.
pub(super) struct Shared {
    /// `None`: the client has ended.
    open: Mutex<Option<Open>>,
    threads: Arc<Threads>,
    bell: Arc<Bell>,
}

pub(super) struct Open {
    pub(super) router: Arc<Router>,
    pub(super) thread: RouterThread,
    pub(super) client: router::Client,
    /// Calls since the last housekeeping of the thread.
    calls: u32,
}

/// Calls between two times of housekeeping of a thread.
const TIDY_EVERY: u32 = 4096;

/// Wakes a task that waits for a message or for the end of the client.
pub(super) struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

impl Client {
    /// Begins or resumes its session and its subscriptions. Also returns when they are stored.
    pub(super) fn begin(threads: &Arc<Threads>, asked: InsideClient) -> Result<(Self, Stored), ClientError> {
        Self::begin_with(threads, asked, &[], RetainHandling::SendIfNew)
    }

    /// The same. `each`: the highest QoS of each filter, in their order. `retain_handling`: whether subscriptions bring
    /// retained messages.
    pub(super) fn begin_with(
        threads: &Arc<Threads>,
        asked: InsideClient,
        each: &[QoS],
        retain_handling: RetainHandling,
    ) -> Result<(Self, Stored), ClientError> {
        let InsideClient { id, filters, qos, queue, no_local, retain_as_published, durable } = asked;
        let wanted = filters
            .iter()
            .map(|filter| TopicFilter::new(filter).map_err(|why| ClientError::Filter { filter: filter.clone(), why }))
            .collect::<Result<Vec<_>, _>>()?;
        let options = |(place, filter): (usize, &TopicFilter)| SubscriptionOptions {
            qos: each.get(place).copied().unwrap_or(qos),
            // otherwise a message could be lost that no other member of a group takes [MQTT-3.8.3-4]
            no_local: no_local && !filter.as_str().starts_with("$share/"),
            retain_as_published,
            retain_handling,
            identifier: None,
        };
        let subscriptions: Vec<_> =
            wanted.iter().enumerate().map(|(place, &filter)| (filter, options((place, filter)))).collect();

        let (clock, id) = (threads.clock(), ClientId::from(id.as_str()));
        let (Some(router), Some(mut thread)) = (threads.router(), threads.take()) else {
            return Err(ClientError::Stopped);
        };
        router.refresh(&mut thread, clock.now());
        let bell = Arc::new(Bell(Notify::new()));
        let session = InsideSession { id: id.clone(), durable, bound: queue };
        let attached = router.attach_inside(&mut thread, &session, Waker::from(bell.clone()));
        let (client, began) = match attached {
            Ok(attached) => attached,
            Err(reason) => {
                thread.wake();
                threads.put_back(thread);
                return Err(ClientError::Refused(reason));
            }
        };
        // from here on, dropping it ends it
        let open = Open { router, thread, client, calls: 0 };
        let shared = Arc::new(Shared { open: Mutex::new(Some(open)), threads: threads.clone(), bell });
        let this = Self { shared, id };
        let subscribed = this.shared.with(|Open { router, thread, client, .. }| {
            let had = router.filters_inside(client);
            let is_left = |had: &&String| !filters.contains(had);
            let left: Vec<_> = had.iter().filter(is_left).filter_map(|text| TopicFilter::new(text).ok()).collect();
            let unsubscribed = router.unsubscribe_inside(thread, client, &left, || clock.now());
            let subscribed = match subscriptions.is_empty() {
                true => Ok(Stored::Done),
                false => router.subscribe_inside(thread, client, &subscriptions, || clock.now()),
            };
            let subscribed = match subscribed {
                // on a full disk: the stored ones remain
                Err(_) if filters.iter().all(|filter| had.contains(filter)) => Ok(Stored::Done),
                subscribed => subscribed,
            };
            subscribed.map(|subscribed| unsubscribed.and(subscribed))
        });
        match subscribed {
            None => Err(ClientError::Stopped),
            Some(Ok(subscribed)) => Ok((this, began.and(subscribed))),
            Some(Err((place, why))) => {
                let filter = filters.get(place).cloned().unwrap_or_default();
                Err(ClientError::Subscription { filter, why })
            }
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn weak(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    /// Client Identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// Returns the next message when there is one; `None` after the server has stopped or the client was closed.
    /// Dropping the future loses no message.
    ///
    /// Messages arrive in the order of publication, as far as the broker promises it. The program must
    /// [acknowledge](Self::ack) messages of QoS 1 and 2: at most [`Bound::messages`] of them are unacknowledged at a
    /// time. Messages that a durable client did not acknowledge arrive again, with `dup`, when it is opened again.
    pub async fn recv(&self) -> Option<Received> {
        loop {
            match self.shared.take()? {
                Some(received) => return Some(received),
                None => self.shared.bell.0.notified().await,
            }
        }
    }

    /// Returns the next message if there is one now.
    pub fn try_recv(&self) -> Option<Received> {
        self.shared.take().flatten()
    }

    /// Takes up to `most` messages that are there now, and acknowledges them. `true`: there may be more.
    pub(crate) fn take_acknowledged(&self, most: usize, into: &mut Vec<Received>) -> bool {
        let clock = self.shared.threads.clock();
        let (now, wall) = (clock.now(), clock.wall());
        let more = self.shared.with(|Open { router, thread, client, .. }| {
            router.take_acknowledged(thread, client, most, |taken| into.push(Received::at(taken, wall, now)))
        });
        more == Some(true)
    }

    /// Acknowledges a message, so that it does not arrive again. `false`: it was acknowledged before, or is of QoS
    /// 0, or the client is closed.
    ///
    /// As with a PUBACK, there is no confirmation that the acknowledgement is durable: after a crash the message
    /// may arrive once more.
    pub fn ack(&self, received: &Received) -> bool {
        received.ack.is_some_and(|ack| self.ack_by(ack))
    }

    /// The same, by [`Received::ack`].
    pub fn ack_by(&self, Ack(ack): Ack) -> bool {
        self.shared.with(|Open { router, thread, client, .. }| router.acknowledge(thread, client, ack)) == Some(true)
    }

    /// Publishes a message. The future completes when the message is as safe as after a PUBACK: it is queued for
    /// its subscribers or sent to them, and with a store it is durable for all stored sessions.
    ///
    /// The message is published when the future is first polled, even if the future is dropped after that. Access
    /// rules are not checked.
    pub async fn publish(&self, publication: Publication) -> Result<Published, PublishError> {
        let clock = self.shared.threads.clock();
        let published = self.shared.with(|Open { router, thread, client, .. }| {
            let published = publication.publish(router, thread, Some(client.id()), clock.now())?;
            Ok::<_, PublishError>((router.clone(), published))
        });
        let (router, (stored, subscribers)) = published.ok_or(PublishError::Stopped)??;
        until_kept(router, stored).await.map_err(PublishError::Refused)?;
        Ok(Published { subscribers })
    }

    /// Counts of the messages that it missed since it was opened.
    pub fn missed(&self) -> Missed {
        self.shared.with(|Open { router, client, .. }| router.missed(client)).unwrap_or_default()
    }

    /// Ends the client and its session, also if it is durable: its queued messages are lost.
    pub fn end_session(self) {
        self.shared.with(|Open { router, client, .. }| router.end_with_client(client));
    }

    /// Ends the client because the server has stopped.
    pub(super) fn stop(&self) {
        self.shared.stop();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.end(&CloseReason::ClientDisconnect);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shared {
    /// Ends when there is something to receive, perhaps.
    pub(super) async fn rings(&self) {
        self.bell.0.notified().await;
    }

    /// Rings when it is woken.
    pub(super) fn waker(&self) -> Waker {
        Waker::from(self.bell.clone())
    }

    pub(super) fn clock(&self) -> &Clock {
        self.threads.clock()
    }

    /// Runs `f` in a turn of its own, and wakes connections after all locks are released. `None`: the client has
    /// ended.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Open) -> R) -> Option<R> {
        let (result, wakes) = {
            let mut open = self.open.lock();
            let open = open.as_mut()?;
            open.router.refresh(&mut open.thread, self.threads.clock().now());
            let result = f(open);
            open.calls += 1;
            if open.calls >= TIDY_EVERY {
                open.calls = 0;
                open.router.tidy(&mut open.thread);
            }
            (result, open.thread.take_wakes())
        };
        wakes.into_iter().for_each(Waker::wake);
        Some(result)
    }

    /// Takes the next message. The outer `None`: the client has ended.
    fn take(&self) -> Option<Option<Received>> {
        let taken = self.with(|Open { router, thread, client, .. }| router.take(thread, client));
        let Some((taken, more)) = taken else {
            // other tasks may wait too
            self.bell.0.notify_one();
            return None;
        };
        if more {
            self.bell.0.notify_one();
        }
        let clock = self.threads.clock();
        Some(taken.map(|taken| Received::new(taken, clock, clock.now())))
    }

    /// Ends the client because the server has stopped.
    pub(super) fn stop(&self) {
        self.end(&CloseReason::ServerShutdown);
    }

    fn end(&self, reason: &CloseReason) {
        let ended = self.open.lock().take();
        if let Some(Open { router, mut thread, client, .. }) = ended {
            let now = self.threads.clock().now();
            router.refresh(&mut thread, now);
            router.end(&mut thread, &client, reason, now);
            thread.wake();
            self.threads.put_back(thread);
        }
        self.bell.0.notify_one();
    }
}
