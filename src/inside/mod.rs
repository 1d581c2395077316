//! Clients within this process: those of the embedding program, and parts of the broker that publish and subscribe.
//! Their sessions in the router are like any other, without a socket and without encoded packets.
//!
//! | module | owns |
//! |---|---|
//! | this one | the part that a server has |
//! | `client` | the handle of one client |
//! | `received` | a received message |
//! | `publication` | a message to be published, and the reason why it was not |
//! | `relay` | a client that relays messages to and from another broker |
//! | `kept` | waits until something is stored |
//! | `threads` | the `RouterThread`s of the clients |

mod client;
mod kept;
mod publication;
mod received;
mod relay;
mod threads;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use thiserror::Error;

use client::Shared;
pub use client::{Client, InsideClient};
pub use kept::until_kept;
pub use publication::{Publication, PublishError, Published};
pub use received::{Ack, Received};
pub use relay::{Incoming, Relay};
use threads::Threads;

use crate::{
    clock::Clock,
    router::Router,
    session::{CloseReason, Missed, Stored},
    topic::TopicError,
    types::{ClientId, QoS, RetainHandling},
};

/// All clients within this process, and what publishes without one.
pub struct Inside {
    threads: Arc<Threads>,
    open: Mutex<Vec<Weak<Shared>>>,
}

/// Why there is no such client within the process.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// A filter is not one.
    #[error("{filter:?} is not a Topic Filter: it {why}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        why: TopicError,
    },
    /// A subscription is refused: see the limits of the configuration.
    #[error("{filter:?}: {why}")]
    Subscription {
        /// To what.
        filter: String,
        /// Why.
        why: CloseReason,
    },
    /// There is no such session for it: its identifier does not begin with `$` or is another client's, or nothing more
    /// can be stored.
    #[error("{0}")]
    Refused(CloseReason),
    /// The server shuts down.
    #[error("the server shuts down")]
    Stopped,
}

impl Inside {
    /// `clock`: the clock of the router.
    pub fn new(router: Arc<Router>, clock: Clock) -> Self {
        Self { threads: Arc::new(Threads::new(router, clock)), open: Mutex::default() }
    }

    /// A client begins. It has its session, and its subscriptions are kept, when this returns.
    pub async fn client(&self, asked: InsideClient) -> Result<Client, ClientError> {
        let (client, stored) = Client::begin(&self.threads, asked)?;
        self.began(client, stored).await
    }

    async fn began(&self, client: Client, stored: Stored) -> Result<Client, ClientError> {
        {
            let mut open = self.open.lock();
            open.retain(|one| one.strong_count() > 0);
            open.push(client.weak());
        }
        match self.threads.router() {
            // it may have stopped before it was noted
            None => client.stop(),
            Some(router) => kept::until_kept(router, stored).await.map_err(ClientError::Refused)?,
        }
        Ok(client)
    }

    /// Is there a session of this client that a store keeps?
    pub fn has_kept(&self, client: &ClientId) -> bool {
        self.threads.router().is_some_and(|router| router.has_kept(client))
    }

    /// This broker has bridges, which send messages with this name (User Property `dunlin-via`). From now on the router
    /// takes no message with it.
    pub fn set_bridge_name(&self, name: &str) {
        self.threads.router().into_iter().for_each(|router| router.set_bridge_name(name));
    }

    /// A durable client begins that relays messages to and from another broker; `each`: the highest QoS of each of its
    /// filters. It has its session, and its subscriptions are kept, when this returns.
    pub async fn relay(&self, asked: InsideClient, each: &[QoS]) -> Result<Relay, ClientError> {
        let (client, stored) = Client::begin_with(&self.threads, asked, each, RetainHandling::SendIfNew)?;
        let client = self.began(client, stored).await?;
        Ok(Relay::new(client))
    }

    /// A client begins that takes messages for something outside the broker. Its subscriptions bring no retained
    /// messages. It has its session, and its subscriptions are kept, when this returns.
    pub async fn outlet(&self, asked: InsideClient) -> Result<Relay, ClientError> {
        let (client, stored) = Client::begin_with(&self.threads, asked, &[], RetainHandling::DoNotSend)?;
        let client = self.began(client, stored).await?;
        Ok(Relay::new(client))
    }

    /// Ends the sessions that parts of an earlier process had and that are configured no more, and discards their
    /// queues.
    /// `begin`: how their Client Identifiers begin, before the name. Call it before such parts begin.
    pub fn discard_others(&self, begin: &str, is_configured: impl Fn(&str) -> bool) {
        let restored = self.threads.router().map(|router| router.restored_parts(begin)).unwrap_or_default();
        let is_other = |client: &ClientId| !client.as_str().strip_prefix(begin).is_some_and(&is_configured);
        for client in restored.into_iter().filter(is_other) {
            self.tell_discarded(&client);
            let asked = InsideClient { id: client.as_str().into(), durable: true, ..InsideClient::default() };
            match Client::begin_with(&self.threads, asked, &[], RetainHandling::DoNotSend) {
                Ok((client, _)) => client.end_session(),
                Err(error) => tracing::error!(%client, %error, "a session of an earlier configuration does not end"),
            }
        }
    }

    /// Logs the number of messages that are discarded with a session.
    pub fn tell_discarded(&self, client: &ClientId) {
        let (messages, _) = self.waiting_of(client);
        if messages > 0 {
            tracing::warn!(%client, messages, "removed from the configuration: its queued messages are discarded");
        }
    }

    /// Messages that wait or are in flight in the session of a client within the process, and those that it missed.
    pub fn waiting_of(&self, client: &ClientId) -> (usize, Missed) {
        self.threads.router().map(|router| router.waiting_of(client)).unwrap_or_default()
    }

    /// Publishes a message of the broker itself; see [`Client::publish`].
    pub async fn publish(&self, publication: Publication) -> Result<Published, PublishError> {
        let (router, stored, subscribers) = self.publish_now(&publication)?;
        kept::until_kept(router, stored).await.map_err(PublishError::Refused)?;
        Ok(Published { subscribers })
    }

    /// The same without a wait: of a message of QoS 0 that is not retained nothing is stored.
    pub fn publish_at_once(&self, publication: Publication) -> Result<Published, PublishError> {
        self.publish_now(&publication).map(|(_, _, subscribers)| Published { subscribers })
    }

    fn publish_now(&self, publication: &Publication) -> Result<(Arc<Router>, Stored, usize), PublishError> {
        let router = self.threads.router().ok_or(PublishError::Stopped)?;
        let mut thread = self.threads.take().ok_or(PublishError::Stopped)?;
        let now = self.threads.clock().now();
        router.refresh(&mut thread, now);
        let published = publication.publish(&router, &mut thread, None, now);
        thread.wake();
        self.threads.put_back_after_publication(thread);
        let (stored, subscribers) = published?;
        Ok((router, stored, subscribers))
    }

    /// Ends all clients: they receive and publish nothing any more. To be called before the store closes.
    pub fn stop(&self) {
        self.threads.stop();
        let open = std::mem::take(&mut *self.open.lock());
        open.iter().filter_map(Weak::upgrade).for_each(|client| client.stop());
    }
}

/// A server that is dropped stops its clients, too.
impl Drop for Inside {
    fn drop(&mut self) {
        self.stop();
    }
}
