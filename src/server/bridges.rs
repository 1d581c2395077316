//! Converts configured bridges to the options of the room `bridge`.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use thiserror::Error;

use super::Server;
use crate::{
    bridge::{BridgeError, Bridges, Notify, Options, Passes, Start, Topic, Versions, View},
    config::{BridgeConfig, BridgeProtocol, BridgeStart, Config, Notifications, RemoteAddress},
    inside::Inside,
    outbound::{Target, TlsOptions, USER_TIMEOUT},
    session::Bound,
    types::Transport,
};

impl Server {
    /// The bridges to other brokers, in the order of the configuration.
    pub fn bridges(&self) -> Vec<View> {
        self.outward.bridges.views()
    }

    /// Pauses or resumes a bridge. `false`: no bridge has this name.
    pub fn pause_bridge(&self, name: &str, paused: bool) -> bool {
        self.outward.bridges.pause(name, paused)
    }
}

/// Begins the bridges, before any listener: what clients publish from their first packet on waits for them.
pub(super) fn begin(inside: &Arc<Inside>, config: &Config) -> Result<Arc<Bridges>, BridgeError> {
    let bridges = Arc::new(Bridges::new(inside.clone(), &broker_name(config)));
    let options = options(config);
    bridges.discard_others(&options);
    bridges.replace(options, own(config))?;
    Ok(bridges)
}

/// Why a configuration of bridges cannot be put in force.
#[derive(Debug, Error)]
pub enum BridgeConfigError {
    /// A bridge would connect to this broker.
    #[error(
        "{at}bridge {bridge}: {address} is an address of this broker, which would be bridged to itself; write that of the other \
         broker (addresses)"
    )]
    Itself {
        /// File, line and key, or nothing.
        at: String,
        /// Which.
        bridge: String,
        /// Where.
        address: String,
    },
    /// A file of TLS.
    #[error("{at}bridge {bridge}: {why}")]
    Tls {
        /// File, line and key, or nothing.
        at: String,
        /// Which.
        bridge: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Checks the bridges of a configuration: errors of a start, and warnings.
pub(super) fn check(config: &Config) -> Result<Vec<String>, BridgeConfigError> {
    let mut warnings = Vec::new();
    for bridge in &config.bridges {
        if let Some(address) = bridge.addresses.iter().find(|address| is_own(config, address)) {
            let (at, bridge, address) = (bridge.written.of("addresses"), bridge.name.clone(), address.to_string());
            return Err(BridgeConfigError::Itself { at, bridge, address });
        }
        // it is read at each connect, and may be there by then
        if let Some(file) = &bridge.password_file
            && let Err(error) = fs::read(file)
        {
            let (at, name) = (bridge.written.of("password_file"), &bridge.name);
            warnings.push(format!("{at}bridge {name}: cannot read password_file = {}: {error}", file.display()));
        }
        if bridge.addresses.iter().any(|address| address.transport.has_tls()) {
            let read = read_tls(bridge).map_err(|why| {
                let at = bridge.written.of(key_of(bridge, &why));
                BridgeConfigError::Tls { at, bridge: bridge.name.clone(), why }
            })?;
            warnings.extend(read.into_iter().map(|warning| format!("bridge {}: {warning}", bridge.name)));
        }
    }
    Ok(warnings)
}

/// The key with the file that an error names.
fn key_of(bridge: &BridgeConfig, why: &str) -> &'static str {
    let BridgeConfig { ca_file, certificate_file, key_file, .. } = bridge;
    let files = [("key_file", key_file), ("certificate_file", certificate_file), ("ca_file", ca_file)];
    let is_named = |file: &Option<PathBuf>| file.as_ref().is_some_and(|file| why.contains(&*file.to_string_lossy()));
    files.into_iter().find(|(_, file)| is_named(file)).map_or("addresses", |(key, _)| key)
}

#[cfg(feature = "tls")]
fn read_tls(bridge: &BridgeConfig) -> Result<Vec<String>, String> {
    let loaded = crate::outbound::ClientTls::load(&tls(bridge), false);
    loaded.map(|(_, warnings)| warnings).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
fn read_tls(_: &BridgeConfig) -> Result<Vec<String>, String> {
    Err("this dunlin was built without TLS (the feature `tls`)".into())
}

/// Is it an address that a listener has, as far as that can be said without a look-up? The rest is found when the
/// bridge connects.
fn is_own(config: &Config, address: &RemoteAddress) -> bool {
    let ip = match address.host.as_str() {
        "localhost" => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        host => host.parse::<std::net::IpAddr>().ok().map(|ip| ip.to_canonical()),
    };
    let is_this_machine = crate::platform::host_name() == address.host;
    own(config).into_iter().any(|own| {
        let is_any = own.ip().is_unspecified();
        let same = ip.is_some_and(|ip| own.ip() == ip || is_any && ip.is_loopback());
        own.port() == address.port && (same || is_any && is_this_machine)
    })
}

/// The addresses of listeners, as far as they are known.
pub(super) fn own(config: &Config) -> Vec<SocketAddr> {
    let listens = config.listeners.iter().filter(|listener| listener.transport != Transport::Unix);
    listens.filter_map(|listener| listener.address.socket_addr()).filter(|own| own.port() != 0).collect()
}

/// All bridges of a configuration.
pub(super) fn options(config: &Config) -> Vec<Options> {
    config.bridges.iter().map(of).collect()
}

/// A name of this broker that no other one has: with a `data_dir`, the same after a restart.
pub(super) fn broker_name(config: &Config) -> String {
    let random = RandomState::new();
    let new = format!("{:016x}", random.hash_one(std::process::id()));
    let Some(file) = config.data_dir.as_ref().filter(|_| !config.bridges.is_empty()).map(|dir| dir.join(NAME)) else {
        return new;
    };
    match fs::read_to_string(&file) {
        Ok(text) if text.len() == new.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => text,
        // a name that cannot be written is one for as long as the process runs
        _ => {
            if let Err(error) = fs::write(&file, &new) {
                tracing::warn!(%error, file = %file.display(), "the broker has another name for bridges after a restart");
            }
            new
        }
    }
}

/// The file in `data_dir` that has it.
const NAME: &str = "BRIDGE";

/// The Client Identifier at the other broker: as mosquitto's bridges have it.
fn client_id(bridge: &BridgeConfig) -> String {
    let machine = crate::platform::host_name();
    bridge.client_id.clone().unwrap_or_else(|| format!("{machine}.{}", bridge.name))
}

fn of(bridge: &BridgeConfig) -> Options {
    let client_id = client_id(bridge);
    let topic = bridge.notification_topic.clone();
    Options {
        name: bridge.name.clone(),
        targets: bridge.addresses.iter().map(|address| target(bridge, address)).collect(),
        tls: tls(bridge),
        topics: bridge.topics.iter().map(topic_of).collect(),
        username: bridge.username.clone(),
        password: bridge.password.clone(),
        password_file: bridge.password_file.clone(),
        versions: match bridge.protocol {
            BridgeProtocol::Auto => Versions::Both,
            BridgeProtocol::V5 => Versions::Five,
            BridgeProtocol::V311 => Versions::Four,
        },
        clean_session: bridge.clean_session,
        session_expiry: seconds(bridge.session_expiry),
        keep_alive: u16::try_from(bridge.keep_alive.as_secs()).unwrap_or(u16::MAX),
        queue: Bound { messages: bridge.queue_messages, bytes: bridge.queue_bytes, policy: bridge.queue_full },
        start: match bridge.start {
            BridgeStart::Automatic => Start::Automatic,
            BridgeStart::Lazy => Start::Lazy(bridge.threshold, bridge.idle_timeout),
            BridgeStart::Once => Start::Once,
        },
        reconnect: (bridge.reconnect_min, bridge.reconnect_max),
        round_robin: bridge.round_robin,
        notify: match bridge.notifications {
            Notifications::Both => Notify::Both,
            Notifications::Local => Notify::Local,
            Notifications::Off => Notify::Off,
        },
        notification_topic: topic.unwrap_or_else(|| format!("$SYS/broker/connection/{client_id}/state")),
        client_id,
        expiry: bridge.expiry.map(|expiry| seconds(Some(expiry))),
        rate: bridge.rate,
        outgoing_retain: bridge.outgoing_retain,
        clear_missing_retained: bridge.clear_missing_retained,
        max_packet_size: bridge.max_packet_size,
        try_private: bridge.try_private,
    }
}

/// In MQTT 5 the largest value means "never".
fn seconds(time: Option<Duration>) -> u32 {
    time.map_or(u32::MAX, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
}

fn target(bridge: &BridgeConfig, address: &RemoteAddress) -> Target {
    let RemoteAddress { transport, host, port, path } = address.clone();
    Target { transport, host, port, path, from: bridge.bind_address, user_timeout: USER_TIMEOUT }
}

/// How TLS is spoken by a bridge.
pub(super) fn tls(bridge: &BridgeConfig) -> TlsOptions {
    let own = bridge.certificate_file.clone().zip(bridge.key_file.clone());
    TlsOptions { authorities: bridge.ca_file.clone(), own, alpn: bridge.alpn.clone(), any_name: bridge.insecure }
}

fn topic_of(topic: &crate::config::BridgeTopic) -> Topic {
    Topic {
        pattern: topic.pattern.clone(),
        passes: Passes { out: topic.direction.is_out(), into: topic.direction.is_in() },
        qos: topic.qos,
        local: topic.local.clone(),
        remote: topic.remote.clone(),
    }
}
