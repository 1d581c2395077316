//! Bans: refused clients, and closed connections.

use std::time::Instant;

use super::super::{
    Router,
    clients::network_address,
    ports::Event,
    sessions::{Ban, BanTarget, TooManyBans},
};
use crate::session::{ByAdministrator, CloseReason};

/// The action against a client that reconnects too often.
pub type Flaps = Box<dyn Fn(BanTarget) + Send + Sync>;

impl Router {
    /// Refuses the clients that the ban applies to, until `ends`, and closes their connections; MQTT 5 clients get
    /// DISCONNECT with Reason Code 0x98. Returns the number of closed connections. Replaces a ban with the same
    /// conditions.
    pub fn ban(&self, ban: Ban, ends: Option<Instant>, now: Instant) -> Result<usize, TooManyBans> {
        self.add_ban(ban.clone(), ends, now)?;
        let (BanTarget { client, user, network }, until) = (&ban.target, ban.until);
        let (client, user, network) = (client.as_deref(), user.as_deref(), *network);
        self.tell_observers(&Event::Ban { client, user, network, reason: &ban.reason, by: &ban.by, until });
        // clients that log in after this check the bans themselves
        let one = ban.target.client.as_deref().map(|client| self.sessions.get(&client.into()).into_iter().collect());
        let slots: Vec<_> = one.unwrap_or_else(|| self.sessions.all());
        let (mut wakes, mut closed) = (Vec::new(), 0);
        for slot in slots {
            // most are not locked
            if !slot.is_attached() {
                continue;
            }
            let mut state = slot.lock();
            if state.ended || state.session.is_inside() || !slot.is_attached() {
                continue;
            }
            let concerned = state.presence().is_some_and(|presence| {
                let user = presence.user().map(|user| user.as_str());
                ban.target.concerns(state.session.id().as_str(), user, network_address(presence.peer()))
            });
            if concerned {
                state.close(CloseReason::Administrator(Box::new(ByAdministrator::new(&ban.by, &ban.reason))));
                let before = wakes.len();
                slot.signal(&state, &mut wakes);
                // a client whose socket accepts nothing was signalled, and waits for the socket
                if wakes.len() == before {
                    wakes.extend(state.waker().cloned());
                }
                closed += 1;
            }
        }
        wakes.into_iter().for_each(std::task::Waker::wake);
        Ok(closed)
    }

    /// The same without closing connections, before clients are accepted.
    pub fn add_ban(&self, ban: Ban, ends: Option<Instant>, now: Instant) -> Result<(), TooManyBans> {
        self.bans.add(ban, ends, now)
    }

    /// Ends a ban: was there one?
    pub fn unban(&self, target: &BanTarget, now: Instant) -> bool {
        self.bans.remove(target, now)
    }

    /// The bans that are in force.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        self.bans.all(now)
    }

    /// Sets the action against clients that reconnect too often. Call it once, before clients are accepted. Worker
    /// threads call the action with nothing locked.
    pub fn on_flapping(&self, flaps: Flaps) {
        let _ = self.flaps.set(flaps);
    }
}
