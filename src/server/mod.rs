//! Wiring and shutdown: from a [`Config`] to a running broker.

mod access;
mod announce;
mod bans;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod bench;
mod bridges;
mod carry;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod check;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod command_error;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod commands;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod completions;
mod control;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod ctl;
mod desk;
mod edits;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod health;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod health_http;
mod http;
mod https;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod import;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod init;
mod inspection;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod key;
mod limits;
mod listeners;
mod machine;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod manual;
mod origin;
mod outward;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod passwords;
mod persistence;
mod policies;
mod pulse;
mod put_in_force;
mod ready_file;
mod relisten;
mod sinks;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
#[cfg_attr(windows, path = "no_starter_set.rs")]
mod starter_set;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
mod tls_client;
mod users;
mod watch;
mod webhooks;

pub use bans::{BanError, BansFileError};
pub(crate) use carry::users_of as users_of_export;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
pub use check::{check, check_files};
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
pub use command_error::{CommandError, InitError};
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
pub use commands::command;
use control::{Control, Serving};
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
pub use ctl::CtlError;
pub use desk::ReloadAsked;
use desk::{Desk, ReloadsAsked};
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
pub use health::HealthError;
pub use http::HttpError;

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use thiserror::Error;

use crate::{
    auth::{AuthError, InMemory},
    bridge::BridgeError,
    clock::Clock,
    config::{Config, ListenerConfig},
    hooks::HookError,
    inside::{Client, ClientError, Inside, InsideClient, Publication, PublishError, Published},
    net::{PassedSockets, Tap, Workers},
    router::{
        Authenticate, Authorize, Command, Counters, Event, Forward, Observe, Ports, Restored, Router, Store,
        inspect::{EventStreams, Operator},
    },
    store::{self, DiskStore},
    types::{Endpoint, QoS, Told},
};
use bans::BanDesk;
pub use bridges::BridgeConfigError;
use http::Http;
use limits::{net_limits, router_limits};
use listeners::{By, Listeners, OfListeners, Read, bind, bind_all};
pub use listeners::{ListenError, Listening};
pub use origin::OriginError;
use outward::Outward;
pub(crate) use persistence::sync_of;
pub use persistence::{MovedError, TakeOverError};
use policies::Policies;
pub use pulse::Pulse;
pub(crate) use ready_file::ReadyFile;
pub use ready_file::{ReadyFileError, remove_ready_file};
pub use watch::Watch;
pub use webhooks::WebhookConfigError;

/// A running broker. It has its own threads, until it is shut down or dropped.
pub struct Server {
    router: Arc<Router>,
    workers: Workers,
    /// The store behind the router's port; closed after the last append.
    store: Option<Arc<DiskStore>>,
    clock: Clock,
    listeners: Arc<Listeners>,
    addresses: Vec<SocketAddr>,
    /// Held during a reload, so that there is one at a time.
    config: Arc<tokio::sync::Mutex<Config>>,
    policies: Policies,
    ready_file: Mutex<Option<ReadyFile>>,
    http: Http,
    inside: Arc<Inside>,
    outward: Arc<Outward>,
    operator: Arc<Operator>,
    events: Arc<EventStreams>,
    desk: Arc<Desk>,
    reloads: ReloadsAsked,
    bans: Arc<BanDesk>,
}

/// Why a broker did not start, or did not accept a new configuration; then the previous one is completely in force.
#[derive(Debug, Error)]
pub enum ServerError {
    /// No listener is configured.
    #[error("no listener is configured: give --listen ADDR:PORT or a [[listener]] table")]
    NoListener,
    /// A problem in a file of users, rules or keys.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A listener cannot be opened, or cannot be changed.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// At a start: the store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// At a start: the bans cannot be read.
    #[error(transparent)]
    Bans(#[from] BansFileError),
    /// At a start: the store is in another directory.
    #[error(transparent)]
    Moved(#[from] MovedError),
    /// At a start: mosquitto's database cannot be imported.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// At a start: the threads cannot be started.
    #[error("cannot start the worker threads: {0}")]
    Threads(io::Error),
    /// HTTP cannot be served as configured.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A bridge cannot begin.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// The configuration of a bridge is not valid.
    #[error(transparent)]
    BridgeConfig(#[from] BridgeConfigError),
    /// A webhook cannot begin.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The configuration of a webhook is not valid.
    #[error(transparent)]
    WebhookConfig(#[from] WebhookConfigError),
    /// The name of the store in events of durable webhooks cannot be read.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The ready file cannot be written.
    #[error(transparent)]
    ReadyFile(#[from] ReadyFileError),
}

/// Builds a broker, with plug-ins of the embedding program.
#[derive(Default)]
pub struct Builder {
    config: Config,
    ports: Ports,
    syncs: persistence::Syncs,
    passed: Vec<(String, OwnedFd)>,
    progress: Arc<AtomicU64>,
    clock: Clock,
    in_memory: InMemory,
    http_by_another: Option<Endpoint>,
    tap: Option<Arc<dyn Tap>>,
    opened: Option<(Arc<DiskStore>, Restored)>,
}

impl Builder {
    /// A broker with this configuration.
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    /// Adds an observer of events.
    pub fn observe(mut self, observe: Arc<dyn Observe>) -> Self {
        self.ports.observe.push(observe);
        self
    }

    /// Authenticates clients, in place of `allow_anonymous`, users and tokens.
    pub fn authenticate(mut self, authenticate: Arc<dyn Authenticate>) -> Self {
        self.ports.authenticate = Some(authenticate);
        self
    }

    /// Authorizes clients, in place of `auth.acl_file`.
    pub fn authorize(mut self, authorize: Arc<dyn Authorize>) -> Self {
        self.ports.authorize = Some(authorize);
        self
    }

    /// Stores the state that must survive the process, in place of `data_dir`.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.ports.store = Some(store);
        self
    }

    /// Adds a delay to each fsync in `data_dir`, to simulate a slower disk: for tests.
    pub fn sync_delay(mut self, delay: Duration) -> Self {
        self.syncs.delay = delay;
        self
    }

    /// Writes one batch to `data_dir` at a time, on a slow disk too: to measure what overlapping batches gain.
    pub fn one_sync_at_a_time(mut self) -> Self {
        self.syncs.one_at_a_time = true;
        self
    }

    /// Sockets that are bound already, with their names for listeners (`systemd:NAME`). A socket that no listener uses
    /// is an error. They stay open while the server runs.
    pub fn passed_sockets(mut self, sockets: Vec<(String, OwnedFd)>) -> Self {
        self.passed = sockets;
        self
    }

    /// Counts the records that are read from `data_dir` at the start, so that another thread can distinguish a long
    /// start from a hanging one.
    pub fn progress(mut self, records: Arc<AtomicU64>) -> Self {
        self.progress = records;
        self
    }

    /// The clock for all timers, in place of the system's: for tests with a [`TestClock`](crate::TestClock). The speed
    /// of the machine is measured by the system's clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Forwards messages of clients.
    pub fn forward(mut self, forward: Arc<dyn Forward>) -> Self {
        self.ports.forward = Some(forward);
        self
    }

    /// Starts the broker. All listeners accept when this returns.
    pub async fn start(self) -> Result<Server, ServerError> {
        Server::run(self)
    }
}

impl Server {
    /// Starts a broker. All its listeners accept when this returns.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        Builder::new(config).start().await
    }

    /// Checks the files of the listeners, as `start` does, without starting anything. Returns warnings, one line each,
    /// about the files (an expired certificate, a key that others may read) and the configuration.
    pub fn check(config: &Config) -> Result<Vec<String>, ServerError> {
        let mut warnings = config.warnings.clone();
        for listener in &config.listeners {
            warnings.append(&mut Read::of(listener)?.warnings);
        }
        Ok(warnings)
    }

    fn run(builder: Builder) -> Result<Self, ServerError> {
        let Builder { config, mut ports, syncs, passed, progress, clock, in_memory, http_by_another, tap, opened } =
            builder;
        let passed = PassedSockets::new(passed);
        config.ready_file.as_deref().map(remove_ready_file).transpose()?;
        if config.listeners.is_empty() {
            return Err(ServerError::NoListener);
        }
        Outward::check(&config)?;
        let of_listeners = OfListeners::default();
        ports.listeners = of_listeners.router.clone();
        let plugged_in = ports.authenticate.is_some();
        let auth = access::plug(&config, &mut ports, in_memory, &of_listeners.auth, clock.clone())?;
        let control = auth.clone().map(|auth| Arc::new(Control::new(auth)));
        ports.command = control.clone().map(|control| control as Arc<dyn Command>);
        let bound = bind_all(&config, &passed)?;
        let http = Http::start(&config, plugged_in, http_by_another, clock.clone())?;
        ports.observe.extend(http.observers());
        let events = Arc::<EventStreams>::default();
        ports.observe.push(events.clone());
        let in_memory = ports.store.is_none() && opened.is_none();
        if in_memory {
            persistence::check_place(&config)?;
            persistence::take_over(&config)?;
        }
        let (store, restored) = persistence::plug(&config, &mut ports, opened, syncs, &progress, &clock)?.unzip();
        let in_memory = in_memory && store.is_none();
        let seed = RandomState::new().hash_one(std::process::id());
        let router = Arc::new(Router::new(router_limits(&config), ports, seed));
        restored.into_iter().for_each(|restored| persistence::restore(&router, restored, &config, &clock));
        let data_dir = store.as_ref().and(config.data_dir.as_deref());
        let bans = BanDesk::open(router.clone(), clock.clone(), data_dir)?;
        let count = config.worker_threads();
        let workers = Workers::start(router.clone(), net_limits(&config), count, clock.clone(), tap)
            .map_err(ServerError::Threads)?;
        http.restored(&router, workers.pings());
        let inside = Arc::new(Inside::new(router.clone(), clock.clone()));
        let outward = Outward::begin(&inside, &events, &clock, &config)?;
        let listeners = Arc::new(Listeners::open(bound, &workers, of_listeners, passed)?);
        http.takes_mqtt(&listeners, &workers)?;
        let listening = listeners.all();
        let addresses = listening.iter().filter_map(|listening| listening.endpoint.socket_addr()).collect();
        let write = |path| ReadyFile::write(path, &listening, &http.urls());
        let ready_file = config.ready_file.as_deref().map(write).transpose()?;
        http.certificates(listeners.certificates());
        announce::start(&config, auth.as_deref(), in_memory, &http, (&listening, count));
        let running = Arc::new(tokio::sync::Mutex::new(config.clone()));
        if let (Some(control), Some(auth)) = (control, auth.clone()) {
            let (router, inside) = (Arc::downgrade(&router), Arc::downgrade(&inside));
            control.serve(Serving { config: running.clone(), auth, router, inside });
        }
        let policies = Policies { auth, router: router.clone(), admits: http.admits() };
        let (on, others) = (listeners.clone(), outward.clone());
        let (desk, reloads) = Desk::new(&config, running.clone(), policies.clone(), on, bans.clone(), others);
        let (config, ready_file) = (running, Mutex::new(ready_file));
        let operator = Arc::new(Operator::new(router.clone(), clock.now()));
        http.serves(&operator, &inside, (&events, workers.traces()), desk.clone());
        outward.hooks.tell(Told::BrokerStarted);
        router.tell_observers(&Event::Start);
        Ok(Self {
            router,
            workers,
            store,
            clock,
            listeners,
            addresses,
            config,
            policies,
            ready_file,
            http,
            inside,
            outward,
            operator,
            events,
            desk,
            reloads,
            bans,
        })
    }

    /// The addresses of the listeners at the start, in the order of the configuration, with the ports that the system
    /// chose for 0; without Unix sockets.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The URLs of HTTP; `unix:/path` for a Unix socket.
    pub fn http_urls(&self) -> Vec<String> {
        self.http.urls()
    }

    /// Completes when a reload is requested over HTTP. Answer the request.
    pub async fn reload_asked(&self) -> ReloadAsked {
        self.reloads.next().await
    }

    /// Counts a failed reload in the metrics, because the configuration could not be read.
    pub fn reload_failed(&self) {
        self.http.reloaded(false);
    }

    /// The open listeners.
    pub fn listeners(&self) -> Vec<Listening> {
        self.listeners.all()
    }

    /// Opens a listener, but not on a passed socket. It accepts when this returns.
    pub fn open_listener(&self, listener: &ListenerConfig) -> Result<Listening, ListenError> {
        // listeners of the configuration use all passed sockets
        let bound = bind(listener, &PassedSockets::default())?.pop().expect("an address is bound once");
        self.listeners.add(bound, By::Program, &self.workers)
    }

    /// Closes the listener with this number; its clients stay connected. Its address is free when this returns.
    /// `false`: there is none.
    pub async fn close_listener(&self, number: u16) -> bool {
        self.listeners.close(number, &self.workers).await
    }

    /// The counters since the start.
    pub fn counters(&self) -> &Counters {
        self.router.counters()
    }

    /// Creates a client within this process. Its session and its subscriptions are stored when this returns.
    pub async fn client(&self, client: InsideClient) -> Result<Client, ClientError> {
        self.inside.client(client).await
    }

    /// Publishes a message of the broker itself; see [`Client::publish`].
    pub async fn publish(&self, publication: Publication) -> Result<Published, PublishError> {
        self.inside.publish(publication).await
    }

    /// Creates a client within this process that subscribes to this filter, with a queue for a thousand messages.
    pub async fn subscribe(&self, filter: &str, qos: QoS) -> Result<Client, ClientError> {
        let id = self.router.generated_client_id("$subscriber").to_string();
        self.client(InsideClient { id, filters: vec![filter.into()], qos, ..InsideClient::default() }).await
    }

    /// Completes when messages can no longer be made durable, because a write or fsync failed: the server must end, and
    /// the process should report it with its exit code.
    pub async fn failed(&self) -> store::Failure {
        match &self.store {
            Some(store) => store.failed().await,
            None => std::future::pending().await,
        }
    }

    /// The longest time that [`shutdown`](Self::shutdown) waits for load balancers and clients.
    pub async fn shutdown_grace(&self) -> Duration {
        let config = self.config.lock().await;
        config.shutdown_grace.saturating_add(config.http.drain_delay)
    }

    /// Shuts down: `/readyz` fails, and after `http.drain_delay` the Wills of connected clients are published, no
    /// connections are accepted any more, output is written for at most the configured grace, all connections are
    /// closed, the threads end and the store closes. An error is the store's; acknowledged messages are stored in any
    /// case.
    pub async fn shutdown(self) -> Result<(), store::Failure> {
        let (grace, drain) = {
            let config = self.config.lock().await;
            (config.shutdown_grace, config.http.drain_delay)
        };
        let shown = humantime::format_duration(grace);
        tracing::info!(grace = %shown, connected = self.router.connected(), "shutting down");
        // the ready file is removed first: a client that sees it may connect
        drop(self.ready_file);
        let http = self.http;
        http.stopping();
        let (mut workers, store, router, clock) = (self.workers, self.store, self.router, self.clock);
        let (inside, outward) = (self.inside, self.outward);
        let (done, stopped) = tokio::sync::oneshot::channel();
        // a separate thread: a caller that gives up waiting does not stop the shutdown
        std::thread::spawn(move || {
            outward.hooks.tell(Told::BrokerStopping);
            router.tell_observers(&Event::Stop);
            http::wait(&clock, drain);
            // while the subscribers are still connected
            router.publish_all_wills(&mut router.local(clock.now()));
            workers.stop(grace);
            outward.stop();
            inside.stop();
            let closed = store.map_or(Ok(()), |store| store.close());
            drop(http);
            let _ = done.send(closed);
        });
        let closed = stopped.await.unwrap_or_else(|_| {
            tracing::error!("the shutdown panicked");
            Ok(())
        });
        tracing::info!("stopped");
        closed
    }
}
