//! Keys of tokens that an identity provider publishes (`auth.token_jwks_url`): they are fetched when a login needs
//! them, and in the background while they are used. A login that names an unknown key waits for the next fetch.
//!
//! | module | owns |
//! |---|---|
//! | `source` | where keys are fetched |
//! | `fetch`, `no_http` | the request and its answer; what stands in their place |
//! | `state` | when keys are fetched, and which logins wait for it |
//! | `places` | the number of logins that wait |

#[cfg(feature = "http")]
mod fetch;
#[cfg(not(feature = "http"))]
#[path = "no_http.rs"]
mod fetch;
mod places;
mod source;
mod state;

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

pub(super) use source::{KeySource, is_loopback};
pub(super) use state::Keys;

use places::Places;
use state::{State, Then};

use super::jwks::Named;
use crate::{clock::Clock, types::HttpUrl};

/// Those who need keys: tokens.
pub(super) trait NeedsKeys {
    /// Where keys are fetched.
    fn source(&self) -> Option<&Arc<KeySource>>;

    /// The key that has to be fetched if it is not known, before this token is looked at.
    fn wants(&self, token: &[u8]) -> Option<Named>;

    /// Uses these keys from now on, unless it uses later ones.
    fn use_keys(&self, set: &Arc<Keys>);
}

/// The keys of all sources, by their URLs: they outlive a change of the configuration.
pub(super) struct KeySets {
    all: Mutex<HashMap<HttpUrl, Arc<KeySet>>>,
    clock: Clock,
}

/// The keys of one source.
struct KeySet {
    clock: Clock,
    state: Mutex<State>,
    /// A fetch ended.
    ended: watch::Sender<()>,
    places: Places,
    fetched: AtomicU64,
    failed: AtomicU64,
}

/// Why there are no keys to compare a token with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKeys {
    /// The provider does not answer.
    Down,
    /// Too many logins wait.
    Busy,
}

/// The figures of the keys of tokens that are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKeyFigures {
    /// Where they are fetched, without the query, which may contain a key.
    pub url: String,
    /// Requests for keys that were answered with some.
    pub fetched: u64,
    /// Requests without such an answer.
    pub failed: u64,
    /// Keys that are known.
    pub keys: usize,
    /// Logins that wait for keys.
    pub waiting: usize,
    /// The last request had no answer.
    pub down: bool,
    /// Why the last request without an answer had none, and when.
    pub error: Option<(String, SystemTime)>,
}

/// The longest time that a login waits for a request.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl KeySets {
    pub(super) fn new(clock: Clock) -> Self {
        Self { all: Mutex::default(), clock }
    }

    /// Makes sure that the key that this token names is known to `tokens`, if its provider has it.
    pub(super) async fn ready(&self, tokens: &impl NeedsKeys, token: &[u8], from: IpAddr) -> Result<(), NoKeys> {
        let Some((source, named)) = tokens.source().zip(tokens.wants(token)) else { return Ok(()) };
        let keys = self.set(source).ready(source, &named, from).await?;
        tokens.use_keys(&keys);
        Ok(())
    }

    /// Keys are used: they are fetched again before they are stale.
    pub(super) fn used(&self, tokens: &impl NeedsKeys) {
        let Some(source) = tokens.source() else { return };
        self.set(source).look(source, self.clock.now(), None);
    }

    /// The figures of the keys of these tokens.
    pub(super) fn figures(&self, tokens: &impl NeedsKeys) -> Option<TokenKeyFigures> {
        tokens.source().map(|source| self.set(source).figures(source.url()))
    }

    /// Number of logins that wait.
    pub(super) fn waiting(&self) -> usize {
        let sets: Vec<_> = self.all.lock().values().cloned().collect();
        sets.iter().map(|set| set.places.count()).sum()
    }

    fn set(&self, source: &KeySource) -> Arc<KeySet> {
        let mut all = self.all.lock();
        match all.get(source.url()) {
            Some(set) => set.clone(),
            None => all.entry(source.url().clone()).or_insert(Arc::new(KeySet::new(self.clock.clone()))).clone(),
        }
    }
}

impl KeySet {
    fn new(clock: Clock) -> Self {
        let (ended, _) = watch::channel(());
        let state = Mutex::new(State::new(clock.now()));
        let (places, fetched, failed) = Default::default();
        Self { clock, state, ended, places, fetched, failed }
    }

    async fn ready(
        self: &Arc<Self>,
        source: &Arc<KeySource>,
        named: &Named,
        from: IpAddr,
    ) -> Result<Arc<Keys>, NoKeys> {
        let arrived = self.clock.now();
        let mut place = None;
        loop {
            let mut ended = self.ended.subscribe();
            let until = match self.look(source, arrived, Some(named)) {
                Then::Use(keys) => return Ok(keys),
                Then::Down => return Err(NoKeys::Down),
                Then::Wait => self.clock.now() + LONGEST_WAIT,
                Then::WaitUntil(at) => at,
            };
            if place.is_none() {
                place = self.places.take(from);
            }
            if place.is_none() {
                // stale keys are better than none
                return self.state.lock().known(named).ok_or(NoKeys::Busy);
            }
            // the state says what it is now
            let _ = self.clock.timeout_at(until, pin!(ended.changed())).await;
            if self.clock.now() >= arrived + LONGEST_WAIT {
                return Err(NoKeys::Down);
            }
        }
    }

    /// What a login does now; a fetch is begun if it is time for one.
    fn look(self: &Arc<Self>, source: &Arc<KeySource>, arrived: Instant, named: Option<&Named>) -> Then {
        let now = self.clock.now();
        let Ok(runtime) = Handle::try_current() else { return Then::Down };
        let (begins, then) = self.state.lock().look(now, arrived, named);
        if begins {
            runtime.spawn(self.clone().fetch(source.clone(), now));
        }
        then
    }

    async fn fetch(self: Arc<Self>, source: Arc<KeySource>, began: Instant) {
        let mut ends = Ends { set: self, has_ended: false };
        let set = &ends.set;
        let answer = source.fetch(&set.clock).await;
        let count = if answer.is_ok() { &set.fetched } else { &set.failed };
        count.fetch_add(1, Ordering::Relaxed);
        let error = answer.as_ref().err().cloned().map(|error| (error, set.clock.wall()));
        let mut state = set.state.lock();
        state.error = error.or(state.error.take());
        state.ended(source.url(), began, set.clock.now(), answer);
        drop(state);
        ends.has_ended = true;
    }

    fn figures(&self, url: &HttpUrl) -> TokenKeyFigures {
        let waiting = self.places.count();
        let state = self.state.lock();
        TokenKeyFigures {
            url: url.to_string().split('?').next().unwrap_or_default().to_owned(),
            fetched: self.fetched.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            keys: state.keys().map_or(0, |keys| keys.keys.len()),
            waiting,
            down: state.is_failing(),
            error: state.error.clone(),
        }
    }
}

/// A fetch; when it has ended, the logins that wait look again.
struct Ends {
    set: Arc<KeySet>,
    /// It was not ended with its thread.
    has_ended: bool,
}

impl Drop for Ends {
    fn drop(&mut self) {
        if !self.has_ended {
            self.set.state.lock().was_cut_off();
        }
        self.set.ended.send_replace(());
    }
}
