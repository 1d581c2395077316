//! Webhooks: HTTP requests that report events to other services. Each webhook reads its own
//! [`EventStream`](crate::router::inspect::EventStream). The stream's rings are bounded, so that no client waits for a
//! service.
//!
//! | module | owns |
//! |---|---|
//! | this one | all webhooks, and their thread |
//! | `options` | the options of a webhook |
//! | `choice` | selects its events |
//! | `event` | encodes an event as JSON (CloudEvents) |
//! | `lanes` | the queues of events |
//! | `state` | the counters and the last error of a webhook |
//! | `signature` | signs requests (Standard Webhooks) |
//! | `sending` | sends the requests of one lane, one at a time |
//! | `task` | moves a webhook's events from its stream to its lanes |

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
    /// The name of this broker in the source of its events.
    broker: Arc<str>,
    /// Identifies this run of the broker.
    boot: Arc<str>,
    running: Mutex<Vec<Running>>,
    thread: TaskThread,
}

/// A running webhook.
struct Running {
    options: Options,
    shared: Arc<Shared>,
    teller: Arc<Teller>,
    wish: watch::Sender<Wish>,
    ended: mpsc::Receiver<()>,
}

/// Why a webhook cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Its TLS files are not usable.
    #[error("webhook {name}: {why}")]
    Tls {
        /// Name of the webhook.
        name: String,
        /// The reason.
        why: String,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread of webhooks: {0}")]
    Thread(#[from] io::Error),
}

impl Hooks {
    /// Without webhooks. `broker`: the name of this broker.
    pub fn new(events: Arc<EventStreams>, clock: Clock, broker: &str) -> Self {
        let random = RandomState::new();
        let boot = format!("{:016x}", random.hash_one(std::process::id()));
        let thread = TaskThread::new("dunlin-hooks");
        Self { events, clock, broker: broker.into(), boot: boot.into(), running: Mutex::default(), thread }
    }

    /// Replaces all webhooks. Webhooks with unchanged options continue; the others end and start again. A webhook that
    /// ends sends its queue first, for a bounded time; the call blocks until then.
    pub fn replace(&self, all: Vec<Options>) -> Result<(), HookError> {
        let mut running = self.running.lock();
        let (stay, go): (Vec<_>, Vec<_>) = running.drain(..).partition(|one| all.contains(&one.options));
        *running = stay;
        end(go);
        // a webhook that cannot start does not prevent others from starting
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

    /// Reports an event of the broker itself to the webhooks that selected it.
    pub fn tell(&self, told: Told) {
        let at = self.clock.wall();
        for one in self.running.lock().iter().filter(|one| one.options.events.contains(&told)) {
            one.shared.lanes.push(None, one.teller.of_broker(told, at), self.clock.now());
        }
    }

    /// The state of each webhook, in the order of the configuration.
    pub fn views(&self) -> Vec<View> {
        self.running.lock().iter().map(|one| one.shared.view(&one.options)).collect()
    }

    /// Ends all webhooks. Each sends its queue first, for a bounded time; the call blocks until then.
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

/// Ends these webhooks and waits for them.
fn end(all: Vec<Running>) {
    all.iter().for_each(|one| _ = one.wish.send_replace(Wish::End));
    // an error means that it panicked
    all.into_iter().for_each(|one| _ = one.ended.recv());
}
