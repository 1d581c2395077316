//! The HTTP side of a server: binds its addresses, and passes it the state that it reports.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use thiserror::Error;

use super::{
    https::{Https, HttpsError},
    listeners::{ListenError, Listeners},
};
use crate::{
    admin::{Admin, AuditFile, Bound, Control, Delay, Handle, Key, Rules, Socket},
    auth::{ApiKey, AuthError, Guesses},
    clock::Clock,
    config::{Config, HttpAddresses, ListenAddress},
    inside::Inside,
    net::{self, BindOptions, PassedSockets, Pings, Workers},
    router::{
        Observe, Router,
        inspect::{EventStreams, Operator},
    },
    trace::Traces,
    types::{Endpoint, Transport},
};

/// Why HTTP cannot be served as configured.
#[derive(Debug, Error)]
pub enum HttpError {
    /// An address or path that is in use or does not exist.
    #[error("cannot serve HTTP on {address}: {error} (http.{key})")]
    Bind {
        /// The address.
        address: String,
        /// The configuration key.
        key: &'static str,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// A host name that cannot be resolved.
    #[error("http.{key}: {error}")]
    Address {
        /// The configuration key.
        key: &'static str,
        /// The reason.
        error: crate::config::ListenAddressError,
    },
    /// The address would be open to all, or to no one.
    #[error(
        "http.listen: {0} is not on loopback, and no user may log in there; write users = [\"NAME:admin\"] below [http], with a \
         user of auth.password_file, or keys_file, or http.health for the health checks alone"
    )]
    NoUsers(String),
    /// Users may log in, but there are no passwords for them.
    #[error("http.users: user {0:?} cannot log in: no auth.password_file is configured; make one with dunlin passwd")]
    NoPasswords(String),
    /// Its TLS is not as it should be.
    #[error(transparent)]
    Tls(#[from] HttpsError),
    /// The file of keys.
    #[error(transparent)]
    Keys(#[from] AuthError),
    /// The file in which writes are noted.
    #[error("http.audit_file = {file}: cannot be opened: {error}")]
    Audit {
        /// The file as it was named.
        file: String,
        /// The system's error, which the text contains.
        error: io::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread of HTTP: {0}")]
    Thread(io::Error),
}

/// The HTTP side, with the server's state.
pub(super) struct Http {
    admin: Admin,
    admits: Admits,
    /// Another server serves HTTP there.
    by_another: Option<Endpoint>,
    /// As it is spoken.
    https: ArcSwap<Https>,
}

/// The parts of a configuration that must be valid before it is put in force.
pub(super) struct Prepared {
    rules: Rules,
    audit: Option<AuditFile>,
    https: Https,
}

/// Makes the rules of HTTP from a configuration.
#[derive(Clone)]
pub(super) struct Admits {
    /// The embedding program authenticates clients.
    plugged_in: bool,
    guesses: Arc<Guesses>,
    handle: Option<Handle>,
}

impl Http {
    /// Starts serving, before there is a broker.
    pub(super) fn start(
        config: &Config,
        plugged_in: bool,
        by_another: Option<Endpoint>,
        clock: Clock,
    ) -> Result<Self, HttpError> {
        check(config, plugged_in)?;
        let https = Https::read(&config.http)?;
        https.warnings.iter().for_each(|reason| tracing::warn!(reason, "certificate warning"));
        let mut bound = Vec::new();
        // the default address was not requested
        let left_out = cfg!(not(feature = "http")) && config.has_default_http();
        let addresses = if left_out { &[] } else { config.http_addresses() };
        for endpoint in endpoints(addresses, LISTEN)? {
            match bind(&endpoint, config.http.mode, false) {
                Ok(one) => bound.push(one),
                // the default address was not requested
                Err(error) if config.has_default_http() => {
                    tracing::warn!(
                        address = %endpoint, %error,
                        "no HTTP (web console, admin API, dunlin ctl): write another port, as listen = \"127.0.0.1:9884\" below \
                         [http], or \"off\""
                    );
                }
                Err(error) => return Err(HttpError::Bind { address: endpoint.to_string(), key: LISTEN, error }),
            }
        }
        let HttpAddresses(health) = &config.http.health;
        for endpoint in endpoints(health, HEALTH)? {
            let one = bind(&endpoint, config.http.mode, true);
            let address = endpoint.to_string();
            bound.push(one.map_err(|error| HttpError::Bind { address, key: HEALTH, error })?);
        }
        let audit = audit_file(config)?;
        let mut admits = Admits { plugged_in, guesses: Arc::new(Guesses::new(clock.clone())), handle: None };
        let admin = Admin::start(bound, admits.rules(config)?, https.secure.clone(), clock);
        let mut admin = admin.map_err(HttpError::Thread)?;
        if by_another.is_some() {
            admin.serve_by_another();
        }
        admits.handle = Some(admin.handle());
        admin.audit_to(audit, true);
        Ok(Self { admin, admits, by_another, https: ArcSwap::from_pointee(https) })
    }

    /// From now on it serves this broker.
    pub(super) fn restored(&self, router: &Arc<Router>, pings: Pings) {
        self.admin.restored(router.clone(), Arc::new(move |within: Duration| pings.are_answered(within)));
    }

    /// The observers of events that the API needs.
    pub(super) fn observers(&self) -> Vec<Arc<dyn Observe>> {
        self.admin.observers()
    }

    /// Gives the API access to the broker.
    pub(super) fn serves(
        &self,
        operator: &Arc<Operator>,
        inside: &Arc<Inside>,
        (events, traces): (&Arc<EventStreams>, Arc<Traces>),
        control: Arc<dyn Control>,
    ) {
        self.admin.serves(operator.clone(), inside.clone(), (events.clone(), traces), control);
    }

    /// Connections that ask for MQTT over WebSocket are handed over to the threads that serve it from now on.
    pub(super) fn takes_mqtt(&self, listeners: &Listeners, workers: &Workers) -> Result<(), ListenError> {
        if let Some(endpoint) = self.by_another.as_ref().or(self.admin.endpoints().first()) {
            let adoption = workers.adopt(listeners.number_of_http(endpoint)?, "http", endpoint);
            self.admin.adopts(Box::new(move |socket, peer, local| adoption.take(socket, peer, local)));
        }
        Ok(())
    }

    /// All listeners accept.
    pub(super) fn listening(&self, config: &Config) {
        self.admin.listening();
        let urls = self.urls();
        if let (true, Some(file)) = (urls.is_empty(), &config.mosquitto_conf) {
            let file = file.with_file_name("dunlin.d").join("http.toml");
            tracing::info!(
                file = %file.display(),
                "no web console, admin API and metrics, as mosquitto has none; this file with [http] listen = \
                 \"127.0.0.1:9883\" turns them on"
            );
        }
        if urls.is_empty() {
            return;
        }
        let http = &config.http;
        let is_open = self.admits.is_open(config);
        let metrics = match (is_open, http.metrics_open, http.users.is_empty() && http.keys_file.is_none()) {
            (true, ..) | (_, true, _) => "open",
            (false, false, false) => "for users and keys",
            // a login is configured, but no user has a role
            (false, false, true) => "refused (http.users is empty, and there is no http.keys_file)",
        };
        tracing::info!(urls = urls.join(","), metrics, "web console, admin API and metrics");
    }

    /// These listeners have certificates, which end at these times; those of HTTP are added.
    pub(super) fn certificates(&self, mut all: Vec<(String, SystemTime)>) {
        if let Some(expires) = self.https.load().expires {
            let secured = self.urls().into_iter().filter(|url| url.starts_with("https://"));
            all.extend(secured.map(|url| (url, expires)));
        }
        self.admin.certificates(all);
    }

    /// A shutdown begins.
    pub(super) fn stopping(&self) {
        self.admin.stopping();
    }

    /// Can this configuration be put in force? Returns its parts.
    pub(super) fn prepare(&self, config: &Config) -> Result<Prepared, HttpError> {
        check(config, self.admits.plugged_in)?;
        let (rules, audit) = (self.admits.rules(config)?, audit_file(config)?);
        Ok(Prepared { rules, audit, https: Https::read(&config.http)? })
    }

    /// This is in force from now on. Gives what changed of its files, a line each.
    pub(super) fn replace(&self, Prepared { rules, audit, https }: Prepared) -> Vec<String> {
        let mut lines = self.admin.replace(rules);
        self.admin.audit_to(audit, false);
        let before = self.https.load_full();
        let is_new = |warning: &&String| !before.warnings.contains(warning);
        https.warnings.iter().filter(is_new).for_each(|reason| tracing::warn!(reason, "certificate warning"));
        let changed = https.contents.changed_since(&before.contents);
        // an unchanged certificate keeps its session ticket keys
        if https.contents != before.contents {
            self.admin.secure(https.secure.clone());
            self.https.store(Arc::new(https));
        }
        lines.extend(changed.into_iter().map(|file| format!("{file} of http")));
        lines
    }

    /// A handle with which another part of the server replaces the rules.
    pub(super) fn admits(&self) -> Admits {
        self.admits.clone()
    }

    /// A reload succeeded, or failed.
    pub(super) fn reloaded(&self, succeeded: bool) {
        if !succeeded {
            // it may have been renamed all the same
            self.admin.reopen_audit();
        }
        self.admin.reloaded(succeeded);
    }

    /// Everything that is served, for a server in front of this one.
    #[cfg(feature = "http")]
    pub(super) fn behind(&self) -> crate::admin::Behind {
        self.admin.behind()
    }

    /// The URLs.
    pub(super) fn urls(&self) -> Vec<String> {
        let scheme = if self.https.load().secure.is_some() { "https" } else { "http" };
        let url = |endpoint: &Endpoint| match endpoint {
            Endpoint::Unix(path) => format!("unix:{}", path.display()),
            endpoint => format!("{scheme}://{endpoint}"),
        };
        self.admin.endpoints().iter().map(url).collect()
    }
}

/// An error if the address would be open to all, or to no one.
pub(super) fn check(config: &Config, plugged_in: bool) -> Result<(), HttpError> {
    let users = &config.http.users;
    let has_keys = config.http.keys_file.as_deref().map(ApiKey::read).transpose()?.is_some();
    if let Some(user) = users.first()
        && !plugged_in
        && !config.auth.has_users()
    {
        return Err(HttpError::NoPasswords(user.name.clone()));
    }
    let mut open = endpoints(config.http_addresses(), LISTEN)?.into_iter().filter(|endpoint| !endpoint.is_loopback());
    match open.next().filter(|_| users.is_empty() && !has_keys) {
        Some(endpoint) => Err(HttpError::NoUsers(endpoint.to_string())),
        None => Ok(()),
    }
}

/// Waits at a shutdown until load balancers have noticed it.
pub(super) fn wait(clock: &Clock, drain: Duration) {
    let until = clock.now() + drain;
    while clock.now() < until {
        clock.park_until(until);
    }
}

impl Admits {
    /// No login is configured anywhere.
    fn is_open(&self, config: &Config) -> bool {
        let Config { http, .. } = config;
        !self.plugged_in && !config.has_login() && http.users.is_empty() && http.keys_file.is_none()
    }

    /// The rules of this configuration. An error concerns the file of keys.
    fn rules(&self, config: &Config) -> Result<Rules, HttpError> {
        let http = &config.http;
        let keys = http.keys_file.as_deref().map(ApiKey::read).transpose()?;
        let key = |ApiKey { name, role, digest, expires }| Key { name, role, digest, expires };
        let (guesses, first) = (self.guesses.clone(), config.auth.failed_login_delay);
        Ok(Rules {
            open: self.is_open(config),
            users: http.users.iter().map(|user| (user.name.clone(), user.role)).collect(),
            keys: keys.map(|keys| keys.into_iter().map(key).collect()),
            delay: Delay(Arc::new(move |from| match first {
                Some(first) => guesses.wrong(from, first),
                None => Some(Duration::ZERO),
            })),
            metrics_open: http.metrics_open,
            allowed_hosts: http.allowed_hosts.clone(),
            slow_threshold: http.slow_threshold,
            console: http.console,
            console_dir: http.console_dir.clone(),
            mqtt: cfg!(feature = "websocket") && config.http_takes_mqtt(),
        })
    }

    /// Users, or their passwords, may be others than before.
    pub(super) fn logins_changed(&self) {
        if let Some(handle) = &self.handle {
            handle.logins_changed();
        }
    }

    /// Puts the rules of this configuration in force.
    pub(super) fn replace(&self, config: &Config) -> Result<(), HttpError> {
        let rules = self.rules(config)?;
        if let Some(handle) = &self.handle {
            handle.replace(rules);
        }
        Ok(())
    }
}

fn audit_file(config: &Config) -> Result<Option<AuditFile>, HttpError> {
    let open = |path: &PathBuf| {
        AuditFile::open(path).map_err(|error| HttpError::Audit { file: path.display().to_string(), error })
    };
    config.http.audit_file.as_ref().map(open).transpose()
}

fn endpoints(addresses: &[ListenAddress], key: &'static str) -> Result<Vec<Endpoint>, HttpError> {
    let all = addresses.iter().map(|address| address.endpoints(Transport::Tcp));
    let all: Result<Vec<_>, _> = all.collect();
    all.map(|all| all.concat()).map_err(|error| HttpError::Address { key, error })
}

fn bind(endpoint: &Endpoint, mode: u32, checks_alone: bool) -> io::Result<Bound> {
    let options = BindOptions { mode, freebind: false, only_tcp: false };
    let listener = net::bind(endpoint, options, &PassedSockets::default())?.pop();
    let listener = listener.ok_or(io::ErrorKind::Unsupported)?;
    let endpoint = listener.endpoint().clone();
    let (socket, kept) = listener.take(Socket::Tcp, Socket::Unix);
    Ok(Bound { socket, endpoint, kept, checks_alone })
}

const LISTEN: &str = "listen";
const HEALTH: &str = "health";
