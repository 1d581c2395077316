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
    time::{Duration, Instant, SystemTime},
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
    /// Bytes of their keys.
    bytes: usize,
    /// Number of concurrent requests.
    running: usize,
    /// The last request failed.
    down: bool,
    /// Why the last failed request failed, and when.
    error: Option<(String, SystemTime)>,
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
    /// It was read. An answer that is not fresh is for one reader.
    is_used: bool,
    /// When it is forgotten if nothing reads it.
    unused: Instant,
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

/// Most cached answers of a service, and most bytes of their topics and names. Beyond that, those that become stale
/// first are forgotten; those that nothing has read yet are the last to go, because a client waits for them.
const MOST: usize = if cfg!(test) { 50 } else { 50_000 };
const MOST_BYTES: usize = 64 << 20;
/// Most questions that wait for a request.
const MOST_QUEUED: usize = 10_000;
/// How long an answer waits to be used.
const UNUSED: Duration = Duration::from_secs(60);
/// The wait before a client is asked about again whose messages wait for a service that is down.
const RETRY: Duration = Duration::from_secs(1);

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
        if state.queue.len() >= MOST_QUEUED {
            drop(state);
            return match access {
                Access::Read => {
                    self.wake_later(waker.clone());
                    None
                }
                Access::Write | Access::Subscribe => Some(Said::Nothing),
            };
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

    /// The last answer to a question, however old, for rights that are not asked about first: that to publish a Will,
    /// and those of publishers of retained messages. `None`: it is not cached.
    pub(in super::super) fn last(&self, asked: &Asked, access: Access, topic: &str) -> Option<Said> {
        let mut state = self.state.lock();
        let known = state.known.get_mut(&*key(asked, access, topic))?;
        known.is_used = true;
        Some(known.answer)
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

    /// Did the last request fail, within the last minute? And why the last failed one did, and when. While the service
    /// is down, messages that wait ask again; later, nobody asks.
    pub(in super::super) fn failure(&self) -> (bool, Option<(String, SystemTime)>) {
        let state = self.state.lock();
        let now = self.clock.wall();
        let is_recent = |(_, at): &(String, SystemTime)| now.duration_since(*at).unwrap_or_default() < LINE_EVERY;
        (state.down && state.error.as_ref().is_some_and(is_recent), state.error.clone())
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

    fn wake_later(self: &Arc<Self>, waker: Waker) {
        let clock = self.clock.clone();
        tokio::spawn(async move {
            clock.sleep(RETRY).await;
            waker.wake();
        });
    }

    async fn send(self: Arc<Self>, job: Job) {
        let mut ends = Ends { checks: self.clone(), answer: Err("the request was given up".into()), job };
        let Job { service, asked, access, topic, .. } = &ends.job;
        ends.answer = service.check(asked, *access as u8, topic, &self.clock).await;
    }

    /// Caches an answer. Returns the wakers of the connections that wait for it, and whether they are called later:
    /// there is no answer, and their messages wait.
    fn note(&self, job: &Job, answer: Result<bool, String>) -> (Vec<Waker>, bool) {
        let now = self.clock.now();
        let settings = job.service.settings();
        let count = |count: &AtomicU64| _ = count.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.running -= 1;
        state.down = answer.is_err();
        let known = match answer {
            Ok(true) => {
                count(&self.counts.allowed);
                let fresh = now + jittered(settings.cache_yes);
                Known::new(Said::Yes, fresh, fresh + settings.stale_while_down, now)
            }
            Ok(false) => {
                count(&self.counts.denied);
                let fresh = now + jittered(settings.cache_no);
                Known::new(Said::No, fresh, fresh, now)
            }
            Err(error) => {
                count(&self.counts.failed);
                if state.told.is_none_or(|told| now >= told + LINE_EVERY) {
                    tracing::error!(service = settings.name, error, "a login service is down (auth.http.aclcheck_url)");
                    state.told = Some(now);
                }
                state.error = Some((format!("aclcheck_url: {error}"), self.clock.wall()));
                let old = state.known.get(&*job.key);
                let old = old.filter(|old| old.answer == Said::Yes && now < old.stale);
                let (answer, stale) = old.map_or((Said::Nothing, now), |old| (Said::Yes, old.stale));
                Known::new(answer, now, stale, now)
            }
        };
        let wakers = state.asked.remove(&*job.key).unwrap_or_default();
        // a message that was acknowledged to its publisher is not dropped because a service is down
        let waits = job.access == Access::Read && known.answer == Said::Nothing && !settings.next_if_down;
        if !waits {
            state.insert(job.key.clone(), known, now);
        }
        (wakers, waits)
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
        let (wakers, later) = self.checks.note(&self.job, answer);
        // not from a thread that ends
        let is_running = tokio::runtime::Handle::try_current().is_ok();
        let wake = |waker: Waker| match later && is_running {
            true => self.checks.wake_later(waker),
            false => waker.wake(),
        };
        wakers.into_iter().for_each(wake);
        if is_running {
            self.checks.pump();
        }
    }
}

impl Known {
    fn new(answer: Said, fresh: Instant, stale: Instant, now: Instant) -> Self {
        Self { answer, fresh, stale, is_used: false, unused: now + UNUSED }
    }

    fn ends(&self) -> Instant {
        if self.is_used { self.stale } else { self.stale.max(self.unused) }
    }

    /// The order in which answers are forgotten.
    fn rank(&self) -> (bool, Instant) {
        (!self.is_used, self.ends())
    }
}

impl State {
    fn insert(&mut self, key: Arc<str>, known: Known, now: Instant) {
        let is_full = |state: &Self| state.known.len() >= MOST || state.bytes >= MOST_BYTES;
        if is_full(self) && !self.known.contains_key(&key) {
            self.retain(|known| known.ends() > now);
            if is_full(self) {
                let mut ranks: Vec<_> = self.known.values().map(Known::rank).collect();
                // many at a time, because all are looked at
                let (_, &mut first, _) = ranks.select_nth_unstable(self.known.len() / 10);
                self.retain(|known| known.rank() > first);
            }
        }
        let bytes = key.len();
        self.bytes += if self.known.insert(key, known).is_none() { bytes } else { 0 };
    }

    fn retain(&mut self, stays: impl Fn(&Known) -> bool) {
        self.known.retain(|_, known| stays(known));
        self.bytes = self.known.keys().map(|key| key.len()).sum();
    }
}

/// The text of a question. No name can contain the character between its parts.
fn key(asked: &Asked, access: Access, topic: &str) -> String {
    let user = asked.user.as_deref();
    format!("{}{}\0{}\0{}\0{topic}", access as u8, u8::from(user.is_some()), asked.client, user.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_forgets_answers_last_that_a_client_waits_for() {
        let now = Instant::now();
        let hour = now + Duration::from_secs(3600);
        let mut state = State::default();
        let read = |state: &mut State, key: &str| state.known.get_mut(key).map(|known| known.is_used = true);
        // read, and fresh for long
        for n in 0..MOST {
            state.insert(format!("read {n}").into(), Known::new(Said::Yes, hour, hour, now), now);
            read(&mut state, &format!("read {n}"));
        }
        // for one reader each, as without a cache
        for n in 0..MOST / 2 {
            state.insert(format!("waits {n}").into(), Known::new(Said::No, now, now, now), now);
        }
        assert!(state.known.len() <= MOST, "{}", state.known.len());
        for n in 0..MOST / 2 {
            assert!(read(&mut state, &format!("waits {n}")).is_some(), "{n}");
        }
        // those were read
        for n in 0..MOST {
            state.insert(format!("new {n}").into(), Known::new(Said::Yes, hour, hour, now), now);
        }
        assert!(state.known.keys().all(|key| !key.starts_with("waits")));
        assert_eq!(state.bytes, state.known.keys().map(|key| key.len()).sum::<usize>());
    }
}
