//! A server's listeners: bound from the configuration, opened and closed while it runs.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;

use crate::{
    auth::{self, OfListener, OwnFiles},
    config::{ClientCertificates, Config, ListenerConfig},
    net::{
        self, BindOptions, ListenerOptions, ListenerRates, PassedSockets, ProxyOptions, TlsError, TlsSettings,
        WebSocketOptions, Workers,
    },
    types::{Contents, Endpoint, Transport},
};
#[cfg(feature = "tls")]
use crate::{
    config::{CertificateIdentity, TlsVersion},
    net::{CertificateName, ClientFiles, TlsFiles},
};

/// A listener that accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct Listening {
    /// Its number, as in [`Peer::listener`](crate::router::Peer): its place in the configuration, or one that no other
    /// had.
    pub number: u16,
    /// What is spoken.
    pub transport: Transport,
    /// Where; the port is the one that the system picked where 0 was asked for.
    pub endpoint: Endpoint,
    /// WebSocket: the path of the request; `None`: any.
    pub path: Option<String>,
}

impl Listening {
    /// What is bound there for `config`. A passed socket may turn out to be a Unix socket.
    pub(super) fn new(number: u16, endpoint: Endpoint, config: &ListenerConfig) -> Self {
        let transport = if endpoint.path().is_some() { Transport::Unix } else { config.transport };
        Self { number, transport, endpoint, path: config.path.clone() }
    }
}

/// Why there is no listener.
#[derive(Debug, Error)]
pub enum ListenError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {}", hint(.error, .address))]
    Bind {
        /// As configured.
        address: Endpoint,
        /// What the system says, and part of the text.
        error: io::Error,
    },
    /// It is for WebSocket, which was left out.
    #[error("cannot listen on {0}: this dunlin was built without WebSocket (the feature `websocket`)")]
    NoWebSocket(Endpoint),
    /// Its TLS is not as it should be.
    #[error("cannot listen on {address}: {error}")]
    Tls {
        /// As configured.
        address: Endpoint,
        /// What is wrong.
        error: TlsError,
    },
    /// An address cannot be listened on while a listener that it would replace is open.
    #[error(
        "cannot listen on {address} while this broker listens on {before}, which it would replace: restart the broker, or \
         take {before} away with one reload and add {address} with the next"
    )]
    Overlap {
        /// As configured.
        address: Endpoint,
        /// Where this broker listens.
        before: Endpoint,
    },
    /// The file of a Unix socket cannot have other permission bits.
    #[error("cannot change the mode of {}: {error}", .path.display())]
    Mode {
        /// The socket.
        path: std::path::PathBuf,
        /// What the system says, and part of the text.
        error: io::Error,
    },
    /// It would speak TLS without a certificate, which a configuration that was read from a file cannot say.
    #[error("cannot listen on {0}: TLS needs a certificate_file and a key_file")]
    NoCertificate(Endpoint),
    /// A socket that systemd passed would never be served.
    #[error(
        "systemd passed the socket \"{0}\", and no listener takes it: write address = \"systemd:{0}\" in a [[listener]] table (or \
         --listen systemd:{0}), or stop its socket unit"
    )]
    Unused(String),
    /// There were as many listeners in the life of this server as can be numbered.
    #[error("cannot listen on {0}: no more listeners can be opened; start the broker anew")]
    TooMany(Endpoint),
}

fn hint(error: &io::Error, address: &Endpoint) -> String {
    match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, Endpoint::Ip(_)) => {
            format!("{error}: another program, perhaps another broker, listens there; stop it or choose another port")
        }
        (io::ErrorKind::AddrInUse, Endpoint::Unix(_)) => format!(
            "{error}: another program, perhaps another broker, listens there, or the file is no socket; stop it or choose \
             another path"
        ),
        (io::ErrorKind::PermissionDenied, Endpoint::Ip(_)) => {
            format!("{error}: ports below 1024 need the CAP_NET_BIND_SERVICE capability")
        }
        (io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound, Endpoint::Unix(_)) => {
            format!("{error}: its directory has to exist, and the broker's user has to be allowed to write there")
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            format!("{error}: this machine has no such address; if it gets it later, write freebind = true (Linux)")
        }
        _ => error.to_string(),
    }
}

/// What each listener says of its own about its clients, by number.
pub(super) type Anonymity = auth::Listeners;

/// Those that are open.
pub(super) struct Listeners {
    open: Mutex<Vec<Open>>,
    anonymity: Anonymity,
    passed: PassedSockets,
}

/// One that is.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) listening: Listening,
    pub(super) config: ListenerConfig,
    /// Of its files, when they were read.
    pub(super) contents: Contents,
    /// When its certificate ends, if it has one.
    pub(super) expires: Option<SystemTime>,
    /// What was said of them.
    pub(super) warnings: Vec<String>,
    pub(super) by: By,
}

/// Who opened a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The configuration: it goes when it is there no more.
    Config,
    /// The embedding program, which closes it too.
    Program,
}

/// What a listener asks of its connections, read from its files.
#[derive(Clone)]
pub(super) struct Read {
    pub(super) listener_options: ListenerOptions,
    pub(super) contents: Contents,
    /// What works and is not as it should be.
    pub(super) warnings: Vec<String>,
}

/// A listener that is bound, and all that it needs is read.
pub(super) struct Bound {
    pub(super) socket: net::Listener,
    pub(super) listener_options: ListenerOptions,
    pub(super) contents: Contents,
    pub(super) warnings: Vec<String>,
    pub(super) config: ListenerConfig,
}

impl Listeners {
    /// Serves what was bound.
    pub(super) fn open(
        bound: Vec<Bound>,
        workers: &Workers,
        anonymity: Anonymity,
        passed: PassedSockets,
    ) -> Result<Self, ListenError> {
        let listeners = Self { open: Mutex::default(), anonymity, passed };
        for one in bound {
            listeners.add(one, By::Config, workers)?;
        }
        Ok(listeners)
    }

    pub(super) fn all(&self) -> Vec<Listening> {
        self.open.lock().iter().map(|open| open.listening.clone()).collect()
    }

    /// The listeners with a certificate, by name, and when it ends.
    pub(super) fn certificates(&self) -> Vec<(String, SystemTime)> {
        let name = |listening: &Listening| listening.endpoint.with(listening.transport).to_string();
        self.open.lock().iter().filter_map(|open| Some((name(&open.listening), open.expires?))).collect()
    }

    /// Those that are open, which nobody else changes while they are held, and what `allow_anonymous` says for them,
    /// which nobody else does either.
    pub(super) fn hold(&self) -> (MutexGuard<'_, Vec<Open>>, &Anonymity) {
        (self.open.lock(), &self.anonymity)
    }

    /// What systemd passed.
    pub(super) fn passed(&self) -> &PassedSockets {
        &self.passed
    }

    pub(super) fn add(&self, bound: Bound, by: By, workers: &Workers) -> Result<Listening, ListenError> {
        let Bound { socket, listener_options, contents, warnings, config } = bound;
        let expires = expires(&listener_options);
        let (mut open, _) = self.hold();
        let mut anonymity = self.anonymity.load().to_vec();
        let number = number(anonymity.len(), socket.endpoint())?;
        anonymity.push(of_listener(&config));
        self.anonymity.store(Arc::new(anonymity));
        let listening = Listening::new(number, socket.endpoint().clone(), &config);
        open.push(Open { listening: listening.clone(), config, contents, expires, warnings, by });
        workers.listen(number, socket, listener_options);
        Ok(listening)
    }

    pub(super) async fn close(&self, number: u16, workers: &Workers) -> bool {
        self.open.lock().retain(|open| open.listening.number != number);
        match workers.close(number) {
            Some(closed) => {
                closed.await;
                true
            }
            None => false,
        }
    }
}

impl Read {
    /// Reads what a listener needs.
    pub(super) fn of(config: &ListenerConfig) -> Result<Self, ListenError> {
        if cfg!(not(feature = "websocket")) && config.transport.has_websocket() {
            return Err(ListenError::NoWebSocket(config.address.clone()));
        }
        let proxy = config.proxy_protocol.then(|| ProxyOptions {
            trusted: config.trusted_proxies.clone(),
            names: config.names_by_proxy(),
            certificates_required: !config.transport.has_tls()
                && config.client_certificates == ClientCertificates::Required,
        });
        let websocket = config.transport.has_websocket().then(|| WebSocketOptions {
            path: config.path.clone(),
            allowed_origins: config.allowed_origins.clone(),
            // a proxy says it once, by its PROXY header or by those of HTTP
            trusted_proxies: if config.proxy_protocol { Vec::new() } else { config.trusted_proxies.clone() },
            ping: config.websocket_ping,
        });
        let (tls, warnings) = tls(config)?.unzip();
        let contents = tls.as_ref().map(|tls| tls.contents().clone()).unwrap_or_default();
        let rates = ListenerRates { messages: config.publish_rate, bytes: config.publish_bytes_rate };
        let listener_options = ListenerOptions { tls, tls_records: config.tls_records, websocket, proxy, rates };
        Ok(Self { listener_options, contents, warnings: warnings.unwrap_or_default() })
    }

    /// Says what is not as it should be.
    pub(super) fn warn(&self) {
        self.warnings.iter().for_each(|reason| tracing::warn!(reason, "certificate warning"));
    }

    /// Binds the listener that this was read for; it is more than one where systemd passed more than one of its name.
    pub(super) fn bind(&self, config: &ListenerConfig, passed: &PassedSockets) -> Result<Vec<Bound>, ListenError> {
        let address = &config.address;
        let only_tcp = config.transport != Transport::Tcp || config.proxy_protocol;
        let options = BindOptions { mode: config.mode, freebind: config.freebind, only_tcp };
        let sockets = net::bind(address, options, passed)
            .map_err(|error| ListenError::Bind { address: address.clone(), error })?;
        let bound = sockets.into_iter().map(|socket| {
            let Self { listener_options, contents, warnings } = self.clone();
            Bound { socket, listener_options, contents, warnings, config: config.clone() }
        });
        Ok(bound.collect())
    }
}

/// What a listener says of its own about its clients.
pub(super) fn of_listener(config: &ListenerConfig) -> OfListener {
    let ListenerConfig { allow_anonymous, password_file, acl_file, .. } = config;
    let files = OwnFiles { password_file: password_file.clone(), acl_file: acl_file.clone() };
    OfListener { allow_anonymous: *allow_anonymous, files }
}

/// When the certificate of a listener ends, if it has one.
pub(super) fn expires(options: &ListenerOptions) -> Option<SystemTime> {
    options.tls.as_ref().map(TlsSettings::expires)
}

/// The number of a listener, when there have been so many before it.
pub(super) fn number(before: usize, endpoint: &Endpoint) -> Result<u16, ListenError> {
    u16::try_from(before).map_err(|_| ListenError::TooMany(endpoint.clone()))
}

/// Reads what a listener needs, and binds it.
pub(super) fn bind(config: &ListenerConfig, passed: &PassedSockets) -> Result<Vec<Bound>, ListenError> {
    let read = Read::of(config)?;
    read.warn();
    read.bind(config, passed)
}

/// Binds every listener of a configuration.
pub(super) fn bind_all(config: &Config, passed: &PassedSockets) -> Result<Vec<Bound>, ListenError> {
    check_passed(config, passed)?;
    let mut all = Vec::new();
    for listener in &config.listeners {
        all.extend(tolerate(config, bind(listener, passed), true)?.into_iter().flatten());
    }
    Ok(all)
}

/// Is there a listener for every socket that systemd passed? Clients of one that nobody serves would wait.
pub(super) fn check_passed(config: &Config, passed: &PassedSockets) -> Result<(), ListenError> {
    let is_taken = |name: &str| config.listeners.iter().any(|one| one.address == Endpoint::Passed(name.into()));
    match passed.names().find(|name| !is_taken(name)) {
        Some(name) => Err(ListenError::Unused(name.into())),
        None => Ok(()),
    }
}

/// A listener on IPv6 that has a twin on IPv4, as the default ones and `:1883` have, is left out on a machine without
/// IPv6: `None`, which is logged if `is_new`.
pub(super) fn tolerate<T>(
    config: &Config,
    bound: Result<T, ListenError>,
    is_new: bool,
) -> Result<Option<T>, ListenError> {
    match bound {
        Ok(one) => Ok(Some(one)),
        Err(ListenError::Bind { address, error }) if has_twin(config, &address) && no_ipv6(&error) => {
            if is_new {
                tracing::info!(%address, reason = "this machine has no IPv6", "not listening");
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Is this the loopback or every interface of IPv6, and a listener of the same port and settings that of IPv4?
fn has_twin(config: &Config, address: &Endpoint) -> bool {
    let Endpoint::Ip(SocketAddr::V6(v6)) = address else { return false };
    let twin = match *v6.ip() {
        Ipv6Addr::LOCALHOST => Ipv4Addr::LOCALHOST,
        Ipv6Addr::UNSPECIFIED => Ipv4Addr::UNSPECIFIED,
        _ => return false,
    };
    let twin = Endpoint::Ip((twin, v6.port()).into());
    let of = |at: &Endpoint| config.listeners.iter().find(|listener| listener.address == *at).cloned();
    of(address).is_some_and(|one| of(&twin) == Some(ListenerConfig { address: twin, ..one }))
}

fn no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// There is no TLS.
#[cfg(not(feature = "tls"))]
fn tls(config: &ListenerConfig) -> Result<Option<(TlsSettings, Vec<String>)>, ListenError> {
    match config.transport.has_tls() {
        true => Err(ListenError::Tls { address: config.address.clone(), error: TlsError }),
        false => Ok(None),
    }
}

/// TLS as configured, read from its files, with warnings.
#[cfg(feature = "tls")]
fn tls(config: &ListenerConfig) -> Result<Option<(TlsSettings, Vec<String>)>, ListenError> {
    if !config.transport.has_tls() {
        return Ok(None);
    }
    let (Some(certificate), Some(key)) = (config.certificate_file.clone(), config.key_file.clone()) else {
        return Err(ListenError::NoCertificate(config.address.clone()));
    };
    let clients = (config.client_certificates != ClientCertificates::Off).then(|| ClientFiles {
        authorities: config.client_ca_file.clone().unwrap_or_default(),
        required: config.client_certificates == ClientCertificates::Required,
        revoked: config.revocation_list_file.clone(),
        name: config.identity.map(|identity| match identity {
            CertificateIdentity::CommonName => CertificateName::CommonName,
            CertificateIdentity::Subject => CertificateName::Subject,
            CertificateIdentity::Dns => CertificateName::Dns,
            CertificateIdentity::Uri => CertificateName::Uri,
        }),
    });
    let only_1_3 = config.tls_min == TlsVersion::Tls13;
    let files = TlsFiles { certificate, key, clients, http: config.transport.has_websocket(), only_1_3 };
    let loaded = TlsSettings::load(&files);
    loaded.map(Some).map_err(|error| ListenError::Tls { address: config.address.clone(), error })
}
