//! Bridges: this broker as a client of another one. What its clients publish passes to there, what comes from there is
//! published here.
//!
//! The queue of a bridge is the session of a client within this process, which is durable: its messages are
//! acknowledged to their publishers when they are kept, and go when the other broker has acknowledged them. Packet
//! Identifiers and QoS 2 state are that session's, too.
//!
//! | module | owns |
//! |---|---|
//! | this one | all bridges, and the thread that they run on |
//! | `options` | what a bridge is asked to do |
//! | `topics` | which topic is which on the other side |
//! | `echo` | the last messages that were sent, to know them again |
//! | `state` | what is told of a bridge: its state and its counters |
//! | `task` | one bridge: connects, and connects again |
//! | `greeting` | CONNECT and CONNACK |
//! | `exchange` | what passes on one connection |
//! | `outgoing`, `incoming` | of it, what goes there and what comes from there |
//! | `error` | why a connection ended |

mod echo;
mod error;
mod exchange;
mod flow;
mod greeting;
mod incoming;
mod options;
mod outgoing;
mod state;
mod task;
mod topics;

use std::{
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle},
    sync::{oneshot, watch},
};

pub use options::{Notify, Options, Passes, Start, Topic, Versions};
pub use state::{Counts, Phase, View};

use crate::{
    inside::{ClientError, Inside},
    types::ClientId,
};
use flow::Wish;
use state::Shared;
use task::Task;

/// All bridges.
pub struct Bridges {
    inside: Arc<Inside>,
    /// Names this broker on the way of a message.
    broker: Arc<str>,
    running: Mutex<Vec<Running>>,
    thread: Mutex<Option<Thread>>,
}

/// One of them.
struct Running {
    options: Options,
    shared: Arc<Shared>,
    wish: watch::Sender<Wish>,
    ended: mpsc::Receiver<()>,
}

/// The thread that they run on, while there are some.
struct Thread {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Why a bridge does not start.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// There is no session for it.
    #[error("bridge {name}: {why}")]
    Session {
        /// Which.
        name: String,
        /// Why.
        why: ClientError,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread of bridges: {0}")]
    Thread(#[from] io::Error),
}

/// The Client Identifier of a bridge here.
pub fn client_of(name: &str) -> ClientId {
    ClientId::from(format!("{SESSIONS}{name}").as_str())
}

/// With this the identifiers of their sessions begin.
pub const SESSIONS: &str = "$bridge/";

impl Bridges {
    /// None yet. `broker` names this broker among others.
    pub fn new(inside: Arc<Inside>, broker: &str) -> Self {
        Self { inside, broker: broker.into(), running: Mutex::default(), thread: Mutex::default() }
    }

    /// These bridges from now on: those that differ end and begin anew, others stay as they are. All that begin have
    /// their sessions when this returns. Blocks until then.
    pub fn replace(&self, all: Vec<Options>) -> Result<(), BridgeError> {
        let mut running = self.running.lock();
        let (stay, go): (Vec<_>, Vec<_>) = running.drain(..).partition(|one| all.contains(&one.options));
        *running = stay;
        for one in go {
            let session_ends = all.iter().all(|options| options.name != one.options.name);
            end(one, if session_ends { Wish::EndWithSession } else { Wish::End });
        }
        if !all.is_empty() {
            self.inside.set_bridge_name(&self.broker);
        }
        for options in all {
            if running.iter().all(|one| one.options != options) {
                let handle = self.handle()?;
                running.push(self.begin(options, &handle)?);
            }
        }
        if running.is_empty()
            && let Some(thread) = self.thread.lock().take()
        {
            thread.stop();
        }
        Ok(())
    }

    fn handle(&self) -> io::Result<Handle> {
        let mut thread = self.thread.lock();
        if let Some(thread) = &*thread {
            return Ok(thread.handle.clone());
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("dunlin-bridge".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        *thread = Some(Thread { handle: handle.clone(), stop, thread: spawned });
        Ok(handle)
    }

    fn begin(&self, options: Options, handle: &Handle) -> Result<Running, BridgeError> {
        let shared = Arc::new(Shared::new(&options));
        let (wish, wishes) = watch::channel(Wish::Run);
        let (begun, is_begun) = mpsc::channel();
        let (done, ended) = mpsc::channel();
        let task = (self.inside.clone(), options.clone(), shared.clone(), self.broker.clone());
        handle.spawn(async move {
            let (inside, options, shared, broker) = task;
            match Task::begin(&inside, options, shared, broker, wishes).await {
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

    /// What is told of each of them, in their order.
    pub fn views(&self) -> Vec<View> {
        self.running.lock().iter().map(|one| one.shared.view(&one.options)).collect()
    }

    /// Pauses one, or lets it go on. `false`: there is none of this name.
    pub fn pause(&self, name: &str, paused: bool) -> bool {
        let running = self.running.lock();
        let Some(one) = running.iter().find(|one| one.options.name == name) else { return false };
        let wish = if paused { Wish::Pause } else { Wish::Run };
        one.wish.send_if_modified(|now| std::mem::replace(now, wish) != wish);
        true
    }

    /// All end: the other brokers are told, and their sessions stay. Blocks until then.
    pub fn stop(&self) {
        let all = std::mem::take(&mut *self.running.lock());
        all.iter().for_each(|one| _ = one.wish.send_replace(Wish::End));
        all.into_iter().for_each(|one| end(one, Wish::End));
        if let Some(thread) = self.thread.lock().take() {
            thread.stop();
        }
    }
}

impl Drop for Bridges {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends one, and waits until it has ended.
fn end(one: Running, wish: Wish) {
    one.wish.send_replace(wish);
    // an error: it ended with a panic
    let _ = one.ended.recv();
}

impl Thread {
    fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}
