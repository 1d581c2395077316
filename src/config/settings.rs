//! The resolved settings, from which every room gets its own options. It has all defaults, and reads no text or files.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    auth_http::AuthHttpConfig,
    bridge::BridgeConfig,
    http::HttpConfig,
    listen::ListenAddress,
    listener::{ClientCertificates, ListenerConfig},
    memory_bound::MemoryBound,
    origins::Origins,
    sink::SinkConfig,
    webhook::WebhookConfig,
};
use crate::types::{
    ClientIdBinding, Frequency, HttpUrl, LoginWay, QueueFull, Secret, SessionOwnership, SharedSubscriptions,
};

/// Everything a [`Server`](crate::Server) needs to know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The listeners, in the order in which their addresses are reported.
    pub listeners: Vec<ListenerConfig>,
    /// `None`: only loopback listeners accept anonymous clients; if a login is [configured](Self::has_login), none
    /// does.
    pub allow_anonymous: Option<bool>,
    /// Number of worker threads; `None`: one for each CPU that the process may use, less one.
    pub workers: Option<usize>,
    /// How long a shutdown waits until queued messages are sent to connected clients; for a client that reads nothing
    /// it waits a tenth of that.
    pub shutdown_grace: Duration,
    /// File that is written once all listeners accept, and removed on exit.
    pub ready_file: Option<PathBuf>,
    /// The file with the process id, while the broker runs.
    pub pid_file: Option<PathBuf>,
    /// The directory of the store; `None`: in memory only.
    pub data_dir: Option<PathBuf>,
    /// The mosquitto.conf that the configuration was read from, if it was.
    pub mosquitto_conf: Option<PathBuf>,
    /// mosquitto's database, if the configuration is a mosquitto.conf.
    pub mosquitto_db: Option<PathBuf>,
    /// When records become durable.
    pub sync: SyncMode,
    /// With [`SyncMode::Interval`]: the time between two syncs.
    pub sync_interval: Duration,
    /// Does the program reload when a configured file changes? Only the binary uses it: embedding programs call
    /// [`Server::reload`](crate::Server::reload).
    pub watch: bool,
    /// The Server Reference for clients of MQTT 5 when this server shuts down or refuses further clients.
    pub server_reference: Option<String>,
    /// The Response Information for clients of MQTT 5 that ask for it; `%c` is the Client Identifier, `%u` the user
    /// name.
    pub response_information: Option<String>,
    /// The log.
    pub log: LogConfig,
    /// The limits of everything that clients can make grow.
    pub limits: Limits,
    /// `$SYS/broker/…`.
    pub sys: SysConfig,
    /// Authentication and authorization.
    pub auth: AuthConfig,
    /// Health checks and metrics over HTTP.
    pub http: HttpConfig,
    /// Bridges to other brokers.
    pub bridges: Vec<BridgeConfig>,
    /// Webhooks.
    pub webhooks: Vec<WebhookConfig>,
    /// File sinks.
    pub sinks: Vec<SinkConfig>,
    /// Warnings about the file: settings that are allowed and probably mistakes.
    pub warnings: Vec<String>,
    /// The file, the variables and the flags that set the values.
    pub origins: Origins,
}

/// When records become durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Before the acknowledgement is sent: a power cut loses nothing that was acknowledged.
    #[default]
    BeforeAck,
    /// Records are handed to the operating system before the acknowledgement is sent, and synced at intervals: a power
    /// cut loses what was written after the last sync.
    Interval,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// One line of text or one JSON object an event.
    pub format: LogFormat,
    /// Are connects and disconnects logged?
    pub connections: bool,
    /// The file to which the log is appended.
    pub file: Option<PathBuf>,
    /// The size at which the file is rotated; `None`: never.
    pub rotate_size: Option<usize>,
    /// The number of rotated files that are kept.
    pub rotate_keep: u32,
    /// The facility for syslog; `None`: syslog is not used.
    pub syslog: Option<SyslogFacility>,
    /// Is the log written to standard error? `None`: yes, unless it goes to a file or syslog.
    pub stderr: Option<bool>,
}

/// A facility of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogFacility {
    /// User-level messages.
    User,
    /// System daemons.
    Daemon,
    /// local0 to local7.
    Local(u8),
}

impl SyslogFacility {
    /// Its number in the syslog protocol.
    pub fn number(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Daemon => 3,
            Self::Local(number) => 16 + number,
        }
    }
}

impl LogConfig {
    /// Is the log written to standard error?
    pub fn to_stderr(&self) -> bool {
        self.stderr.unwrap_or(self.file.is_none() && self.syslog.is_none())
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        let (level, format, file, rotate_size, syslog, stderr) = Default::default();
        Self { level, format, connections: true, file, rotate_size, rotate_keep: 5, syslog, stderr }
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// The broker stops or loses something.
    Error,
    /// An operator should act.
    Warn,
    /// Start and stop, connects and disconnects.
    #[default]
    Info,
    /// Subscriptions and dropped messages.
    Debug,
    /// Packets.
    Trace,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A readable line.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// The limits. Each has a default, and a counter of refused or dropped things. 0 never means "unlimited".
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections; a further one is closed at once.
    pub max_connections: usize,
    /// Connections without a CONNECT yet; a further one is closed at once.
    pub max_connecting: usize,
    /// Bytes held by those connections; above it, the one that holds most is closed, and further ones are not accepted
    /// yet.
    pub max_connecting_bytes: usize,
    /// Time from accept to CONNECT.
    pub connect_timeout: Duration,
    /// A packet with its fixed header, in bytes; a larger one closes the connection before it is buffered.
    pub max_packet_size: usize,
    /// The payload of a message, in bytes; a larger message is acknowledged and dropped. `None`: only the packet's size
    /// is limited.
    pub max_message_size: Option<usize>,
    /// A CONNECT in bytes, which arrives before login; `max_packet_size` applies too.
    pub max_connect_size: usize,
    /// Client Identifier, in bytes.
    pub max_client_id_length: usize,
    /// Topic Name or Topic Filter, in bytes.
    pub max_topic_length: usize,
    /// Levels of a Topic Name or Topic Filter.
    pub max_topic_levels: usize,
    /// QoS 1 and 2 messages in flight to a client.
    pub max_inflight_out: u16,
    /// QoS 2 messages received from a client and not released; further ones wait unacknowledged. (QoS 1 messages are
    /// acknowledged as soon as they are durable.)
    pub max_inflight_in: u16,
    /// QoS 1 and 2 messages that a client of MQTT 5 may have in flight (Receive Maximum).
    pub receive_maximum: u16,
    /// Topic Aliases for each direction of a client of MQTT 5.
    pub topic_alias_maximum: u16,
    /// The highest QoS of messages that clients publish, and of subscriptions.
    pub max_qos: u8,
    /// May clients publish with RETAIN?
    pub retain_available: bool,
    /// The longest Keep Alive, in whole seconds; `None`: unlimited.
    pub max_keep_alive: Option<Duration>,
    /// How a group of shared subscriptions chooses the member for a message.
    pub shared_subscriptions: SharedSubscriptions,
    /// A message that waits for a member of a group for this time goes to members with room.
    pub shared_requeue_after: Duration,
    /// Messages queued for one session.
    pub max_queued_messages: usize,
    /// Bytes (topics and payloads) queued for one session, and of all Wills that wait for room on a full disk.
    pub max_queued_bytes: usize,
    /// Bytes of memory for queued and in-flight messages of all sessions; the default is a quarter of the memory.
    pub max_queued_bytes_total: MemoryBound,
    /// The message that is dropped when a session's queue is full.
    pub queue_full: QueueFull,
    /// Queue QoS 0 messages too for a session whose client is away.
    pub queue_qos0: bool,
    /// Are messages delivered at the QoS of the subscription, even if they were published at a lower one?
    pub upgrade_outgoing_qos: bool,
    /// Bytes written for a client that its socket has not accepted; above it, QoS 0 messages are dropped and others
    /// stay in the queue.
    pub max_outbound_bytes: usize,
    /// A client whose socket accepts nothing for this time, while output is pending, is disconnected.
    pub write_timeout: Duration,
    /// Messages that one client may publish in a second on average; `None`: unlimited.
    pub publish_rate: Option<u32>,
    /// The same in bytes of PUBLISH packets.
    pub publish_bytes_rate: Option<usize>,
    /// Size of a burst, as the time in which the average rate would allow as much.
    pub publish_burst: Duration,
    /// What happens to a client that publishes faster.
    pub publish_rate_action: PublishRateAction,
    /// Connections accepted in a second on all listeners; `None`: unlimited.
    pub connect_rate: Option<u32>,
    /// A client that logs in more often is banned for a while; `None`: unlimited.
    pub reconnects: Option<Frequency>,
    /// Longest time after publication in which a message is delivered; `None`: only the publisher limits it.
    pub message_expiry: Option<Duration>,
    /// Longest time that a message stays retained; `None`: only the publisher limits it.
    pub retained_expiry: Option<Duration>,
    /// Number of retained messages.
    pub max_retained_messages: usize,
    /// Bytes of memory for all retained messages and their topics.
    pub max_retained_bytes: usize,
    /// Subscriptions of one client.
    pub max_subscriptions: usize,
    /// Bytes of memory for the subscriptions of all clients.
    pub max_subscription_bytes: usize,
    /// Sessions, including those of away clients; a client that would need a further one (Clean Session 0) is refused.
    pub max_sessions: usize,
    /// How long the session of an away client is kept (Clean Session 0); `None`: for ever.
    pub session_expiry: Option<Duration>,
    /// Bytes of memory of the process; the default is three quarters of the memory.
    pub max_memory: MemoryBound,
}

/// What happens to a client that publishes faster than allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublishRateAction {
    /// Its packets are read more slowly; nothing is lost.
    #[default]
    Slow,
    /// The connection is closed.
    Disconnect,
}

/// `$SYS` topics.
#[derive(Clone, Debug, PartialEq)]
pub struct SysConfig {
    /// Interval of publication; `None`: never.
    pub interval: Option<Duration>,
    /// What happens to a client's PUBLISH to `$SYS/…`.
    pub client_publish: SysPublish,
    /// Are events published to topics that begin with `$events/`?
    pub events: bool,
}

/// What happens to a client's PUBLISH to `$SYS/…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SysPublish {
    /// Acknowledged, dropped and logged.
    #[default]
    Drop,
    /// The connection is closed.
    Disconnect,
    /// Delivered like any other.
    Allow,
}

/// Users, rules and tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthConfig {
    /// The order of the login methods.
    pub order: [LoginWay; 3],
    /// Login services.
    pub services: Vec<AuthHttpConfig>,
    /// Users and the hashes of their passwords, in mosquitto's format.
    pub password_file: Option<PathBuf>,
    /// May passwords in `mosquitto_passwd`'s format be used for SCRAM-SHA-512?
    pub scram_from_password_file: bool,
    /// A user in addition to those of the password file, from `DUNLIN_USER` and `DUNLIN_USER_PASSWORD_FILE`.
    pub user: Option<VariableUser>,
    /// Rules of users, in mosquitto's format.
    pub acl_file: Option<PathBuf>,
    /// Clients, groups and roles, in the format of mosquitto's dynamic security.
    pub dynsec_file: Option<PathBuf>,
    /// Who may take over another user's session.
    pub session_owner: SessionOwnership,
    /// How Client Identifiers are bound to user names.
    pub client_id: ClientIdBinding,
    /// Prefixes that Client Identifiers must have; empty: any.
    pub client_id_prefixes: Vec<String>,
    /// The prefix of Client Identifiers that the broker assigns.
    pub auto_id_prefix: Option<String>,
    /// May a client connect with an empty Client Identifier?
    pub allow_zero_length_client_id: bool,
    /// Is a retained message sent only if its publisher may still publish to its topic?
    pub check_retain_source: bool,
    /// What happens to a message that its client may not publish.
    pub denied_publish: DeniedPublish,
    /// Least delay of refusals after failed logins from the same address; `None`: none.
    pub failed_login_delay: Option<Duration>,
    /// The secret that tokens are signed with (HS256).
    pub token_secret: Option<Secret>,
    /// A file with the secret.
    pub token_secret_file: Option<PathBuf>,
    /// The public key that verifies tokens, in PEM (RS256, ES256).
    pub token_key_file: Option<PathBuf>,
    /// A JSON Web Key Set with several keys.
    pub token_jwks_file: Option<PathBuf>,
    /// Where an identity provider publishes its keys, as a JSON Web Key Set.
    pub token_jwks_url: Option<HttpUrl>,
    /// Where a provider is asked about tokens for which there is no key (RFC 7662).
    pub token_introspection_url: Option<HttpUrl>,
    /// The `client_id` of this broker there.
    pub token_introspection_client_id: Option<String>,
    /// A file with the `client_secret` of this broker there.
    pub token_introspection_secret_file: Option<PathBuf>,
    /// TLS: the authorities of the provider's certificate, PEM.
    pub token_ca_file: Option<PathBuf>,
    /// The issuer that a token must name; `None`: any.
    pub token_issuer: Option<String>,
    /// The audience that a token must name; `None`: not said; `any`: any.
    pub token_audience: Option<String>,
    /// The permitted difference of clocks.
    pub token_leeway: Duration,
    /// The claim that must be the user name; `None`: none.
    pub token_user_claim: Option<String>,
}

/// A user from environment variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableUser {
    /// The user name.
    pub name: String,
    /// A file whose first line is the password.
    pub password_file: PathBuf,
}

/// What happens to a message that its client may not publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeniedPublish {
    /// Acknowledged and dropped.
    #[default]
    Ignore,
    /// The connection is closed.
    Disconnect,
}

impl Config {
    /// Is a login configured: users, services, tokens, or a listener that requests client certificates?
    pub fn has_login(&self) -> bool {
        self.auth.has_users() || self.asks_for_certificates()
    }

    /// Listeners whose own `allow_anonymous` differs from the one for all, and its value. A listener that requires
    /// certificates accepts no anonymous client.
    pub fn own_anonymous(&self) -> impl Iterator<Item = (&ListenerConfig, bool)> {
        let own = self.listeners.iter().filter(|listener| !listener.demands_certificates());
        own.filter_map(|listener| Some((listener, listener.allow_anonymous?)))
            .filter(|(_, served)| self.allow_anonymous != Some(*served))
    }

    /// The variable of a login because of which anonymous clients are refused although the file accepts them.
    pub fn refuses_anonymous_for(&self) -> Option<&str> {
        let by = self.origins.of("allow_anonymous").filter(|_| self.allow_anonymous.is_none())?;
        (by.starts_with("DUNLIN_") && by != "DUNLIN_ALLOW_ANONYMOUS").then_some(by)
    }

    /// Does a listener request client certificates?
    pub fn asks_for_certificates(&self) -> bool {
        self.listeners.iter().any(|listener| listener.client_certificates != ClientCertificates::Off)
    }
}

impl AuthConfig {
    /// Are clients authenticated by users, services or tokens?
    pub fn has_users(&self) -> bool {
        let Self {
            password_file,
            dynsec_file,
            token_secret_file,
            token_key_file,
            token_jwks_file,
            token_jwks_url,
            token_introspection_url,
            token_secret,
            services,
            ..
        } = self;
        let files = [password_file, dynsec_file, token_secret_file, token_key_file, token_jwks_file];
        let elsewhere = token_jwks_url.is_some() || token_introspection_url.is_some() || !services.is_empty();
        let other = token_secret.is_some() || self.user.is_some() || elsewhere;
        other || files.into_iter().any(Option::is_some)
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            order: [LoginWay::Token, LoginWay::Files, LoginWay::Http],
            services: Vec::new(),
            password_file: None,
            scram_from_password_file: false,
            user: None,
            acl_file: None,
            dynsec_file: None,
            session_owner: SessionOwnership::default(),
            client_id: ClientIdBinding::default(),
            client_id_prefixes: Vec::new(),
            auto_id_prefix: Some("auto-".into()),
            allow_zero_length_client_id: true,
            check_retain_source: false,
            denied_publish: DeniedPublish::default(),
            failed_login_delay: Some(Duration::from_millis(250)),
            token_secret: None,
            token_secret_file: None,
            token_key_file: None,
            token_jwks_file: None,
            token_jwks_url: None,
            token_introspection_url: None,
            token_introspection_client_id: None,
            token_introspection_secret_file: None,
            token_ca_file: None,
            token_issuer: None,
            token_audience: None,
            token_leeway: Duration::from_secs(30),
            token_user_claim: Some("sub".into()),
        }
    }
}

impl Default for Config {
    /// Loopback, port 1883, both address families; anonymous; in memory.
    fn default() -> Self {
        Self {
            listeners: vec![
                ListenerConfig::tcp(SocketAddr::from(([127, 0, 0, 1], 1883))),
                ListenerConfig::tcp(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1883))),
            ],
            allow_anonymous: None,
            workers: None,
            shutdown_grace: Duration::from_secs(5),
            ready_file: None,
            pid_file: None,
            data_dir: None,
            mosquitto_conf: None,
            mosquitto_db: None,
            sync: SyncMode::default(),
            sync_interval: Duration::from_secs(1),
            watch: false,
            server_reference: None,
            response_information: None,
            log: LogConfig::default(),
            limits: Limits::default(),
            sys: SysConfig { interval: Some(Duration::from_secs(10)), client_publish: SysPublish::Drop, events: false },
            auth: AuthConfig::default(),
            http: HttpConfig::default(),
            bridges: Vec::new(),
            webhooks: Vec::new(),
            sinks: Vec::new(),
            warnings: Vec::new(),
            origins: Origins::default(),
        }
    }
}

impl Config {
    /// For tests: a broker on a free loopback port (127.0.0.1, port 0).
    pub fn ephemeral() -> Self {
        Self { listeners: vec![ListenerConfig::tcp(SocketAddr::from(([127, 0, 0, 1], 0)))], ..Self::default() }
    }

    /// Addresses of HTTP. If they are not configured: none if a listener has port 0, because brokers that run side by
    /// side would all want the same port.
    pub fn http_addresses(&self) -> &[ListenAddress] {
        let free = |one: &ListenerConfig| one.address.socket_addr().is_some_and(|address| address.port() == 0);
        if self.has_default_http() && self.listeners.iter().any(free) { &[] } else { &self.http.listen.0 }
    }

    /// Does the HTTP port serve MQTT over WebSocket?
    pub fn http_takes_mqtt(&self) -> bool {
        let local = || self.http_addresses().iter().all(ListenAddress::is_local);
        let by_certificates = || self.listeners.iter().any(ListenerConfig::demands_certificates);
        self.http.mqtt.unwrap_or_else(|| local() && !by_certificates())
    }

    /// Is `http.listen` missing? Then HTTP is served at the default address, if that is free.
    pub fn has_default_http(&self) -> bool {
        self.origins.of("http.listen").is_none() && self.http.listen == HttpConfig::default().listen
    }

    /// Number of worker threads: as configured, or one for each CPU that the process may use, less one for the kernel's
    /// work and other programs. With clients on the same two cores, two threads deliver less than one.
    pub fn worker_threads(&self) -> usize {
        let auto = || std::thread::available_parallelism().map_or(1, |cpus| cpus.get().saturating_sub(1).max(1));
        self.workers.unwrap_or_else(auto)
    }

    /// Every configured file that a reload reads: certificates, keys, users, rules.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let of_listeners = self.listeners.iter().flat_map(|listener| {
            let ListenerConfig { certificate_file, key_file, client_ca_file, revocation_list_file, .. } = listener;
            let of_tls = [certificate_file, key_file, client_ca_file, revocation_list_file];
            of_tls.into_iter().chain([&listener.password_file, &listener.acl_file])
        });
        let AuthConfig { password_file, acl_file, dynsec_file, .. } = &self.auth;
        let AuthConfig { token_secret_file, token_key_file, token_jwks_file, token_ca_file, .. } = &self.auth;
        let of_auth = [password_file, acl_file, dynsec_file, token_secret_file, token_key_file, token_jwks_file];
        let of_provider = [token_ca_file, &self.auth.token_introspection_secret_file];
        let of_auth = of_auth.into_iter().chain(of_provider).chain([&self.http.keys_file]);
        let of_user = self.auth.user.iter().map(|user| user.password_file.as_path());
        let of_http = [&self.http.certificate_file, &self.http.key_file];
        of_listeners.chain(of_auth).chain(of_http).filter_map(Option::as_deref).chain(of_user)
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            max_connections: 100_000,
            max_connecting: 10_000,
            max_connecting_bytes: 64 * MIB,
            connect_timeout: Duration::from_secs(10),
            max_packet_size: 2_000_000,
            max_message_size: None,
            // one field of the largest length, and the rest of a CONNECT
            max_connect_size: 72 << 10,
            max_client_id_length: 65_535,
            max_topic_length: 65_535,
            // 200 slashes
            max_topic_levels: 201,
            max_inflight_out: 100,
            max_inflight_in: 100,
            receive_maximum: u16::MAX,
            topic_alias_maximum: 10,
            max_qos: 2,
            retain_available: true,
            max_keep_alive: None,
            shared_subscriptions: SharedSubscriptions::default(),
            shared_requeue_after: Duration::from_secs(1),
            max_queued_messages: 1_000,
            max_queued_bytes: 64 * MIB,
            max_queued_bytes_total: MemoryBound::Auto,
            queue_full: QueueFull::default(),
            queue_qos0: false,
            upgrade_outgoing_qos: false,
            max_outbound_bytes: 8 * MIB,
            write_timeout: Duration::from_secs(60),
            publish_rate: None,
            publish_bytes_rate: None,
            publish_burst: Duration::from_secs(1),
            publish_rate_action: PublishRateAction::default(),
            connect_rate: None,
            reconnects: None,
            message_expiry: None,
            retained_expiry: None,
            max_retained_messages: 1_000_000,
            max_retained_bytes: 1024 * MIB,
            max_subscriptions: 10_000,
            max_subscription_bytes: 1024 * MIB,
            max_sessions: 1_000_000,
            session_expiry: Some(Duration::from_secs(14 * 24 * 60 * 60)),
            max_memory: MemoryBound::Auto,
        }
    }
}
