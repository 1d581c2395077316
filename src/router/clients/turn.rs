//! The end of a connection's turn: updates its `Presence`, counts its messages, and times some of them.

use std::time::Instant;

use super::{
    super::{Router, RouterThread, sessions::Flow, thread::Tally},
    client::Client,
};
use crate::session::{Marked, Stored};

/// Subscribers of one message for which it is timed.
const MOST_TIMED: usize = 32;

impl Router {
    /// A turn of a client's connection is over, which began when the thread had counted `before`. `written`: PUBLISH
    /// packets that were written whole in it; `clock` says what time it is.
    #[inline]
    pub fn note_turn(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        before: &Tally,
        written: u64,
        clock: impl Fn() -> Instant,
    ) {
        let (received, sent) = local.tally().since(before, written);
        let presence = client.presence();
        if received.packets > 0 {
            presence.heard(self.sessions.moments.tick(local.observers.now));
        }
        if received != Flow::default() || sent != Flow::default() {
            presence.add(received, sent);
        }
        if received.messages > 0 {
            local.observers.traffic().published_by(client.version, &before.published);
            if local.sampler.takes(received.messages) {
                self.measure(local, client, before, clock);
            }
            if local.observers.times() && local.sampler.times(local.observers.now) {
                self.time(local, client);
            }
        }
    }

    /// Times the last message of this turn until one of its subscribers acknowledges it.
    #[cold]
    fn time(&self, local: &mut RouterThread, client: &Client) {
        let Some(matched) = &client.last else { return };
        let (all, from) = (matched.targets.len(), local.sampler.next_turn(MOST_TIMED));
        // others have their turn
        for at in 0..all.min(MOST_TIMED) {
            let mut state = matched.targets[from.wrapping_add(at) % all].slot.lock();
            state.session.time(matched.topic(), local.observers.now);
        }
    }

    /// Times the last message of this turn: its delivery to one of its subscribers, and its acknowledgement.
    #[cold]
    fn measure(&self, local: &RouterThread, client: &mut Client, before: &Tally, clock: impl Fn() -> Instant) {
        let (began, samples) = (local.observers.now, local.observers.samples());
        let since = || clock().saturating_duration_since(began);
        if let Some(matched) = &client.last
            // each has its turn
            && let Some(target) = matched.targets.get(local.sampler.taken() % matched.targets.len().max(1))
        {
            match target.slot.lock().session.mark(began) {
                Marked::Waits | Marked::NotConnected => {}
                Marked::Written => samples.deliveries.add(since()),
            }
        }
        let published = local.tally().published;
        if (1..).zip(&published[1..]).all(|(qos, load)| *load == before.published[qos]) {
            return;
        }
        match &mut client.awaited {
            Some(awaited) if !awaited.acks.is_empty() => {
                if let Stored::By(commit) = awaited.acks.all() {
                    awaited.measured.get_or_insert((commit, began));
                }
            }
            _ => samples.acknowledgements.add(since()),
        }
    }
}
