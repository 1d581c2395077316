//! Webhooks: services that are told by HTTP what happens. Events are those of
//! [`EventStream`](crate::router::inspect::EventStream): each webhook has a stream of its own, whose rings are bounded,
//! so that no client waits for a service.
//!
//! | module | owns |
//! |---|---|
//! | this one | all webhooks, and the thread that they run on |
//! | `options` | what a webhook is asked to do |
//! | `choice` | which events it is told |
//! | `event` | an event as CloudEvents have it |
//! | `lanes` | the events that wait |
//! | `state` | what is told of a webhook: its counters and its last error |
//! | `signature` | the signatures of Standard Webhooks |
//! | `sending` | the requests of one lane, one at a time |
//! | `task` | one webhook: from its events to its lanes |

mod choice;
mod event;
mod lanes;
mod options;
mod sending;
mod signature;
mod state;
mod task;

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::{Arc, mpsc},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

pub use options::Options;
pub use signature::Secrets;
pub use state::{Counts, View};

use crate::{clock::Clock, outbound::TaskThread, router::inspect::EventStreams, types::Told};
use event::Teller;
use state::Shared;
use task::{Task, Wish};

/// All webhooks.
pub struct Hooks {
    events: Arc<EventStreams>,
    clock: Clock,
    /// Names this broker in the source of events.
    broker: Arc<str>,
    /// Tells this run of the broker from others.
    boot: Arc<str>,
    running: Mutex<Vec<Running>>,
    thread: TaskThread,
}

/// One of them.
struct Running {
    options: Options,
    shared: Arc<Shared>,
    teller: Arc<Teller>,
    wish: watch::Sender<Wish>,
    ended: mpsc::Receiver<()>,
}

/// Why a webhook does not start.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Its files of TLS.
    #[error("webhook {name}: {why}")]
    Tls {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread of webhooks: {0}")]
    Thread(#[from] io::Error),
}

impl Hooks {
    /// None yet. `broker` names this broker among others.
    pub fn new(events: Arc<EventStreams>, clock: Clock, broker: &str) -> Self {
        let random = RandomState::new();
        let boot = format!("{:016x}", random.hash_one(std::process::id()));
        let thread = TaskThread::new("dunlin-hooks");
        Self { events, clock, broker: broker.into(), boot: boot.into(), running: Mutex::default(), thread }
    }

    /// These webhooks from now on: those that differ end and begin anew, others stay as they are. Those that end send
    /// what waits, if their service takes it soon. Blocks until then.
    pub fn replace(&self, all: Vec<Options>) -> Result<(), HookError> {
        let mut running = self.running.lock();
        let (stay, go): (Vec<_>, Vec<_>) = running.drain(..).partition(|one| all.contains(&one.options));
        *running = stay;
        end(go);
        // one that fails does not keep others from beginning
        let mut failed = None;
        for options in all {
            if running.iter().all(|one| one.options != options) {
                match self.thread.handle().map_err(HookError::from).and_then(|handle| self.begin(options, &handle)) {
                    Ok(begun) => running.push(begun),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        if running.is_empty() {
            self.thread.stop();
        }
        failed.map_or(Ok(()), Err)
    }

    fn begin(&self, options: Options, handle: &Handle) -> Result<Running, HookError> {
        let shared = Arc::new(Shared::new(&options));
        let teller = Arc::new(Teller::new(&self.broker, &self.boot, options.payload));
        let (wish, wishes) = watch::channel(Wish::Run);
        let (done, ended) = mpsc::channel();
        let parts = (options.clone(), shared.clone(), teller.clone(), self.clock.clone());
        let task = Task::begin(&self.events, parts, wishes).map_err(|why| {
            let name = options.name.clone();
            HookError::Tls { name, why }
        })?;
        handle.spawn(async move {
            task.run().await;
            let _ = done.send(());
        });
        Ok(Running { options, shared, teller, wish, ended })
    }

    /// Tells those that ask for it something of the broker itself.
    pub fn tell(&self, told: Told) {
        let at = self.clock.wall();
        for one in self.running.lock().iter().filter(|one| one.options.events.contains(&told)) {
            one.shared.lanes.push(None, one.teller.of_broker(told, at), self.clock.now());
        }
    }

    /// What is told of each of them, in their order.
    pub fn views(&self) -> Vec<View> {
        self.running.lock().iter().map(|one| one.shared.view(&one.options)).collect()
    }

    /// All end: they send what waits, if their services take it soon. Blocks until then.
    pub fn stop(&self) {
        end(std::mem::take(&mut *self.running.lock()));
        self.thread.stop();
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends them, and waits until they have ended.
fn end(all: Vec<Running>) {
    all.iter().for_each(|one| _ = one.wish.send_replace(Wish::End));
    // an error: it ended with a panic
    all.into_iter().for_each(|one| _ = one.ended.recv());
}
