//! The figures of a connection's turns.

use super::{
    super::{Router, RouterThread, sessions::Flow, thread::Tally},
    client::Client,
};

impl Router {
    /// A turn of a client's connection ended. `before`: the thread's counts at its beginning. `written`: PUBLISH
    /// packets that were completely written in it.
    #[inline]
    pub fn note_turn(&self, local: &RouterThread, client: &Client, before: &Tally, written: u64) {
        let (received, sent) = local.tally().since(before, written);
        let presence = client.presence();
        if received.packets > 0 {
            presence.heard(self.sessions.moments.tick(local.observers.now));
        }
        if received != Flow::default() || sent != Flow::default() {
            presence.add(received, sent);
        }
    }
}
