//! A server's listeners: bound from the configuration, opened and closed while it runs.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
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
    router,
    types::{Contents, Endpoint, QoS, Transport},
};
#[cfg(feature = "tls")]
use crate::{
    config::{CertificateIdentity, TlsVersion},
    net::{CertificateName, ClientFiles, TlsFiles},
};

/// An open listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Listening {
    /// Its number, as in [`Peer::listener`](crate::router::Peer): its place in the configuration, or a unique one.
    pub number: u16,
    /// Transport.
    pub transport: Transport,
    /// Its address; if port 0 was requested, with the port that the system chose.
    pub endpoint: Endpoint,
    /// WebSocket: the path of the request; `None`: any.
    pub path: Option<String>,
}

impl Listening {
    /// The listener of `config` that is bound to `endpoint`. A passed socket may turn out to be a Unix socket.
    pub(super) fn new(number: u16, endpoint: Endpoint, config: &ListenerConfig) -> Self {
        let transport = if endpoint.path().is_some() { Transport::Unix } else { config.transport };
        Self { number, transport, endpoint, path: config.path.clone() }
    }
}

/// Why a listener cannot be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {}", hint(.error, .address))]
    Bind {
        /// As configured.
        address: Endpoint,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// It needs WebSocket, which was left out.
    #[error("cannot listen on {0}: this dunlin was built without WebSocket (the feature `websocket`)")]
    NoWebSocket(Endpoint),
    /// Its TLS settings are not valid.
    #[error("cannot listen on {address}: {error}")]
    Tls {
        /// As configured.
        address: Endpoint,
        /// The reason.
        error: TlsError,
    },
    /// The address cannot be bound while another listener, which it would replace, is open.
    #[error(
        "cannot listen on {address} while this broker listens on {before}, which it would replace: restart the broker, or \
         take {before} away with one reload and add {address} with the next"
    )]
    Overlap {
        /// As configured.
        address: Endpoint,
        /// The address of the open listener.
        before: Endpoint,
    },
    /// The permission bits of a Unix socket's file cannot be changed.
    #[error("cannot change the mode of {}: {error}", .path.display())]
    Mode {
        /// The socket.
        path: std::path::PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// It needs TLS and has no certificate, which cannot happen with a configuration from a file.
    #[error("cannot listen on {0}: TLS needs a certificate_file and a key_file")]
    NoCertificate(Endpoint),
    /// No listener uses a socket that systemd passed.
    #[error(
        "systemd passed the socket \"{0}\", and no listener takes it: write address = \"systemd:{0}\" in a [[listener]] table (or \
         --listen systemd:{0}), or stop its socket unit"
    )]
    Unused(String),
    /// All numbers for listeners were used during the life of this server.
    #[error("cannot listen on {0}: no more listeners can be opened; start the broker anew")]
    TooMany(Endpoint),
}

fn hint(error: &io::Error, address: &Endpoint) -> String {
    match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, Endpoint::Ip(_)) => {
            format!("{error}: another program, perhaps another broker, listens there; stop it or choose another port")
        }
        (io::ErrorKind::AddrInUse, Endpoint::Unix(_)) => format!(
            "{error}: another program, perhaps another broker, listens there, or the file is not a socket; stop it or choose \
             another path"
        ),
        (io::ErrorKind::PermissionDenied, Endpoint::Ip(_)) => {
            format!("{error}: ports below 1024 need the CAP_NET_BIND_SERVICE capability")
        }
        (io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound, Endpoint::Unix(_)) => {
            format!("{error}: its directory must exist, and the broker's user must be allowed to write there")
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            format!(
                "{error}: this machine does not have that address; if it is assigned later, write freebind = true (Linux)"
            )
        }
        _ => error.to_string(),
    }
}

/// The settings of each listener for its clients, by number: for the login, and for the router.
#[derive(Clone, Default)]
pub(super) struct OfListeners {
    pub(super) auth: auth::Listeners,
    pub(super) router: router::LimitsOfListeners,
}

impl OfListeners {
    /// How many there have been.
    pub(super) fn numbered(&self) -> usize {
        self.auth.load().len()
    }

    /// Applies the settings of other configurations to these listeners.
    pub(super) fn put<'a>(&self, listeners: impl IntoIterator<Item = (u16, &'a ListenerConfig)>) {
        let (mut auth, mut router) = (self.auth.load().to_vec(), self.router.load().to_vec());
        for (number, config) in listeners {
            let number = usize::from(number);
            // a new one's is the next
            let numbered = auth.len().max(number + 1);
            auth.resize(numbered, OfListener::default());
            router.resize(numbered, router::ListenerLimits::default());
            auth[number] = of_listener(config);
            router[number] = router::ListenerLimits {
                max_qos: config.max_qos.and_then(QoS::from_bits),
                auto_prefix: config.auto_id_prefix.as_deref().map(Into::into),
                versions: config.protocol_versions.as_slice().into(),
            };
        }
        self.auth.store(Arc::new(auth));
        self.router.store(Arc::new(router));
    }
}

/// The open listeners.
pub(super) struct Listeners {
    open: Mutex<Vec<Open>>,
    of: OfListeners,
    passed: PassedSockets,
    /// The number of connections that HTTP hands over.
    http: OnceLock<u16>,
}

/// An open listener.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) listening: Listening,
    pub(super) config: ListenerConfig,
    /// The contents of its files when they were read.
    pub(super) contents: Contents,
    /// When its certificate expires, if it has one.
    pub(super) expires: Option<SystemTime>,
    /// The warnings about its files.
    pub(super) warnings: Vec<String>,
    pub(super) by: By,
}

/// The origin of a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The configuration: it closes when it is removed there.
    Config,
    /// The embedding program, which also closes it.
    Program,
}

/// The options of a listener, read from its files.
#[derive(Clone)]
pub(super) struct Read {
    pub(super) listener_options: ListenerOptions,
    pub(super) contents: Contents,
    /// Warnings about its files.
    pub(super) warnings: Vec<String>,
}

/// A bound listener with all its files.
pub(super) struct Bound {
    pub(super) socket: net::Listener,
    pub(super) listener_options: ListenerOptions,
    pub(super) contents: Contents,
    pub(super) warnings: Vec<String>,
    pub(super) config: ListenerConfig,
}

impl Listeners {
    /// Opens the bound listeners.
    pub(super) fn open(
        bound: Vec<Bound>,
        workers: &Workers,
        of: OfListeners,
        passed: PassedSockets,
    ) -> Result<Self, ListenError> {
        let listeners = Self { open: Mutex::default(), of, passed, http: OnceLock::new() };
        for one in bound {
            listeners.add(one, By::Config, workers)?;
        }
        Ok(listeners)
    }

    /// A number for connections that HTTP hands over, which no listener has.
    pub(super) fn number_of_http(&self, endpoint: &Endpoint) -> Result<u16, ListenError> {
        let (_open, _) = self.hold();
        let number = number(self.of.numbered(), endpoint)?;
        self.of.put([(number, &ListenerConfig::new(endpoint.clone(), Transport::Ws))]);
        Ok(*self.http.get_or_init(|| number))
    }

    /// The same once there is one.
    pub(super) fn http(&self) -> Option<u16> {
        self.http.get().copied()
    }

    pub(super) fn all(&self) -> Vec<Listening> {
        self.open.lock().iter().map(|open| open.listening.clone()).collect()
    }

    /// The listeners with a certificate, by name, and when it expires.
    pub(super) fn certificates(&self) -> Vec<(String, SystemTime)> {
        let name = |listening: &Listening| listening.endpoint.with(listening.transport).to_string();
        self.open.lock().iter().filter_map(|open| Some((name(&open.listening), open.expires?))).collect()
    }

    /// Locks the open listeners and their settings for clients, so that no one else changes them.
    pub(super) fn hold(&self) -> (MutexGuard<'_, Vec<Open>>, &OfListeners) {
        (self.open.lock(), &self.of)
    }

    /// The sockets that systemd passed.
    pub(super) fn passed(&self) -> &PassedSockets {
        &self.passed
    }

    pub(super) fn add(&self, bound: Bound, by: By, workers: &Workers) -> Result<Listening, ListenError> {
        let Bound { socket, listener_options, contents, warnings, config } = bound;
        let expires = expires(&listener_options);
        let (mut open, of) = self.hold();
        let number = number(of.numbered(), socket.endpoint())?;
        of.put([(number, &config)]);
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
    /// Reads the files of a listener.
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
            // a proxy uses either the PROXY header or HTTP headers
            trusted_proxies: if config.proxy_protocol { Vec::new() } else { config.trusted_proxies.clone() },
            ping: config.websocket_ping,
        });
        let (tls, warnings) = tls(config)?.unzip();
        let contents = tls.as_ref().map(|tls| tls.contents().clone()).unwrap_or_default();
        let rates = ListenerRates { messages: config.publish_rate, bytes: config.publish_bytes_rate };
        let (tls_records, max_connections) = (config.tls_records, config.max_connections);
        let mount_point = config.mount_point.as_deref().map(Into::into);
        let listener_options =
            ListenerOptions { tls, tls_records, websocket, proxy, rates, mount_point, max_connections };
        Ok(Self { listener_options, contents, warnings: warnings.unwrap_or_default() })
    }

    /// Logs the warnings.
    pub(super) fn warn(&self) {
        self.warnings.iter().for_each(|reason| tracing::warn!(reason, "certificate warning"));
    }

    /// Binds the listener. The result has several if systemd passed several sockets with its name.
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

/// The settings of a listener for authentication.
pub(super) fn of_listener(config: &ListenerConfig) -> OfListener {
    let ListenerConfig { allow_anonymous, password_file, acl_file, .. } = config;
    let files = OwnFiles { password_file: password_file.clone(), acl_file: acl_file.clone() };
    OfListener { allow_anonymous: *allow_anonymous, files }
}

/// When the certificate of a listener expires, if it has one.
pub(super) fn expires(options: &ListenerOptions) -> Option<SystemTime> {
    options.tls.as_ref().map(TlsSettings::expires)
}

/// The number of a listener after this many others.
pub(super) fn number(before: usize, endpoint: &Endpoint) -> Result<u16, ListenError> {
    u16::try_from(before).map_err(|_| ListenError::TooMany(endpoint.clone()))
}

/// Reads the files of a listener, and binds it.
pub(super) fn bind(config: &ListenerConfig, passed: &PassedSockets) -> Result<Vec<Bound>, ListenError> {
    let read = Read::of(config)?;
    read.warn();
    read.bind(config, passed)
}

/// Binds all listeners of a configuration.
pub(super) fn bind_all(config: &Config, passed: &PassedSockets) -> Result<Vec<Bound>, ListenError> {
    check_passed(config, passed)?;
    let mut all = Vec::new();
    for listener in &config.listeners {
        all.extend(tolerate(config, bind(listener, passed), true)?.into_iter().flatten());
    }
    Ok(all)
}

/// An error if no listener uses a socket that systemd passed, because its clients would wait forever.
pub(super) fn check_passed(config: &Config, passed: &PassedSockets) -> Result<(), ListenError> {
    let is_taken = |name: &str| config.listeners.iter().any(|one| one.address == Endpoint::Passed(name.into()));
    match passed.names().find(|name| !is_taken(name)) {
        Some(name) => Err(ListenError::Unused(name.into())),
        None => Ok(()),
    }
}

/// A listener on IPv6 with an equivalent one on IPv4, such as the default ones and `:1883`, is skipped on a machine
/// without IPv6: `None`, which is logged if `is_new`.
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

/// Is this loopback or all interfaces of IPv6, and is there a listener for the same of IPv4 with the same port and
/// settings?
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
        undated: config.ignore_certificate_dates,
        name: config.identity.map(|identity| match identity {
            CertificateIdentity::CommonName => CertificateName::CommonName,
            CertificateIdentity::Subject => CertificateName::Subject,
            CertificateIdentity::Dns => CertificateName::Dns,
            CertificateIdentity::Uri => CertificateName::Uri,
        }),
    });
    let only_1_3 = config.tls_min == TlsVersion::Tls13;
    let (http, key_log) = (config.transport.has_websocket(), config.tls_key_log.clone());
    let files = TlsFiles { certificate, key, clients, http, only_1_3, key_log };
    let loaded = TlsSettings::load(&files);
    loaded.map(Some).map_err(|error| ListenError::Tls { address: config.address.clone(), error })
}
