//! File sinks: published messages as recordings in files. The queue of a sink is the session of a client within this
//! process, which is stored if there is a `data_dir`.
//!
//! | module | owns |
//! |---|---|
//! | this one | all sinks, and their thread |
//! | `options` | the options of a sink |
//! | `task` | one sink: from its queue to its file |
//! | `file` | the file |
//! | `rotated` | rotated files: names, compression, removal |
//! | `state` | the counters and the last error of a sink |
//! | `view` | the same, as shown |

mod file;
mod options;
mod rotated;
mod state;
mod task;
mod view;

use std::{
    pin::pin,
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

pub use options::{Rotation, SinkOptions};
pub use view::{SinkCounts, SinkView};

use super::{
    HookError,
    outlet::{self, Limits, Outlet},
};
use crate::{
    clock::Clock,
    inside::{ClientError, Inside},
    outbound::TaskThread,
    session::{Bound, Missed},
    types::{ClientId, QueueFull, SINKS},
};
use file::Recording;
use state::Shared;
use task::Task;

/// All file sinks.
pub struct Sinks {
    inside: Arc<Inside>,
    clock: Clock,
    running: Mutex<Vec<Running>>,
    /// Held while sinks are replaced or ended.
    replacing: Mutex<()>,
    thread: TaskThread,
}

/// A running sink.
struct Running {
    options: SinkOptions,
    shared: Arc<Shared>,
    wish: watch::Sender<Wish>,
    ended: mpsc::Receiver<()>,
}

/// What a sink is asked to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Run.
    Run,
    /// Write the queue, then end.
    End,
    /// The same, and its session ends.
    EndWithSession,
}

/// Largest size of a batch that has more than one message, as payloads.
const MOST_BYTES: usize = 4 << 20;
/// Time limit for writing the queue when the sink ends.
const LAST: Duration = Duration::from_secs(5);

/// The Client Identifier of a sink's session.
fn client_of(name: &str) -> ClientId {
    ClientId::from(format!("{SINKS}{name}").as_str())
}

impl Sinks {
    /// Without sinks.
    pub fn new(inside: Arc<Inside>, clock: Clock) -> Self {
        Self {
            inside,
            clock,
            running: Mutex::default(),
            replacing: Mutex::default(),
            thread: TaskThread::new("dunlin-sinks"),
        }
    }

    /// Ends the sessions of sinks that are configured no more.
    pub fn discard_others(&self, configured: &[SinkOptions]) {
        self.inside.discard_others(SINKS, |name| configured.iter().any(|one| one.name == name));
    }

    /// Replaces all sinks. Sinks with unchanged options continue; the others end and start again. A sink that ends
    /// writes its queue first, for a bounded time; the call blocks until then.
    pub fn replace(&self, all: Vec<SinkOptions>) -> Result<(), HookError> {
        let _one_at_a_time = self.replacing.lock();
        let go: Vec<_> = self.running.lock().extract_if(.., |one| !all.contains(&one.options)).collect();
        end(go, |one| match all.iter().any(|options| options.name == one.options.name) {
            true => Wish::End,
            false => Wish::EndWithSession,
        });
        // a sink that cannot start does not prevent others from starting
        let mut failed = None;
        for options in &all {
            if self.running.lock().iter().any(|one| one.options == *options) {
                continue;
            }
            let handle = self.thread.handle().map_err(HookError::from);
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

    fn begin(&self, options: SinkOptions, handle: &Handle) -> Result<Running, HookError> {
        let wrong = |why: String| HookError::Sink { name: options.name.clone(), why };
        let file = Recording::open(&options.file, self.clock.wall());
        let file = file.map_err(|error| wrong(format!("file: {}: {error}", options.file.display())))?;
        let outlet = self.open(&options, handle).map_err(|error| wrong(error.to_string()))?;
        let (wish, mut wishes) = watch::channel(Wish::Run);
        let (close, closing) = watch::channel(false);
        let (done, ended) = mpsc::channel();
        let (shared, outlet) = (Arc::<Shared>::default(), Arc::new(outlet));
        let clock = self.clock.clone();
        let task = Task {
            options: options.clone(),
            shared: shared.clone(),
            clock: clock.clone(),
            outlet: outlet.clone(),
            closing,
            file: Some(file),
        };
        handle.spawn(async move {
            run(task, outlet, &mut wishes, &close, &clock).await;
            let _ = done.send(());
        });
        Ok(Running { options, shared, wish, ended })
    }

    /// The queue of a sink: its subscriptions are stored when this returns, if there is a store.
    fn open(&self, options: &SinkOptions, handle: &Handle) -> Result<Outlet, ClientError> {
        let SinkOptions { name, filter, batch, linger, queue, queue_bytes, .. } = options.clone();
        let queue = Bound { messages: queue, bytes: queue_bytes, policy: QueueFull::DropNewest };
        let limits = Limits { messages: batch, bytes: MOST_BYTES, linger, drains: true };
        let inside = self.inside.clone();
        let id = client_of(&name).to_string();
        outlet::opened(handle, async move { Outlet::open(&inside, id, filter, queue, limits).await })
    }

    /// The state of each sink, in the order of the configuration.
    pub fn views(&self) -> Vec<SinkView> {
        let running = self.running.lock();
        let all: Vec<_> = running.iter().map(|one| (one.options.clone(), one.shared.clone())).collect();
        drop(running);
        let view = |(options, shared): &(SinkOptions, Arc<Shared>)| {
            let (queued, Missed { queue_full, expired }) = self.inside.waiting_of(&client_of(&options.name));
            shared.view(options, queued as u64, queue_full + expired)
        };
        all.iter().map(view).collect()
    }

    /// Ends all sinks. Each writes its queue first, for a bounded time; the call blocks until then.
    pub fn stop(&self) {
        let _one_at_a_time = self.replacing.lock();
        let all = std::mem::take(&mut *self.running.lock());
        end(all, |_| Wish::End);
        self.thread.stop();
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a sink until it is asked to end.
async fn run(
    task: Task,
    outlet: Arc<Outlet>,
    wishes: &mut watch::Receiver<Wish>,
    close: &watch::Sender<bool>,
    clock: &Clock,
) {
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run());
    // an error means that all senders are gone
    let _ = wishes.changed().await;
    close.send_replace(true);
    // real time: a test may have stopped the broker's clock
    let _ = clock.unpaused().timeout(LAST, pin!(tasks.join_next())).await;
    tasks.shutdown().await;
    if *wishes.borrow() == Wish::EndWithSession {
        Arc::into_inner(outlet).into_iter().for_each(Outlet::end_session);
    }
}

/// Ends these sinks and waits for them.
fn end(all: Vec<Running>, wish: impl Fn(&Running) -> Wish) {
    all.iter().for_each(|one| _ = one.wish.send_replace(wish(one)));
    // an error means that it panicked
    all.into_iter().for_each(|one| _ = one.ended.recv());
}
