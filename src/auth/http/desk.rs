//! [`Desk`]: the queue of logins for one service, its concurrent requests, and its cached answers. Equal logins share
//! one request. A fair [`queue`](super::super::queue) orders the requests, and the [`throttle`](super::super::throttle)
//! delays them after refusals.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use ring::{hmac, rand::SystemRandom};
use tokio::sync::oneshot;

use super::{
    super::{
        known::{Table, Tag},
        queue::{Next, Queue},
        throttle::{Throttle, Whose, group},
        tokens::Now,
    },
    Asked, Calls, Service, ServiceSettings, Shown, Yes,
    answer::Answer,
    guess::{CountGuesses, Guess},
};
use crate::{
    clock::Clock,
    router::{Identity, Proof},
};

/// The desks of all services, by name. They are kept when the configuration changes.
pub(in super::super) struct Desks {
    all: Mutex<HashMap<String, Arc<Desk>>>,
    clock: Clock,
}

/// Queue, requests and cache of one service.
struct Desk {
    clock: Clock,
    key: hmac::Key,
    hasher: RandomState,
    state: Mutex<State>,
    counts: Counts,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: Queue<Job>,
    throttle: Throttle,
    /// Requests without an answer yet, and the logins that wait for each.
    sent: HashMap<Tag, Vec<oneshot::Sender<Outcome>>>,
    known: Table<Known>,
    /// Time of the next look at the queue.
    again: Option<Instant>,
    /// Largest number of concurrent requests.
    most: usize,
    /// The last request failed.
    down: bool,
    /// Why the last failed request failed, and when.
    error: Option<(String, SystemTime)>,
    /// Time of the last log line about that.
    told: Option<Instant>,
}

/// A cached answer.
#[derive(Clone)]
struct Known {
    answer: Remembered,
    /// After this time it is used only while the service is down.
    fresh: Instant,
}

#[derive(Clone)]
enum Remembered {
    Yes(Arc<Yes>),
    No(&'static str),
    Next,
}

/// A queued request.
struct Job {
    service: Arc<Service>,
    calls: Calls,
    asked: Arc<Asked>,
    tag: Tag,
    /// `auth.failed_login_delay`
    first: Option<Duration>,
    waiters: Vec<oneshot::Sender<Outcome>>,
}

/// Outcome of a login.
#[derive(Clone)]
pub(in super::super) enum Outcome {
    Yes(Identity),
    /// Refused for this reason, after this delay.
    No(&'static str, Duration),
    /// Unknown to the service. `None`: a cached answer says so.
    Next(Option<Arc<Guess>>),
    Down,
    /// The queue is full.
    Busy,
}

/// Counters of a service.
#[derive(Default)]
struct Counts {
    allowed: AtomicU64,
    denied: AtomicU64,
    ignored: AtomicU64,
    failed: AtomicU64,
    cache_hits: AtomicU64,
    stale: AtomicU64,
}

/// The figures of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFigures {
    /// Name of the service.
    pub name: String,
    /// Where it is, without the query, which may contain a key.
    pub url: String,
    /// It is the provider that is asked about tokens.
    pub is_introspection: bool,
    /// Number of answers `allow`, `deny` and `ignore`, and of failed requests (`error`).
    pub requests: [(&'static str, u64); 4],
    /// Logins that a cached answer decided.
    pub cache_hits: u64,
    /// Logins that an expired answer accepted while the service was down.
    pub stale: u64,
    /// Number of answers about topics: `allow`, `deny` and `error`, and those that were cached.
    pub checks: [(&'static str, u64); 4],
    /// Logins that wait for an answer.
    pub waiting: usize,
    /// The last request failed.
    pub down: bool,
    /// Why the last failed request failed, and when; also one about a topic.
    pub error: Option<(String, SystemTime)>,
}

const ODD: &str = "its names cannot be sent to a login service (auth.http)";
const ENDED: &str = "a login service says that the login has ended (auth.http)";
/// Largest number of queued requests.
const WAITING: usize = 100_000;
/// Number of queued requests of disconnected clients that are tolerated.
const SPARE: usize = 64;
/// Longest wait of a login.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Least time between two log lines about a failing service.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(60);

impl Desks {
    pub(in super::super) fn new(clock: Clock) -> Self {
        Self { all: Mutex::default(), clock }
    }

    /// Asks a service about a login, or returns the cached answer.
    pub(in super::super) async fn ask(
        &self,
        service: &Arc<Service>,
        asked: &Arc<Asked>,
        first: Option<Duration>,
    ) -> Outcome {
        let desk = self.desk(&service.settings.name);
        let Some(calls) = service.requests(asked) else { return Outcome::No(ODD, Duration::ZERO) };
        let tag = desk.tag(service, asked, &calls);
        if let Some(outcome) = desk.known(&tag, service, first) {
            return outcome;
        }
        let job = Job { service: service.clone(), calls, asked: asked.clone(), tag, first, waiters: Vec::new() };
        let receiver = match desk.push(job) {
            Ok(receiver) => receiver,
            Err(decided) => return decided,
        };
        desk.waiting.fetch_add(1, Ordering::Relaxed);
        let _left = Left(&desk.waiting);
        desk.pump();
        match self.clock.timeout(LONGEST_WAIT, pin!(receiver)).await {
            Ok(Ok(outcome)) => outcome,
            // the thread that sent the request has ended
            Ok(Err(_)) => Outcome::Down,
            Err(_) => Outcome::Busy,
        }
    }

    /// The cached answer about a login, if it accepts it.
    pub(in super::super) fn accepts(
        &self,
        service: &Arc<Service>,
        asked: &Asked,
        first: Option<Duration>,
    ) -> Option<Outcome> {
        let desk = self.desk(&service.settings.name);
        let calls = service.requests(asked)?;
        desk.accepts(&desk.tag(service, asked, &calls), service, first)
    }

    /// Number of logins that wait.
    pub(in super::super) fn waiting(&self) -> usize {
        self.all.lock().values().map(|desk| desk.waiting.load(Ordering::Relaxed)).sum()
    }

    /// The counters of these services.
    pub(in super::super) fn figures(&self, services: &[Arc<Service>]) -> Vec<ServiceFigures> {
        services.iter().map(|service| self.desk(&service.settings.name).figures(service)).collect()
    }

    fn desk(&self, name: &str) -> Arc<Desk> {
        let mut all = self.all.lock();
        match all.get(name) {
            Some(desk) => desk.clone(),
            None => all.entry(name.into()).or_insert(Arc::new(Desk::new(self.clock.clone()))).clone(),
        }
    }
}

/// Counts a login as no longer waiting when dropped.
struct Left<'a>(&'a AtomicUsize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Desk {
    fn new(clock: Clock) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the system gives random bytes");
        let (state, counts, waiting) = Default::default();
        Self { clock, key, hasher: RandomState::new(), state, counts, waiting }
    }

    /// An HMAC of everything that the answer depends on. It does not reveal passwords.
    fn tag(&self, service: &Service, asked: &Asked, calls: &Calls) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        let mut add = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        };
        add(service.settings.url.as_bytes());
        add(service.settings.superuser_url.as_deref().unwrap_or_default().as_bytes());
        add(format!("{:?}", service.settings.format).as_bytes());
        add(format!("{:?}", service.required).as_bytes());
        // the answer about a token is the same for all its clients
        if !service.is_introspection() {
            add(&asked.listener.to_le_bytes());
            add(asked.client.as_bytes());
            add(&[u8::from(asked.user.is_some())]);
            add(asked.user.as_deref().unwrap_or_default().as_bytes());
        }
        add(&asked.password);
        for call in [Some(&calls.login), calls.superuser.as_ref()].into_iter().flatten() {
            add(call.path.as_bytes());
            call.headers.iter().flat_map(|(name, value)| [name, value]).for_each(|text| add(text.as_bytes()));
            add(call.body.as_bytes());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    /// The cached answer, if it accepts the login. Others are looked up by [`Desks::ask`], which counts them.
    fn accepts(&self, tag: &Tag, service: &Arc<Service>, first: Option<Duration>) -> Option<Outcome> {
        let now = Now::of(&self.clock);
        let outcome = self.state.lock().known(tag, service, first, now)?;
        let is_accepted = matches!(outcome, Outcome::Yes(_));
        self.counts.cache_hits.fetch_add(u64::from(is_accepted), Ordering::Relaxed);
        is_accepted.then_some(outcome)
    }

    fn known(&self, tag: &Tag, service: &Arc<Service>, first: Option<Duration>) -> Option<Outcome> {
        let now = Now::of(&self.clock);
        let outcome = self.state.lock().known(tag, service, first, now)?;
        self.counts.cache_hits.fetch_add(1, Ordering::Relaxed);
        Some(outcome)
    }

    /// Queues a login. The error is an outcome that is known at once.
    fn push(&self, job: Job) -> Result<oneshot::Receiver<Outcome>, Outcome> {
        let (sender, receiver) = oneshot::channel();
        let now = Now::of(&self.clock);
        let mut state = self.state.lock();
        // the answer may have arrived meanwhile
        if let Some(outcome) = state.known(&job.tag, &job.service, job.first, now) {
            self.counts.cache_hits.fetch_add(1, Ordering::Relaxed);
            return Err(outcome);
        }
        if let Some(waiters) = state.sent.get_mut(&job.tag) {
            add_waiter(waiters, sender);
            return Ok(receiver);
        }
        let user = job.asked.user.as_deref().map(|user| self.hasher.hash_one(user));
        let whose = Whose { address: group(job.asked.address), user };
        if let Some(same) = state.queue.of(whose).find(|other| other.tag == job.tag) {
            add_waiter(&mut same.waiters, sender);
            return Ok(receiver);
        }
        // disconnected clients' names and passwords must not pile up while the service does not answer
        let all = self.waiting.load(Ordering::Relaxed);
        if state.queue.len() >= WAITING.min(2 * all + SPARE) {
            state.queue.retain(|job| job.waiters.iter().any(|waiter| !waiter.is_closed()));
            if state.queue.len() >= WAITING {
                return Err(Outcome::Busy);
            }
        }
        state.most = job.service.settings.max_requests;
        state.queue.push(whose, Job { waiters: vec![sender], ..job });
        Ok(receiver)
    }

    /// Sends as many requests as allowed now.
    fn pump(self: &Arc<Self>) {
        loop {
            let now = self.clock.now();
            let mut state = self.state.lock();
            if state.sent.len() >= state.most {
                return;
            }
            let State { queue, throttle, .. } = &mut *state;
            let may = |whose, job: &Job| job.first.map_or(Ok(()), |first| throttle.may(whose, first, now));
            match queue.next(may) {
                Next::Job(whose, mut job) => {
                    job.waiters.retain(|waiter| !waiter.is_closed());
                    if job.waiters.is_empty() {
                        continue;
                    }
                    // the same login from another address may have been sent or answered meanwhile
                    if let Some(waiters) = state.sent.get_mut(&job.tag) {
                        waiters.append(&mut job.waiters);
                        continue;
                    }
                    if let Some(outcome) = state.known(&job.tag, &job.service, job.first, Now::of(&self.clock)) {
                        drop(state);
                        self.counts.cache_hits.fetch_add(job.waiters.len() as u64, Ordering::Relaxed);
                        job.waiters.into_iter().for_each(|waiter| _ = waiter.send(outcome.clone()));
                        continue;
                    }
                    if let Some(first) = job.first {
                        state.throttle.begin(whose, first, now);
                    }
                    state.sent.insert(job.tag, mem::take(&mut job.waiters));
                    drop(state);
                    tokio::spawn(self.clone().send(whose, job));
                }
                Next::At(at) => {
                    if state.again.is_none_or(|again| again <= now || again > at) {
                        state.again = Some(at);
                        drop(state);
                        tokio::spawn(self.clone().pump_at(at));
                    }
                    return;
                }
                Next::Empty => return,
            }
        }
    }

    async fn pump_at(self: Arc<Self>, at: Instant) {
        self.clock.sleep_until(at).await;
        self.pump();
    }

    async fn send(self: Arc<Self>, whose: Whose, job: Job) {
        let mut ends = Ends { desk: self.clone(), tag: Some(job.tag) };
        let desk = &self;
        let answer = job.service.ask(&job.calls, &job.asked, &desk.clock).await;
        let now = Now::of(&desk.clock);
        let mut state = desk.state.lock();
        if let Err(error) = &answer {
            state.error = Some((error.clone(), desk.clock.wall()));
        }
        let outcome = state.note(&job, whose, answer, now, &desk.counts);
        let waiters = state.sent.remove(&job.tag).unwrap_or_default();
        drop(state);
        let outcome =
            outcome.unwrap_or_else(|| Outcome::Next(Some(Arc::new(Guess::new(desk.clone(), whose, job.first)))));
        ends.tag = None;
        waiters.into_iter().for_each(|waiter| _ = waiter.send(outcome.clone()));
    }

    fn figures(&self, service: &Service) -> ServiceFigures {
        let ServiceSettings { name, url, .. } = &service.settings;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { allowed, denied, ignored, failed, cache_hits, stale } = &self.counts;
        let (down, error) = {
            let state = self.state.lock();
            (state.down, state.error.clone())
        };
        ServiceFigures {
            name: name.clone(),
            url: url.split('?').next().unwrap_or_default().to_owned(),
            is_introspection: service.is_introspection(),
            requests: [
                ("allow", get(allowed)),
                ("deny", get(denied)),
                ("ignore", get(ignored)),
                ("error", get(failed)),
            ],
            cache_hits: get(cache_hits),
            stale: get(stale),
            checks: Default::default(),
            waiting: self.waiting.load(Ordering::Relaxed),
            down,
            error,
        }
    }
}

impl CountGuesses for Desk {
    fn wrong(&self, whose: Whose, first: Duration) -> Duration {
        let now = self.clock.now();
        self.state.lock().throttle.fail(whose, first, now)
    }

    fn right(&self, whose: Whose, first: Duration) {
        self.state.lock().throttle.succeed(whose, first);
    }
}

/// A sent request. When it is dropped, the next request may be sent.
struct Ends {
    desk: Arc<Desk>,
    /// `None`: it has been answered.
    tag: Option<Tag>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        match self.tag {
            // the task was cancelled, as its thread ended
            Some(tag) => drop(self.desk.state.lock().sent.remove(&tag)),
            None => self.desk.pump(),
        }
    }
}

fn add_waiter(waiters: &mut Vec<oneshot::Sender<Outcome>>, waiter: oneshot::Sender<Outcome>) {
    if waiters.len().is_power_of_two() {
        waiters.retain(|waiter| !waiter.is_closed());
    }
    waiters.push(waiter);
}

impl State {
    fn known(&mut self, tag: &Tag, service: &Arc<Service>, first: Option<Duration>, now: Now) -> Option<Outcome> {
        let known = self.known.get(tag, now.monotonic(), |_| Duration::ZERO)?;
        if known.fresh <= now.monotonic() {
            return None;
        }
        match &known.answer {
            Remembered::Yes(yes) => accepted(service, yes, now),
            Remembered::No(why) => Some(Outcome::No(why, first.unwrap_or_default())),
            Remembered::Next => Some(Outcome::Next(None)),
        }
    }

    /// Caches an answer and returns the outcome for the logins that wait for it. `None`: the service does not know
    /// the login, so that others decide whether it was a wrong guess.
    fn note(
        &mut self,
        job: &Job,
        whose: Whose,
        answer: Result<Answer, String>,
        now: Now,
        counts: &Counts,
    ) -> Option<Outcome> {
        let ServiceSettings { cache_yes, cache_no, stale_while_down, .. } = job.service.settings;
        let at = now.monotonic();
        let count = |count: &AtomicU64| _ = count.fetch_add(1, Ordering::Relaxed);
        if answer.is_ok() && mem::take(&mut self.down) {
            tracing::info!(service = job.service.settings.name, "a login service answers again ({})", job.service.key);
        }
        Some(match answer {
            Ok(Answer::Yes(yes)) => {
                count(&counts.allowed);
                self.right(job, whose);
                let yes = Arc::new(yes);
                let outcome = accepted(&job.service, &yes, now).unwrap_or(Outcome::No(ENDED, Duration::ZERO));
                let fresh = at + jittered(cache_yes);
                self.known.insert(job.tag, Known { answer: Remembered::Yes(yes), fresh }, fresh + stale_while_down, at);
                outcome
            }
            Ok(Answer::No(why)) => {
                count(&counts.denied);
                let fresh = at + jittered(cache_no);
                self.known.insert(job.tag, Known { answer: Remembered::No(why), fresh }, fresh, at);
                Outcome::No(why, self.wrong(job, whose, at))
            }
            Ok(Answer::Next) => {
                count(&counts.ignored);
                let fresh = at + jittered(cache_no);
                self.known.insert(job.tag, Known { answer: Remembered::Next, fresh }, fresh, at);
                return None;
            }
            Err(error) => {
                count(&counts.failed);
                self.right(job, whose);
                self.down = true;
                if self.told.is_none_or(|told| at >= told + LINE_EVERY) {
                    let Service { settings, key, .. } = &*job.service;
                    tracing::error!(service = settings.name, error, "a login service is down ({key})");
                    self.told = Some(at);
                }
                let old = self.known.get(&job.tag, at, |_| Duration::ZERO);
                let stale = old.and_then(|known| match &known.answer {
                    Remembered::Yes(yes) => accepted(&job.service, yes, now),
                    Remembered::No(_) | Remembered::Next => None,
                });
                stale.inspect(|_| count(&counts.stale)).unwrap_or(Outcome::Down)
            }
        })
    }

    /// The login was right: clears its failures.
    fn right(&mut self, job: &Job, whose: Whose) {
        if let Some(first) = job.first {
            self.throttle.succeed(whose, first);
        }
    }

    /// The login was wrong: returns the delay of the refusal.
    fn wrong(&mut self, job: &Job, whose: Whose, now: Instant) -> Duration {
        job.first.map_or(Duration::ZERO, |first| self.throttle.fail(whose, first, now))
    }
}

/// The outcome of an accepted login; `None`: it has expired.
fn accepted(service: &Arc<Service>, yes: &Arc<Yes>, now: Now) -> Option<Outcome> {
    let until = match yes.end {
        Some(end) => now.until(end)?,
        None => None,
    };
    let evidence: Arc<dyn std::any::Any + Send + Sync> = Arc::new(Shown::new(service.clone(), yes.clone()));
    let proof = if service.is_introspection() { Proof::Token } else { Proof::Http };
    let (user, evidence) = (yes.user.clone(), Some(evidence));
    Some(Outcome::Yes(Identity { user, proof, until, evidence, ..Identity::default() }))
}

/// Shortens a time by up to a fifth, so that answers that arrived together do not all expire together.
pub(super) fn jittered(time: Duration) -> Duration {
    let part = RandomState::new().hash_one(0) % 1_000;
    time - time / 5_000 * part as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn cached_answers_end_at_different_times_within_a_fifth() {
        let time = Duration::from_secs(100);
        let all: BTreeSet<_> = (0..1_000).map(|_| jittered(time)).collect();
        assert!(all.iter().all(|one| *one <= time && *one > time / 5 * 4), "{:?} to {:?}", all.first(), all.last());
        assert!(all.len() > 300, "{} different times", all.len());
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }
}
