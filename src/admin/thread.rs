//! [`Admin`]: the thread that serves HTTP, its listeners, and what the server tells it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Weak, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use axum::Router as Routes;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, oneshot},
};

use super::{
    admission::Rules,
    audit::AuditFile,
    bound::{Bound, Socket},
    control::{Control, TakeSocket},
    routes,
    rules::Via,
    sampling,
    secure::Secure,
    serving::{LONGEST_HEAD, serve},
    sniff,
    state::{Broker, Desk, Reload, State},
    ticks::Probe,
};
use crate::{
    clock::Clock,
    inside::Inside,
    router::{
        Observe, Router,
        inspect::{EventStreams, Operator},
    },
    types::Endpoint,
};

/// The HTTP side of a server; it ends with this value.
pub struct Admin {
    state: Arc<State>,
    /// Where everything is served.
    endpoints: Vec<Endpoint>,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Another server serves the [routes](Self::routes).
    by_another: bool,
}

impl Admin {
    /// Serves what can be served before there is a broker: that it starts.
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
            // all ends with the runtime
            let _ = stopped.await;
        };
        let thread = std::thread::Builder::new().name("dunlin-http".into());
        let thread = thread.spawn(move || {
            runtime.block_on(serving);
            // a check of threads that hang is left behind
            runtime.shutdown_background();
        })?;
        Ok(Self { state, endpoints, thread: Some((stop, thread)), by_another: false })
    }

    /// Everything that is served, for a server in front of this one; on its thread it may wait, and not block.
    pub(crate) fn routes(&self) -> Routes {
        routes::all(&self.state)
    }

    /// Another server serves the [routes](Self::routes). To be said before [`observer`](Self::observer) is asked for.
    pub(crate) fn serve_by_another(&mut self) {
        self.by_another = true;
    }

    /// Where everything is served.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What was stored is restored, and this is the broker from now on. To be called once.
    pub fn restored(&self, router: Arc<Router>, probe: Probe) {
        let _ = self.state.broker.set(Broker { router, probe });
    }

    /// The observers of events; none: no client could ask for them.
    pub fn observers(&self) -> Vec<Arc<dyn Observe>> {
        if !self.by_another && self.endpoints.is_empty() {
            return Vec::new();
        }
        vec![self.state.closed.clone(), self.state.topics.clone(), self.state.slow.clone()]
    }

    /// By this the API acts from now on. To be called once.
    pub fn serves(
        &self,
        operator: Arc<Operator>,
        inside: Arc<Inside>,
        events: Arc<EventStreams>,
        control: Arc<dyn Control>,
    ) {
        let _ = self.state.desk.set(Desk { operator, inside, events, control });
    }

    /// Connections that ask for MQTT over WebSocket are handed over to this from now on. To be called once.
    pub fn adopts(&self, take: TakeSocket) {
        let _ = self.state.mqtt.set(take);
    }

    /// All listeners accept.
    pub fn listening(&self) {
        self.state.listening.store(true, Ordering::Release);
    }

    /// These listeners have certificates, which end at these times.
    pub fn certificates(&self, all: Vec<(String, SystemTime)>) {
        self.state.certificates.store(Arc::new(all));
    }

    /// Connections that come from now on speak TLS by this, or do not.
    pub fn secure(&self, secure: Option<Arc<dyn Secure>>) {
        self.state.secure.store(secure.map(Arc::new));
    }

    /// A shutdown begins.
    pub fn stopping(&self) {
        self.state.stopping.store(true, Ordering::Release);
    }

    /// Other rules are in force from now on.
    /// Gives what became of keys, a line each.
    pub fn replace(&self, rules: Rules) -> Vec<String> {
        self.state.replace(rules)
    }

    /// What is written is noted in this file from now on. `remembers`: what it has in its end is told, too.
    pub fn audit_to(&self, file: Option<AuditFile>, remembers: bool) {
        self.state.audit.write_to(file);
        if remembers {
            self.state.audit.remember();
        }
    }

    /// Opens that file again.
    pub fn reopen_audit(&self) {
        self.state.audit.reopen();
    }

    /// By which another part of the server replaces rules.
    pub fn handle(&self) -> Handle {
        Handle(Arc::downgrade(&self.state))
    }

    /// Another configuration was put in force, or was not.
    pub fn reloaded(&self, succeeded: bool) {
        self.state.reload.store(Arc::new(Reload { succeeded, at: self.state.clock.wall() }));
    }
}

/// Replaces rules of an [`Admin`], if it is still there.
#[derive(Clone)]
pub struct Handle(Weak<State>);

impl Handle {
    /// Other rules are in force from now on.
    pub fn replace(&self, rules: Rules) {
        if let Some(state) = self.0.upgrade() {
            state.replace(rules);
        }
    }

    /// Users or their passwords may be others than before.
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

/// Accepts connections, as many as there is room for, and serves each in a task of its own.
async fn listen(bound: Bound, routes: Routes, state: Arc<State>) {
    // its file goes when this task does
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
                tokio::spawn(async move {
                    match secure {
                        None => meet(socket, (peer, local), routes, clock, state_of).await,
                        Some(secure) => match clock.timeout(LONGEST_HANDSHAKE, secure.accept(socket)).await {
                            Ok(Ok(stream)) => serve(stream, Via::Tcp(peer), routes, clock, LONGEST_HEAD).await,
                            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with a client of HTTP"),
                            Err(_) => tracing::debug!(%peer, "no TLS with a client of HTTP: it took too long"),
                        },
                    }
                    drop(place);
                });
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(socket, _)| {
                tokio::spawn(async move {
                    serve(socket, Via::Unix, routes, clock, LONGEST_HEAD).await;
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

/// Serves a connection of TCP: HTTP, unless it asks for MQTT first.
async fn meet(
    socket: TcpStream,
    (peer, local): (SocketAddr, bool),
    routes: Routes,
    clock: Clock,
    state: Option<Arc<State>>,
) {
    let began = clock.now();
    if let Some(state) = &state
        && sniff::asks_for_mqtt(&socket, state).await
        && let Some(take) = state.mqtt.get()
    {
        match socket.into_std() {
            Ok(socket) => take(socket, peer, local),
            Err(error) => tracing::debug!(%peer, %error, "connection not handed over"),
        }
        return;
    }
    let left = LONGEST_HEAD.saturating_sub(clock.now().saturating_duration_since(began)).max(LEAST);
    serve(socket, Via::Tcp(peer), routes, clock, left).await;
}

/// For a head that was waited for already.
const LEAST: Duration = Duration::from_millis(1);

enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    fn of(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Socket::Unix(socket) => Self::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }
}

/// Connections of one listener at a time; further ones wait in the system's queue.
const MOST_CONNECTIONS: usize = 256;

/// A client that has not come as far as HTTP by then is closed.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

/// After an error of accepting, such as that there are no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
