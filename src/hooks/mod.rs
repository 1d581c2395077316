//! Webhooks: HTTP requests that report events to other services. File sinks: published messages in files. Each webhook
//! reads its own [`EventStream`](crate::router::inspect::EventStream). The stream's rings are bounded, so that no
//! client waits for a service.
//!
//! | module | owns |
//! |---|---|
//! | this one | all webhooks, and their thread |
//! | `options` | the options of a webhook |
//! | `choice` | selects its events |
//! | `event` | encodes an event as JSON (CloudEvents) |
//! | `failure` | the last error, and whether it lasts |
//! | `lanes` | the queues of events |
//! | `mqtt` | events as MQTT messages (`sys.events`) |
//! | `state` | the counters and the last error of a webhook |
//! | `view` | the same, as shown |
//! | `signature` | signs requests (Standard Webhooks) |
//! | `posting` | sends a request until the service accepts or refuses it |
//! | `outcome` | the meaning of an answer |
//! | `sending` | the requests of one lane, one at a time |
//! | `outlet` | messages that are queued in a session |
//! | `sinks` | file sinks |
//! | `durable` | the requests with the messages of a durable webhook |
//! | `rejected` | the file of refused messages |
//! | `task` | moves a webhook's events from its stream to its lanes |

mod choice;
mod durable;
mod event;
mod failure;
mod lanes;
mod mqtt;
mod options;
mod outcome;
mod outlet;
mod posting;
mod rejected;
mod sending;
mod signature;
mod sinks;
mod state;
mod task;
mod view;

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

pub use options::{Keeps, Options};
pub use signature::Secrets;
pub use sinks::{Rotation, SinkCounts, SinkOptions, SinkView, Sinks};
pub use view::{Counts, View};

use crate::{
    clock::Clock,
    inside::{ClientError, Inside},
    outbound::TaskThread,
    router::inspect::EventStreams,
    session::Missed,
    types::{PayloadForm, Told, WEBHOOKS},
};
use event::Teller;
use mqtt::Published;
use outlet::Outlet;
use state::Shared;
use task::{Task, Wish};

/// All webhooks.
pub struct Hooks {
    inside: Arc<Inside>,
    events: Arc<EventStreams>,
    clock: Clock,
    /// The name of this broker in the source of its events.
    broker: Arc<str>,
    /// Identifies this run of the broker.
    boot: Arc<str>,
    running: Mutex<Vec<Running>>,
    /// Number of webhooks that have begun.
    begun: AtomicU64,
    /// Events as MQTT messages, if they are on.
    mqtt: OnceLock<Arc<Published>>,
    /// Held while webhooks are replaced or ended.
    replacing: Mutex<()>,
    thread: TaskThread,
}

/// A running webhook.
struct Running {
    options: Options,
    shared: Arc<Shared>,
    teller: Arc<Teller>,
    wish: watch::Sender<Wish>,
    /// With the queue of a durable webhook.
    ended: mpsc::Receiver<Option<Outlet>>,
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
    /// The session of a durable webhook cannot begin.
    #[error("webhook {name}: {why}")]
    Session {
        /// Name of the webhook.
        name: String,
        /// The reason.
        why: ClientError,
    },
    /// A file sink cannot begin.
    #[error("sink {name}: {why}")]
    Sink {
        /// Name of the sink.
        name: String,
        /// The reason.
        why: String,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread of webhooks or sinks: {0}")]
    Thread(#[from] io::Error),
}

impl Hooks {
    /// Without webhooks. `broker`: the name of this broker.
    pub fn new(inside: Arc<Inside>, events: Arc<EventStreams>, clock: Clock, broker: &str) -> Self {
        let random = RandomState::new();
        let boot = format!("{:016x}", random.hash_one(std::process::id()));
        let thread = TaskThread::new("dunlin-hooks");
        Self {
            inside,
            events,
            clock,
            broker: broker.into(),
            boot: boot.into(),
            running: Mutex::default(),
            begun: AtomicU64::new(1),
            mqtt: OnceLock::new(),
            replacing: Mutex::default(),
            thread,
        }
    }

    /// Ends the sessions of durable webhooks that are configured no more.
    pub fn discard_others(&self, configured: &[Options]) {
        let is_one = |name: &str| configured.iter().any(|one| one.durable.is_some() && one.name == name);
        self.inside.discard_others(WEBHOOKS, is_one);
    }

    /// Replaces all webhooks. Webhooks with unchanged options continue; the others end and start again. A webhook that
    /// ends sends its queue first, for a bounded time; the call blocks until then.
    pub fn replace(&self, all: Vec<Options>) -> Result<(), HookError> {
        let _one_at_a_time = self.replacing.lock();
        let go: Vec<_> = self.running.lock().extract_if(.., |one| !all.contains(&one.options)).collect();
        let is_gone = |one: &Options| all.iter().all(|now| now.name != one.name || now.durable.is_none());
        let gone = go.iter().filter(|one| one.options.durable.is_some() && is_gone(&one.options));
        gone.for_each(|one| self.inside.tell_discarded(&durable::client_of(&one.options.name)));
        let mut queues = end(go, |one| match is_gone(&one.options) {
            false => Wish::End,
            true => Wish::EndWithSession,
        });
        // the others are closed here: their sessions are opened again
        queues.retain(|(before, _)| all.iter().any(|now| durable::goes_on(before, now)));
        // a webhook that cannot start does not prevent others from starting
        let mut failed = None;
        let place = |options: &Options| all.iter().position(|one| one == options);
        for options in &all {
            if self.running.lock().iter().any(|one| one.options == *options) {
                continue;
            }
            let queue = queues.iter().position(|(before, _)| durable::goes_on(before, options));
            let queue = queue.map(|place| queues.swap_remove(place).1);
            let begun = self.thread.handle().map_err(HookError::from);
            match begun.and_then(|handle| self.begin(options.clone(), queue, &handle)) {
                Ok(begun) => self.running.lock().push(begun),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let mut running = self.running.lock();
        running.sort_by_key(|one| place(&one.options));
        if running.is_empty() && self.mqtt.get().is_none() {
            self.thread.stop();
        }
        failed.map_or(Ok(()), Err)
    }

    /// The queue of a durable webhook: its subscriptions are stored when this returns.
    /// `before`: it goes on.
    fn open(&self, options: &Options, before: Option<Outlet>, handle: &Handle) -> Result<Option<Outlet>, HookError> {
        if options.durable.is_none() {
            return Ok(None);
        }
        if let Some(queue) = before {
            return Ok(Some(queue.with(durable::limits(options))));
        }
        let (inside, asked) = (self.inside.clone(), options.clone());
        let opened = outlet::opened(handle, async move { durable::open(&inside, &asked).await });
        opened.map(Some).map_err(|why| HookError::Session { name: options.name.clone(), why })
    }

    fn begin(&self, options: Options, queue: Option<Outlet>, handle: &Handle) -> Result<Running, HookError> {
        let shared = Arc::new(Shared::new(&options));
        let turn = self.begun.fetch_add(1, Ordering::Relaxed);
        let teller = Arc::new(Teller::new(&self.broker, &self.boot, turn, options.payload));
        let (wish, wishes) = watch::channel(Wish::Run);
        let (done, ended) = mpsc::channel();
        let outlet = self.open(&options, queue, handle)?;
        let parts = (options.clone(), shared.clone(), teller.clone(), self.clock.clone());
        let task = Task::begin(&self.events, parts, outlet, wishes).map_err(|why| {
            let name = options.name.clone();
            HookError::Tls { name, why }
        })?;
        handle.spawn(async move {
            let _ = done.send(task.run().await);
        });
        Ok(Running { options, shared, teller, wish, ended })
    }

    /// Events are MQTT messages from now on, too. Call it once.
    pub fn publish_events(&self) -> Result<(), HookError> {
        let handle = self.thread.handle()?;
        let teller = Teller::new(&self.broker, &self.boot, 0, PayloadForm::None);
        let new = || Arc::new(Published::new(self.inside.clone(), teller, self.clock.clone()));
        handle.spawn(self.mqtt.get_or_init(new).run(&self.events));
        Ok(())
    }

    /// Reports an event of the broker itself to the webhooks that selected it, and to subscribers.
    pub fn tell(&self, told: Told) {
        self.mqtt.get().into_iter().for_each(|mqtt| mqtt.tell(told));
        let at = self.clock.wall();
        for one in self.running.lock().iter().filter(|one| one.options.events.contains(&told)) {
            one.shared.lanes.push(None, one.teller.of_broker(told, at), self.clock.now());
        }
    }

    /// The state of each webhook, in the order of the configuration.
    pub fn views(&self) -> Vec<View> {
        let running = self.running.lock();
        let all: Vec<_> = running.iter().map(|one| (one.options.clone(), one.shared.clone())).collect();
        drop(running);
        let view = |(options, shared): &(Options, Arc<Shared>)| {
            let mut view = shared.view(options);
            if options.durable.is_some() {
                let (waiting, Missed { queue_full, expired }) = self.inside.waiting_of(&durable::client_of(&view.name));
                view.counts.queued += waiting as u64;
                view.counts.lost += queue_full + expired;
            }
            view
        };
        all.iter().map(view).collect()
    }

    /// Ends all webhooks. Each sends its queue first, for a bounded time; the call blocks until then.
    pub fn stop(&self) {
        let _one_at_a_time = self.replacing.lock();
        let all = std::mem::take(&mut *self.running.lock());
        end(all, |_| Wish::End);
        self.thread.stop();
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends these webhooks and waits for them. Returns the queues of durable ones that may go on.
fn end(all: Vec<Running>, wish: impl Fn(&Running) -> Wish) -> Vec<(Options, Outlet)> {
    all.iter().for_each(|one| _ = one.wish.send_replace(wish(one)));
    // an error means that it panicked
    all.into_iter().filter_map(|one| Some((one.options, one.ended.recv().ok()??))).collect()
}
