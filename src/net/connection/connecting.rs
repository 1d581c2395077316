//! The memory of a connection before its CONNECT is answered, for `limits.max_connecting_bytes`.

use super::{
    super::{transport::Stream, worker::Worker},
    task::{Connection, Phase},
};
use crate::{router::Count, session::CloseReason};

impl<S: Stream> Connection<S> {
    /// Reports the memory that is held for a client without an answered CONNECT.
    pub(crate) fn note_held(&self, worker: &Worker) {
        let limits = || worker.shared.limits.load();
        match &self.phase {
            Phase::Connecting(ticket) => ticket.hold(self.reader.memory(), false, &limits()),
            // the password is compared from a copy
            Phase::Asking(waiting) => {
                let bytes = 2 * waiting.applicant.connect.capacity() + waiting.behind.capacity();
                waiting.applicant.ticket.hold(bytes, true, &limits());
            }
            Phase::Challenged(challenged) => {
                let bytes = challenged.applicant.connect.capacity() + self.reader.memory();
                challenged.applicant.ticket.hold(bytes, false, &limits());
            }
            _ => {}
        }
    }

    /// `Err`: this connection must end to make space for others.
    pub(crate) fn makes_room(&self, worker: &Worker) -> Result<(), CloseReason> {
        let ticket = match &self.phase {
            Phase::Connecting(ticket) => ticket,
            Phase::Asking(waiting) => &waiting.applicant.ticket,
            Phase::Challenged(challenged) => &challenged.applicant.ticket,
            _ => return Ok(()),
        };
        if !ticket.watch().is_closed() {
            return Ok(());
        }
        worker.local.count(Count::RefusedConnectingBytes, 1);
        Err(CloseReason::MadeRoom)
    }
}
