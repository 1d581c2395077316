//! [`Exchange`]: what passes on one connection to the other broker, from CONNACK to its end.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use super::{
    connect::{DOWN, Protocol},
    echo::Echo,
    error::Lost,
    flow::{Asked, InFlight, Rate, Wish},
    losses::Losses,
    missing::Missing,
    options::{Notify, Options, Start},
    retained::Retained,
    state::{Count, Shared},
    topics::Topics,
};
use crate::{
    codec::{self, Disconnect, Packet, PacketType, Properties, Publish, ReasonCode, Subscribe},
    inside::Relay,
    outbound::{Accepted, Line},
    session::{CommitSeq, HeldAcks},
    topic::{TopicFilter, TopicName},
    types::{PacketId, ProtocolVersion, QoS, RetainHandling, SubscriptionOptions},
};

/// The addresses of this broker's listeners, as they are now.
pub(super) type Own = Arc<Mutex<Vec<SocketAddr>>>;

/// What stays with a bridge from one connection to the next.
pub(super) struct Kept {
    pub(super) options: Options,
    pub(super) topics: Topics,
    pub(super) shared: Arc<Shared>,
    pub(super) relay: Relay,
    /// The names of brokers that a message passed: this one's.
    pub(super) broker: Arc<str>,
    /// What the log has about lost messages.
    pub(super) losses: Losses,
    /// The last messages that were sent, if they may come back.
    pub(super) echo: Echo,
    /// The other broker may still hold Packet Identifiers of an earlier process: PUBREL is sent first for those that
    /// are unknown here.
    pub(super) cleared: Option<std::collections::HashSet<PacketId>>,
    /// It does not connect to these.
    pub(super) own: Own,
}

impl Kept {
    /// If what is missing at the other broker is cleared here. `has_backlog`: it had a session.
    pub(super) fn missing(&self, has_backlog: bool) -> Option<Missing> {
        let clears = self.options.clear_missing_retained;
        clears.then(|| Missing::new(self.topics.in_filters().len(), has_backlog))
    }

    /// Updates the gauges, and the number of messages that the queue dropped. Gives the number of queued messages.
    pub(super) fn count(&mut self) -> usize {
        let waiting = self.relay.turn(|turn| turn.session(|session| (session.backlog(), session.due())));
        let ((waiting, due), missed) = (waiting.flatten().unwrap_or_default(), self.relay.missed());
        self.shared.set(Count::RetainedDue, due as u64);
        self.shared.note_missed(missed);
        let now = self.relay.clock().now();
        self.losses.note_missed(missed, now);
        self.losses.tell_due(now);
        waiting
    }
}

/// One connection.
pub(super) struct Exchange<'k> {
    pub(super) kept: &'k mut Kept,
    line: Box<dyn Line>,
    pub(super) protocol: Protocol,
    pub(super) accepted: Accepted,
    /// Messages that were sent on this connection and are not completed.
    pub(super) in_flight: HashMap<PacketId, InFlight>,
    /// How many QoS 1 and 2 messages may be sent now.
    pub(super) quota: u16,
    /// PUBLISH and PUBREL that wait for the store.
    pub(super) sends: HeldAcks,
    /// Answers that wait for the store.
    pub(super) acks: HeldAcks,
    /// Bytes for the line; those before `written` are taken.
    pub(super) out: Vec<u8>,
    written: usize,
    /// Bytes from the line that are not handled.
    read: Vec<u8>,
    /// The commit for which it is woken.
    rings_for: Option<CommitSeq>,
    waker: Waker,
    pub(super) rate: Option<Rate>,
    /// SUBACKs that are due.
    pub(super) asked: Asked,
    last_sent: Instant,
    last_received: Instant,
    /// A PINGREQ was sent and not answered.
    pub(super) pinged: bool,
    /// When a message passed last.
    pub(super) passed: Instant,
    needs_flush: bool,
    /// Finds out when the other broker has sent what it retains, and what waited in its session. `None`: that does not
    /// matter, or has happened.
    pub(super) missing: Option<Missing>,
    /// Retained messages that changed here while the other broker was away.
    pub(super) retained: Retained,
    /// The other broker refused a topic.
    pub(super) refused: bool,
    /// When losses are counted next.
    counts_at: Instant,
}

/// Bytes that are collected for the line before it takes them.
pub(super) const FILL_BELOW: usize = 256 << 10;
/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// What woke an exchange.
enum Woken {
    Wrote(usize),
    Read(usize),
    Rang,
}

impl<'k> Exchange<'k> {
    pub(super) fn new(
        kept: &'k mut Kept,
        line: Box<dyn Line>,
        protocol: Protocol,
        accepted: Accepted,
        read: Vec<u8>,
    ) -> Self {
        let now = kept.relay.clock().now();
        let (waker, rate) = (kept.relay.waker(), kept.options.rate.map(|rate| Rate::new(rate, now)));
        let (in_flight, sends, acks, out, asked) = Default::default();
        let missing = kept.missing(accepted.session_present);
        Self {
            kept,
            line,
            protocol,
            accepted,
            in_flight,
            quota: accepted.receive_maximum,
            sends,
            acks,
            out,
            written: 0,
            read,
            rings_for: None,
            waker,
            rate,
            asked,
            last_sent: now,
            last_received: now,
            pinged: false,
            passed: now,
            needs_flush: false,
            missing,
            retained: Retained::new(now),
            refused: false,
            counts_at: now,
        }
    }

    /// Subscribes, and lets messages pass until the connection ends: gives why.
    pub(super) async fn run(mut self, wishes: &mut watch::Receiver<Wish>) -> Lost {
        // bytes after the CONNACK were read already
        let why = match self.begin().and_then(|()| self.handle_read()) {
            Ok(()) => self.pass(wishes).await,
            Err(why) => why,
        };
        if why.is_wanted() {
            self.say_goodbye().await;
        }
        let _ = self.kept.relay.turn(|turn| turn.session(|session| session.away()));
        why
    }

    fn begin(&mut self) -> Result<(), Lost> {
        let forgets = !self.accepted.session_present;
        if forgets {
            self.kept.echo.sends_nothing_again();
        }
        let stored = self.kept.relay.turn(|turn| {
            turn.session(|session| {
                session.begin();
                forgets.then(|| session.forget_receipts())
            })
        });
        let _in_the_order_of_the_log = stored.flatten().ok_or(Lost::Stopped)?;
        if self.begin_retained()? {
            self.subscribe()?;
        }
        if self.kept.options.notify == Notify::Both {
            self.notify(super::connect::UP)?;
        }
        Ok(())
    }

    /// SUBSCRIBE for all that comes from there.
    pub(super) fn subscribe(&mut self) -> Result<(), Lost> {
        let is_5 = self.protocol.version == ProtocolVersion::V5;
        let filters = self.kept.topics.in_filters();
        let mut asked: Vec<(&TopicFilter, SubscriptionOptions)> = Vec::new();
        for (filter, qos) in filters {
            let Ok(filter) = TopicFilter::new(filter) else { continue };
            let (no_local, retain_as_published) = (is_5, is_5);
            // what changed while the bridge was away comes from its session there, except at QoS 0
            let retain_handling = match self.kept.options.clear_missing_retained || qos == QoS::AtMostOnce {
                false => RetainHandling::SendIfNew,
                true => RetainHandling::Send,
            };
            let options = SubscriptionOptions { qos, no_local, retain_as_published, retain_handling, identifier: None };
            asked.push((filter, options));
        }
        let packets = asked.chunks(MOST_FILTERS);
        let ids = self.kept.relay.turn(|turn| turn.session(|session| session.free_ids(packets.len())));
        for (filters, packet_id) in packets.zip(ids.flatten().ok_or(Lost::Stopped)?) {
            self.asked.begin(packet_id, filters.iter().map(|(filter, _)| filter.as_str().to_owned()).collect());
            let subscribe = Subscribe { packet_id, filters: filters.to_vec(), properties: Properties::default() };
            codec::encode(self.protocol.version, &Packet::Subscribe(subscribe), &mut self.out)?;
        }
        if self.asked.is_done() {
            self.kept.shared.subscribed();
        }
        Ok(())
    }

    /// Publishes the state of the connection at the other broker.
    fn notify(&mut self, payload: &[u8]) -> Result<(), Lost> {
        let Ok(topic) = TopicName::new(&self.kept.options.notification_topic) else { return Ok(()) };
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: self.accepted.retain,
            topic,
            packet_id: None,
            payload,
            properties: Properties::default(),
        };
        Ok(codec::encode(self.protocol.version, &Packet::Publish(publish), &mut self.out)?)
    }

    async fn pass(&mut self, wishes: &mut watch::Receiver<Wish>) -> Lost {
        loop {
            if let Err(why) = self.step() {
                return why;
            }
            let may_read = self.may_read();
            let deadline = match self.deadline(may_read) {
                Ok(deadline) => deadline,
                Err(why) => return why,
            };
            let clock = self.kept.relay.clock().clone();
            let Self { line, out, written, read, needs_flush, kept, .. } = &mut *self;
            let io =
                poll_fn(|cx| poll_io(&mut **line, (&*out, *written), may_read.then_some(&mut *read), needs_flush, cx));
            let woken = tokio::select! {
                woken = io => woken,
                () = kept.relay.rings() => Ok(Woken::Rang),
                () = clock.sleep_until(deadline) => Ok(Woken::Rang),
                changed = wishes.changed() => match changed {
                    Ok(()) if *wishes.borrow() == Wish::Run => Ok(Woken::Rang),
                    _ => return Lost::Asked,
                },
            };
            if let Err(why) = self.woken(woken) {
                return why;
            }
        }
    }

    fn woken(&mut self, woken: io::Result<Woken>) -> Result<(), Lost> {
        let now = self.kept.relay.clock().now();
        match woken? {
            Woken::Wrote(bytes) => {
                self.last_sent = now;
                self.written += bytes;
                if self.written == self.out.len() {
                    self.out.clear();
                    self.written = 0;
                }
            }
            Woken::Read(0) => return Err(Lost::Closed),
            Woken::Read(_) => {
                self.last_received = now;
                self.handle_read()?;
            }
            Woken::Rang => {}
        }
        Ok(())
    }

    /// All that can be done now.
    fn step(&mut self) -> Result<(), Lost> {
        self.bring_due()?;
        self.end_backlog();
        self.fill()?;
        self.ask_whether_due_arrived();
        self.subscribe_when_changes_arrived()?;
        self.ask_for_the_end();
        self.clear_missing()?;
        self.release()
    }

    /// Lets go what waited for the store, and has it rung for the rest.
    fn release(&mut self) -> Result<(), Lost> {
        let Self { kept, sends, acks, out, rings_for, waker, .. } = self;
        let released = kept.relay.turn(|turn| {
            let done = turn.done();
            let reached = match &done {
                Ok(done) => *done,
                Err(_) => CommitSeq(0),
            };
            for held in [&mut *acks, &mut *sends] {
                let _no_suback = held.release(reached, out);
            }
            let next = [acks.waits_for(), sends.waits_for()].into_iter().flatten().min();
            match (next, done) {
                (Some(_), Err(reason)) => return Err(Lost::Here(reason)),
                (Some(commit), Ok(_)) if *rings_for != Some(commit) => {
                    *rings_for = Some(commit);
                    turn.ring_when_done(commit, waker);
                }
                _ => {}
            }
            Ok(())
        });
        released.unwrap_or(Err(Lost::Stopped))
    }

    /// It is read from while not too much is unanswered.
    fn may_read(&self) -> bool {
        self.acks.size() < FILL_BELOW
            && self.out.len() - self.written < 4 * FILL_BELOW
            && self.kept.relay.turn(|turn| !turn.is_behind()).unwrap_or(false)
    }

    /// Looks whether the other side lives; gives when to look again.
    fn deadline(&mut self, may_read: bool) -> Result<Instant, Lost> {
        let now = self.kept.relay.clock().now();
        if now >= self.counts_at {
            self.kept.count();
            self.counts_at = now + COUNTS_EVERY;
        }
        self.kept.losses.tell_due(now);
        // the store does not wake the task when the disk has caught up with other clients
        let mut next = now + if may_read { Duration::from_secs(3600) } else { LOOK_AGAIN };
        if self.accepted.keep_alive > 0 {
            let keep_alive = Duration::from_secs(self.accepted.keep_alive.into());
            let dead = self.last_received + keep_alive.mul_f64(1.5);
            if now >= dead {
                return Err(Lost::Silent(self.accepted.keep_alive));
            }
            // early enough for the answer to arrive in time
            let quiet = self.last_sent.min(self.last_received) + keep_alive.mul_f64(0.75);
            if now >= quiet && !self.pinged {
                self.pinged = true;
                self.out.extend_from_slice(&[(PacketType::Pingreq as u8) << 4, 0]);
            }
            next = next.min(dead);
            if !self.pinged {
                next = next.min(quiet);
            }
        }
        if let Start::Lazy(_, idle) = self.kept.options.start {
            let is_idle = self.in_flight.is_empty() && self.out.is_empty();
            if is_idle && now >= self.passed + idle {
                return Err(Lost::Idle);
            }
            next = next.min(if is_idle { self.passed + idle } else { now + idle });
        }
        let refilled = self.rate.as_ref().and_then(Rate::next);
        let asks = self.missing.as_ref().and_then(|missing| match missing.ended() {
            // further steps follow at once, unless the disk is behind
            Some(_) => may_read.then_some(now),
            None => missing.asks_at().filter(|_| !self.pinged),
        });
        let due = self.retained.next(now, self.pinged);
        let sums = self.kept.losses.next();
        Ok([refilled, asks, due, sums].into_iter().flatten().fold(next, Instant::min))
    }

    /// All whole packets that were read.
    fn handle_read(&mut self) -> Result<(), Lost> {
        let read = std::mem::take(&mut self.read);
        let handled = self.handle_packets(&read);
        self.read = read;
        self.read.drain(..handled?);
        Ok(())
    }

    /// Writes pending bytes and closes the connection, within a short time.
    async fn say_goodbye(&mut self) {
        if self.kept.options.notify == Notify::Both {
            let _ = self.notify(DOWN);
        }
        let end = Disconnect { reason: ReasonCode::Success, properties: Properties::default() };
        let _ = codec::encode(self.protocol.version, &Packet::Disconnect(end), &mut self.out);
        let clock = self.kept.relay.clock().clone();
        let Self { line, out, written, .. } = self;
        let closed = async {
            line.write_all(&out[*written..]).await?;
            line.flush().await?;
            line.shutdown().await
        };
        let _ = clock.timeout(GOODBYE, pin!(closed)).await;
    }

    /// A message passed.
    pub(super) fn note_passed(&mut self, count: Count, messages: u64) {
        if messages > 0 {
            self.kept.shared.add(count, messages);
            self.passed = self.kept.relay.clock().now();
        }
    }
}

/// Filters of a SUBSCRIBE, at most: small brokers take no long ones.
const MOST_FILTERS: usize = 50;
/// Interval of checks of a busy store.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Interval of updates of the drop counters.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// Time limit for writing pending bytes at the end of a connection.
const GOODBYE: Duration = Duration::from_secs(1);

/// Writes what there is, or reads.
fn poll_io(
    line: &mut dyn Line,
    (out, written): (&[u8], usize),
    read: Option<&mut Vec<u8>>,
    needs_flush: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Woken>> {
    if written < out.len() {
        if let Poll::Ready(taken) = Pin::new(&mut *line).poll_write(cx, &out[written..]) {
            *needs_flush = true;
            return Poll::Ready(match taken? {
                0 => Err(io::ErrorKind::WriteZero.into()),
                taken => Ok(Woken::Wrote(taken)),
            });
        }
    } else if *needs_flush && let Poll::Ready(flushed) = Pin::new(&mut *line).poll_flush(cx) {
        *needs_flush = false;
        flushed?;
    }
    let Some(read) = read else { return Poll::Pending };
    read.reserve(READ);
    // nothing is lost when this is dropped before it is ready
    let polled = pin!(line.read_buf(read)).poll(cx);
    polled.map_ok(Woken::Read)
}
