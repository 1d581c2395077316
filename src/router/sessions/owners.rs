//! [`Owners`]: the number of sessions of each user, so that one user cannot use up all sessions.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

/// Of a limit for all together, one address or user may use at least this many, however many others there are.
pub const SHARE_AT_LEAST: usize = 1_000;

/// The number of sessions of each user. Only authenticated users count; all other clients count as one nameless user,
/// if there are sessions with an owner: among clients that cannot be distinguished, no share can be computed.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    named: Mutex<HashMap<Box<str>, usize>>,
    all_named: AtomicUsize,
    nameless: AtomicUsize,
}

impl Owners {
    /// Counts a new session of this user.
    pub(crate) fn add(&self, user: Option<&str>) {
        let Some(user) = user else {
            self.nameless.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.all_named.fetch_add(1, Ordering::Relaxed);
        let mut named = self.named.lock();
        match named.get_mut(user) {
            Some(count) => *count += 1,
            None => _ = named.insert(user.into(), 1),
        }
    }

    /// Counts the end of a session of this user, or its change of owner.
    pub(crate) fn remove(&self, user: Option<&str>) {
        let Some(user) = user else {
            self.nameless.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        self.all_named.fetch_sub(1, Ordering::Relaxed);
        let mut named = self.named.lock();
        match named.get_mut(user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = named.remove(user),
        }
    }

    /// Has this user reached its share of `most` sessions, of which there are `all`?
    pub(crate) fn has_share(&self, user: Option<&str>, all: usize, most: usize) -> bool {
        let half = most / 2;
        if all <= half {
            return false;
        }
        let has = match user {
            Some(user) => self.named.lock().get(user).copied().unwrap_or(0),
            None if self.all_named.load(Ordering::Relaxed) == 0 => return false,
            None => self.nameless.load(Ordering::Relaxed),
        };
        has >= half.max(SHARE_AT_LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_gets_no_more_than_half_once_half_is_used() {
        let owners = Owners::default();
        (0..2_000).for_each(|_| owners.add(Some("a")));
        assert!(!owners.has_share(Some("a"), 2_000, 4_000), "others have the other half");
        assert!(owners.has_share(Some("a"), 2_001, 4_000));
        assert!(!owners.has_share(Some("b"), 2_001, 4_000));
        assert!(!owners.has_share(None, 2_001, 4_000));
        owners.remove(Some("a"));
        assert!(!owners.has_share(Some("a"), 2_001, 4_000));
        // not below a thousand
        assert!(owners.has_share(Some("a"), 2_001, 100));
        (0..1_000).for_each(|_| owners.remove(Some("a")));
        assert!(!owners.has_share(Some("a"), 2_001, 100));
        (0..999).for_each(|_| owners.remove(Some("a")));
        assert!(owners.named.lock().is_empty());
    }

    #[test]
    fn anonymous_clients_share_the_limit_with_users() {
        let owners = Owners::default();
        (0..1_500).for_each(|_| owners.add(None));
        assert!(!owners.has_share(None, 1_500, 1_600));
        owners.add(Some("a"));
        assert!(owners.has_share(None, 1_501, 1_600));
        owners.remove(Some("a"));
        assert!(!owners.has_share(None, 1_500, 1_600));
    }
}
