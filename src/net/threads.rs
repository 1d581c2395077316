//! [`Workers`]: the worker threads, which serve connections. Each has its own runtime, one read buffer for all its
//! connections, and its part of the router. A connection stays on its thread: a message to another connection of the
//! same thread takes no contended lock and wakes no sleeping thread.

use std::{
    collections::HashMap,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{
    adopted::Adoption,
    connection::{Connection, SHARED_BUFFER, draining},
    listen::{Accepted, Listener, ListenerOptions, ListenerState, accept, arrive},
    memory,
    transport::{ANSWERS_A_TURN, Stream, Tap, TlsSettings, between},
    trim::Trimmer,
    worker::{ConnectRate, Gate, Lines, NetLimits, NetShared, PublishRates, Through, Ticket, Worker},
};
use crate::{
    clock::{Clock, Stopwatch},
    platform::{self, AsyncUnixStream},
    router::{Condition, Count, Event, Peer, Router, RouterThread, SysTopics},
    trace::Traces,
    types::Endpoint,
};

enum Command {
    /// Without options, MQTT from the first byte.
    Connection(Accepted, Peer, Option<Arc<ListenerOptions>>, Ticket),
    Listener(Listener, Arc<ListenerState>, Arc<Vec<mpsc::UnboundedSender<Command>>>),
    /// A connection that was accepted elsewhere; it counts as one of this listener.
    Adopted(std::net::TcpStream, Peer, Arc<ListenerState>),
    /// Closes the listener with this number, then drops the sender.
    Close(u16, oneshot::Sender<()>),
    /// From now on, verify client certificates of the listener with this number by these settings.
    Judge(u16, Box<TlsSettings>),
    /// Asks for an answer.
    Ping(std::sync::mpsc::Sender<()>),
    /// A test turns the clock: tells that no connection has its turn, and waits until it is turned. For so long the
    /// deadlines of connections are as they were.
    Turn(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<Duration>),
    /// Runs due jobs, then drops the sender.
    Due(std::sync::mpsc::Sender<()>),
    /// Stop accepting, write output for at most this long, then end.
    Stop(Duration),
}

/// The worker threads of a server.
pub struct Workers {
    shared: Arc<NetShared>,
    senders: Arc<Vec<mpsc::UnboundedSender<Command>>>,
    threads: Vec<JoinHandle<()>>,
    listeners: Mutex<HashMap<u16, Arc<ListenerState>>>,
}

impl Workers {
    /// Starts `count` threads, at least one. `clock`: for all their timers; `tap`: what all connections go through.
    pub(crate) fn start(
        router: Arc<Router>,
        limits: NetLimits,
        count: usize,
        clock: Clock,
        tap: Option<Arc<dyn Tap>>,
    ) -> io::Result<Self> {
        let (rates, connects) = (PublishRates::default(), ConnectRate::default());
        rates.limits_changed(&limits);
        let limits = ArcSwap::from_pointee(limits);
        let lines = Lines::new(clock.clone());
        let (gate, traces) = (Gate::default(), Arc::new(Traces::new(clock.clone())));
        let shared = Arc::new(NetShared { router, clock, limits, gate, rates, connects, lines, tap, traces });
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count.max(1)).map(|_| mpsc::unbounded_channel()).unzip();
        let mut workers = Self { shared, senders: Arc::new(senders), threads: Vec::new(), listeners: Mutex::default() };
        for (index, commands) in receivers.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            let shared = workers.shared.clone();
            let thread = std::thread::Builder::new()
                .name(format!("dunlin-{index}"))
                .spawn(move || runtime.block_on(run(shared, index, commands)))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Accepts connections from a bound listener until it is closed or the threads stop. `number`: the
    /// [`Peer::listener`] of its connections; an earlier listener with this number is closed.
    pub fn listen(&self, number: u16, listener: Listener, listener_options: ListenerOptions) {
        self.tell(number, listener.endpoint(), &listener_options);
        let state = Arc::new(ListenerState::new(number, listener.endpoint().clone(), listener_options));
        self.listeners.lock().insert(number, state.clone());
        self.send(0, Command::Listener(listener, state, self.senders.clone()));
    }

    /// Sets the options for new connections of a listener. Existing connections keep theirs, unless their client
    /// certificate is not valid any more. Does nothing if there is no such listener.
    pub fn replace(&self, number: u16, listener_options: ListenerOptions) {
        let state = self.listeners.lock().get(&number).cloned();
        if let Some(state) = state {
            self.tell(number, &state.endpoint, &listener_options);
            if let Some(settings) = listener_options.tls.as_ref().filter(|tls| tls.asks_clients()) {
                for index in 0..self.senders.len() {
                    self.send(index, Command::Judge(number, settings.clone().into()));
                }
            }
            state.replace(listener_options);
        }
    }

    /// Tells other parts about a listener: its name for the log, and its rates.
    fn tell(&self, number: u16, endpoint: &Endpoint, listener_options: &ListenerOptions) {
        self.shared.lines.name_listener(number, listener_options.name(endpoint), endpoint.clone());
        self.shared.rates.listener_changed(number, listener_options.rates, &self.shared.limits.load());
    }

    /// Closes a listener; its connections continue. The address is free when the returned future completes. `None`:
    /// there is no such listener.
    pub fn close(&self, number: u16) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.listeners.lock().remove(&number)?;
        let (closed, wait) = oneshot::channel();
        self.send(0, Command::Close(number, closed));
        Some(async {
            // an error means the same: the sender was dropped
            let _ = wait.await;
        })
    }

    /// Serves MQTT over WebSocket on sockets that are accepted elsewhere, as connections of a listener with this number
    /// and name.
    pub fn adopt(&self, number: u16, name: &str, endpoint: &Endpoint) -> Adoption {
        let options = Adoption::options();
        self.shared.lines.name_listener(number, name.to_owned(), endpoint.clone());
        self.shared.rates.listener_changed(number, options.rates, &self.shared.limits.load());
        let (senders, next) = (self.senders.clone(), AtomicUsize::new(0));
        let deal = move |socket, peer, state| {
            let next = next.fetch_add(1, Ordering::Relaxed) % senders.len();
            // if the thread has ended, the socket closes
            let _ = senders[next].send(Command::Adopted(socket, peer, state));
        };
        Adoption::new(ListenerState::new(number, endpoint.clone(), options), Box::new(deal))
    }

    /// The traces of packets of its connections.
    pub(crate) fn traces(&self) -> Arc<Traces> {
        self.shared.traces.clone()
    }

    /// A handle to ask whether the threads respond.
    pub fn pings(&self) -> Pings {
        Pings { senders: self.senders.clone() }
    }

    /// Turns the clock forward for a test, while no thread serves a connection. `skipped`: how much of that does not
    /// count for the deadlines of connections, which are the Keep Alive and others of sockets. Blocks until all that
    /// became due has been done, but for what connections do in the turns that they got.
    pub(crate) fn turn(&self, skipped: Duration, turn: impl FnOnce()) {
        let (stands, all_stand) = std::sync::mpsc::channel();
        let mut waiting = Vec::new();
        for index in 0..self.senders.len() {
            let (go, turned) = std::sync::mpsc::channel();
            self.send(index, Command::Turn(stands.clone(), turned));
            waiting.push(go);
        }
        drop(stands);
        let threads = all_stand.iter().take(waiting.len()).count();
        turn();
        // a thread that has ended waits for nothing
        waiting.iter().for_each(|go| _ = go.send(skipped));
        let (done, all_done) = std::sync::mpsc::channel::<()>();
        (0..threads).for_each(|index| self.send(index, Command::Due(done.clone())));
        drop(done);
        all_done.iter().for_each(drop);
    }

    /// Sets new limits, which connections apply from their next turn on.
    pub fn set_limits(&self, limits: NetLimits) {
        self.shared.rates.limits_changed(&limits);
        self.shared.limits.store(Arc::new(limits));
    }

    /// Stops accepting, writes output for at most `grace`, closes all connections and ends the threads. Blocks until
    /// they have ended.
    pub fn stop(&mut self, grace: Duration) {
        for index in 0..self.senders.len() {
            self.send(index, Command::Stop(grace));
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        self.shared.lines.sum_up_rest();
        self.shared.router.sum_up_denials();
    }

    fn send(&self, index: usize, command: Command) {
        // a thread that has ended needs no commands
        let _ = self.senders[index].send(command);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// Asks the threads of a server whether they respond, also while another thread uses the [`Workers`].
#[derive(Clone)]
pub struct Pings {
    senders: Arc<Vec<mpsc::UnboundedSender<Command>>>,
}

impl Pings {
    /// Does every thread answer within this time? Blocks until then.
    pub fn are_answered(&self, within: Duration) -> bool {
        let asking = Stopwatch::start();
        let (answer, answers) = std::sync::mpsc::channel();
        let asked = self.senders.iter().all(|sender| sender.send(Command::Ping(answer.clone())).is_ok());
        // threads that have ended do not answer
        drop(answer);
        let answered = |_| answers.recv_timeout(within.saturating_sub(asking.took())).is_ok();
        asked && self.senders.iter().all(answered)
    }
}

/// The main loop of a thread.
async fn run(shared: Arc<NetShared>, index: usize, mut commands: mpsc::UnboundedReceiver<Command>) {
    let now = shared.clock.now();
    let worker = Worker::new(shared.clone(), vec![0; SHARED_BUFFER], ANSWERS_A_TURN, now);
    let idle = worker.idle.clone();
    worker.begin();
    let mut deadlines = tokio::spawn(watch_deadlines(shared.clone()));
    let large_writes = tokio::spawn(give_turns_to_large_writes());
    let housekeeper = (index == 0).then(|| tokio::spawn(housekeeping(shared.clone())));
    let mut listeners = HashMap::<u16, tokio::task::JoinHandle<()>>::new();
    let mut dealt = 0;
    let grace = loop {
        match commands.recv().await {
            Some(Command::Connection(socket, peer, listener_options, ticket)) => {
                if let Err(error) = spawn_connection(&shared, socket, peer, listener_options, ticket) {
                    shared.gate.left(peer.listener);
                    tracing::warn!(%peer, %error, "connection not served");
                }
                // serve accepted sockets before accepting more
                dealt += 1;
                if dealt % 32 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Some(Command::Adopted(socket, peer, state)) => adopt(&shared, socket, peer, &state),
            Some(Command::Listener(listener, state, senders)) => {
                let number = state.listener;
                // round robin, starting again with each listener: few listeners, many connections
                let mut next = 0;
                let deal = move |socket, peer, listener_options, ticket| {
                    // if the thread has ended, the socket closes
                    let _ = senders[next].send(Command::Connection(socket, peer, listener_options, ticket));
                    next = (next + 1) % senders.len();
                };
                let accepting = tokio::spawn(accept(listener, shared.clone(), state, deal));
                if let Some(before) = listeners.insert(number, accepting) {
                    before.abort();
                }
            }
            Some(Command::Close(number, closed)) => {
                if let Some(accepting) = listeners.remove(&number) {
                    accepting.abort();
                    // the only error is the abort, which closes the socket
                    let _ = accepting.await;
                }
                drop(closed);
            }
            Some(Command::Judge(listener, settings)) => judge_anew(&shared, listener, *settings),
            Some(Command::Ping(answer)) => answer_ping(&answer).await,
            Some(Command::Turn(stands, turned)) => stand_until_turned(&shared, &stands, &turned),
            Some(Command::Due(done)) => {
                do_all_that_is_due(&shared, index == 0);
                answer_ping(&done).await;
            }
            Some(Command::Stop(grace)) => break grace,
            None => break Duration::ZERO,
        }
    };
    listeners.values().for_each(|task| task.abort());
    let connections: Vec<_> = Worker::with(|worker| {
        (worker.draining, worker.patience) = (true, draining::patience(grace));
        worker.deadlines.all().collect()
    });
    // it may sleep until an earlier deadline
    deadlines.abort();
    deadlines = tokio::spawn(watch_deadlines(shared.clone()));
    if !connections.is_empty() {
        connections.into_iter().for_each(|waker| waker.wake());
        // after the grace period, the remaining output is lost
        let _ = shared.clock.timeout(grace, pin!(idle.notified())).await;
    }
    Worker::with(|worker| shared.router.tidy(&mut worker.local));
    deadlines.abort();
    large_writes.abort();
    if let Some(task) = housekeeper {
        task.abort();
    }
}

/// Verifies client certificates of a listener by these settings from now on. Connected clients are verified again, a
/// few at a time, because each takes the check of a signature and other connections need turns.
fn judge_anew(shared: &Arc<NetShared>, listener: u16, settings: TlsSettings) {
    const AT_ONCE: usize = 16;
    const EVERY: Duration = Duration::from_millis(10);
    let connections: Vec<_> = Worker::with(|worker| {
        worker.judges.change(listener, settings);
        worker.deadlines.all().collect()
    });
    let shared = shared.clone();
    tokio::spawn(async move {
        for some in connections.chunks(AT_ONCE) {
            some.iter().for_each(Waker::wake_by_ref);
            shared.clock.sleep(EVERY).await;
        }
    });
}

/// The thread answers only after its ready connections had a turn.
async fn answer_ping(answer: &std::sync::mpsc::Sender<()>) {
    tokio::task::yield_now().await;
    // the asker may have given up
    let _ = answer.send(());
}

/// Counts a connection that was accepted elsewhere, and applies the limits of connections to it.
fn adopt(shared: &Arc<NetShared>, socket: std::net::TcpStream, peer: Peer, state: &ListenerState) {
    Worker::with(|worker| worker.local.count(Count::SocketsOpened, 1));
    let entered = match shared.router.refuses_connections() {
        true => Err((Count::RefusedMemory, "the process has nearly limits.max_memory")),
        false => {
            let (from, limits) = (state.unproxied(peer.address), shared.limits.load());
            let through = Through { listener: peer.listener, most: None };
            shared.gate.enter(through, from, state.connecting_bytes(), &limits, shared.clock.now())
        }
    };
    let ticket = match entered {
        Ok(ticket) => ticket,
        Err((counter, reason)) => {
            Worker::with(|worker| worker.local.count(counter, 1));
            return tracing::debug!(%peer, reason, "connection closed at once");
        }
    };
    if let Err(error) = spawn_connection(shared, Accepted::Tcp(socket), peer, state.listener_options(), ticket) {
        shared.gate.left(peer.listener);
        tracing::warn!(%peer, %error, "connection not served");
    }
}

/// Blocks the thread between two turns of its connections, so that none sees the clock turned and its deadlines not.
#[cold]
fn stand_until_turned(
    shared: &NetShared,
    stands: &std::sync::mpsc::Sender<()>,
    turned: &std::sync::mpsc::Receiver<Duration>,
) {
    let _ = stands.send(());
    let Ok(skipped) = turned.recv() else { return };
    Worker::with(|worker| {
        worker.deadlines.skip(skipped);
        worker.look_at_wall(shared.clock.now());
    });
}

/// Wakes the connections of this thread whose deadlines have passed; on the thread that does the housekeeping, also
/// ends sessions, publishes Wills and removes messages, until nothing is left.
#[cold]
fn do_all_that_is_due(shared: &NetShared, keeps_house: bool) {
    let now = shared.clock.now();
    let mut due = Vec::new();
    Worker::with(|worker| {
        worker.deadlines.due(now, &mut due);
        if keeps_house {
            shared.router.refresh(&mut worker.local, now);
            // a plug-in that panics must not end this
            let _ = worker.local.finish(|local| while do_what_is_due(&shared.router, local, now) {});
            worker.local.wake();
        }
    });
    due.into_iter().for_each(Waker::wake);
}

fn spawn_connection(
    shared: &Arc<NetShared>,
    socket: Accepted,
    peer: Peer,
    listener_options: Option<Arc<ListenerOptions>>,
    ticket: Ticket,
) -> io::Result<()> {
    match (socket, listener_options) {
        (Accepted::Tcp(socket), None) => {
            begin(shared, tokio::net::TcpStream::from_std(socket)?, (peer, ticket), None)?;
        }
        (Accepted::Tcp(socket), Some(listener_options)) => {
            let socket = tokio::net::TcpStream::from_std(socket)?;
            tokio::spawn(arrive(shared.clone(), listener_options, socket, peer, ticket));
        }
        // a Unix socket has no steps before MQTT
        (Accepted::Unix(socket), options) => {
            let prefix = options.and_then(|options| options.mount_point.clone());
            begin(shared, AsyncUnixStream::from_std(socket)?, (peer, ticket), prefix)?;
        }
    }
    Ok(())
}

/// Serves a connection by a task of its own.
fn begin<S: Stream + Send + 'static>(
    shared: &NetShared,
    socket: S,
    (peer, ticket): (Peer, Ticket),
    prefix: Option<Arc<str>>,
) -> io::Result<()> {
    if shared.tap.is_none() && prefix.is_none() {
        drop(tokio::spawn(Connection::new(socket, peer, ticket)));
        return Ok(());
    }
    let longest = shared.limits.load().max_packet_size;
    let Some(socket) = between(socket, &peer, shared.tap.as_deref(), (prefix.as_ref(), longest)) else {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "refused by a fault that is set"));
    };
    drop(tokio::spawn(Connection::new(socket, peer, ticket)));
    Ok(())
}

/// Wakes connections whose deadline has passed.
async fn watch_deadlines(shared: Arc<NetShared>) {
    /// How late a new deadline may be noticed.
    const AT_MOST: Duration = Duration::from_secs(1);
    /// The same during shutdown.
    const AT_MOST_DRAINING: Duration = Duration::from_millis(100);
    /// Least time between two passes over the deadlines.
    const AT_LEAST: Duration = Duration::from_millis(20);
    const TIDY_EVERY: Duration = Duration::from_secs(10);
    let mut due = Vec::new();
    let clock = &shared.clock;
    let mut tidied = clock.now();
    loop {
        let now = clock.now();
        let (next, at_most) = Worker::with(|worker| {
            if now - tidied >= TIDY_EVERY {
                shared.router.tidy(&mut worker.local);
                tidied = now;
            }
            worker.look_at_wall(now);
            (worker.deadlines.due(now, &mut due), if worker.draining { AT_MOST_DRAINING } else { AT_MOST })
        });
        due.drain(..).for_each(|waker: Waker| waker.wake());
        let next = next.map_or(now + at_most, |next| next.clamp(now + AT_LEAST, now + at_most));
        clock.sleep_until(next).await;
    }
}

/// Wakes connections of this thread that wait for their turn to write much.
async fn give_turns_to_large_writes() {
    let awaited = Worker::with(|worker| worker.large_writes.awaited.clone());
    let mut next = Vec::new();
    loop {
        if next.is_empty() {
            awaited.notified().await;
        }
        // ready sockets come before the connections that are woken below
        tokio::task::yield_now().await;
        next = Worker::with(|worker| {
            let next = worker.large_writes.next();
            next.into_iter().filter_map(|key| worker.deadlines.waker(key)).collect()
        });
        next.iter().for_each(Waker::wake_by_ref);
    }
}

/// Publishes `$SYS` and waiting Wills, ends expired sessions, removes expired messages.
async fn housekeeping(shared: Arc<NetShared>) {
    const EVERY: Duration = Duration::from_millis(500);
    const SUM_UP_EVERY: Duration = Duration::from_secs(60);
    const MEASURE_EVERY: Duration = Duration::from_secs(1);
    /// Interval while expired retained messages are left.
    const SOON: Duration = Duration::from_millis(10);
    let NetShared { router, clock, .. } = &*shared;
    let mut sys = SysTopics::new(clock.now());
    let mut published: Option<Instant> = None;
    let mut summed_up = clock.now();
    let (mut measured, mut trimmer) = (None, Trimmer::new(clock.now()));
    let mut condition = Condition::Ready;
    loop {
        let now = clock.now();
        router.sum_up_queues();
        tell_condition(router, &mut condition);
        if measured.is_none_or(|last| now - last >= MEASURE_EVERY) {
            measured = Some(now);
            let is_short = memory::of_process().resident.is_some_and(|resident| router.note_memory(resident));
            if trimmer.is_due(work(router), is_short, now) {
                platform::trim();
            }
        }
        let interval = shared.limits.load().sys_interval;
        let mut every = EVERY;
        Worker::with(|worker| {
            router.refresh(&mut worker.local, now);
            // a plug-in that panics must not end the housekeeping
            worker.local.finish(|local| {
                if do_what_is_due(router, local, now) {
                    every = SOON;
                }
                if interval.is_some_and(|every| published.is_none_or(|last| now - last >= every)) {
                    sys.publish(router, local, memory::of_process(), now);
                    published = Some(now);
                }
            });
            worker.local.wake();
        });
        shared.lines.sum_up(now);
        if now - summed_up >= SUM_UP_EVERY {
            router.sum_up_denials();
            summed_up = now;
        }
        clock.sleep_until(now + every).await;
    }
}

/// Tells observers if the store's condition is another one than `before`.
fn tell_condition(router: &Router, before: &mut Condition) {
    let Some(now) = router.plugged_store().map(|store| store.condition()) else { return };
    if std::mem::replace(before, now) != now {
        router.tell_observers(&Event::Store(now));
    }
}

/// Ends sessions, publishes Wills, and moves and removes messages that are due. `true`: there is more.
pub(super) fn do_what_is_due(router: &Router, local: &mut RouterThread, now: Instant) -> bool {
    /// Most Wills and sessions in one step, so that connections of this thread get turns.
    const AT_ONCE: usize = 10_000;
    /// Most expired retained messages in one step.
    const RETAINED: usize = 2_048;
    /// Most sessions that are searched for expired messages in one step.
    const EXPIRING: usize = 2_000;
    /// Most messages of groups that are moved in one step.
    const MOVED: usize = 10_000;
    router.expire_sessions(local, now, AT_ONCE);
    router.publish_due_wills(local, AT_ONCE);
    router.requeue_waiting(local, now, MOVED);
    router.drop_expired(local, now, EXPIRING);
    router.remove_expired(local, now, RETAINED)
}

/// The work since the start: packets, and KiB of messages. An ended connection or an expired session frees as much as
/// some of them.
fn work(router: &Router) -> u64 {
    const OF_ONE: u64 = 20;
    let count = |count| router.counters().get(count);
    let packets = count(Count::MessagesReceived) + count(Count::MessagesSent);
    let bytes = count(Count::PublishBytesReceived) + count(Count::PublishBytesSent);
    packets + bytes / 1024 + OF_ONE * (count(Count::Disconnects) + count(Count::SessionsExpired))
}
