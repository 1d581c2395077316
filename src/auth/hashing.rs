//! [`Hashing`]: threads for the comparison of passwords, which is slow by design, so that no worker thread waits for
//! it. They take logins from a fair [`queue`](super::queue) as the [`throttle`](super::throttle) allows. Logins with
//! the same credentials from the same address are compared once.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::{
    Policy,
    known::{Known, Tag, Wrong},
    queue::{Next, Queue},
    scram_proof::Proof,
    throttle::{Held, Throttle, Whose, group},
    tokens::Now,
};
use crate::{
    clock::{Clock, Stopwatch},
    router::Identity,
    types::LoginWay,
};

/// The threads. They end after their current work when this is dropped.
pub(super) struct Hashing {
    shared: Arc<HashingQueue>,
}

/// A comparison to be done.
pub(super) struct Ask {
    pub(super) policy: Arc<Policy>,
    pub(super) address: IpAddr,
    /// The Client Identifier, for the log.
    pub(super) client: Box<str>,
    pub(super) user: Option<Box<str>>,
    pub(super) given: Given,
}

/// The given credentials.
pub(super) enum Given {
    /// A password or token, its tag, and its kind.
    Password { password: Vec<u8>, tag: Tag, way: LoginWay },
    /// A SCRAM proof, which is valid for one exchange.
    Proof(Box<Proof>),
}

impl Given {
    /// The tag, if the credentials may be given again.
    fn tag(&self) -> Option<&Tag> {
        match self {
            Self::Password { tag, .. } => Some(tag),
            Self::Proof(_) => None,
        }
    }
}

impl Ask {
    /// Are both requests the same?
    fn is_same(&self, other: &Self) -> bool {
        let tag = self.given.tag();
        tag.is_some() && tag == other.given.tag() && Arc::ptr_eq(&self.policy, &other.policy)
    }

    fn check(&self, clock: &Clock) -> Result<Identity, Wrong> {
        match &self.given {
            Given::Password { password, way, .. } => self.policy.check(*way, self.user.as_deref(), password, clock),
            Given::Proof(proof) => proof.check(self.user.as_deref().unwrap_or_default()),
        }
    }
}

/// The result, and the delay of a refusal.
pub(super) type Answer = (Result<Identity, &'static str>, Duration);

/// A login that waits for its result. Dropping it cancels the comparison.
pub(super) struct Ticket {
    answer: oneshot::Receiver<Answer>,
    shared: Arc<HashingQueue>,
    whose: Whose,
}

/// Too many logins wait.
#[derive(Debug)]
pub(super) struct Busy;

struct HashingQueue {
    state: Mutex<State>,
    /// There is work in the queue, or the threads must end.
    more: Condvar,
    known: Arc<Known>,
    clock: Clock,
    /// Number of tickets.
    waiting: AtomicUsize,
    threads: usize,
    hasher: RandomState,
}

#[derive(Default)]
struct State {
    queue: Queue<Job>,
    throttle: Throttle,
    /// Number of tickets that were dropped since the last sweep of the queue.
    gone: usize,
    ends: bool,
    /// Recent average duration of a comparison.
    takes: Duration,
    said: Said,
}

/// When each log line was last written.
#[derive(Default)]
struct Said {
    queue: Option<Instant>,
    delay: Option<Instant>,
}

/// Credentials, and all logins that wait for their comparison.
struct Job {
    ask: Ask,
    waiters: Vec<oneshot::Sender<Answer>>,
}

/// Most logins that may wait.
const WAITING: usize = 100_000;
/// Most logins of one address that may wait while it is throttled.
const WAITING_OF_GUESSER: usize = 5_000;
/// A longer wait in the queue is logged.
const LONG: Duration = Duration::from_secs(1);
/// Least time between two equal log lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Hashing {
    /// Starts this number of threads. `clock`: for delays.
    pub(super) fn start(threads: usize, known: Arc<Known>, clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(HashingQueue {
            state: Mutex::default(),
            more: Condvar::new(),
            known,
            clock,
            waiting: AtomicUsize::new(0),
            threads,
            hasher: RandomState::new(),
        });
        let hashing = Self { shared };
        for n in 0..threads {
            let shared = hashing.shared.clone();
            thread::Builder::new().name(format!("dunlin-auth-{n}")).spawn(move || shared.serve())?;
        }
        Ok(hashing)
    }

    /// Queues credentials for comparison.
    pub(super) fn ask(&self, ask: Ask) -> Result<Ticket, Busy> {
        let shared = &self.shared;
        let user = ask.user.as_deref().map(|user| shared.hasher.hash_one(user));
        let whose = Whose { address: group(ask.address), user };
        let (sender, answer) = oneshot::channel();
        let mut state = shared.state.lock();
        let now = shared.clock.now();
        state.sweep();
        let same = |job: &&mut Job| job.ask.is_same(&ask);
        if let Some(job) = state.queue.of(whose).find(same) {
            if job.waiters.len().is_power_of_two() {
                job.waiters.retain(|waiter| !waiter.is_closed());
            }
            job.waiters.push(sender);
        } else {
            if state.queue.len() >= WAITING || state.is_held_up(whose, &ask.policy, now) {
                return Err(Busy);
            }
            state.queue.push(whose, Job { ask, waiters: vec![sender] });
            state.say_queue(shared.threads, now);
        }
        drop(state);
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        shared.more.notify_one();
        Ok(Ticket { answer, shared: shared.clone(), whose })
    }

    /// Number of logins that wait.
    pub(super) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.shared.state.lock().ends = true;
        self.shared.more.notify_all();
    }
}

impl Ticket {
    /// The result; `None`: the comparison panicked, or the threads ended.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }

    /// Does its address wait for delayed refusals?
    pub(super) fn is_held_up(&self, first: Duration) -> bool {
        let now = self.shared.clock.now();
        self.shared.state.lock().throttle.may(self.whose, first, now).is_err()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        // without an answer it is still in the queue
        if matches!(self.answer.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
            self.shared.state.lock().gone += 1;
        }
    }
}

impl HashingQueue {
    /// The main loop of a thread.
    fn serve(&self) {
        let mut state = self.state.lock();
        while !state.ends {
            let now = self.clock.now();
            let State { queue, throttle, .. } = &mut *state;
            match queue.next(|whose, job: &Job| may(throttle, whose, job, now)) {
                Next::Job(whose, job) => state = self.compare(state, whose, job, now),
                Next::At(at) => self.clock.wait_until(&self.more, &mut state, at),
                Next::Empty => self.more.wait(&mut state),
            }
        }
    }

    fn compare<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        whose: Whose,
        mut job: Job,
        now: Instant,
    ) -> MutexGuard<'a, State> {
        job.waiters.retain(|waiter| !waiter.is_closed());
        if job.waiters.is_empty() {
            return state;
        }
        let ask = &job.ask;
        let user = ask.user.as_deref();
        // it may be known meanwhile
        let first = ask.policy.settings.failed_login_delay;
        if let Some(tag) = ask.given.tag() {
            if let Some(identity) = self.known.right(tag, &ask.policy, user, Now::of(&self.clock)) {
                job.tell(Ok(identity), Duration::ZERO);
                return state;
            }
            if let Some(why) = self.known.wrong(tag, &ask.policy, user, now) {
                job.tell(Err(why), first.unwrap_or_default());
                return state;
            }
        }
        if let Some(first) = first {
            state.throttle.begin(whose, first, now);
        }
        drop(state);
        let comparing = Stopwatch::start();
        let found = catch_unwind(AssertUnwindSafe(|| ask.check(&self.clock)));
        let found = found.unwrap_or(Err(Wrong { why: "comparing its password failed", compared: None }));
        let (after, took) = (self.clock.now(), comparing.took());
        if let Some(tag) = ask.given.tag() {
            self.known.note(*tag, &found, after);
        }
        let mut state = self.state.lock();
        // an average over about eight
        state.takes = if state.takes.is_zero() { took } else { (state.takes * 7 + took) / 8 };
        state.say_queue(self.threads, after);
        let delay = match (first, &found) {
            (None, _) => Duration::ZERO,
            (Some(first), Ok(_)) => {
                state.throttle.succeed(whose, first);
                Duration::ZERO
            }
            (Some(first), Err(_)) => state.throttle.fail(whose, first, after),
        };
        if !delay.is_zero() {
            state.say_delay(ask, delay, after);
        }
        if let Ok(identity) = &found {
            // the same credentials that arrived meanwhile need no comparison
            for late in state.queue.of(whose).filter(|late| late.ask.is_same(ask)) {
                late.waiters.drain(..).for_each(|waiter| _ = waiter.send((Ok(identity.clone()), Duration::ZERO)));
            }
        }
        job.tell(found.map_err(|wrong| wrong.why), delay);
        state
    }
}

/// May these credentials be compared now? Always if no login waits for them any more, because then they are skipped.
fn may(throttle: &mut Throttle, whose: Whose, job: &Job, now: Instant) -> Result<(), Held> {
    match job.ask.policy.settings.failed_login_delay {
        Some(first) if job.waiters.iter().any(|waiter| !waiter.is_closed()) => throttle.may(whose, first, now),
        _ => Ok(()),
    }
}

impl Job {
    fn tell(self, found: Result<Identity, &'static str>, delay: Duration) {
        // the client may have left
        self.waiters.into_iter().for_each(|waiter| _ = waiter.send((found.clone(), delay)));
    }
}

impl State {
    /// Removes the logins of clients that left, when they are as many as the others.
    fn sweep(&mut self) {
        const FEW: usize = 32;
        if self.gone > self.queue.len() / 2 + FEW {
            self.gone = 0;
            self.queue.retain(|job| {
                job.waiters.retain(|waiter| !waiter.is_closed());
                !job.waiters.is_empty()
            });
        }
    }

    fn is_held_up(&mut self, whose: Whose, policy: &Policy, now: Instant) -> bool {
        let Some(first) = policy.settings.failed_login_delay else { return false };
        self.queue.len_of(whose.address) >= WAITING_OF_GUESSER && self.throttle.may(whose, first, now).is_err()
    }

    fn say_queue(&mut self, threads: usize, now: Instant) {
        let waiting = self.queue.len();
        let expected = self.takes * u32::try_from(waiting / threads).unwrap_or(u32::MAX);
        if expected > LONG && is_due(&mut self.said.queue, now) {
            let expected = format_args!("{}s", expected.as_secs());
            tracing::warn!(waiting, threads, expected, "logins wait for their passwords to be compared");
        }
    }

    fn say_delay(&mut self, ask: &Ask, delay: Duration, now: Instant) {
        if is_due(&mut self.said.delay, now) {
            let Ask { address, client, user, .. } = ask;
            let user = user.as_deref().unwrap_or_default();
            tracing::warn!(
                %address,
                client,
                user,
                delay = %humantime::format_duration(delay),
                reason = "many different wrong passwords from this address or for this user",
                "logins are delayed (auth.failed_login_delay)"
            );
        }
    }
}

fn is_due(last: &mut Option<Instant>, now: Instant) -> bool {
    let due = last.is_none_or(|last| now.saturating_duration_since(last) >= LINE_EVERY);
    if due {
        *last = Some(now);
    }
    due
}

/// The number of cores, less one for connected clients if there are several.
pub(super) fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, |cpus| cpus.get().saturating_sub(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{PasswordChange, Settings, edit};

    struct Case {
        hashing: Hashing,
        policy: Arc<Policy>,
        known: Arc<Known>,
    }

    impl Case {
        /// A user `bob` with the password `right`; logins after failed ones are delayed.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("passwords");
            edit(&file, "bob", PasswordChange::Set(b"right")).unwrap();
            let delay = Some(Duration::from_millis(250));
            let settings = Settings { password_file: Some(file), failed_login_delay: delay, ..Settings::default() };
            let known = Arc::<Known>::default();
            let hashing = Hashing::start(1, known.clone(), Clock::system()).unwrap();
            Self { hashing, policy: Arc::new(Policy::load(&settings).unwrap()), known }
        }

        fn ask(&self, password: &str) -> Ticket {
            let ask = Ask {
                policy: self.policy.clone(),
                address: [192, 0, 2, 1].into(),
                client: "c".into(),
                user: Some("bob".into()),
                given: Given::Password {
                    password: password.into(),
                    tag: self.known.tag(LoginWay::Files, Some("bob"), password.as_bytes()),
                    way: LoginWay::Files,
                },
            };
            self.hashing.ask(ask).unwrap()
        }
    }

    fn answer(mut ticket: Ticket) -> (bool, Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (found, delay) = runtime.block_on(ticket.answer()).expect("an answer");
        (found.is_ok(), delay)
    }

    #[test]
    fn the_same_wrong_password_counts_once() {
        let case = Case::new();
        let tickets: Vec<_> = (0..50).map(|_| case.ask("wrong")).collect();
        assert!(case.hashing.waiting() == 50 && case.hashing.shared.state.lock().queue.len() <= 1);
        assert!(tickets.into_iter().all(|ticket| !answer(ticket).0));
        assert_eq!(answer(case.ask("another")), (false, Duration::ZERO), "two guesses are free");
        assert_eq!((answer(case.ask("right")), case.hashing.waiting()), ((true, Duration::ZERO), 0));
    }

    #[test]
    fn a_password_is_not_hashed_after_its_client_has_gone() {
        let case = Case::new();
        (0..1_000).for_each(|n| drop(case.ask(&format!("guess {n}"))));
        assert!(case.hashing.shared.state.lock().queue.len() < 100, "those that left are swept");
        assert_eq!(answer(case.ask("right")), (true, Duration::ZERO));
    }
}
