//! [`Known`]: a cache of recently compared credentials, so that a client that reconnects costs no hash. It has an HMAC
//! of them under a key of this process, from which passwords cannot be read.
//!
//! An entry names the hash of the user, or the key of the token, that decided it. If the policy has another one now,
//! the entry is ignored.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ring::{hmac, rand::SystemRandom};

use super::{
    Policy,
    password::Hash,
    proven_by_password,
    tokens::{Now, Shown},
};
use crate::{
    router::{Identity, Proof},
    types::LoginWay,
};

/// The HMAC of a login: how it is decided, a user name and a password.
pub(super) type Tag = [u8; 32];

/// The cache.
pub(super) struct Known {
    key: hmac::Key,
    right: Mutex<Table<Right>>,
    wrong: Mutex<Table<Wrong>>,
}

/// The reason why credentials were right.
enum Right {
    Password(Arc<Hash>),
    Token(Box<Identity>),
}

/// The reason why credentials were wrong.
#[derive(Clone)]
pub(super) struct Wrong {
    pub(super) why: &'static str,
    /// The hash that the password was compared with; `None` for a token.
    pub(super) compared: Option<Arc<Hash>>,
}

/// How long a right password is known after its last use.
const RIGHT: Duration = Duration::from_secs(300);
/// How long a wrong password is known after its last use.
const WRONG: Duration = Duration::from_secs(600);
/// How long a refused token is known: it may only be not valid yet.
const WRONG_TOKEN: Duration = Duration::from_secs(10);
/// Most entries, at about 100 bytes each.
const MOST: usize = 50_000;

impl Default for Known {
    fn default() -> Self {
        Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the system gives random bytes"),
            right: Mutex::default(),
            wrong: Mutex::default(),
        }
    }
}

impl Known {
    pub(super) fn tag(&self, way: LoginWay, user: Option<&str>, password: &[u8]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[way as u8]);
        let length = user.map_or(u64::MAX, |user| user.len() as u64);
        context.update(&length.to_le_bytes());
        context.update(user.unwrap_or_default().as_bytes());
        context.update(password);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    /// The identity of these credentials, if they were compared recently and would be accepted again.
    pub(super) fn right(&self, tag: &Tag, policy: &Policy, user: Option<&str>, now: Now) -> Option<Identity> {
        let mut table = self.right.lock();
        let identity = match table.get(tag, now.monotonic(), |_| RIGHT)? {
            Right::Password(hash) => {
                let same = policy.users.as_ref().zip(user).filter(|(users, user)| users.get(user) == Some(&**hash));
                same.map(|(_, user)| proven_by_password(user, hash.clone()))
            }
            Right::Token(identity) => {
                let shown = identity.evidence.as_ref().and_then(|evidence| evidence.downcast_ref::<Shown>());
                let holds = policy.tokens.as_ref().zip(shown).filter(|(tokens, shown)| tokens.has(shown));
                // the clock may have been set since
                let until = holds.and_then(|(_, shown)| shown.until(now));
                until.map(|until| Identity { until, ..(**identity).clone() })
            }
        };
        if identity.is_none() {
            table.entries.remove(tag);
        }
        identity
    }

    /// Why these credentials were wrong, if they were compared recently and would be refused again.
    pub(super) fn wrong(&self, tag: &Tag, policy: &Policy, user: Option<&str>, now: Instant) -> Option<&'static str> {
        let mut table = self.wrong.lock();
        let keep = |wrong: &Wrong| if wrong.compared.is_some() { WRONG } else { Duration::ZERO };
        let wrong = table.get(tag, now, keep)?;
        let holds = match &wrong.compared {
            Some(hash) => policy.users.as_ref().zip(user).is_some_and(|(users, user)| *users.hash(user).0 == **hash),
            None => true,
        };
        let why = holds.then_some(wrong.why);
        if why.is_none() {
            table.entries.remove(tag);
        }
        why
    }

    /// Stores the result of a comparison.
    pub(super) fn note(&self, tag: Tag, found: &Result<Identity, Wrong>, now: Instant) {
        match found {
            Ok(identity) => {
                let hash = identity.evidence.clone().and_then(|evidence| evidence.downcast::<Hash>().ok());
                let right = match (identity.proof, hash) {
                    (Proof::Password, Some(hash)) => Right::Password(hash),
                    _ => Right::Token(Box::new(identity.clone())),
                };
                self.right.lock().insert(tag, right, now + RIGHT, now);
            }
            Err(wrong) => {
                let until = now + if wrong.compared.is_some() { WRONG } else { WRONG_TOKEN };
                self.wrong.lock().insert(tag, wrong.clone(), until, now);
            }
        }
    }
}

/// Entries with their expiry.
pub(super) struct Table<T> {
    entries: HashMap<Tag, (T, Instant)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<T> Table<T> {
    /// An entry that has not expired. Its expiry is extended by `longer`.
    pub(super) fn get(&mut self, tag: &Tag, now: Instant, longer: impl Fn(&T) -> Duration) -> Option<&T> {
        let (entry, until) = self.entries.get_mut(tag)?;
        if *until <= now {
            self.entries.remove(tag);
            return None;
        }
        *until = (*until).max(now + longer(entry));
        self.entries.get(tag).map(|(entry, _)| entry)
    }

    pub(super) fn insert(&mut self, tag: Tag, entry: T, until: Instant, now: Instant) {
        if self.entries.len() >= MOST && !self.entries.contains_key(&tag) {
            self.entries.retain(|_, (_, until)| *until > now);
            if self.entries.len() >= MOST {
                // a tenth at once, so that an entry costs little on average
                let mut ends: Vec<_> = self.entries.values().map(|(_, until)| *until).collect();
                let (_, &mut first, _) = ends.select_nth_unstable(MOST / 10);
                self.entries.retain(|_, (_, until)| *until > first);
            }
        }
        self.entries.insert(tag, (entry, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Settings, clock::Clock};

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(dir: &tempfile::TempDir, password: &[u8]) -> Policy {
        let file = dir.path().join("passwords");
        crate::auth::edit(&file, "bob", crate::auth::PasswordChange::Set(password)).unwrap();
        Policy::load(&Settings { password_file: Some(file), ..Settings::default() }).unwrap()
    }

    #[test]
    fn a_proved_password_is_cached_for_five_minutes_after_its_last_use() {
        let dir = tempfile::tempdir().unwrap();
        let (known, policy, start) = (Known::default(), policy(&dir, b"secret"), Instant::now());
        let tag = known.tag(LoginWay::Files, Some("bob"), b"secret");
        let passes = |policy: &Policy, now| known.right(&tag, policy, Some("bob"), Now::at(now));
        assert!(passes(&policy, start).is_none());
        known.note(tag, &policy.check(LoginWay::Files, Some("bob"), b"secret", &Clock::system()), start);
        for after in [1, 300, 590, 889] {
            let identity = passes(&policy, start + SECOND * after).unwrap();
            assert_eq!((identity.user.as_deref(), identity.proof), (Some("bob"), Proof::Password), "{after}");
        }
        assert!(passes(&policy, start + SECOND * (889 + 300)).is_none());
        for (user, password) in [(Some("bob"), &b"Secret"[..]), (Some("bobs"), b"ecret"), (None, b"bobsecret")] {
            assert_ne!(known.tag(LoginWay::Files, user, password), tag);
        }
        assert_ne!(Known::default().tag(LoginWay::Files, Some("bob"), b"secret"), tag, "the key is a process's own");
    }

    #[test]
    fn an_entry_goes_when_its_user_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (known, before, now) = (Known::default(), policy(&dir, b"secret"), Instant::now());
        let tag = known.tag(LoginWay::Files, Some("bob"), b"secret");
        let other = known.tag(LoginWay::Files, Some("bob"), b"other");
        known.note(tag, &before.check(LoginWay::Files, Some("bob"), b"secret", &Clock::system()), now);
        known.note(other, &before.check(LoginWay::Files, Some("bob"), b"other", &Clock::system()), now);
        assert_eq!(known.wrong(&other, &before, Some("bob"), now), Some("wrong password (auth.password_file)"));
        let after = policy(&dir, b"other");
        assert!(known.right(&tag, &after, Some("bob"), Now::at(now)).is_none());
        assert_eq!(known.wrong(&other, &after, Some("bob"), now), None, "it is the right one now");
        // even if the old file returns
        assert!(known.right(&tag, &before, Some("bob"), Now::at(now)).is_none());
    }

    #[test]
    fn the_tables_are_bounded_and_the_latest_stay() {
        let (known, now) = (Known::default(), Instant::now());
        let wrong = Err(Wrong { why: "", compared: Some(Arc::default()) });
        let tag = |n: u32| {
            let mut tag = [0; 32];
            tag[..4].copy_from_slice(&n.to_le_bytes());
            tag
        };
        for n in 0..MOST as u32 + 10 {
            known.note(tag(n), &wrong, now + Duration::from_micros(n.into()));
        }
        let table = known.wrong.lock();
        assert!(table.entries.len() <= MOST && table.entries.len() > MOST * 8 / 10);
        assert!(!table.entries.contains_key(&tag(0)) && table.entries.contains_key(&tag(MOST as u32 + 9)));
    }
}
