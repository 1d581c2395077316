//! [`Sessions`]: logins of browsers. A cookie stands for each, in memory alone: they end with the broker.

use std::{collections::HashMap, time::Duration, time::Instant};

use axum::http::{HeaderMap, HeaderName, header::COOKIE};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::login::Login;

/// A session lasts no longer.
pub(super) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions of one user, or one key, at a time: the oldest ends for one more.
const MOST_OF_ONE: usize = 16;

/// The header of a write that a page sends: a page of another server cannot know what belongs in it.
pub(super) static CSRF: HeaderName = HeaderName::from_static("x-dunlin-csrf");

/// By what a session is known here: SHA-256 of what its cookie has.
pub(super) type SessionId = [u8; 32];

/// By what a caller is let in.
#[derive(Clone)]
pub(super) enum Standing {
    /// A Unix socket that it could open.
    Socket,
    /// No login is configured, or metrics are open.
    Open,
    /// It asks to be let in.
    Asking,
    Login(Login),
    /// The cookie of a session, and what writes have in their header.
    Session {
        id: SessionId,
        login: Login,
        csrf: String,
    },
}

/// All of them.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<SessionId, Session>>);

/// A login of a browser.
#[derive(Clone)]
pub(super) struct Session {
    pub login: Login,
    /// What [`CSRF`] must have.
    pub csrf: String,
    pub until: Instant,
}

/// A session that was begun.
pub(super) struct Begun {
    /// For the cookie.
    pub token: String,
    pub csrf: String,
}

impl Session {
    /// Has the request the header of a write?
    pub fn is_sent_by_page(&self, headers: &HeaderMap) -> bool {
        headers.get(&CSRF).is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(self.csrf.as_bytes())))
    }
}

impl Sessions {
    /// A session begins; `None`: the system gives no random bytes.
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

    /// The session of a cookie of that name, if there is one.
    pub fn find(&self, headers: &HeaderMap, cookie: &str, now: Instant) -> Option<(SessionId, Session)> {
        let all = self.0.lock();
        // a proxy may split what a browser sends; several cookies of one name are those of several paths
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut ids = pairs.filter(|(name, _)| *name == cookie).map(|(_, token)| id(token)).take(MOST_OF_ONE);
        ids.find_map(|id| Some((id, all.get(&id).filter(|session| session.until > now)?.clone())))
    }

    /// When it ends, if it has not ended.
    pub fn until(&self, id: &SessionId) -> Option<Instant> {
        self.0.lock().get(id).map(|session| session.until)
    }

    /// A session ends.
    pub fn end(&self, id: &SessionId) {
        self.0.lock().remove(id);
    }

    /// Those end whose login is not one any more.
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
