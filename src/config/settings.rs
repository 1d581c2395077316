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
    webhook::WebhookConfig,
};
use crate::types::{ClientIdBinding, Frequency, LoginWay, QueueFull, Secret, SessionOwnership, SharedSubscriptions};

/// Everything a [`Server`](crate::Server) needs to know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The listeners, in the order in which their addresses are reported.
    pub listeners: Vec<ListenerConfig>,
    /// `None`: anonymous clients are served on loopback listeners alone, and nowhere once a login is
    /// [configured](Self::has_login).
    pub allow_anonymous: Option<bool>,
    /// Threads that serve connections; `None`: one for each CPU that the process may use, less one.
    pub workers: Option<usize>,
    /// How long a shutdown waits for what is queued to connected clients; a client that does nothing meanwhile is
    /// waited for a tenth of it.
    pub shutdown_grace: Duration,
    /// Written once all listeners accept, removed on exit.
    pub ready_file: Option<PathBuf>,
    /// The directory of the store; `None`: in memory only.
    pub data_dir: Option<PathBuf>,
    /// Where mosquitto keeps its data, if this was read from its configuration.
    pub mosquitto_db: Option<PathBuf>,
    /// When a record is written to disk.
    pub sync: SyncMode,
    /// With [`SyncMode::Interval`]: the time between two syncs.
    pub sync_interval: Duration,
    /// Is a change of a file that is named here put in force without being asked? The binary's business: a server that
    /// is embedded is told by [`Server::reload`](crate::Server::reload).
    pub watch: bool,
    /// The Server Reference that clients of MQTT 5 get when this server shuts down or has no room for them.
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
    /// Connections to other brokers.
    pub bridges: Vec<BridgeConfig>,
    /// Services that are told what happens.
    pub webhooks: Vec<WebhookConfig>,
    /// Warnings about the file: what is allowed there and probably not intended.
    pub warnings: Vec<String>,
    /// The file and the variables that set the values.
    pub origins: Origins,
}

/// When a record is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Before the acknowledgement is sent: a power cut loses nothing that was acknowledged.
    #[default]
    BeforeAck,
    /// It is given to the operating system before the acknowledgement is sent, and synced at intervals: a power cut
    /// loses what came after the last sync.
    Interval,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// One line of text or one JSON object an event.
    pub format: LogFormat,
    /// Are connects and disconnects logged?
    pub connections: bool,
    /// The file to which it is appended.
    pub file: Option<PathBuf>,
    /// The size at which the file is rotated; `None`: never.
    pub rotate_size: Option<usize>,
    /// The number of rotated files that are kept.
    pub rotate_keep: u32,
    /// The facility for syslog; `None`: syslog is not used.
    pub syslog: Option<SyslogFacility>,
    /// Is it written to standard error? `None`: if it goes to neither a file nor syslog.
    pub stderr: Option<bool>,
}

/// A facility of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogFacility {
    /// Programs of users.
    User,
    /// Services.
    Daemon,
    /// One of the eight that the machine's owner gives a meaning.
    Local(u8),
}

impl SyslogFacility {
    /// Its number in the protocol.
    pub fn number(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Daemon => 3,
            Self::Local(number) => 16 + number,
        }
    }
}

impl LogConfig {
    /// Is it written to standard error?
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
    /// What stops the broker or loses something.
    Error,
    /// What an operator should look at.
    Warn,
    /// Start, stop, every connection's begin and end.
    #[default]
    Info,
    /// Every subscription and drop.
    Debug,
    /// Every packet.
    Trace,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A readable line.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Limits. Each has a default and a counter of what it refused or dropped. 0 never means "unlimited".
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections in all; one more is closed at once.
    pub max_connections: usize,
    /// Connections that have not sent their CONNECT yet; one more is closed at once.
    pub max_connecting: usize,
    /// Bytes that all of those hold; then the one that holds most is closed, and further ones wait to be accepted.
    pub max_connecting_bytes: usize,
    /// Time from accept to CONNECT.
    pub connect_timeout: Duration,
    /// A whole packet, fixed header included, in bytes; a longer one closes the connection before it is buffered.
    pub max_packet_size: usize,
    /// The payload of a message, in bytes; a larger message is acknowledged and dropped. `None`: only the packet's size
    /// is limited.
    pub max_message_size: Option<usize>,
    /// Bytes of a CONNECT, which comes from a client that is not authenticated yet; `max_packet_size` holds for it too.
    pub max_connect_size: usize,
    /// Client Identifier, in bytes.
    pub max_client_id_length: usize,
    /// Topic Name or Topic Filter, in bytes.
    pub max_topic_length: usize,
    /// Levels of a Topic Name or Topic Filter.
    pub max_topic_levels: usize,
    /// QoS 1 and 2 messages sent to a client and not acknowledged by it.
    pub max_inflight_out: u16,
    /// QoS 2 messages taken from a client and not released by it; further ones wait unacknowledged. (QoS 1 messages are
    /// acknowledged as soon as they are kept.)
    pub max_inflight_in: u16,
    /// QoS 1 and 2 messages that a client of MQTT 5 may send and that are not acknowledged (Receive Maximum).
    pub receive_maximum: u16,
    /// Topic Aliases that a client of MQTT 5 may use, and the broker towards each.
    pub topic_alias_maximum: u16,
    /// The greatest QoS at which clients may publish, and at which subscriptions are granted.
    pub max_qos: u8,
    /// May clients publish messages that are retained?
    pub retain_available: bool,
    /// The longest Keep Alive, in whole seconds; `None`: as long as each client likes.
    pub max_keep_alive: Option<Duration>,
    /// Which member of a group of shared subscriptions gets a message.
    pub shared_subscriptions: SharedSubscriptions,
    /// What waits for a member of a group for so long goes to members that have room.
    pub shared_requeue_after: Duration,
    /// Messages queued for one session.
    pub max_queued_messages: usize,
    /// Bytes (topics and payloads) queued for one session, and of all Wills that wait for room on a full disk.
    pub max_queued_bytes: usize,
    /// Bytes of memory for what waits and is in flight in all sessions; the default is a quarter of it.
    pub max_queued_bytes_total: MemoryBound,
    /// Which message goes when a session's queue is full.
    pub queue_full: QueueFull,
    /// Queue QoS 0 messages too for a session whose client is away.
    pub queue_qos0: bool,
    /// Bytes written for a client that its socket has not taken; QoS 0 messages beyond are dropped, others wait in the
    /// queue.
    pub max_outbound_bytes: usize,
    /// A client whose socket takes nothing for this long, while there is something to send, is disconnected.
    pub write_timeout: Duration,
    /// Messages that one client may publish in a second, on average; `None`: as many as it likes.
    pub publish_rate: Option<u32>,
    /// The same in bytes of PUBLISH packets.
    pub publish_bytes_rate: Option<usize>,
    /// What of it may come at once: that of so long a time.
    pub publish_burst: Duration,
    /// What happens to a client that publishes more.
    pub publish_rate_action: PublishRateAction,
    /// Connections that are accepted in a second, on all listeners together; `None`: as many as come.
    pub connect_rate: Option<u32>,
    /// A client that logs in more often is banned for a while; `None`: as often as it likes.
    pub reconnects: Option<Frequency>,
    /// How long a message is delivered and waits after it was published, at most; `None`: as its publisher says.
    pub message_expiry: Option<Duration>,
    /// How long a message stays retained, at most; `None`: as long as its publisher says.
    pub retained_expiry: Option<Duration>,
    /// Retained messages in all.
    pub max_retained_messages: usize,
    /// Bytes of memory for all retained messages and their topics.
    pub max_retained_bytes: usize,
    /// Subscriptions of one client.
    pub max_subscriptions: usize,
    /// Bytes of memory for the subscriptions of all clients.
    pub max_subscription_bytes: usize,
    /// Sessions in all, those of clients that are away among them; a client that would need one more (clean session 0)
    /// is refused.
    pub max_sessions: usize,
    /// How long the session of a client that is away is kept (clean session 0); `None`: for ever.
    pub session_expiry: Option<Duration>,
    /// Bytes of memory that the process may have; the default is three quarters of it.
    pub max_memory: MemoryBound,
}

/// What happens to a client that publishes faster than it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublishRateAction {
    /// It is read from more slowly; nothing is lost.
    #[default]
    Slow,
    /// The connection is closed.
    Disconnect,
}

/// `$SYS` topics.
#[derive(Clone, Debug, PartialEq)]
pub struct SysConfig {
    /// How often they are published; `None`: never.
    pub interval: Option<Duration>,
    /// What happens to a client's PUBLISH to `$SYS/…`.
    pub client_publish: SysPublish,
}

/// What happens to a client's PUBLISH to `$SYS/…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SysPublish {
    /// Acknowledged, dropped, and said in the log.
    #[default]
    Drop,
    /// The connection is closed.
    Disconnect,
    /// Delivered as any other.
    Allow,
}

/// Users, rules and tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthConfig {
    /// In which order a login is looked at.
    pub order: [LoginWay; 3],
    /// Services that are asked about logins.
    pub services: Vec<AuthHttpConfig>,
    /// Users and the hashes of their passwords, in mosquitto's format.
    pub password_file: Option<PathBuf>,
    /// Its lines of `mosquitto_passwd` serve SCRAM-SHA-512, too.
    pub scram_from_password_file: bool,
    /// A user beside those of the password file, whom `DUNLIN_USER` and `DUNLIN_USER_PASSWORD_FILE` give.
    pub user: Option<VariableUser>,
    /// What users may do, in mosquitto's format.
    pub acl_file: Option<PathBuf>,
    /// Clients, groups and roles, as mosquitto's dynamic security has them.
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
    /// What happens to a message that its client may not publish.
    pub denied_publish: DeniedPublish,
    /// How long refusals are delayed, at least, once some from the same address failed; `None`: never.
    pub failed_login_delay: Option<Duration>,
    /// The secret that tokens are signed with (HS256).
    pub token_secret: Option<Secret>,
    /// A file with it.
    pub token_secret_file: Option<PathBuf>,
    /// The public key that tokens are signed for, in PEM (RS256, ES256).
    pub token_key_file: Option<PathBuf>,
    /// Several keys, as a JSON Web Key Set.
    pub token_jwks_file: Option<PathBuf>,
    /// The issuer that a token must name; `None`: any.
    pub token_issuer: Option<String>,
    /// The audience that a token must name; `None`: any.
    pub token_audience: Option<String>,
    /// The permitted difference of clocks.
    pub token_leeway: Duration,
    /// The claim that must be the user name; `None`: none.
    pub token_user_claim: Option<String>,
}

/// A user whom environment variables give.
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
    /// Is a login configured: users, tokens, or a listener that asks for client certificates?
    pub fn has_login(&self) -> bool {
        self.auth.has_users() || self.asks_for_certificates()
    }

    /// Listeners whose own `allow_anonymous` says something else than what is said for all, and what it says. One that
    /// demands certificates serves nobody anonymously.
    pub fn own_anonymous(&self) -> impl Iterator<Item = (&ListenerConfig, bool)> {
        let own = self.listeners.iter().filter(|listener| !listener.demands_certificates());
        own.filter_map(|listener| Some((listener, listener.allow_anonymous?)))
            .filter(|(_, served)| self.allow_anonymous != Some(*served))
    }

    /// The variable of a login for which anonymous clients are refused, although the file says that they are served.
    pub fn refuses_anonymous_for(&self) -> Option<&str> {
        let by = self.origins.of("allow_anonymous").filter(|_| self.allow_anonymous.is_none())?;
        (by.starts_with("DUNLIN_") && by != "DUNLIN_ALLOW_ANONYMOUS").then_some(by)
    }

    /// Does a listener ask its clients for certificates?
    pub fn asks_for_certificates(&self) -> bool {
        self.listeners.iter().any(|listener| listener.client_certificates != ClientCertificates::Off)
    }
}

impl AuthConfig {
    /// Are clients authenticated: are there users or services that are asked, or are tokens accepted?
    pub fn has_users(&self) -> bool {
        let Self {
            password_file,
            dynsec_file,
            token_secret_file,
            token_key_file,
            token_jwks_file,
            token_secret,
            services,
            ..
        } = self;
        let files = [password_file, dynsec_file, token_secret_file, token_key_file, token_jwks_file];
        let other = token_secret.is_some() || self.user.is_some() || !services.is_empty();
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
            denied_publish: DeniedPublish::default(),
            failed_login_delay: Some(Duration::from_millis(250)),
            token_secret: None,
            token_secret_file: None,
            token_key_file: None,
            token_jwks_file: None,
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
            data_dir: None,
            mosquitto_db: None,
            sync: SyncMode::default(),
            sync_interval: Duration::from_secs(1),
            watch: false,
            server_reference: None,
            response_information: None,
            log: LogConfig::default(),
            limits: Limits::default(),
            sys: SysConfig { interval: Some(Duration::from_secs(10)), client_publish: SysPublish::default() },
            auth: AuthConfig::default(),
            http: HttpConfig::default(),
            bridges: Vec::new(),
            webhooks: Vec::new(),
            warnings: Vec::new(),
            origins: Origins::default(),
        }
    }
}

impl Config {
    /// A broker on a free loopback port (127.0.0.1, port 0): what a test wants.
    pub fn ephemeral() -> Self {
        Self { listeners: vec![ListenerConfig::tcp(SocketAddr::from(([127, 0, 0, 1], 0)))], ..Self::default() }
    }

    /// Where HTTP is served. Without a word of it in the configuration, nowhere if a listener has port 0: brokers that
    /// run side by side would all want the same port.
    pub fn http_addresses(&self) -> &[ListenAddress] {
        let free = |one: &ListenerConfig| one.address.socket_addr().is_some_and(|address| address.port() == 0);
        if self.has_default_http() && self.listeners.iter().any(free) { &[] } else { &self.http.listen.0 }
    }

    /// Does the HTTP port serve MQTT over WebSocket?
    pub fn http_takes_mqtt(&self) -> bool {
        let local = || self.http_addresses().iter().all(ListenAddress::is_local);
        let by_certificates = || self.listeners.iter().any(ListenerConfig::demands_certificates);
        self.http.certificate_file.is_none() && self.http.mqtt.unwrap_or_else(|| local() && !by_certificates())
    }

    /// Is `http.listen` not set? Then HTTP is served at the default address, if that is free.
    pub fn has_default_http(&self) -> bool {
        self.origins.of("http.listen").is_none() && self.http.listen == HttpConfig::default().listen
    }

    /// How many threads serve connections: as configured, or one for each CPU that the process may use, but for one
    /// that is left to the kernel's side of the connections and whatever else runs: with clients on the same two cores,
    /// two threads deliver less than one.
    pub fn worker_threads(&self) -> usize {
        let auto = || std::thread::available_parallelism().map_or(1, |cpus| cpus.get().saturating_sub(1).max(1));
        self.workers.unwrap_or_else(auto)
    }

    /// Every file that the configuration names and that a reload reads again: certificates, keys, users, rules.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let of_listeners = self.listeners.iter().flat_map(|listener| {
            let ListenerConfig { certificate_file, key_file, client_ca_file, revocation_list_file, .. } = listener;
            let of_tls = [certificate_file, key_file, client_ca_file, revocation_list_file];
            of_tls.into_iter().chain([&listener.password_file, &listener.acl_file])
        });
        let AuthConfig { password_file, acl_file, dynsec_file, .. } = &self.auth;
        let AuthConfig { token_secret_file, token_key_file, token_jwks_file, .. } = &self.auth;
        let of_auth = [password_file, acl_file, dynsec_file, token_secret_file, token_key_file, token_jwks_file];
        let of_auth = of_auth.into_iter().chain([&self.http.keys_file]);
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
            // one field of the greatest length, and what a CONNECT has beside it
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
