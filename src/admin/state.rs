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

use super::{
    admission::Rules,
    audit::Audit,
    closed::ClosedClients,
    control::{Control, TakeSocket},
    depths::Depths,
    history::History,
    requests::Requests,
    secure::Secure,
    ticks::{Probe, Ticks},
};
use crate::{
    clock::Clock,
    inside::Inside,
    router::{
        Router,
        inspect::{EventStreams, Operator},
    },
    types::Role,
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
    pub audit: Audit,
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
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub role: Role,
    /// For the log.
    pub name: String,
}

/// The last configuration that was put in force, or was not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reload {
    pub succeeded: bool,
    pub at: SystemTime,
}

impl State {
    pub fn new(rules: Rules, clock: Clock) -> Self {
        let started = clock.wall();
        Self {
            rules: ArcSwap::from_pointee(rules),
            secure: ArcSwapOption::empty(),
            broker: OnceLock::new(),
            desk: OnceLock::new(),
            closed: Arc::new(ClosedClients::new(clock.clone())),
            audit: Audit::default(),
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

    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
