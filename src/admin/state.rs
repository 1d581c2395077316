//! [`State`]: what all requests share, and what the server tells while it starts, runs and ends.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    admission::Rules,
    audit::Audit,
    closed::ClosedClients,
    control::{Control, TakeSocket},
    depths::Depths,
    history::History,
    login::Judge,
    requests::Requests,
    secure::Secure,
    sessions::{SessionId, Sessions, Standing},
    slow::Slow,
    ticks::{Probe, Ticks},
    topics::Topics,
};
use crate::{
    clock::Clock,
    inside::Inside,
    router::{
        Router,
        inspect::{EventStreams, Operator},
    },
    types::{Endpoint, Role},
};

/// What all requests share.
pub(super) struct State {
    pub clock: Clock,
    pub rules: ArcSwap<Rules>,
    /// What speaks TLS where everything is served over TCP; `None`: nothing does.
    pub secure: ArcSwapOption<Arc<dyn Secure>>,
    /// There from the moment on at which what was stored is restored.
    pub broker: OnceLock<Broker>,
    /// There from the moment on at which the API may act.
    pub desk: OnceLock<Desk>,
    pub closed: Arc<ClosedClients>,
    pub topics: Arc<Topics>,
    pub slow: Arc<Slow>,
    pub audit: Arc<Audit>,
    pub sessions: Sessions,
    /// The name of the cookie of a session. Browsers do not tell ports apart: servers side by side need names of their
    /// own.
    pub cookie: String,
    /// Tells those that wait for it that somebody may not be let in any more.
    pub changes: watch::Sender<()>,
    /// Streams that are read.
    pub streams: AtomicUsize,
    /// Numbers of the clients that read messages for them.
    pub stream_ids: AtomicU64,
    /// All listeners accept.
    pub listening: AtomicBool,
    /// A shutdown has begun.
    pub stopping: AtomicBool,
    pub ticks: Arc<Ticks>,
    pub requests: Requests,
    pub depths: Arc<Depths>,
    pub history: History,
    /// Takes connections that ask for MQTT over WebSocket; there from the moment on at which clients are served.
    pub mqtt: OnceLock<TakeSocket>,
    /// Requests that are being answered.
    pub under_way: AtomicUsize,
    pub started: SystemTime,
    pub reload: ArcSwap<Reload>,
    /// Listeners with certificates, and when these end.
    pub certificates: ArcSwap<Vec<(String, SystemTime)>>,
    /// The names of listeners by their numbers, as far as metrics asked for them.
    pub listeners: Mutex<BTreeMap<u16, String>>,
}

/// The broker that is told about.
pub(super) struct Broker {
    pub router: Arc<Router>,
    pub probe: Probe,
}

/// By what the API acts.
#[derive(Clone)]
pub(super) struct Desk {
    pub operator: Arc<Operator>,
    pub inside: Arc<Inside>,
    pub events: Arc<EventStreams>,
    pub control: Arc<dyn Control>,
}

/// Who sends a request.
#[derive(Clone)]
pub(super) struct Caller {
    pub role: Role,
    /// For the log.
    pub name: String,
    pub standing: Standing,
}

impl Caller {
    /// Its role, and its name if it logged in.
    pub fn role_and_name(&self) -> (Role, Option<&str>) {
        (self.role, Some(&*self.name).filter(|_| !matches!(self.standing, Standing::Open)))
    }
}

/// The last configuration that was put in force, or was not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reload {
    pub succeeded: bool,
    pub at: SystemTime,
}

impl State {
    pub fn new(rules: Rules, clock: Clock, endpoints: &[Endpoint]) -> Self {
        let started = clock.wall();
        let port = endpoints.iter().find_map(Endpoint::socket_addr).map_or(0, |address| address.port());
        Self {
            rules: ArcSwap::from_pointee(rules),
            secure: ArcSwapOption::empty(),
            broker: OnceLock::new(),
            desk: OnceLock::new(),
            closed: Arc::new(ClosedClients::new(clock.clone())),
            topics: Arc::new(Topics::new(clock.clone())),
            slow: Arc::new(Slow::new(clock.clone())),
            audit: Arc::default(),
            sessions: Sessions::default(),
            cookie: format!("dunlin_{port}"),
            changes: watch::Sender::new(()),
            streams: AtomicUsize::new(0),
            stream_ids: AtomicU64::new(1),
            listening: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            ticks: Arc::default(),
            requests: Requests::default(),
            depths: Arc::default(),
            history: History::default(),
            mqtt: OnceLock::new(),
            under_way: AtomicUsize::new(0),
            started,
            reload: ArcSwap::from_pointee(Reload { succeeded: true, at: started }),
            certificates: ArcSwap::default(),
            listeners: Mutex::default(),
            clock,
        }
    }

    /// By what it is judged who is let in.
    pub fn judge<'a>(&'a self, rules: &'a Rules) -> Judge<'a> {
        Judge { rules, router: self.broker.get().map(|broker| &*broker.router), clock: &self.clock }
    }

    /// Other rules are in force from now on: gives what became of keys, a line each.
    pub fn replace(&self, rules: Rules) -> Vec<String> {
        let lines = rules.keys_since(&self.rules.load());
        self.rules.store(Arc::new(rules));
        self.logins_changed();
        lines
    }

    /// Somebody may not be let in any more.
    pub fn logins_changed(&self) {
        let rules = self.rules.load_full();
        self.sessions.retain(|login| login.role(self.judge(&rules)).is_some());
        self.changes.send_replace(());
    }

    /// A session ends.
    pub fn end_session(&self, id: &SessionId) {
        self.sessions.end(id);
        self.changes.send_replace(());
    }

    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
