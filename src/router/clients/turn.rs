//! What a connection remembers of its turns.

use super::{
    super::{Router, RouterThread, sessions::Flow, thread::Tally},
    client::Client,
};

impl Router {
    /// A turn of a client's connection is over, which began when the thread had counted `before`. `written`: PUBLISH
    /// packets that were written whole in it.
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
