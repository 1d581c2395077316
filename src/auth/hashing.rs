//! [`Hashing`]: threads of their own for what is slow on purpose, comparing passwords, so that no I/O thread waits for it.
//! How many compare at once is bounded, and with it what memory they take; how many wait for their turn, too.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The threads. They end when this is dropped and what they were at is done.
#[derive(Debug)]
pub(super) struct Hashing {
    jobs: SyncSender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

/// As many wait as may wait.
#[derive(Debug)]
pub(super) struct Busy;

/// How many logins may wait for a thread. At some milliseconds each, more would be as many that wait in vain.
pub(super) const WAITING: usize = 1_000;

impl Hashing {
    /// With this many threads.
    pub(super) fn start(threads: usize, waiting: usize) -> io::Result<Self> {
        let (jobs, work) = sync_channel(waiting);
        let work = Arc::new(Mutex::new(work));
        for n in 0..threads {
            let work = work.clone();
            thread::Builder::new().name(format!("dunlin-auth-{n}")).spawn(move || serve(&work))?;
        }
        Ok(Self { jobs })
    }

    /// Does `job` when its turn has come; not at all where nobody waits for its answer any more.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Busy> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            if !answer.is_closed() {
                // who asked may be gone by now
                let _ = answer.send(job());
            }
        });
        match self.jobs.try_send(job) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Busy),
        }
    }
}

fn serve(work: &Mutex<Receiver<Job>>) {
    loop {
        // the lock is held while waiting, not while working
        let job = work.lock().recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

/// Half of the CPUs, so that those who are connected have the other half; four at most, for what each takes of memory.
pub(super) fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).clamp(1, 4))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_have_their_turn_and_no_more_than_may_wait() {
        let hashing = Hashing::start(1, 2).unwrap();
        let (go, gone) = mpsc::channel::<()>();
        let (began, begins) = mpsc::channel();
        let first = hashing.run(move || {
            began.send(()).unwrap();
            gone.recv().unwrap();
            1
        });
        begins.recv().unwrap();
        let second = hashing.run(|| 2).unwrap();
        let third = hashing.run(|| panic!("nobody waits for it")).unwrap();
        drop(third);
        assert!(hashing.run(|| 4).is_err(), "two wait already");
        go.send(()).unwrap();
        assert_eq!(first.unwrap().blocking_recv(), Ok(1));
        assert_eq!(second.blocking_recv(), Ok(2));
        // the place of the one that nobody waited for is free again
        let later = std::iter::repeat_with(|| hashing.run(|| 5)).find_map(Result::ok).unwrap();
        assert_eq!(later.blocking_recv(), Ok(5));
    }
}
