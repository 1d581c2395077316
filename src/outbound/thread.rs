//! [`TaskThread`]: a thread for the tasks of outbound connections. It runs only while there are tasks.

use std::{io, thread::JoinHandle};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A thread with a tokio runtime. It starts with the first task.
pub(crate) struct TaskThread {
    name: &'static str,
    running: Mutex<Option<Running>>,
}

struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl TaskThread {
    /// Does not start the thread. `name`: the thread's name in the system.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, running: Mutex::default() }
    }

    /// Starts the thread unless it runs. Spawn tasks through the handle.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut running = self.running.lock();
        if let Some(running) = &*running {
            return Ok(running.handle.clone());
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(self.name.into()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        *running = Some(Running { handle: handle.clone(), stop, thread });
        Ok(handle)
    }

    /// Ends the thread and its tasks, and waits for it.
    pub(crate) fn stop(&self) {
        if let Some(Running { stop, thread, .. }) = self.running.lock().take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}
