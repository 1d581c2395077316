//! Records the packets of a traced connection. Without traces, a turn compares one number and calls nothing of this.

use super::{
    super::{transport::Stream, worker::Worker},
    task::{Connection, Phase, TRACED},
};
use crate::{
    codec::Connect,
    session::CloseReason,
    trace::{About, Direction},
    types::ProtocolVersion,
};

impl<S: Stream> Connection<S> {
    /// Is it traced?
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.untraced == TRACED
    }

    /// Looks whether a trace selects the connection. Called if traces have changed since the last look, or if it is
    /// traced.
    #[cold]
    pub(crate) fn look_at_traces(&mut self, worker: &mut Worker) {
        let changes = worker.shared.traces.changes();
        let watched = self.deadline.and_then(|key| worker.watched.get(&key));
        if watched.is_some_and(|watched| watched.as_of == changes) {
            return;
        }
        let address = self.caller.socket_address();
        match &self.phase {
            Phase::Open(open) => {
                let (client, user) = (open.client.id().clone(), open.client.user().map(str::to_owned));
                let (version, user) = (open.client.version(), user.as_deref());
                self.choose_traces(worker, &About { client: client.as_str(), user, version, address });
            }
            // the CONNECT may be malformed
            Phase::Connecting(_) => {
                let version = ProtocolVersion::default();
                self.choose_traces(worker, &About { client: "", user: None, version, address });
            }
            // looks again once the client is accepted
            Phase::Asking(_) | Phase::Challenged(_) | Phase::Refused | Phase::Ended => {}
        }
    }

    /// Records the CONNECT, if a trace selects the client.
    #[inline]
    pub(crate) fn trace_connect(&mut self, worker: &mut Worker, connect: &Connect<'_>, frame: &[u8]) {
        if worker.shared.traces.changes() > 0 {
            let Connect { client_id: client, username: user, version, .. } = *connect;
            self.choose_traces(worker, &About { client, user, version, address: self.caller.socket_address() });
            if let Some(watched) = self.deadline.and_then(|key| worker.watched.get_mut(&key)) {
                watched.connects(&worker.shared.traces, frame);
            }
        }
    }

    #[cold]
    fn choose_traces(&mut self, worker: &mut Worker, about: &About<'_>) {
        let Some(key) = self.deadline else { return };
        let changes = worker.shared.traces.changes_so_far();
        let before = worker.watched.remove(&key);
        let is_new = before.is_none();
        let Some(mut watched) = worker.shared.traces.watch(about, before) else {
            self.untraced = changes;
            return;
        };
        if let Phase::Open(open) = &self.phase
            && is_new
        {
            worker.shared.router.topic_aliases(&open.client, &mut |by_client, alias, topic| {
                let direction = if by_client { Direction::ToServer } else { Direction::ToClient };
                watched.knows(direction, alias, topic);
            });
        }
        worker.watched.insert(key, watched);
        self.untraced = TRACED;
    }

    /// Records complete packets.
    #[cold]
    pub(crate) fn trace(&self, worker: &mut Worker, bytes: &[u8], direction: Direction) {
        if let Some(watched) = self.deadline.and_then(|key| worker.watched.get_mut(&key)) {
            watched.note(&worker.shared.traces, bytes, direction);
        }
    }

    /// Records the output from this place on.
    #[cold]
    pub(crate) fn trace_output(&self, worker: &mut Worker, at: usize) {
        if let Some(out) = &self.writing {
            self.trace(worker, &out.copy_from(at), Direction::ToClient);
        }
    }

    /// Records the end.
    #[cold]
    pub(crate) fn trace_end(&self, worker: &Worker, reason: &CloseReason) {
        if let Some(watched) = self.deadline.and_then(|key| worker.watched.get(&key)) {
            watched.ends(&worker.shared.traces, &reason.to_string());
        }
    }
}
