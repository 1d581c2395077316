//! Bridges: this broker as a client of another one. A bridge publishes messages of this broker at the other one, and
//! the other broker's messages here.
//!
//! The queue of a bridge is the session of a client within this process, which is durable: its messages are
//! acknowledged to their publishers when they are stored, and removed when the other broker has acknowledged them.
//! Packet Identifiers and QoS 2 state belong to that session.
//!
//! | module | owns |
//! |---|---|
//! | this one | all bridges, and the thread that they run on |
//! | `options` | the settings of a bridge |
//! | `topics` | the mapping of topics, with prefixes |
//! | `echo` | the last messages that were sent, to drop them if they come back |
//! | `state` | the state and counters of a bridge |
//! | `task` | one bridge: connects, and connects again |
//! | `connect` | CONNECT and CONNACK |
//! | `exchange` | one connection: its packets, times and limits |
//! | `outgoing`, `incoming` | its messages to the other broker, and from it |
//! | `losses` | log lines about messages that are lost |
//! | `missing` | retained messages that are missing at the other broker |
//! | `retained`, `due` | retained messages that changed here while the other broker was away |
//! | `flow` | messages in flight, SUBSCRIBE packets in flight, the rate |
//! | `error` | why a connection ended |

mod connect;
mod due;
mod echo;
mod error;
mod exchange;
mod flow;
mod incoming;
mod losses;
mod missing;
mod options;
mod outgoing;
mod retained;
mod state;
mod task;
mod topics;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

pub use options::{Notify, Options, Passes, Start, Topic, Versions};
pub use state::{Counts, Phase, View};

use crate::{
    inside::{ClientError, Inside},
    outbound::TaskThread,
    types::{BRIDGES, ClientId},
};
use exchange::Own;
use flow::Wish;
use state::Shared;
use task::Task;

/// All bridges.
pub struct Bridges {
    inside: Arc<Inside>,
    /// Names this broker on the way of a message.
    broker: Arc<str>,
    own: Own,
    running: Mutex<Vec<Running>>,
    /// Held while bridges are replaced or ended.
    replacing: Mutex<()>,
    thread: TaskThread,
}

/// A running bridge.
struct Running {
    options: Options,
    shared: Arc<Shared>,
    wish: watch::Sender<Wish>,
    ended: mpsc::Receiver<()>,
}

/// Why a bridge does not start.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Its session could not be created.
    #[error("bridge {name}: {why}")]
    Session {
        /// The bridge.
        name: String,
        /// Why.
        why: ClientError,
    },
    /// The thread could not be started.
    #[error("cannot start the thread of bridges: {0}")]
    Thread(#[from] io::Error),
}

/// The Client Identifier of a bridge's session at this broker.
pub fn client_of(name: &str) -> ClientId {
    ClientId::from(format!("{BRIDGES}{name}").as_str())
}

impl Bridges {
    /// No bridges yet. `broker`: this broker's name in User Property `dunlin-via`.
    pub fn new(inside: Arc<Inside>, broker: &str) -> Self {
        let (own, running, replacing) = Default::default();
        Self { inside, broker: broker.into(), own, running, replacing, thread: TaskThread::new("dunlin-bridge") }
    }

    /// Ends the sessions of bridges that an earlier process had and that are configured no more.
    pub fn discard_others(&self, configured: &[Options]) {
        self.inside.discard_others(BRIDGES, |name| configured.iter().any(|one| one.name == name));
    }

    /// Replaces the bridges: a bridge whose options differ ends and starts anew, others stay connected. Blocks until
    /// each new bridge has its session. `own`: the addresses of this broker's listeners, to which none connects.
    pub fn replace(&self, all: Vec<Options>, own: Vec<SocketAddr>) -> Result<(), BridgeError> {
        let _one_at_a_time = self.replacing.lock();
        *self.own.lock() = own;
        let go: Vec<_> = self.running.lock().extract_if(.., |one| !all.contains(&one.options)).collect();
        end(go, |one| match all.iter().any(|options| options.name == one.options.name) {
            true => Wish::End,
            false => Wish::EndWithSession,
        });
        if !all.is_empty() {
            self.inside.set_bridge_name(&self.broker);
        }
        // one that fails does not keep others from beginning
        let mut failed = None;
        for options in &all {
            if self.running.lock().iter().any(|one| one.options == *options) {
                continue;
            }
            let handle = self.thread.handle().map_err(BridgeError::from);
            match handle.and_then(|handle| self.begin(options.clone(), &handle)) {
                Ok(begun) => self.running.lock().push(begun),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let mut running = self.running.lock();
        running.sort_by_key(|one| all.iter().position(|options| *options == one.options));
        if running.is_empty() {
            self.thread.stop();
        }
        failed.map_or(Ok(()), Err)
    }

    fn begin(&self, options: Options, handle: &Handle) -> Result<Running, BridgeError> {
        let shared = Arc::new(Shared::new(&options));
        let (wish, wishes) = watch::channel(Wish::Run);
        let (begun, is_begun) = mpsc::channel();
        let (done, ended) = mpsc::channel();
        let names = (self.broker.clone(), self.own.clone());
        let task = (self.inside.clone(), options.clone(), shared.clone(), names);
        handle.spawn(async move {
            let (inside, options, shared, names) = task;
            match Task::begin(&inside, options, shared, names, wishes).await {
                Ok(task) => {
                    drop(inside);
                    let _ = begun.send(Ok(()));
                    task.run().await;
                }
                Err(why) => _ = begun.send(Err(why)),
            }
            let _ = done.send(());
        });
        match is_begun.recv() {
            Ok(Ok(())) => Ok(Running { options, shared, wish, ended }),
            Ok(Err(why)) => Err(BridgeError::Session { name: options.name, why }),
            Err(_) => Err(BridgeError::Session { name: options.name, why: ClientError::Stopped }),
        }
    }

    /// The state of each bridge, in the order of the configuration.
    pub fn views(&self) -> Vec<View> {
        let all: Vec<_> = self.running.lock().iter().map(|one| (one.shared.clone(), one.options.clone())).collect();
        // sessions are locked after the lock is released
        let view = |(shared, options): &(Arc<Shared>, Options)| {
            let (queued, missed) = self.inside.waiting_of(&client_of(&options.name));
            shared.view(options, queued, missed)
        };
        all.iter().map(view).collect()
    }

    /// Pauses or resumes a bridge. `false`: there is no bridge of this name.
    pub fn pause(&self, name: &str, paused: bool) -> bool {
        let running = self.running.lock();
        let Some(one) = running.iter().find(|one| one.options.name == name) else { return false };
        let wish = if paused { Wish::Pause } else { Wish::Run };
        one.wish.send_if_modified(|now| std::mem::replace(now, wish) != wish);
        true
    }

    /// Ends all bridges with DISCONNECT; their sessions stay. Blocks until then.
    pub fn stop(&self) {
        let _one_at_a_time = self.replacing.lock();
        let all = std::mem::take(&mut *self.running.lock());
        end(all, |_| Wish::End);
        self.thread.stop();
    }
}

impl Drop for Bridges {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends these bridges, and waits until they have ended.
fn end(all: Vec<Running>, wish: impl Fn(&Running) -> Wish) {
    all.iter().for_each(|one| _ = one.wish.send_replace(wish(one)));
    // an error: the bridge ended with a panic
    all.into_iter().for_each(|one| _ = one.ended.recv());
}
