//! The end of a connection: clears everything away, and logs the reason once.

use std::time::Duration;

use super::{
    super::{
        transport::Stream,
        worker::{Ending, Told, Worker, first_size_limit},
    },
    reader::SHARED_BUFFER,
    task::{Connection, LastRead, Phase},
};
use crate::{
    codec::DecodeError,
    router::Count,
    session::{CloseReason, ProtocolError},
};

impl<S: Stream> Connection<S> {
    /// The reason for the log: if the connection was told to end, the reason for that.
    pub(crate) fn why(&self, worker: &Worker, found: CloseReason) -> CloseReason {
        match &self.phase {
            Phase::Open(open) if found == CloseReason::UserGone => worker.shared.router.why_gone(&open.client),
            _ => found,
        }
    }

    /// Frees everything and logs the reason, once.
    pub(crate) fn end(&mut self, worker: &mut Worker, reason: &CloseReason) {
        worker.replies.clear();
        if self.is_traced() {
            self.trace_end(worker, reason);
        }
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Open(mut open) => {
                let now = worker.now();
                worker.shared.router.abandon(&mut worker.local, &mut open.client);
                let dropped = worker.shared.router.end(&mut worker.local, &open.client, reason, now);
                worker.shared.gate.left(self.caller.peer().listener);
                let duration = self.deadline.map_or(Duration::ZERO, |key| worker.deadlines.connected_for(key, now));
                // logged only if there were any
                let ending = Ending { reason, duration, dropped: (dropped > 0).then_some(dropped), waiting: None };
                // a health check is logged elsewhere
                if open.last_read != LastRead::HealthCheck || *reason == ProtocolError::HealthCheck.into() {
                    worker.shared.lines.disconnected(&self.caller.peer(), &(&open.client).into(), &ending);
                }
            }
            phase @ (Phase::Connecting(_) | Phase::Asking(_) | Phase::Challenged(_) | Phase::Refused) => {
                worker.shared.gate.left(self.caller.peer().listener);
                // a port check sends nothing and is logged at debug; a refused client is logged already
                let is_probe = matches!(reason, CloseReason::ConnectionLost) && self.reader.is_empty();
                let was_refused = matches!(phase, Phase::Refused);
                let told = Told { reason, size_limit: first_size_limit(&worker.shared.limits.load()) };
                worker.shared.lines.gone_before_connect(&self.caller.peer(), &told, !is_probe && !was_refused);
            }
            Phase::Ended => return,
        }
        count_violation(worker, reason);
        if let Some(out) = self.writing.take() {
            worker.local.pool.put(out);
        }
        if let Some(key) = self.deadline.take() {
            worker.forget(key);
        }
        worker.connection_ended();
        worker.local.wake();
    }
}

impl<S> Drop for Connection<S> {
    /// For a task that is dropped before its connection ended: at the end of the runtime, or because a turn panicked.
    fn drop(&mut self) {
        let Self { phase, caller, deadline, writing, .. } = self;
        let open = match std::mem::replace(phase, Phase::Ended) {
            Phase::Ended => return,
            Phase::Open(open) => Some(open),
            Phase::Connecting(_) | Phase::Asking(_) | Phase::Challenged(_) | Phase::Refused => None,
        };
        let panicked = std::thread::panicking();
        Worker::with(|worker| {
            // the next connection must not use the buffer and the replies of a turn that panicked
            worker.replies.clear();
            worker.buffer.resize(SHARED_BUFFER, 0);
            let reason = if panicked { CloseReason::Panicked } else { CloseReason::ServerShutdown };
            match open {
                Some(mut open) => {
                    let now = worker.now();
                    worker.shared.router.abandon(&mut worker.local, &mut open.client);
                    let dropped = worker.shared.router.end(&mut worker.local, &open.client, &reason, now);
                    worker.shared.gate.left(caller.peer().listener);
                    let duration = deadline.map_or(Duration::ZERO, |key| worker.deadlines.connected_for(key, now));
                    let waiting = Some(writing.as_ref().map_or(0, |w| w.len()));
                    let dropped = (dropped > 0).then_some(dropped);
                    let ending = Ending { reason: &reason, duration, dropped, waiting };
                    if open.last_read != LastRead::HealthCheck {
                        worker.shared.lines.disconnected(&caller.peer(), &(&open.client).into(), &ending);
                    }
                }
                None => {
                    worker.shared.gate.left(caller.peer().listener);
                    let told = Told { reason: &reason, size_limit: first_size_limit(&worker.shared.limits.load()) };
                    worker.shared.lines.gone_before_connect(&caller.peer(), &told, panicked);
                }
            }
            if let Some(key) = deadline.take() {
                worker.forget(key);
            }
            worker.connection_ended();
            worker.local.wake();
        });
    }
}

fn count_violation(worker: &Worker, reason: &CloseReason) {
    let count = match reason {
        CloseReason::Malformed(DecodeError::PacketTooLarge { .. }) => Count::PacketsTooLarge,
        CloseReason::Protocol(ProtocolError::TopicTooLarge) => Count::TopicsTooLarge,
        CloseReason::Malformed(_)
        | CloseReason::WrongProtocol { .. }
        | CloseReason::Protocol(_)
        | CloseReason::Transport(_) => Count::ProtocolErrors,
        _ => return,
    };
    worker.local.count(count, 1);
}
