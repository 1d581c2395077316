//! Removes what earlier tests left: everything, or what has a prefix, so that tests running side by side can share a
//! broker.

use std::ops::ControlFlow;

use super::{bench::Bench, forget::Reset, quiet::SETTLES_WITHIN};
use crate::{
    router::inspect::{ByAdministrator, Closed, Cursor, Ended, SESSIONS_A_STEP, Wanted},
    server::Server,
    topic::TopicFilter,
    types::ClientId,
};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub(super) sessions: usize,
    pub(super) retained: usize,
    /// All consequences have happened.
    pub(super) settled: bool,
}

impl Bench {
    /// Disconnects clients, ends their sessions, and removes their retained messages and events. If everything is
    /// removed, a paused clock resumes; it is not turned back.
    pub(super) async fn reset(&self, reset: &Reset) -> Forgotten {
        // faults that are set would hit later packets
        self.faults.forget(reset);
        self.strict.forget(reset);
        let (mut forgotten, mut answered) = (Forgotten::default(), true);
        if let Some(server) = self.server().await {
            forgotten.sessions = end_sessions(&server, reset);
            // a connection may still handle a packet that it had read
            let pulse = server.pulse();
            let answer = tokio::task::spawn_blocking(move || pulse.threads_answer(SETTLES_WITHIN)).await;
            answered = answer.unwrap_or(false);
            forgotten.retained = remove_retained(&server, reset).await;
        }
        if reset.is_all() {
            self.clock.resume();
        }
        forgotten.settled = self.is_quiet(SETTLES_WITHIN).await && answered;
        self.journal.forget(reset);
        forgotten
    }
}

fn end_sessions(server: &Server, reset: &Reset) -> usize {
    let (mut names, mut next) = (Vec::<ClientId>::new(), Some(Cursor::default()));
    while let Some(after) = next {
        next = server.clients(after, Wanted::All, SESSIONS_A_STEP, &mut |client| {
            if reset.has_client(client.client.as_str()) {
                names.push(client.client.clone());
            }
            ControlFlow::Continue(())
        });
    }
    let why = ByAdministrator { publishes_will: false, ..ByAdministrator::new("test", "the broker was reset") };
    names.retain(|name| {
        // an away client may have reconnected meanwhile
        let ended = server.end_session(name, &why) != Ended::Unknown;
        ended || server.close(name, &why) == Closed::Closing
    });
    names.len()
}

async fn remove_retained(server: &Server, reset: &Reset) -> usize {
    const A_STEP: usize = 1_000;
    let Ok(everything) = TopicFilter::new("#") else { return 0 };
    let (mut topics, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(after) = next {
        next = server.retained(everything, after, A_STEP, &mut |message| {
            if !message.is_own() && reset.has_topic(message.topic().as_str()) {
                topics.push(message.topic().as_str().to_owned());
            }
            ControlFlow::Continue(())
        });
    }
    let mut removed = 0;
    for topic in &topics {
        if let Ok(filter) = TopicFilter::new(topic) {
            // in memory, nothing needs to become durable
            let done = server.remove_retained(filter, Cursor::default(), A_STEP).await;
            removed += done.map_or(0, |done| done.messages);
        }
    }
    removed
}
