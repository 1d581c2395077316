//! [`Checks`]: the questions to a service for mosquitto-go-auth about what clients may publish, subscribe to and
//! receive (its `aclcheck`): a fair queue over clients, concurrent requests, and cached answers. Equal questions share
//! a request.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Instant,
};

use parking_lot::Mutex;

use super::{
    super::{
        queue::{Next, Queue},
        throttle::Whose,
    },
    Asked, Service,
    desk::{LINE_EVERY, jittered},
};
use crate::clock::Clock;

/// The questions to all services, by name and URL. They are kept when the configuration changes.
pub(in super::super) struct AllChecks {
    all: Mutex<HashMap<String, Arc<Checks>>>,
    clock: Clock,
}

/// The questions to one service.
pub(in super::super) struct Checks {
    clock: Clock,
    hasher: RandomState,
    state: Mutex<State>,
    counts: Counts,
}

#[derive(Default)]
struct State {
    queue: Queue<Job>,
    /// Questions without an answer, and the wakers of the connections that wait for it.
    asked: HashMap<Arc<str>, Vec<Waker>>,
    known: HashMap<Arc<str>, Known>,
    /// Number of concurrent requests.
    running: usize,
    /// Time of the last log line about a failure.
    told: Option<Instant>,
}

/// A queued question.
struct Job {
    service: Arc<Service>,
    asked: Arc<Asked>,
    access: Access,
    topic: Box<str>,
    key: Arc<str>,
}

/// A cached answer.
struct Known {
    answer: Said,
    fresh: Instant,
    /// An accepting answer is used up to this time while the service is down.
    stale: Instant,
    /// The connection that asked has it.
    is_used: bool,
}

/// What a service said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Said {
    Yes,
    No,
    /// Nothing: it is down.
    Nothing,
}

/// The numbers of mosquitto for kinds of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Access {
    Read = 1,
    Write = 2,
    Subscribe = 4,
}

#[derive(Default)]
struct Counts {
    allowed: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
    cache_hits: AtomicU64,
}

/// Most cached answers of a service. Beyond that, those that become stale first are forgotten.
const MOST: usize = 50_000;

impl AllChecks {
    pub(in super::super) fn new(clock: Clock) -> Self {
        Self { all: Mutex::default(), clock }
    }

    /// Those to this service.
    pub(in super::super) fn of(&self, service: &Service) -> Arc<Checks> {
        let settings = service.settings();
        let name = format!("{} {}", settings.name, settings.aclcheck_url.as_deref().unwrap_or_default());
        let new = || Arc::new(Checks::new(self.clock.clone()));
        self.all.lock().entry(name).or_insert_with(new).clone()
    }
}

impl Checks {
    fn new(clock: Clock) -> Self {
        Self { clock, hasher: RandomState::new(), state: Mutex::default(), counts: Counts::default() }
    }

    /// The answer to a question. `None`: it is asked, and `waker` is called when the answer is known.
    pub(in super::super) fn ask(
        self: &Arc<Self>,
        service: &Arc<Service>,
        asked: &Arc<Asked>,
        (access, topic): (Access, &str),
        waker: &Waker,
    ) -> Option<Said> {
        let (key, now) = (key(asked, access, topic), self.clock.now());
        let mut state = self.state.lock();
        if let Some(known) = state.known.get_mut(&*key) {
            let was_used = std::mem::replace(&mut known.is_used, true);
            if !was_used || now < known.fresh {
                let answer = known.answer;
                drop(state);
                self.counts.cache_hits.fetch_add(u64::from(was_used), Ordering::Relaxed);
                return Some(answer);
            }
        }
        if let Some(wakers) = state.asked.get_mut(&*key) {
            if !wakers.iter().any(|other| other.will_wake(waker)) {
                wakers.push(waker.clone());
            }
            return None;
        }
        let key: Arc<str> = key.into();
        state.asked.insert(key.clone(), vec![waker.clone()]);
        let whose =
            Whose { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), user: Some(self.hasher.hash_one(&asked.client)) };
        let (service, asked, topic) = (service.clone(), asked.clone(), topic.into());
        state.queue.push(whose, Job { service, asked, access, topic, key });
        drop(state);
        self.pump();
        None
    }

    /// The same, whether a client may publish to the topic of its Will.
    pub(in super::super) fn ask_to_publish(
        self: &Arc<Self>,
        service: &Arc<Service>,
        asked: &Arc<Asked>,
        topic: &str,
        waker: &Waker,
    ) -> Option<bool> {
        // the rules of the broker decide about it when the client connects
        self.ask(service, asked, (Access::Write, topic), waker).map(|said| said == Said::Yes)
    }

    /// The last answer to a question, however old. `None`: it is not cached.
    pub(in super::super) fn last(&self, asked: &Asked, access: Access, topic: &str) -> Option<Said> {
        self.state.lock().known.get(&*key(asked, access, topic)).map(|known| known.answer)
    }

    /// Has the service refused this lately?
    pub(in super::super) fn refuses(&self, asked: &Asked, access: Access, topic: &str) -> bool {
        let (key, now) = (key(asked, access, topic), self.clock.now());
        let state = self.state.lock();
        state.known.get(&*key).is_some_and(|known| known.answer == Said::No && now < known.fresh)
    }

    /// Number of answers that allow and that refuse, of failed requests, and of cached answers that were used.
    pub(in super::super) fn figures(&self) -> [(&'static str, u64); 4] {
        let Counts { allowed, denied, failed, cache_hits } = &self.counts;
        let all = [("allow", allowed), ("deny", denied), ("error", failed), ("cached", cache_hits)];
        all.map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    /// Sends as many requests as allowed now.
    fn pump(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let mut jobs = Vec::new();
        while let Next::Job(_, job) = {
            let running = state.running;
            state.queue.next(|_, job| match running < job.service.settings().max_requests {
                true => Ok(()),
                false => Err(super::super::throttle::Held { until: self.clock.now(), address: true }),
            })
        } {
            state.running += 1;
            jobs.push(job);
        }
        drop(state);
        jobs.into_iter().for_each(|job| drop(tokio::spawn(self.clone().send(job))));
    }

    async fn send(self: Arc<Self>, job: Job) {
        let mut ends = Ends { checks: self.clone(), answer: Err("the request was given up".into()), job };
        let Job { service, asked, access, topic, .. } = &ends.job;
        ends.answer = service.check(asked, *access as u8, topic, &self.clock).await;
    }

    /// Caches an answer. Returns the wakers of the connections that wait for it.
    fn note(&self, job: &Job, answer: Result<bool, String>) -> Vec<Waker> {
        let now = self.clock.now();
        let settings = job.service.settings();
        let count = |count: &AtomicU64| _ = count.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.running -= 1;
        let known = match answer {
            Ok(true) => {
                count(&self.counts.allowed);
                let fresh = now + jittered(settings.cache_yes);
                Known { answer: Said::Yes, fresh, stale: fresh + settings.stale_while_down, is_used: false }
            }
            Ok(false) => {
                count(&self.counts.denied);
                let fresh = now + jittered(settings.cache_no);
                Known { answer: Said::No, fresh, stale: fresh, is_used: false }
            }
            Err(error) => {
                count(&self.counts.failed);
                if state.told.is_none_or(|told| now >= told + LINE_EVERY) {
                    tracing::error!(service = settings.name, error, "a login service is down (auth.http.aclcheck_url)");
                    state.told = Some(now);
                }
                let old = state.known.get(&*job.key);
                let old = old.filter(|old| old.answer == Said::Yes && now < old.stale);
                let (answer, stale) = old.map_or((Said::Nothing, now), |old| (Said::Yes, old.stale));
                Known { answer, fresh: now, stale, is_used: false }
            }
        };
        state.insert(job.key.clone(), known, now);
        state.asked.remove(&*job.key).unwrap_or_default()
    }
}

/// A sent request. When it is dropped, its answer is noted, and the next request may be sent.
struct Ends {
    checks: Arc<Checks>,
    job: Job,
    answer: Result<bool, String>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let answer = std::mem::replace(&mut self.answer, Ok(false));
        let wakers = self.checks.note(&self.job, answer);
        wakers.into_iter().for_each(Waker::wake);
        // not from a thread that ends
        if tokio::runtime::Handle::try_current().is_ok() {
            self.checks.pump();
        }
    }
}

impl State {
    fn insert(&mut self, key: Arc<str>, known: Known, now: Instant) {
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            self.known.retain(|_, known| !known.is_used || known.stale > now);
            if self.known.len() >= MOST {
                let mut ends: Vec<_> = self.known.values().map(|known| known.stale).collect();
                let (_, &mut first, _) = ends.select_nth_unstable(MOST / 10);
                self.known.retain(|_, known| !known.is_used || known.stale > first);
            }
        }
        self.known.insert(key, known);
    }
}

/// The text of a question. No name can contain the character between its parts.
fn key(asked: &Asked, access: Access, topic: &str) -> String {
    let user = asked.user.as_deref();
    format!("{}{}\0{}\0{}\0{topic}", access as u8, u8::from(user.is_some()), asked.client, user.unwrap_or_default())
}
