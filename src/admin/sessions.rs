//! [`Sessions`]: logins of browsers, identified by cookies. They are in memory only and end with the broker.

use std::{collections::HashMap, time::Duration, time::Instant};

use axum::http::{HeaderMap, HeaderName, header::COOKIE};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::login::Login;

/// Longest duration of a session.
pub(super) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Most sessions of one user or key; a further one ends the oldest.
const MOST_OF_ONE: usize = 16;

/// Header of writing requests. A page of another server cannot know its value.
pub(super) static CSRF: HeaderName = HeaderName::from_static("x-dunlin-csrf");

/// SHA-256 of the value in the session's cookie.
pub(super) type SessionId = [u8; 32];

/// How a caller was admitted.
#[derive(Clone)]
pub(super) enum Standing {
    /// By a Unix socket, which the caller could open.
    Socket,
    /// Without a login: none is configured, or metrics are open.
    Open,
    /// Not yet: the request logs in.
    Asking,
    Login(Login),
    /// By the cookie of a session; contains the value that writes need in their header.
    Session {
        id: SessionId,
        login: Login,
        csrf: String,
    },
}

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<SessionId, Session>>);

/// A login of a browser.
#[derive(Clone)]
pub(super) struct Session {
    pub login: Login,
    /// The value that the header [`CSRF`] must have.
    pub csrf: String,
    pub until: Instant,
}

/// A new session.
pub(super) struct Begun {
    /// Value of the cookie.
    pub token: String,
    pub csrf: String,
}

impl Session {
    /// Does the request have the header of a write?
    pub fn is_sent_by_page(&self, headers: &HeaderMap) -> bool {
        headers.get(&CSRF).is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(self.csrf.as_bytes())))
    }
}

impl Sessions {
    /// Begins a session; `None`: the system has no random bytes.
    pub fn begin(&self, login: Login, now: Instant) -> Option<Begun> {
        let (token, csrf) = (random()?, random()?);
        let mut all = self.0.lock();
        all.retain(|_, session| session.until > now);
        let mut of_one: Vec<_> = all
            .iter()
            .filter(|(_, session)| session.login.is_of_same(&login))
            .map(|(id, one)| (one.until, *id))
            .collect();
        of_one.sort_unstable();
        let over = (of_one.len() + 1).saturating_sub(MOST_OF_ONE);
        of_one.iter().take(over).for_each(|(_, id)| _ = all.remove(id));
        all.insert(id(&token), Session { login, csrf: csrf.clone(), until: now + LASTS });
        Some(Begun { token, csrf })
    }

    /// Finds the session of a cookie with this name.
    pub fn find(&self, headers: &HeaderMap, cookie: &str, now: Instant) -> Option<(SessionId, Session)> {
        let all = self.0.lock();
        // a proxy may split the cookies of a browser; several cookies of one name belong to several paths
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut ids = pairs.filter(|(name, _)| *name == cookie).map(|(_, token)| id(token)).take(MOST_OF_ONE);
        ids.find_map(|id| Some((id, all.get(&id).filter(|session| session.until > now)?.clone())))
    }

    /// End of a session; `None`: it has ended.
    pub fn until(&self, id: &SessionId) -> Option<Instant> {
        self.0.lock().get(id).map(|session| session.until)
    }

    /// Ends a session.
    pub fn end(&self, id: &SessionId) {
        self.0.lock().remove(id);
    }

    /// Ends the sessions whose logins are no longer valid.
    pub fn retain(&self, is_one: impl Fn(&Login) -> bool) {
        self.0.lock().retain(|_, session| is_one(&session.login));
    }
}

fn id(token: &str) -> SessionId {
    Sha256::digest(token.as_bytes()).into()
}

fn random() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        [(COOKIE, HeaderValue::from_str(cookie).unwrap())].into_iter().collect()
    }

    #[test]
    fn a_session_is_found_by_its_cookie_until_its_end() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let Begun { token, csrf } = sessions.begin(Login::key("ci", [0; 32]), now).unwrap();
        let find = |cookie: &str, now| sessions.find(&with(cookie), "a", now);
        let (id, session) = find(&format!("b=1; a={token};c=2"), now).unwrap();
        assert_eq!(session.csrf, csrf);
        assert!(find(&format!("a=old; a={token}"), now).is_some());
        for wrong in [format!("b={token}"), format!("a={csrf}"), format!("a={token}x"), "a=".into(), "a".into()] {
            assert!(find(&wrong, now).is_none(), "{wrong}");
        }
        assert!(find(&format!("a={token}"), now + LASTS).is_none());
        let mut headers = HeaderMap::new();
        assert!(!session.is_sent_by_page(&headers));
        for (sent, fits) in [(csrf.as_str(), true), (&token, false), ("", false)] {
            headers.insert(&CSRF, HeaderValue::from_str(sent).unwrap());
            assert_eq!(session.is_sent_by_page(&headers), fits);
        }
        sessions.end(&id);
        assert!(find(&format!("a={token}"), now).is_none());
    }

    #[test]
    fn the_oldest_session_of_a_user_makes_room_for_a_new_one() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let other = sessions.begin(Login::key("other", [1; 32]), now).unwrap();
        let begin = |n| sessions.begin(Login::key("ci", [0; 32]), now + Duration::from_secs(n)).unwrap();
        let begun: Vec<_> = (1..=MOST_OF_ONE as u64 + 1).map(begin).collect();
        let there = |one: &Begun| sessions.find(&with(&format!("a={}", one.token)), "a", now).is_some();
        assert!(!there(&begun[0]) && begun[1..].iter().all(there) && there(&other));
        sessions.retain(|login| login.name() == "key:other");
        assert!(there(&other) && !begun.iter().any(there));
    }
}
