//! Continues packets that take several turns, before any later packet of the client is handled.

use super::{
    super::{Router, RouterThread},
    client::Client,
    filters::Filters,
    operation::Operation,
};
use crate::session::CloseReason;

impl Router {
    /// Continues the packet that an earlier turn was too short for, as far as this turn allows. An error ends the
    /// connection.
    pub fn resume(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let Some(mut operation) = client.take_operation() else { return Ok(()) };
        let done = match &mut *operation {
            Operation::Subscribe { subscribing, filters } => {
                self.go_on_subscribing(local, client, subscribing, &Filters::Kept(filters), replies)
            }
            Operation::Unsubscribe { unsubscribing, filters } => {
                self.go_on_unsubscribing(local, client, unsubscribing, filters, replies)
            }
            Operation::Publish { publishing, packet_id, qos } => {
                self.go_on_publishing(local, client, publishing, (*packet_id, *qos), replies)
            }
            Operation::TakeDeferred => self.take_deferred(local, client, replies),
        };
        if done != Ok(true) {
            // also after an error: its resources are freed when the connection ends
            client.set_operation(operation);
            local.work.spend();
        }
        done.map(|_| ())
    }

    /// The turn is too short: the rest follows in later turns.
    #[cold]
    pub(crate) fn leave(&self, local: &mut RouterThread, client: &mut Client, operation: Operation) {
        client.set_operation(Box::new(operation));
        local.work.spend();
    }

    /// The client's connection ends: drops the rest of its last packet. Call it before [`end`](Self::end).
    pub fn abandon(&self, _: &mut RouterThread, client: &mut Client) {
        let Some(operation) = client.take_operation() else { return };
        match *operation {
            // filters in the trie stay with the session, as if the connection had ended just before the SUBACK
            Operation::Subscribe { subscribing, .. } => {
                if let Some(place) = subscribing.place {
                    self.retained.give_up(place);
                }
            }
            Operation::Unsubscribe { .. } | Operation::TakeDeferred => {}
            Operation::Publish { publishing, packet_id, .. } => {
                self.give_up_publishing(*publishing);
                if let Some(id) = packet_id {
                    client.slot.lock().session.refuse(id);
                }
            }
        }
    }
}
