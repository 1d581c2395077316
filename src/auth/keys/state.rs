//! [`State`]: when the keys of a source are fetched, and what a login does meanwhile. Times are arguments.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    super::jwks::{Named, SetKey},
    source::Answer,
};
use crate::{outbound::Backoff, types::HttpUrl};

/// Keys of one answer.
pub(in super::super) struct Keys {
    /// Larger than that of earlier ones.
    pub(in super::super) number: u64,
    pub(in super::super) keys: Vec<SetKey>,
}

impl Keys {
    fn has(&self, named: &Named) -> bool {
        let is_named = |key: &SetKey| key.id.is_none() || named.id.is_none() || key.id == named.id;
        self.keys.iter().any(|key| key.algorithm == named.algorithm && is_named(key))
    }
}

/// What is known of a source.
pub(super) struct State {
    /// The last good answer.
    keys: Option<Arc<Keys>>,
    /// From when on it is fetched again while it is used.
    due: Instant,
    /// From when on a login waits for that.
    stale: Instant,
    /// When the last fetch began.
    began: Option<Instant>,
    runs: bool,
    /// When the last fetch that ended had begun, and whether it had an answer.
    ended: Option<(Instant, bool)>,
    /// The last fetch failed: when the next one may begin.
    again: Option<Instant>,
    backoff: Backoff,
    /// Why the last failed fetch failed, and when.
    pub(super) error: Option<(String, SystemTime)>,
    /// When a log line last told of a failure.
    told: Option<Instant>,
}

/// What a login does.
pub(super) enum Then {
    /// It is compared with these keys.
    Use(Arc<Keys>),
    /// It waits for the end of the fetch.
    Wait,
    /// The same, or until a fetch may begin.
    WaitUntil(Instant),
    /// The source does not answer.
    Down,
}

/// Least time between two requests for keys that are not known.
pub(super) const LOOK_UP_EVERY: Duration = Duration::from_secs(30);
/// Between attempts while the source does not answer.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), LOOK_UP_EVERY];
/// How long an answer is used that does not say so.
const LASTS: Duration = Duration::from_secs(15 * 60);
/// Whatever an answer says, it is used this long at least and at most.
const BOUNDS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(24 * 60 * 60)];
/// Least time between two log lines about a source that does not answer.
const LINE_EVERY: Duration = Duration::from_secs(60);

impl State {
    pub(super) fn new(now: Instant) -> Self {
        let (keys, began, runs, ended, again, error, told) = Default::default();
        let backoff = Backoff::new(AGAIN[0], AGAIN[1]);
        Self { keys, due: now, stale: now, began, runs, ended, again, backoff, error, told }
    }

    pub(super) fn keys(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.again.is_some()
    }

    /// The last good answer, if it has this key.
    pub(super) fn known(&self, named: &Named) -> Option<Arc<Keys>> {
        self.keys.as_ref().filter(|keys| keys.has(named)).cloned()
    }

    /// What a login does that arrived then and names this key; `None`: any key. And whether a fetch begins now.
    pub(super) fn look(&mut self, now: Instant, arrived: Instant, named: Option<&Named>) -> (bool, Then) {
        let may_fetch = !self.runs && self.again.is_none_or(|again| now >= again);
        let known = match named {
            Some(named) => self.known(named),
            None => self.keys.clone(),
        };
        if let Some(keys) = known {
            let begins = now >= self.due && may_fetch && self.begin(now);
            // not if the source does not answer: the last good answer is used then
            let waits = now >= self.stale && self.runs && self.again.is_none();
            return (begins, if waits { Then::Wait } else { Then::Use(keys) });
        }
        let Some(keys) = &self.keys else {
            return match self.runs || may_fetch {
                true => (!self.runs && self.begin(now), Then::Wait),
                false => (false, Then::Down),
            };
        };
        match (self.ended, self.began) {
            // its key may be newer than an answer to an earlier request
            (Some((began, true)), _) if began >= arrived => (false, Then::Use(keys.clone())),
            (Some((began, false)), _) if began >= arrived => (false, Then::Down),
            _ if self.runs => (false, Then::Wait),
            (_, Some(began)) if now < began + LOOK_UP_EVERY => (false, Then::WaitUntil(began + LOOK_UP_EVERY)),
            _ => (self.begin(now), Then::Wait),
        }
    }

    fn begin(&mut self, now: Instant) -> bool {
        (self.runs, self.began) = (true, Some(now));
        true
    }

    /// The fetch that began then ended with its thread.
    pub(super) fn was_cut_off(&mut self) {
        self.runs = false;
    }

    /// The fetch that began then has ended.
    pub(super) fn ended(&mut self, url: &HttpUrl, began: Instant, now: Instant, answer: Result<Answer, String>) {
        self.runs = false;
        self.ended = Some((began, answer.is_ok()));
        match answer {
            Ok(Answer { keys, secrets, lasts }) => {
                if self.again.take().is_some() && self.keys.is_some() {
                    tracing::info!(%url, "the keys of tokens are fetched again (auth.token_jwks_url)");
                }
                self.backoff.reset();
                let lasts = lasts.unwrap_or(LASTS).clamp(BOUNDS[0], BOUNDS[1]);
                (self.due, self.stale) = (began + lasts / 5 * 4, began + lasts);
                self.take(url, keys, secrets);
            }
            Err(error) => {
                self.again = Some(now + self.backoff.next());
                if self.told.is_none_or(|told| now >= told + LINE_EVERY) {
                    let known = self.keys.as_ref().map_or(0, |keys| keys.keys.len());
                    tracing::error!(%url, error, known, "the keys of tokens cannot be fetched (auth.token_jwks_url)");
                    self.told = Some(now);
                }
            }
        }
    }

    fn take(&mut self, url: &HttpUrl, keys: Vec<SetKey>, secrets: usize) {
        let same =
            |old: &Keys| old.keys.len() == keys.len() && old.keys.iter().zip(&keys).all(|(old, new)| old.is_same(new));
        if self.keys.as_deref().is_some_and(same) {
            return;
        }
        tracing::info!(%url, keys = keys.len(), "new keys of tokens (auth.token_jwks_url)");
        if secrets > 0 {
            tracing::warn!(
                %url, secrets, "secrets among the keys of tokens are not used: everybody may read them there (kty oct)"
            );
        }
        let number = self.keys.as_ref().map_or(1, |keys| keys.number + 1);
        self.keys = Some(Arc::new(Keys { number, keys }));
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A source, and the time.
    struct Bench {
        state: State,
        start: Instant,
        now: Instant,
        began: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            Self { state: State::new(now), start: now, now, began: now }
        }

        /// So many seconds after the start.
        fn at(&mut self, seconds: u64) -> &mut Self {
            self.now = self.start + SECOND * seconds as u32;
            self
        }

        /// What a login does that arrives now, or arrived earlier: whether it begins a fetch, and a word.
        fn login(&mut self, kid: &str, arrived: Option<u64>) -> (bool, String) {
            let arrived = arrived.map_or(self.now, |seconds| self.start + SECOND * seconds as u32);
            let named = Named { algorithm: Algorithm::ES256, id: Some(kid.into()) };
            let (begins, then) = self.state.look(self.now, arrived, Some(&named));
            if begins {
                self.began = self.now;
            }
            let word = match then {
                Then::Use(keys) => format!("use {}", keys.number),
                Then::Wait => "wait".into(),
                Then::WaitUntil(at) => format!("until {}", (at - self.start).as_secs()),
                Then::Down => "down".into(),
            };
            (begins, word)
        }

        fn answers(&mut self, kids: &[&str], lasts: Option<u64>) {
            let key = |kid: &&str| {
                let material = kid.as_bytes().into();
                let (id, key) = (Some((*kid).into()), DecodingKey::from_secret(b"x"));
                SetKey { id, algorithm: Algorithm::ES256, key, material }
            };
            let lasts = lasts.map(Duration::from_secs);
            let answer = Answer { keys: kids.iter().map(key).collect(), secrets: 0, lasts };
            self.state.ended(&"http://a/".parse().unwrap(), self.began, self.now, Ok(answer));
        }

        fn fails(&mut self) {
            self.state.ended(&"http://a/".parse().unwrap(), self.began, self.now, Err("x".into()));
        }
    }

    fn and(begins: bool, word: &str) -> (bool, String) {
        (begins, word.into())
    }

    #[test]
    fn the_first_login_fetches_and_others_wait_for_it() {
        let mut bench = Bench::new();
        assert_eq!(bench.login("a", None), and(true, "wait"));
        assert_eq!(bench.login("b", None), and(false, "wait"));
        bench.answers(&["a"], None);
        assert_eq!(bench.login("a", None), and(false, "use 1"));
    }

    #[test]
    fn keys_are_fetched_in_the_background_before_they_are_stale() {
        let mut bench = Bench::new();
        bench.login("a", None);
        bench.answers(&["a"], Some(100));
        assert_eq!(bench.at(79).login("a", None), and(false, "use 1"));
        assert_eq!(bench.at(80).login("a", None), and(true, "use 1"));
        assert_eq!(bench.login("a", None), and(false, "use 1"));
        // it is slow
        assert_eq!(bench.at(100).login("a", None), and(false, "wait"));
        bench.fails();
        assert_eq!(bench.login("a", None), and(false, "use 1"));
        // while it is down, nobody waits
        assert_eq!(bench.at(200).login("a", None), and(true, "use 1"));
        bench.fails();
        assert_eq!(bench.at(300).login("a", None), and(true, "use 1"));
        bench.answers(&["a"], Some(100));
        // the same keys
        assert_eq!(bench.login("a", None), and(false, "use 1"));
        assert_eq!(bench.at(379).login("a", None), and(false, "use 1"));
        // nobody logged in for a day
        assert_eq!(bench.at(90_000).login("a", None), and(true, "wait"));
        bench.answers(&["b"], None);
        assert_eq!(bench.login("b", None), and(false, "use 2"));
    }

    #[test]
    fn what_an_answer_says_is_kept_within_bounds() {
        for (said, due) in [(None, 12 * 60), (Some(0), 48), (Some(u64::MAX), 24 * 60 * 60 / 5 * 4)] {
            let mut bench = Bench::new();
            bench.login("a", None);
            bench.answers(&["a"], said);
            assert_eq!(bench.at(due - 1).login("a", None), and(false, "use 1"), "{said:?}");
            assert_eq!(bench.at(due).login("a", None), and(true, "use 1"), "{said:?}");
        }
    }

    #[test]
    fn unknown_keys_are_looked_up_once_in_half_a_minute() {
        let mut bench = Bench::new();
        bench.login("a", None);
        bench.answers(&["a"], None);
        assert_eq!(bench.at(10).login("new", None), and(false, "until 30"));
        assert_eq!(bench.at(20).login("forged", None), and(false, "until 30"));
        assert_eq!(bench.at(30).login("new", Some(10)), and(true, "wait"));
        // known ones do not wait
        assert_eq!(bench.login("a", None), and(false, "use 1"));
        assert_eq!(bench.at(31).login("forged", Some(20)), and(false, "wait"));
        bench.answers(&["a", "new"], None);
        assert_eq!(bench.login("new", Some(10)), and(false, "use 2"));
        // compared with what the provider had later than it came
        assert_eq!(bench.login("forged", Some(20)), and(false, "use 2"));
        // this one came after the request was sent
        assert_eq!(bench.login("newest", Some(31)), and(false, "until 60"));
        // a day of forged ones
        let mut requests = 0;
        for second in 60..86_460 {
            let (begins, _) = bench.at(second).login(&second.to_string(), None);
            if begins {
                requests += 1;
                bench.answers(&["a", "new"], Some(1_000_000));
            }
        }
        assert_eq!(requests, 86_400 / 30);
    }

    #[test]
    fn a_source_that_is_down_is_tried_again_a_little_later() {
        let mut bench = Bench::new();
        assert_eq!(bench.login("a", None), and(true, "wait"));
        bench.at(2).fails();
        assert_eq!(bench.login("a", Some(0)), and(false, "down"));
        assert_eq!(bench.login("a", None), and(false, "down"));
        let mut requests = 0;
        for second in 3..603 {
            if bench.at(second).login("a", None) == and(true, "wait") {
                requests += 1;
                bench.fails();
            }
            assert_eq!(bench.login("a", None), and(false, "down"));
        }
        assert!((10..300).contains(&requests), "{requests}");
        bench.at(700).login("a", None);
        bench.answers(&["a"], None);
        assert_eq!(bench.login("a", None), and(false, "use 1"));
        // down again: an unknown key is not a bad token then
        assert_eq!(bench.at(730).login("new", None), and(true, "wait"));
        bench.fails();
        assert_eq!(bench.login("new", Some(730)), and(false, "down"));
        assert_eq!(bench.login("a", None), and(false, "use 1"));
        // its thread ended
        assert_eq!(bench.at(760).login("new", None), and(true, "wait"));
        bench.state.was_cut_off();
        assert_eq!(bench.at(790).login("new", Some(760)), and(true, "wait"));
    }
}
