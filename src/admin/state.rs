//! [`State`]: state that all requests share, and notifications from the server.

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
    feed::Feed,
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
    trace::Traces,
    types::{Endpoint, Role},
};

/// State that all requests share.
pub(super) struct State {
    pub clock: Clock,
    pub rules: ArcSwap<Rules>,
    /// TLS for all TCP listeners; `None`: plain text.
    pub secure: ArcSwapOption<Arc<dyn Secure>>,
    /// Set once the stored state is restored.
    pub broker: OnceLock<Broker>,
    /// Set once the API may change things.
    pub desk: OnceLock<Desk>,
    pub closed: Arc<ClosedClients>,
    pub topics: Arc<Topics>,
    pub feed: Arc<Feed>,
    pub slow: Arc<Slow>,
    pub audit: Arc<Audit>,
    pub sessions: Sessions,
    /// Name of the session cookie. Browsers send cookies to all ports of a host, so each server needs its own name.
    pub cookie: String,
    /// Notifies streams that a login may have been revoked.
    pub changes: watch::Sender<()>,
    /// Open streams.
    pub streams: AtomicUsize,
    /// Numbers for the clients that read messages for streams.
    pub stream_ids: AtomicU64,
    /// HTTP is served by a test bench, which has routes of its own.
    pub is_bench: AtomicBool,
    /// All listeners accept clients.
    pub listening: AtomicBool,
    /// A shutdown has begun.
    pub stopping: AtomicBool,
    pub ticks: Arc<Ticks>,
    pub requests: Requests,
    pub depths: Arc<Depths>,
    pub history: History,
    /// Takes over connections that ask for MQTT over WebSocket; set once clients are served.
    pub mqtt: OnceLock<TakeSocket>,
    /// Requests that are being answered.
    pub under_way: AtomicUsize,
    pub started: SystemTime,
    pub reload: ArcSwap<Reload>,
    /// Listeners with certificates, and the certificates' expiry.
    pub certificates: ArcSwap<Vec<(String, SystemTime)>>,
    /// Names of listeners by number, as far as scrapes saw them.
    pub listeners: Mutex<BTreeMap<u16, String>>,
}

/// The running broker.
pub(super) struct Broker {
    pub router: Arc<Router>,
    pub probe: Probe,
}

/// The interfaces that the API acts through.
#[derive(Clone)]
pub(super) struct Desk {
    pub operator: Arc<Operator>,
    pub inside: Arc<Inside>,
    pub events: Arc<EventStreams>,
    pub traces: Arc<Traces>,
    pub control: Arc<dyn Control>,
}

/// The caller of a request.
#[derive(Clone)]
pub(super) struct Caller {
    pub role: Role,
    /// Name for the log.
    pub name: String,
    pub standing: Standing,
}

impl Caller {
    /// Its role, and its name if it logged in.
    pub fn role_and_name(&self) -> (Role, Option<&str>) {
        (self.role, Some(&*self.name).filter(|_| !matches!(self.standing, Standing::Open)))
    }
}

/// Time and result of the last reload.
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
            feed: Arc::new(Feed::new(clock.clone())),
            slow: Arc::new(Slow::new(clock.clone())),
            audit: Arc::default(),
            sessions: Sessions::default(),
            cookie: format!("dunlin_{port}"),
            changes: watch::Sender::new(()),
            streams: AtomicUsize::new(0),
            stream_ids: AtomicU64::new(1),
            is_bench: AtomicBool::new(false),
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

    /// The rules and the router that decide about logins.
    pub fn judge<'a>(&'a self, rules: &'a Rules) -> Judge<'a> {
        Judge { rules, router: self.broker.get().map(|broker| &*broker.router), clock: &self.clock }
    }

    /// Puts other rules in force. Returns what changed in keys, one line each.
    pub fn replace(&self, rules: Rules) -> Vec<String> {
        let lines = rules.keys_since(&self.rules.load());
        self.rules.store(Arc::new(rules));
        self.logins_changed();
        lines
    }

    /// Notifies streams that a login may have been revoked.
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
