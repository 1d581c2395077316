//! One listener: its settings ([`ListenerConfig`]), and their consistency ([`check`]).

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;

use crate::{
    platform::HAS_FREEBIND,
    types::{Endpoint, ProtocolVersion, TlsRecords, Transport},
};

/// The settings of one listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// Its address; with port 0 the system chooses one.
    pub address: Endpoint,
    /// The protocol below MQTT.
    pub transport: Transport,
    /// Are clients without a user name served? `None`: see [`Config::allow_anonymous`](super::Config).
    pub allow_anonymous: Option<bool>,
    /// Its users, instead of those of all listeners.
    pub password_file: Option<PathBuf>,
    /// Its rules, instead of those of all listeners.
    pub acl_file: Option<PathBuf>,
    /// TLS: the certificate chain, PEM, the broker's own first.
    pub certificate_file: Option<PathBuf>,
    /// TLS: the private key of that certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// TLS: the certificate authorities of client certificates, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// TLS: must clients have a certificate? If a proxy terminates TLS: must the proxy report one?
    pub client_certificates: ClientCertificates,
    /// TLS: the oldest version.
    pub tls_min: TlsVersion,
    /// TLS: the revocation lists of client certificates, PEM.
    pub revocation_list_file: Option<PathBuf>,
    /// TLS: are client certificates accepted that have expired or are not valid yet?
    pub ignore_certificate_dates: bool,
    /// The part of a client certificate that is the user name; see [`names_by_proxy`](Self::names_by_proxy).
    pub identity: Option<CertificateIdentity>,
    /// TLS: the secrets of its connections are written to this file (`--tls-keylog`).
    pub tls_key_log: Option<PathBuf>,
    /// TLS: is each MQTT packet sent in its own record?
    pub tls_records: TlsRecords,
    /// WebSocket: the path of the request; `None`: any.
    pub path: Option<String>,
    /// WebSocket: the origins of web pages that may connect; empty: all.
    pub allowed_origins: Vec<String>,
    /// WebSocket: the time without traffic after which a ping is sent; `None`: never.
    pub websocket_ping: Option<Duration>,
    /// Prefix of the Client Identifiers that its clients without one are assigned; `None`: as for all listeners.
    pub auto_id_prefix: Option<String>,
    /// Prefix of the topics and filters of its clients, which they do not see; `None`: none.
    pub mount_point: Option<String>,
    /// The allowed MQTT versions; empty: all.
    pub protocol_versions: Vec<ProtocolVersion>,
    /// The most connections at a time; `None`: the limit for all listeners.
    pub max_connections: Option<usize>,
    /// The highest QoS of its clients; `None`: `limits.max_qos`.
    pub max_qos: Option<u8>,
    /// Messages that each of its clients may publish in a second; `None`: as in the limits; `Some(None)`: unlimited.
    pub publish_rate: Option<Option<u32>>,
    /// The same in bytes of PUBLISH packets.
    pub publish_bytes_rate: Option<Option<usize>>,
    /// Unix socket: the permission bits of the file, which decide who may connect.
    pub mode: u32,
    /// Linux: may the address be missing on this machine at the start?
    pub freebind: bool,
    /// Do connections begin with a header of the PROXY protocol?
    pub proxy_protocol: bool,
    /// Trusted proxies: their PROXY headers are used, or, without `proxy_protocol`, the forwarding headers of their
    /// WebSocket requests.
    pub trusted_proxies: Vec<IpNet>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    Tls12,
    /// 1.3.
    Tls13,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate is requested.
    #[default]
    Off,
    /// A certificate is optional, but must be valid.
    Optional,
    /// A valid certificate is required.
    Required,
}

/// The part of a client certificate that is the user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateIdentity {
    /// The Common Name of its subject.
    CommonName,
    /// Its whole subject, as RFC 4514 writes it.
    Subject,
    /// The first DNS name among its Subject Alternative Names.
    Dns,
    /// The first URI among them.
    Uri,
}

impl ListenerConfig {
    /// Its name, in the form of `--listen`: `tls://0.0.0.0:8883`.
    pub fn name(&self) -> String {
        self.address.with(self.transport).to_string()
    }

    /// A listener with defaults.
    pub fn new(address: impl Into<Endpoint>, transport: Transport) -> Self {
        Self {
            address: address.into(),
            transport,
            allow_anonymous: None,
            password_file: None,
            acl_file: None,
            certificate_file: None,
            key_file: None,
            client_ca_file: None,
            client_certificates: ClientCertificates::Off,
            tls_min: TlsVersion::default(),
            revocation_list_file: None,
            ignore_certificate_dates: false,
            identity: None,
            tls_key_log: None,
            tls_records: TlsRecords::default(),
            path: None,
            allowed_origins: Vec::new(),
            websocket_ping: Some(Duration::from_secs(30)),
            auto_id_prefix: None,
            mount_point: None,
            protocol_versions: Vec::new(),
            max_connections: None,
            max_qos: None,
            publish_rate: None,
            publish_bytes_rate: None,
            mode: 0o660,
            freebind: false,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
        }
    }

    /// Are its clients local, unless a header says otherwise? Those behind a proxy are not.
    pub fn is_loopback(&self) -> bool {
        self.address.is_loopback() && !self.proxy_protocol && self.trusted_proxies.is_empty()
    }

    /// Does the proxy report the names in client certificates? True unless the listener requests certificates in its
    /// own TLS handshake.
    pub fn names_by_proxy(&self) -> bool {
        let asks = self.transport.has_tls() && self.client_certificates != ClientCertificates::Off;
        self.identity.is_some() && self.proxy_protocol && !asks
    }

    /// Are clients without a certificate refused?
    pub fn demands_certificates(&self) -> bool {
        self.transport.has_tls() && self.client_certificates == ClientCertificates::Required
    }

    /// A TCP listener with defaults.
    pub fn tcp(address: std::net::SocketAddr) -> Self {
        Self::new(address, Transport::Tcp)
    }
}

/// A key whose value conflicts with others, and what to do.
pub(super) type Conflict = (&'static str, &'static str);

/// Checks the settings for conflicts. Returns the first one.
pub(super) fn check(listener: &ListenerConfig) -> Result<(), Conflict> {
    let unset = ListenerConfig::new(listener.address.clone(), listener.transport);
    let path_and_ip = listener.address.path().is_some() != (listener.transport == Transport::Unix);
    let only = |of: bool, keys: &[(&'static str, bool)], what: &'static str| match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) if !of => Err((*key, what)),
        _ => Ok(()),
    };
    let passed = matches!(listener.address, Endpoint::Passed(_));
    if passed && listener.transport == Transport::Unix {
        return Err(("transport", "a Unix socket that systemd passes is recognised; remove the key"));
    }
    if path_and_ip {
        return Err(("transport", "\"unix\" and an address \"unix:/path\" need each other; change one"));
    }
    let tls = [
        ("certificate_file", listener.certificate_file.is_some()),
        ("key_file", listener.key_file.is_some()),
        ("client_ca_file", listener.client_ca_file.is_some()),
        ("tls_min", listener.tls_min != TlsVersion::default()),
        ("revocation_list_file", listener.revocation_list_file.is_some()),
        ("ignore_certificate_dates", listener.ignore_certificate_dates),
        ("tls_records", listener.tls_records != unset.tls_records),
    ];
    only(listener.transport.has_tls(), &tls, "it is for TLS; write transport = \"tls\" (or \"wss\") too")?;
    let certificates = [
        ("client_certificates", listener.client_certificates != unset.client_certificates),
        ("identity", listener.identity.is_some()),
    ];
    only(
        listener.transport.has_tls() || listener.proxy_protocol,
        &certificates,
        "it is for TLS; write transport = \"tls\" (or \"wss\") too, or proxy_protocol = true for a proxy that speaks TLS",
    )?;
    if listener.names_by_proxy() && listener.identity != Some(CertificateIdentity::CommonName) {
        return Err(("identity", "a proxy reports only the common name; write identity = \"common-name\""));
    }
    let websocket = [
        ("path", listener.path.is_some()),
        ("allowed_origins", !listener.allowed_origins.is_empty()),
        ("websocket_ping", listener.websocket_ping != unset.websocket_ping),
    ];
    only(
        listener.transport.has_websocket(),
        &websocket,
        "it is for WebSocket; write transport = \"ws\" (or \"wss\") too",
    )?;
    let unix = listener.transport == Transport::Unix;
    let mode = [("mode", listener.mode != unset.mode)];
    only(!passed, &mode, "it is for sockets that dunlin creates; write SocketMode= in the socket unit")?;
    only(unix, &mode, "it is for Unix sockets; remove it")?;
    let proxies =
        [("proxy_protocol", listener.proxy_protocol), ("trusted_proxies", !listener.trusted_proxies.is_empty())];
    only(!unix, &proxies, "it is not for Unix sockets; remove it")?;
    let freebind = [("freebind", listener.freebind)];
    only(!passed, &freebind, "the socket unit binds the address; remove this, and write FreeBind=yes there")?;
    only(!unix, &freebind, "it is not for Unix sockets; remove it")?;
    only(HAS_FREEBIND, &freebind, "it needs Linux; remove it")?;
    check_texts(listener)?;
    check_tls(listener)?;
    match (listener.proxy_protocol, listener.trusted_proxies.is_empty()) {
        (true, true) => Err((
            "proxy_protocol",
            "no proxy is trusted; write trusted_proxies = [\"ADDRESS\"] with the proxy's address",
        )),
        (false, false) if !listener.transport.has_websocket() => {
            Err(("trusted_proxies", "it does nothing without proxy_protocol = true; write that too"))
        }
        _ => Ok(()),
    }
}

/// The texts of which not all are allowed.
fn check_texts(listener: &ListenerConfig) -> Result<(), Conflict> {
    if listener.path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#', ' '])) {
        return Err((
            "path",
            "a path begins with \"/\" and has no query; write one such as path = \"/mqtt\", or \"any\"",
        ));
    }
    if listener.mount_point.as_ref().is_some_and(|prefix| !is_mount_point(prefix)) {
        return Err((
            "mount_point",
            "it ends with \"/\", does not begin with \"$\", and has neither \"+\" nor \"#\"; write one such as \"site7/\"",
        ));
    }
    Ok(())
}

/// Do topics stay topics, and filters filters, behind it?
fn is_mount_point(prefix: &str) -> bool {
    prefix.ends_with('/') && !prefix.starts_with('$') && !prefix.contains(['+', '#', '\0'])
}

fn check_tls(listener: &ListenerConfig) -> Result<(), Conflict> {
    if !listener.transport.has_tls() {
        return Ok(());
    }
    if listener.certificate_file.is_none() {
        return Err((
            "certificate_file",
            "TLS needs a certificate; write certificate_file = \"FILE\" (`dunlin certs` creates one for tests)",
        ));
    }
    if listener.key_file.is_none() {
        return Err(("key_file", "TLS needs the key of the certificate; write key_file = \"FILE\""));
    }
    let asked = listener.client_certificates != ClientCertificates::Off;
    if asked && listener.client_ca_file.is_none() {
        return Err(("client_certificates", "their authority is missing; write client_ca_file = \"FILE\""));
    }
    let without = [
        ("client_ca_file", listener.client_ca_file.is_some()),
        ("revocation_list_file", listener.revocation_list_file.is_some()),
        ("ignore_certificate_dates", listener.ignore_certificate_dates),
        ("identity", listener.identity.is_some() && !listener.names_by_proxy()),
    ];
    match without.iter().find(|(_, set)| *set && !asked) {
        Some((key, _)) => Err((
            key,
            "client certificates are not requested; write client_certificates = \"required\" (or \"optional\") too",
        )),
        None => Ok(()),
    }
}
