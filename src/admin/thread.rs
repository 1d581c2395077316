//! [`Admin`]: the HTTP thread, its listeners, and notifications from the server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use axum::Router as Routes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

use super::{
    admission::Rules,
    audit::AuditFile,
    bound::{Bound, Socket},
    control::{Control, TakeSocket},
    routes,
    rules::Via,
    sampling,
    secure::{Duplex, Secure},
    serving::{LONGEST_HEAD, serve},
    sniff,
    state::{Broker, Desk, Reload, State},
    ticks::Probe,
};
use crate::{
    clock::Clock,
    inside::Inside,
    platform::AsyncUnixListener,
    router::{
        Observe, Router,
        inspect::{EventStreams, Operator},
    },
    trace::Traces,
    types::Endpoint,
};

/// The HTTP side of a server; dropping it ends the thread.
pub struct Admin {
    state: Arc<State>,
    /// Addresses with all routes.
    endpoints: Vec<Endpoint>,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Another server serves what is [behind](Self::behind) it.
    by_another: bool,
}

impl Admin {
    /// Starts to serve. Until [`restored`](Self::restored) is called, answers tell that the broker starts.
    pub fn start(bound: Vec<Bound>, rules: Rules, secure: Option<Arc<dyn Secure>>, clock: Clock) -> io::Result<Self> {
        let all = bound.iter().filter(|one| !one.checks_alone);
        let endpoints: Vec<Endpoint> = all.map(|one| one.endpoint.clone()).collect();
        let state = Arc::new(State::new(rules, clock, &endpoints));
        state.secure.store(secure.map(Arc::new));
        if bound.is_empty() {
            return Ok(Self { state, endpoints, thread: None, by_another: false });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = state.clone();
        let serving = async move {
            let (all, checks) = (routes::all(&shared), routes::checks(&shared));
            for one in bound {
                let routes = if one.checks_alone { &checks } else { &all };
                tokio::spawn(listen(one, routes.clone(), shared.clone()));
            }
            tokio::spawn(sampling::keep(shared));
            // the runtime ends all tasks
            let _ = stopped.await;
        };
        let thread = std::thread::Builder::new().name("dunlin-http".into());
        let thread = thread.spawn(move || {
            runtime.block_on(serving);
            // a blocked health check is left behind
            runtime.shutdown_background();
        })?;
        Ok(Self { state, endpoints, thread: Some((stop, thread)), by_another: false })
    }

    /// What a server in front of this one serves. Handlers run on its thread and never block it.
    pub(crate) fn behind(&self) -> Behind {
        Behind { routes: routes::all(&self.state), state: self.state.clone() }
    }

    /// Another server will serve what is [behind](Self::behind) it. Call it before [`observers`](Self::observers).
    pub(crate) fn serve_by_another(&mut self) {
        self.by_another = true;
        self.state.is_bench.store(true, Ordering::Release);
    }

    /// Addresses with all routes.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The stored state is restored. Call it once.
    pub fn restored(&self, router: Arc<Router>, probe: Probe) {
        let _ = self.state.broker.set(Broker { router, probe });
    }

    /// The observers that the API needs; none if no client could ask for them.
    pub fn observers(&self) -> Vec<Arc<dyn Observe>> {
        if !self.by_another && self.endpoints.is_empty() {
            return Vec::new();
        }
        vec![self.state.closed.clone(), self.state.topics.clone(), self.state.feed.clone(), self.state.slow.clone()]
    }

    /// Sets the interfaces that the API acts through. Call it once.
    pub fn serves(
        &self,
        operator: Arc<Operator>,
        inside: Arc<Inside>,
        (events, traces): (Arc<EventStreams>, Arc<Traces>),
        control: Arc<dyn Control>,
    ) {
        let _ = self.state.desk.set(Desk { operator, inside, events, traces, control });
    }

    /// Sets the receiver of connections that ask for MQTT over WebSocket. Call it once.
    pub fn adopts(&self, take: TakeSocket) {
        let _ = self.state.mqtt.set(take);
    }

    /// All listeners accept clients.
    pub fn listening(&self) {
        self.state.listening.store(true, Ordering::Release);
    }

    /// Sets the listeners with certificates, and the certificates' expiry.
    pub fn certificates(&self, all: Vec<(String, SystemTime)>) {
        self.state.certificates.store(Arc::new(all));
    }

    /// Sets or removes TLS for future connections.
    pub fn secure(&self, secure: Option<Arc<dyn Secure>>) {
        self.state.secure.store(secure.map(Arc::new));
    }

    /// A shutdown begins.
    pub fn stopping(&self) {
        self.state.stopping.store(true, Ordering::Release);
    }

    /// Puts other rules in force. Returns what changed in keys, one line each.
    pub fn replace(&self, rules: Rules) -> Vec<String> {
        self.state.replace(rules)
    }

    /// Sets the file of the audit log. `remembers`: its last lines are loaded.
    pub fn audit_to(&self, file: Option<AuditFile>, remembers: bool) {
        self.state.audit.write_to(file);
        if remembers {
            self.state.audit.remember();
        }
    }

    /// Reopens the file of the audit log.
    pub fn reopen_audit(&self) {
        self.state.audit.reopen();
    }

    /// A handle with which another part of the server replaces rules.
    pub fn handle(&self) -> Handle {
        Handle(Arc::downgrade(&self.state))
    }

    /// Records the result of a reload.
    pub fn reloaded(&self, succeeded: bool) {
        self.state.reload.store(Arc::new(Reload { succeeded, at: self.state.clock.wall() }));
    }
}

/// What a server in front of an [`Admin`] serves in its place.
#[derive(Clone)]
pub(crate) struct Behind {
    routes: Routes,
    state: Arc<State>,
}

impl Behind {
    /// All routes.
    pub(crate) fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Serves MQTT if the first request of this connection asks for it, and may; otherwise returns the connection.
    /// `clock`: the one by which the server in front waits.
    pub(crate) async fn take_mqtt(
        &self,
        socket: TcpStream,
        (peer, local): (SocketAddr, bool),
        clock: &Clock,
    ) -> Option<TcpStream> {
        hand_over(socket, (peer, local), &self.state, clock).await
    }
}

/// Replaces the rules of an [`Admin`] that still runs.
#[derive(Clone)]
pub struct Handle(Weak<State>);

impl Handle {
    /// Puts other rules in force.
    pub fn replace(&self, rules: Rules) {
        if let Some(state) = self.0.upgrade() {
            state.replace(rules);
        }
    }

    /// Users or passwords may have changed.
    pub fn logins_changed(&self) {
        if let Some(state) = self.0.upgrade() {
            state.logins_changed();
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// Accepts connections, up to a limit, and serves each in its own task.
async fn listen(bound: Bound, routes: Routes, state: Arc<State>) {
    // the socket's file is removed when this task ends
    let Bound { socket, endpoint, kept: _kept, checks_alone } = bound;
    let local = endpoint.is_loopback();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let listener = match Listener::of(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(address = %endpoint, %error, "cannot serve HTTP"),
    };
    loop {
        // it is never closed
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let (routes, clock) = (routes.clone(), state.clock.clone());
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(socket, peer)| {
                let state_of = (!checks_alone).then(|| state.clone());
                let secure = state.secure.load_full().filter(|_| !checks_alone);
                let state = state.clone();
                tokio::spawn(async move {
                    match secure {
                        None => meet(socket, (peer, local), routes, clock, state_of).await,
                        Some(secure) => match clock.timeout(LONGEST_HANDSHAKE, secure.accept(socket)).await {
                            Ok(Ok(stream)) => {
                                return meet_secure(stream, (peer, local), routes, (clock, state), place).await;
                            }
                            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake of an HTTP client failed"),
                            Err(_) => tracing::debug!(%peer, "TLS handshake of an HTTP client timed out"),
                        },
                    }
                    drop(place);
                });
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(socket, _)| {
                tokio::spawn(async move {
                    serve(Box::new(socket), Via::Unix, routes, clock, LONGEST_HEAD).await;
                    drop(place);
                });
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(address = %endpoint, %error, "cannot accept an HTTP connection");
            state.clock.sleep(PAUSE).await;
        }
    }
}

/// Serves a TCP connection: HTTP, or MQTT over WebSocket if the first request asks for it.
async fn meet(
    socket: TcpStream,
    (peer, local): (SocketAddr, bool),
    routes: Routes,
    clock: Clock,
    state: Option<Arc<State>>,
) {
    let began = clock.now();
    let socket = match &state {
        Some(state) => hand_over(socket, (peer, local), state, &clock).await,
        None => Some(socket),
    };
    let Some(socket) = socket else { return };
    let left = LONGEST_HEAD.saturating_sub(clock.now().saturating_duration_since(began)).max(LEAST);
    serve(Box::new(socket), Via::Tcp(peer), routes, clock, left).await;
}

/// Hands a connection over to the threads that serve MQTT if its first request asks for that, and may. Otherwise it is
/// returned.
async fn hand_over(
    socket: TcpStream,
    (peer, local): (SocketAddr, bool),
    state: &State,
    clock: &Clock,
) -> Option<TcpStream> {
    if !sniff::asks_for_mqtt(&socket, state, clock).await {
        return Some(socket);
    }
    let Some(take) = state.mqtt.get() else { return Some(socket) };
    match socket.into_std() {
        Ok(socket) => take(socket, peer, local),
        Err(error) => tracing::debug!(%peer, %error, "connection not handed over"),
    }
    None
}

/// Serves a TLS connection. The threads that serve MQTT take sockets: this task hands over one of a connected pair, and
/// copies bytes between the other one and the client.
async fn meet_secure(
    mut stream: Box<dyn Duplex>,
    (peer, local): (SocketAddr, bool),
    routes: Routes,
    (clock, state): (Clock, Arc<State>),
    place: OwnedSemaphorePermit,
) {
    let Some((head, asks)) = sniff::begins(&mut *stream, &state).await else { return };
    let (reading, mut writing) = tokio::io::split(stream);
    let mut reading = io::Cursor::new(head).chain(reading);
    let Some(take) = state.mqtt.get().filter(|_| asks) else {
        // its first head is there
        let stream = tokio::io::join(reading, writing);
        serve(Box::new(stream), Via::Tcp(peer), routes, clock, LONGEST_HEAD).await;
        return drop(place);
    };
    // like a connection of a listener, it does not count against HTTP
    drop(place);
    let handed = pair().await.and_then(|(own, other)| Ok((own, other.into_std()?)));
    match handed {
        Ok((own, other)) => {
            take(other, peer, local);
            let (mut from_broker, mut to_broker) = own.into_split();
            tokio::select! {
                // the client has ended, or its connection is lost; the broker notices the end of its socket
                _ = tokio::io::copy(&mut reading, &mut to_broker) => {}
                // the broker has ended the connection
                _ = tokio::io::copy(&mut from_broker, &mut writing) => {
                    let _ = clock.timeout(FAREWELL, pin!(writing.shutdown())).await;
                }
            }
        }
        Err(error) => tracing::debug!(%peer, %error, "connection not handed over"),
    }
}

/// Two sockets connected to each other.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let own = TcpStream::connect(listener.local_addr()?).await?;
    own.set_nodelay(true)?;
    loop {
        let (other, from) = listener.accept().await?;
        // another process of this machine may have connected
        if from == own.local_addr()? {
            return Ok((own, other));
        }
    }
}

/// Least time limit, if the wait for a head used it up.
const LEAST: Duration = Duration::from_millis(1);

enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(AsyncUnixListener),
}

impl Listener {
    fn of(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Socket::Unix(socket) => Self::Unix(AsyncUnixListener::from_std(socket)?),
        })
    }
}

/// Most concurrent connections of a listener; further ones wait in the system's queue.
const MOST_CONNECTIONS: usize = 256;

/// Time limit of a TLS handshake.
/// The end of a TLS connection is written within this time.
const FAREWELL: Duration = Duration::from_secs(5);

const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// Pause after a failed accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
