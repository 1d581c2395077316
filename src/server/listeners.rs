//! A server's listeners: bound from the configuration, opened and closed while it runs.

use std::{io, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use thiserror::Error;

use crate::{
    config::{CertificateIdentity, ClientCertificates, Config, ListenerConfig},
    net::{self, CertificateName, ClientFiles, Entrance, TlsError, TlsFiles, TlsSettings, WebSocketOptions, Workers},
    types::{Endpoint, Transport},
};

/// A listener that accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct Listening {
    /// Its number, as in [`Peer::listener`](crate::router::Peer): its place in the configuration, or one that no other had.
    pub number: u16,
    /// What is spoken.
    pub transport: Transport,
    /// Where; the port is the one that the system picked where 0 was asked for.
    pub endpoint: Endpoint,
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
    /// Its TLS is not as it should be.
    #[error("cannot listen on {address}: {error}")]
    Tls {
        /// As configured.
        address: Endpoint,
        /// What is wrong.
        error: TlsError,
    },
    /// It would speak TLS without a certificate, which a configuration that was read from a file cannot say.
    #[error("cannot listen on {0}: TLS needs a certificate_file and a key_file")]
    NoCertificate(Endpoint),
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
        (io::ErrorKind::AddrNotAvailable, _) => format!("{error}: this machine has no such address"),
        _ => error.to_string(),
    }
}

/// What `allow_anonymous` says for each listener, by number.
pub(super) type Anonymity = Arc<ArcSwap<Vec<Option<bool>>>>;

/// Those that are open.
pub(super) struct Listeners {
    open: Mutex<Vec<(Listening, ListenerConfig)>>,
    anonymity: Anonymity,
}

/// A listener that is bound, and all that it needs is read.
pub(super) struct Bound {
    socket: net::Listener,
    entrance: Entrance,
    config: ListenerConfig,
}

impl Listeners {
    /// Serves what was bound.
    pub(super) fn open(bound: Vec<Bound>, workers: &Workers, anonymity: Anonymity) -> Result<Self, ListenError> {
        let listeners = Self { open: Mutex::default(), anonymity };
        for one in bound {
            listeners.add(one, workers)?;
        }
        Ok(listeners)
    }

    pub(super) fn all(&self) -> Vec<Listening> {
        self.open.lock().iter().map(|(listening, _)| listening.clone()).collect()
    }

    pub(super) fn add(&self, bound: Bound, workers: &Workers) -> Result<Listening, ListenError> {
        let Bound { socket, entrance, config } = bound;
        let mut open = self.open.lock();
        let mut anonymity = self.anonymity.load().to_vec();
        let endpoint = socket.endpoint().clone();
        let Ok(number) = u16::try_from(anonymity.len()) else { return Err(ListenError::TooMany(endpoint)) };
        anonymity.push(config.allow_anonymous);
        self.anonymity.store(Arc::new(anonymity));
        let listening = Listening { number, transport: config.transport, endpoint };
        open.push((listening.clone(), config));
        workers.listen(number, socket, entrance);
        Ok(listening)
    }

    pub(super) async fn close(&self, number: u16, workers: &Workers) -> bool {
        self.open.lock().retain(|(listening, _)| listening.number != number);
        workers.close(number).await
    }

    /// Reads the files of all that speak TLS again, and puts them in force if nothing is wrong with any.
    pub(super) fn reload_tls(&self, workers: &Workers) -> Result<usize, ListenError> {
        let open = self.open.lock();
        let mut read = Vec::new();
        for (listening, config) in open.iter() {
            if let Some(settings) = tls(config)? {
                read.push((listening.number, settings));
            }
        }
        Ok(read.into_iter().filter(|(number, settings)| workers.replace_tls(*number, settings.clone())).count())
    }
}

/// Reads what a listener needs.
pub(super) fn check(config: &ListenerConfig) -> Result<(), ListenError> {
    tls(config).map(|_| ())
}

/// Reads what a listener needs, and binds it.
pub(super) fn bind(config: &ListenerConfig) -> Result<Bound, ListenError> {
    let websocket = config
        .transport
        .has_websocket()
        .then(|| WebSocketOptions { path: config.path.clone(), allowed_origins: config.allowed_origins.clone() });
    let trusted_proxies = config.proxy_protocol.then(|| config.trusted_proxies.clone());
    let entrance = Entrance { tls: tls(config)?, websocket, trusted_proxies };
    let address = &config.address;
    match net::bind(address, config.mode) {
        Ok(socket) => Ok(Bound { socket, entrance, config: config.clone() }),
        Err(error) => Err(ListenError::Bind { address: address.clone(), error }),
    }
}

/// Binds every listener of a configuration.
pub(super) fn bind_all(config: &Config) -> Result<Vec<Bound>, ListenError> {
    // where nobody asked for IPv6, a machine without it is no reason not to start
    let by_default = config.listeners == Config::default().listeners;
    let mut bound = Vec::new();
    for listener in &config.listeners {
        match bind(listener) {
            Ok(one) => bound.push(one),
            Err(ListenError::Bind { address, error })
                if by_default && address.socket_addr().is_some_and(|a: SocketAddr| a.is_ipv6()) && no_ipv6(&error) =>
            {
                tracing::info!("not listening on {address}: this machine has no IPv6");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(bound)
}

fn no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// TLS as configured, read from its files; what works and is not as it should be is said in the log.
fn tls(config: &ListenerConfig) -> Result<Option<TlsSettings>, ListenError> {
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
        }),
    });
    let files = TlsFiles { certificate, key, clients, http: config.transport.has_websocket() };
    let loaded = TlsSettings::load(&files);
    let (settings, warnings) = loaded.map_err(|error| ListenError::Tls { address: config.address.clone(), error })?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(Some(settings))
}
