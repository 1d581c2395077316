//! [`Task`]: one bridge. It connects to the other broker, and connects again when the connection is lost.

use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    client_of,
    connect::{DOWN, Protocol, UP, send_connect},
    echo::Echo,
    error::Lost,
    exchange::{Exchange, Kept, Own},
    flow::Wish,
    losses::Losses,
    options::{Notify, Options, Start, Versions},
    state::{Count, Phase, Shared},
    topics::Topics,
};
use crate::{
    clock::Clock,
    codec::Properties,
    inside::{ClientError, Incoming, Inside, InsideClient},
    outbound::{Accepted, Backoff, Line, NotAccepted, Target, connect, load_tls},
    router::Event,
    topic::TopicName,
    types::{ProtocolVersion, QoS},
};

/// A bridge.
pub(super) struct Task {
    kept: Kept,
    wishes: watch::Receiver<Wish>,
    backoff: Backoff,
    protocol: Protocol,
    /// The address that is tried next.
    next: usize,
    /// The last connection was one.
    works: bool,
}

/// From TCP to CONNACK, and as long again for TLS.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// A connection that lasts so long was a good one.
const LASTS: Duration = Duration::from_secs(10);

impl Task {
    /// It has its session and its subscriptions here when this returns.
    pub(super) async fn begin(
        inside: &Inside,
        options: Options,
        shared: Arc<Shared>,
        (broker, own): (Arc<str>, Own),
        wishes: watch::Receiver<Wish>,
    ) -> Result<Self, ClientError> {
        let topics = Topics::new(&options.topics);
        let (filters, each): (Vec<String>, Vec<QoS>) =
            topics.out_filters().into_iter().map(|(filter, qos)| (filter.to_owned(), qos)).unzip();
        let id = client_of(&options.name);
        let is_new = !inside.has_kept(&id);
        let asked = InsideClient {
            id: id.to_string(),
            filters,
            qos: QoS::ExactlyOnce,
            queue: options.queue,
            no_local: true,
            retain_as_published: options.outgoing_retain,
            durable: true,
        };
        let relay = inside.relay(asked, &each).await?;
        let _ = relay.turn(|turn| turn.session(|session| session.away()));
        let backoff = Backoff::new(options.reconnect.0, options.reconnect.1);
        let version = if options.versions == Versions::Four { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
        let protocol = Protocol { version, private: options.try_private };
        let cleared = is_new.then(HashSet::new);
        let (losses, echo) = (Losses::new(&options.name), Echo::default());
        let mut kept = Kept { options, topics, shared, relay, broker, losses, echo, cleared, own };
        kept.count();
        Ok(Self { kept, wishes, backoff, protocol, next: 0, works: false })
    }

    /// Until it is wished that it ends.
    pub(super) async fn run(mut self) {
        self.tell_here(DOWN);
        let mut wait = None;
        loop {
            let wish = *self.wishes.borrow_and_update();
            if wish != Wish::Run {
                let now = self.kept.relay.clock().now();
                self.kept.losses.tell_all(now);
            }
            match wish {
                Wish::End => return,
                Wish::EndWithSession => {
                    let waiting = self.kept.relay.turn(|turn| turn.session(|session| session.backlog()));
                    let (bridge, messages) = (&self.kept.options.name, waiting.flatten().unwrap_or_default());
                    tracing::warn!(target: "dunlin::bridge", bridge, messages, "the bridge is gone, and its queue with it");
                    return self.kept.relay.end_session();
                }
                Wish::Pause => {
                    self.enter(Phase::Paused);
                    if !self.wished_otherwise().await {
                        return;
                    }
                    continue;
                }
                Wish::Run => {}
            }
            if let Some(at) = wait.take()
                && !self.waited(at).await
            {
                continue;
            }
            if let Start::Lazy(threshold, _) = self.kept.options.start
                && !self.has_enough(threshold).await
            {
                continue;
            }
            let began = self.kept.relay.clock().now();
            let why = self.connection().await;
            if matches!(why, Lost::Stopped) {
                return;
            }
            wait = self.lost(&why, began);
            if self.kept.options.start == Start::Once && !why.is_wanted() && self.kept.shared.connected_before() {
                self.enter(Phase::Ended);
                if !self.wished_otherwise().await {
                    return;
                }
            }
        }
    }

    /// A connection ended, or did not begin: when the next one is tried. `None`: at once.
    fn lost(&mut self, why: &Lost, began: Instant) -> Option<Instant> {
        let now = self.kept.relay.clock().now();
        if why.is_wanted() {
            self.enter(Phase::Waiting);
            return None;
        }
        self.kept.shared.add(Count::Failures, 1);
        let both = self.kept.options.versions == Versions::Both;
        match (why, self.protocol.version) {
            (Lost::NotAccepted(NotAccepted::Version(_)), ProtocolVersion::V5) if both => {
                self.protocol.version = ProtocolVersion::V311;
                return None;
            }
            (Lost::NotAccepted(NotAccepted::Version(_)), ProtocolVersion::V311) if self.protocol.private => {
                self.protocol.private = false;
                return None;
            }
            // some brokers close the connection without an answer, because they do not speak this version
            (Lost::NotAccepted(NotAccepted::Closed), version) if both => {
                let is_5 = version == ProtocolVersion::V5;
                self.protocol.version = if is_5 { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
            }
            _ => {}
        }
        let (bridge, text) = (&self.kept.options.name, why.to_string());
        if self.kept.shared.failed(&text, self.kept.relay.clock().wall()) {
            tracing::warn!(target: "dunlin::bridge", bridge, reason = text, "bridge not connected");
            // the end of a connection is told already
            if !self.works {
                self.tell_event(Some(&text));
            }
        }
        if now.saturating_duration_since(began) > LASTS {
            self.backoff.reset();
        }
        self.enter(Phase::Waiting);
        self.next = match (std::mem::take(&mut self.works), self.kept.options.round_robin) {
            // it worked until now
            (true, true) => self.next,
            (true, false) => 0,
            (false, _) => (self.next + 1) % self.kept.options.targets.len().max(1),
        };
        Some(now + self.backoff.next())
    }

    /// Waits for another wanted state. `false`: the senders are gone.
    async fn wished_otherwise(&mut self) -> bool {
        let clock = self.kept.relay.clock().clone();
        loop {
            self.kept.count();
            let sums = self.kept.losses.next();
            tokio::select! {
                changed = self.wishes.changed() => return changed.is_ok(),
                () = self.kept.relay.rings() => {}
                () = until(&clock, sums) => {}
            }
        }
    }

    /// Waits until then. `false`: something else is wished.
    async fn waited(&mut self, at: Instant) -> bool {
        let clock = self.kept.relay.clock().clone();
        loop {
            self.kept.count();
            let sums = self.kept.losses.next();
            tokio::select! {
                () = clock.sleep_until(at) => return true,
                () = self.kept.relay.rings() => {}
                () = until(&clock, sums) => {}
                _ = self.wishes.changed() => return false,
            }
        }
    }

    /// Waits until so many messages wait. `false`: something else is wished.
    async fn has_enough(&mut self, threshold: usize) -> bool {
        let clock = self.kept.relay.clock().clone();
        loop {
            if self.kept.count() >= threshold {
                return true;
            }
            let sums = self.kept.losses.next();
            tokio::select! {
                () = self.kept.relay.rings() => {}
                () = until(&clock, sums) => {}
                _ = self.wishes.changed() => return false,
            }
        }
    }

    /// One connection, from TCP to its end: gives why it ended.
    async fn connection(&mut self) -> Lost {
        let target = self.kept.options.targets[self.next % self.kept.options.targets.len()].clone();
        self.kept.shared.connects(format!("{}:{}", target.host, target.port));
        self.enter(Phase::Connecting);
        self.works = false;
        let mut wishes = self.wishes.clone();
        let opened = tokio::select! {
            opened = self.open(&target) => opened,
            _ = wishes.changed() => return Lost::Asked,
        };
        let (line, accepted, read) = match opened {
            Ok(opened) => opened,
            Err(why) => return why,
        };
        self.works = true;
        self.tell_here(UP);
        self.tell_event(None);
        let exchange = Exchange::new(&mut self.kept, line, self.protocol, accepted, read);
        let why = exchange.run(&mut self.wishes).await;
        self.tell_here(DOWN);
        self.tell_event(Some(&why.to_string()));
        why
    }

    async fn open(&self, target: &Target) -> Result<(Box<dyn Line>, Accepted, Vec<u8>), Lost> {
        let Kept { options, relay, .. } = &self.kept;
        let (clock, own) = (relay.clock().clone(), self.kept.own.lock().clone());
        let tls = load_tls(target, &options.tls).map_err(Lost::Tls)?;
        let password = match (&options.password, &options.password_file) {
            (Some(password), _) => Some(password.0.clone().into_bytes()),
            (None, Some(file)) => {
                Some(password_in(file).map_err(|error| Lost::Password { file: file.clone(), error })?)
            }
            (None, None) => None,
        };
        let mut line = connect(target, tls.as_ref(), &clock, (CONNECTS_WITHIN, &own)).await?;
        let (mut read, protocol) = (Vec::new(), self.protocol);
        let most = relay.turn(|turn| turn.max_packet_size()).ok_or(Lost::Stopped)?;
        let (within, password) = ((&clock, CONNECTS_WITHIN), password.as_deref());
        let accepted = send_connect(within, &mut *line, options, protocol, password, most, &mut read).await?;
        let (bridge, address, version) = (&options.name, format!("{}:{}", target.host, target.port), protocol.version);
        let session_present = accepted.session_present;
        tracing::info!(target: "dunlin::bridge", bridge, address, %version, session_present, "bridge connected");
        self.kept.shared.add(Count::Connects, 1);
        self.kept.shared.works();
        self.kept.shared.speaks(version);
        self.enter(Phase::Connected);
        Ok((line, accepted, read))
    }

    fn enter(&self, phase: Phase) {
        self.kept.shared.enter(phase, self.kept.relay.clock().wall());
    }

    /// Tells observers that it is connected, or why it is not.
    fn tell_event(&self, down: Option<&str>) {
        let Kept { options, relay, .. } = &self.kept;
        let target = &options.targets[self.next % options.targets.len()];
        let (name, address) = (options.name.as_str(), format!("{}:{}", target.host, target.port));
        relay.tell(&Event::Bridge { name, address: &address, down });
    }

    /// Publishes the state of the connection here.
    fn tell_here(&self, payload: &[u8]) {
        if self.kept.options.notify == Notify::Off {
            return;
        }
        let Ok(topic) = TopicName::new(&self.kept.options.notification_topic) else { return };
        let properties = Properties::default();
        let told = Incoming { topic, payload, qos: QoS::AtLeastOnce, retain: true, once: None, properties };
        if let Some(Err(reason)) = self.kept.relay.turn(|turn| turn.publish(&told)) {
            tracing::debug!(target: "dunlin::bridge", %reason, "the state of a bridge is not published");
        }
    }
}

/// The first line of a file.
fn password_in(file: &Path) -> std::io::Result<Vec<u8>> {
    let text = std::fs::read(file)?;
    Ok(text.trim_ascii_end().to_vec())
}

/// Waits until then; `None`: without end.
async fn until(clock: &Clock, at: Option<Instant>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
