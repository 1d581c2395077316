//! [`Denials`]: log lines about denied actions, one for each client, action and topic. Their rate and the memory for
//! them are limited; denials without a line are counted, and the number is logged.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use crate::types::ClientId;

/// Lines of one thread between two calls of [`Denials::renew`].
const LINES: u32 = 50;
/// Lines that one thread remembers.
const REMEMBERED: usize = 4096;
/// After this many calls of [`Denials::renew`], a line may be repeated.
const FORGOTTEN: u32 = 60;

/// The action that a client is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Publish,
    Will,
    Subscribe,
    Receive,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Will => "will",
            Self::Subscribe => "subscribe",
            Self::Receive => "receive",
        }
    }
}

/// The state of one thread: a denial without a line costs a hash, and no lock.
pub(crate) struct Denials {
    hasher: RandomState,
    /// The hashes of logged denials, each at its own index; empty before the first one.
    told: Vec<u64>,
    lines: u32,
    renewed: u32,
    left_out: u64,
}

impl Default for Denials {
    fn default() -> Self {
        Self { hasher: RandomState::default(), told: Vec::new(), lines: LINES, renewed: 0, left_out: 0 }
    }
}

impl Denials {
    /// Logs a denial. `topic`: a Topic Name, or a Topic Filter with [`Action::Subscribe`].
    pub(crate) fn tell(&mut self, action: Action, client: &ClientId, user: Option<&str>, topic: &str) {
        if self.is_told_now(action, client, topic) {
            let action = action.name();
            tracing::info!(target: "dunlin::router", action, client = client.as_str(), user, topic, "access denied");
        }
    }

    /// Logs a refused subscription with its reason; `None`: the client may not subscribe to the filter.
    pub(crate) fn tell_refused(
        &mut self,
        client: &ClientId,
        user: Option<&str>,
        filter: &str,
        reason: Option<&'static str>,
    ) {
        if reason.is_none() {
            self.tell(Action::Subscribe, client, user, filter);
        } else if self.is_told_now(Action::Subscribe, client, filter) {
            let client = client.as_str();
            tracing::info!(target: "dunlin::router", client, user, topic = filter, reason, "subscription refused");
        }
    }

    /// Logs that a subscription was granted although the client may read none of its topics.
    pub(crate) fn tell_unreadable(&mut self, client: &ClientId, user: Option<&str>, filter: &str) {
        if self.is_told_now(Action::Subscribe, client, filter) {
            let client = client.as_str();
            let note = "no rule lets the client read any of its topics";
            tracing::info!(target: "dunlin::router", client, user, topic = filter, note, "subscription without messages");
        }
    }

    fn is_told_now(&mut self, action: Action, client: &ClientId, topic: &str) -> bool {
        if self.told.is_empty() {
            self.told = vec![0; REMEMBERED];
        }
        let hash = self.hasher.hash_one((action, client, topic));
        let place = &mut self.told[hash as usize % REMEMBERED];
        if *place == hash || self.lines == 0 {
            self.left_out += 1;
            return false;
        }
        *place = hash;
        self.lines -= 1;
        true
    }

    /// Allows further lines. Returns the number of denials without a line since the last call.
    pub(crate) fn renew(&mut self) -> u64 {
        self.lines = LINES;
        self.renewed += 1;
        if self.renewed == FORGOTTEN {
            self.renewed = 0;
            self.told = Vec::new();
        }
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_logged_once_and_again_after_a_while() {
        let mut denials = Denials::default();
        let (lamp, other) = (ClientId::from("lamp"), ClientId::from("other"));
        let different = [
            (Action::Publish, &lamp, "t"),
            (Action::Will, &lamp, "t"),
            (Action::Publish, &other, "t"),
            (Action::Publish, &lamp, "t/u"),
        ];
        let told =
            |denials: &mut Denials| different.map(|(action, client, topic)| denials.is_told_now(action, client, topic));
        assert_eq!(told(&mut denials), [true; 4]);
        for n in 1..FORGOTTEN {
            assert_eq!((told(&mut denials), told(&mut denials)), ([false; 4], [false; 4]), "{n}");
            assert_eq!(denials.renew(), 8);
        }
        assert_eq!(denials.renew(), 0);
        assert_eq!(told(&mut denials), [true; 4]);
    }

    #[test]
    fn many_denials_are_counted_in_bounded_memory() {
        let mut denials = Denials::default();
        let client = ClientId::from("lamp");
        let tell = |denials: &mut Denials| {
            (0..100_000).filter(|n| denials.is_told_now(Action::Receive, &client, &n.to_string())).count()
        };
        assert_eq!(tell(&mut denials), LINES as usize);
        assert_eq!(denials.renew(), 100_000 - u64::from(LINES));
        assert_eq!(tell(&mut denials), LINES as usize, "others than before");
        assert_eq!(denials.told.len(), REMEMBERED);
    }
}
