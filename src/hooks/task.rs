//! [`Task`]: one webhook. It takes its events from all threads, and puts those that are chosen into the lanes.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{choice::Choice, event::Teller, lanes::LANES, options::Options, sending::Sending, state::Shared};
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
    /// Events that did not fit into the rings, and were told so.
    lost: u64,
    client: Arc<HttpClient>,
    wishes: watch::Receiver<Wish>,
}

/// What is wished of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It runs.
    Run,
    /// It sends what waits, and ends.
    End,
}

/// What a webhook is made of beside its events.
type Parts = (Options, Arc<Shared>, Arc<Teller>, Clock);

/// How long it may take to send what waits when it ends.
const LAST: Duration = Duration::from_secs(2);
/// Events that are taken until others of this thread have a turn.
const TURN: usize = 64;
/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER: usize = 64 << 10;

impl Task {
    /// It misses no event from when this returns. The error is about files of TLS.
    pub(super) fn begin(
        events: &Arc<EventStreams>,
        (options, shared, teller, clock): Parts,
        wishes: watch::Receiver<Wish>,
    ) -> Result<Self, String> {
        let tls = options.url.https.then(|| load_tls(&options)).transpose()?;
        let bounds = HttpBounds { within: options.timeout, body: ANSWER };
        let client = Arc::new(HttpClient::new(options.url.clone(), tls, clock.clone(), bounds));
        let choice = Choice::new(&options);
        let events = events.open(choice.kinds(options.payload));
        Ok(Self { options, shared, teller, clock, choice, events, lost: 0, client, wishes })
    }

    /// Until it is wished that it ends.
    pub(super) async fn run(mut self) {
        let (close, closing) = watch::channel(false);
        let mut lanes = JoinSet::new();
        (0..LANES).for_each(|lane| _ = lanes.spawn(self.sending(lane, closing.clone()).run()));
        let mut taken = 0_usize;
        while *self.wishes.borrow_and_update() == Wish::Run {
            let happened = tokio::select! {
                happened = self.events.recv() => happened,
                changed = self.wishes.changed() => match changed {
                    Ok(()) => continue,
                    // nobody is there to wish anything
                    Err(_) => break,
                },
            };
            self.take(&happened);
            taken += 1;
            if taken.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
        // what goes on happening meanwhile is not waited for
        let until = self.clock.unpaused().now() + LAST;
        while let Some(happened) = self.events.try_recv()
            && self.clock.unpaused().now() < until
        {
            self.take(&happened);
        }
        close.send_replace(true);
        let ended = async { while lanes.join_next().await.is_some() {} };
        // also of a broker whose clock a test has stopped
        let _ = self.clock.unpaused().timeout(LAST, pin!(ended)).await;
        let left = self.shared.lanes.counts().0;
        if left > 0 {
            let webhook = &self.options.name;
            tracing::warn!(target: "dunlin::hooks", webhook, events = left, "the webhook ends, and these are lost");
        }
    }

    fn sending(&self, lane: usize, closing: watch::Receiver<bool>) -> Sending {
        let Options { name, batch, linger, secret_file, .. } = &self.options;
        Sending {
            name: name.as_str().into(),
            lane,
            shared: self.shared.clone(),
            teller: self.teller.clone(),
            client: self.client.clone(),
            clock: self.clock.clone(),
            batch: *batch,
            linger: *linger,
            secret_file: secret_file.clone(),
            closing,
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
