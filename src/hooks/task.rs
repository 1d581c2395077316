//! [`Task`]: one webhook. It reads its events from all threads' rings and puts the selected ones into the lanes.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    choice::Choice,
    durable::Durable,
    event::Teller,
    lanes::LANES,
    options::{Keeps, Options},
    outlet::Outlet,
    posting::{Posting, backoff},
    rejected::Rejected,
    sending::Sending,
    state::Shared,
};
use crate::{
    clock::Clock,
    outbound::{ClientTls, HttpBounds, HttpClient},
    router::inspect::{EventStream, EventStreams, Happened},
};

/// A webhook.
pub(super) struct Task {
    options: Options,
    shared: Arc<Shared>,
    teller: Arc<Teller>,
    clock: Clock,
    choice: Choice,
    events: EventStream,
    /// Events that did not fit into the rings and were already counted as lost.
    lost: u64,
    client: Arc<HttpClient>,
    /// The queue of a durable webhook.
    outlet: Option<Arc<Outlet>>,
    wishes: watch::Receiver<Wish>,
}

/// What a webhook is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Run.
    Run,
    /// Send the queue, then end.
    End,
    /// The same, and the session of a durable webhook ends.
    EndWithSession,
}

/// The parts of a webhook other than its events.
type Parts = (Options, Arc<Shared>, Arc<Teller>, Clock);

/// Time limit for sending the queue when the webhook ends.
const LAST: Duration = Duration::from_secs(2);
/// Largest number of events before other tasks of the thread have a turn.
const TURN: usize = 64;
/// Bytes of an answer that are read, so that its connection can be reused.
const ANSWER: usize = 64 << 10;

impl Task {
    /// Starts a webhook. It misses no event that happens after the call. Errors concern TLS files.
    pub(super) fn begin(
        events: &Arc<EventStreams>,
        (options, shared, teller, clock): Parts,
        outlet: Option<Outlet>,
        wishes: watch::Receiver<Wish>,
    ) -> Result<Self, String> {
        let tls = options.url.https.then(|| load_tls(&options)).transpose()?;
        let bounds = HttpBounds { within: options.timeout, body: ANSWER };
        let client = Arc::new(HttpClient::new(options.url.clone(), tls, clock.clone(), bounds));
        let choice = Choice::new(&options);
        let events = events.open(choice.kinds(options.payload));
        let outlet = outlet.map(Arc::new);
        Ok(Self { options, shared, teller, clock, choice, events, lost: 0, client, outlet, wishes })
    }

    /// Runs until the webhook is told to end. Returns the queue of a durable webhook that may go on.
    pub(super) async fn run(mut self) -> Option<Outlet> {
        let (close, closing) = watch::channel(false);
        let mut lanes = JoinSet::new();
        (0..LANES).for_each(|lane| _ = lanes.spawn(self.sending(lane, closing.clone()).run()));
        let durable = self.durable(&closing);
        durable.into_iter().for_each(|durable| _ = lanes.spawn(durable.run()));
        let mut taken = 0_usize;
        while *self.wishes.borrow_and_update() == Wish::Run {
            let happened = tokio::select! {
                happened = self.events.recv() => happened,
                changed = self.wishes.changed() => match changed {
                    Ok(()) => continue,
                    // an error means that all senders are gone
                    Err(_) => break,
                },
            };
            self.take(&happened);
            taken += 1;
            if taken.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
        // does not wait for events that happen meanwhile
        let until = self.clock.unpaused().now() + LAST;
        while let Some(happened) = self.events.try_recv()
            && self.clock.unpaused().now() < until
        {
            self.take(&happened);
        }
        close.send_replace(true);
        let ended = async { while lanes.join_next().await.is_some() {} };
        // real time: a test may have stopped the broker's clock
        let _ = self.clock.unpaused().timeout(LAST, pin!(ended)).await;
        // nothing uses the queue any more
        lanes.shutdown().await;
        let mut outlet = self.outlet.take().and_then(Arc::into_inner);
        if *self.wishes.borrow() == Wish::EndWithSession {
            outlet.take().into_iter().for_each(Outlet::end_session);
        }
        let left = self.shared.lanes.counts().0;
        if left > 0 {
            let webhook = &self.options.name;
            tracing::warn!(target: "dunlin::hooks", webhook, events = left, "webhook ended before its queue was sent: events are lost");
        }
        outlet
    }

    fn sending(&self, lane: usize, closing: watch::Receiver<bool>) -> Sending {
        let Options { batch, linger, .. } = self.options;
        Sending { lane, posting: self.posting(false, closing), teller: self.teller.clone(), batch, linger }
    }

    fn durable(&self, closing: &watch::Receiver<bool>) -> Option<Durable> {
        let (outlet, Keeps { origin, rejected, rejected_bytes }) =
            self.outlet.clone().zip(self.options.durable.clone())?;
        let rejected = Rejected::new(rejected, rejected_bytes);
        let (session, posting, teller) = (outlet.session(), self.posting(true, closing.clone()), self.teller.clone());
        Some(Durable { outlet, posting, teller, origin, rejected, session })
    }

    fn posting(&self, durable: bool, closing: watch::Receiver<bool>) -> Posting {
        Posting {
            name: self.options.name.as_str().into(),
            shared: self.shared.clone(),
            client: self.client.clone(),
            clock: self.clock.clone(),
            secret_file: self.options.secret_file.clone(),
            durable,
            closing,
            backoff: backoff(),
        }
    }

    fn take(&mut self, happened: &Happened) {
        let lost = self.events.lost();
        if lost > self.lost {
            self.shared.lanes.lose(lost - self.lost);
            self.lost = lost;
        }
        if let Some(told) = self.choice.told(happened) {
            let text = self.teller.of(told, happened, self.clock.wall());
            self.shared.lanes.push(happened.client.as_ref(), text, self.clock.now());
        }
    }
}

#[cfg(feature = "tls")]
fn load_tls(options: &Options) -> Result<ClientTls, String> {
    ClientTls::load(&options.tls, true).map(|(tls, _)| tls).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
fn load_tls(_: &Options) -> Result<ClientTls, String> {
    Err("this dunlin was built without TLS (the feature `tls`)".into())
}
