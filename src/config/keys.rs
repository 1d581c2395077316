//! The one table of all keys: name, meaning, form, and the setting that it is. Reading a file (`file`), the commented
//! default and the table in `docs` (`reference`), and the summary all go through it, so that no key can be in one and
//! not in the others. Defaults are not here: they are those of [`Config::default`].

use std::time::Duration;

use toml::de::DeValue;

use super::{
    forms::{
        self, Choice, Form, OptionalPath, OptionalSecret, OptionalString, OptionalText, OrWord, Size, Span, Switch,
        Whole,
    },
    http::{Addresses, Hosts, Users},
    listen::ListenAddress,
    listener::{CertificateIdentity, ClientCertificates, ListenerConfig},
    lists::{Address, List, Mode, Network, Text},
    memory_bound::OfMemory,
    settings::{Config, DeniedPublish, LogFormat, LogLevel, PublishRateAction, SyncMode, SysPublish},
};
use crate::types::{ClientIdBinding, QueueFull, Secret, SessionOwnership, SharedSubscriptions, TlsRecords, Transport};

/// The keys of one TOML table; `T` is what they set.
pub(super) struct Table<T: 'static> {
    /// Empty for the top level.
    pub name: &'static str,
    /// What the keys have in common.
    pub help: &'static str,
    /// In the order in which they are told.
    pub keys: &'static [Key<T>],
}

/// One key.
pub(super) struct Key<T> {
    /// As written in the file.
    pub name: &'static str,
    /// What it does, in one or two sentences.
    pub help: &'static str,
    /// The values that are taken.
    pub allowed: fn() -> String,
    /// Is the value nobody else's business?
    pub secret: fn() -> bool,
    /// Is the value a path?
    pub path: fn() -> bool,
    /// Puts the written value where it belongs; the error says what was expected.
    pub read: fn(&mut T, &DeValue<'_>) -> Result<(), String>,
    /// The value that is in force, as TOML; of a secret, something that tells it from others.
    pub write: fn(&T) -> String,
}

/// What a `[[listener]]` says.
pub(super) struct Listener {
    /// What it listens on, with the default port of a transport not filled in yet.
    pub address: Option<ListenAddress>,
    /// Everything else; its address has no meaning yet.
    pub rest: ListenerConfig,
}

impl Default for Listener {
    fn default() -> Self {
        Self { address: None, rest: ListenerConfig::tcp(([127, 0, 0, 1], 0).into()) }
    }
}

impl From<&ListenerConfig> for Listener {
    fn from(resolved: &ListenerConfig) -> Self {
        Self { address: Some((&resolved.address).into()), rest: resolved.clone() }
    }
}

impl<T> Key<T> {
    /// The value that is in force, as TOML, for people.
    pub fn shown(&self, of: &T) -> String {
        match (self.write)(of) {
            secret if (self.secret)() && secret != "\"\"" => format!("\"{}\"", Secret::HIDDEN),
            value => value,
        }
    }
}

impl<T> Table<T> {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key<T>> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// A key with its table: `limits.max_connections`.
    pub fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) }
    }

    /// The environment variable that sets a key: `DUNLIN_LIMITS_MAX_CONNECTIONS`. Keys of a list of tables have none.
    pub fn variable(&self, key: &str) -> Option<String> {
        (self.name != LISTENER.name).then(|| format!("DUNLIN_{}", self.full(key).replace('.', "_").to_uppercase()))
    }
}

/// Every table but `[[listener]]`.
pub(super) const TABLES: [&Table<Config>; 6] = [&TOP, &AUTH, &LOG, &HTTP, &LIMITS, &SYS];

/// `log.level`
pub(super) const LOG_LEVEL: Choice<LogLevel> = Choice(&[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("warning", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
]);

/// `log.format`
pub(super) const LOG_FORMAT: Choice<LogFormat> = Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);

const TRANSPORT: Choice<Transport> = Choice(&[
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
    ("ws", Transport::Ws),
    ("wss", Transport::Wss),
    ("unix", Transport::Unix),
]);

const CLIENT_CERTIFICATES: Choice<ClientCertificates> = Choice(&[
    ("off", ClientCertificates::Off),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
]);

const IDENTITY: Choice<CertificateIdentity> = Choice(&[
    ("common-name", CertificateIdentity::CommonName),
    ("subject", CertificateIdentity::Subject),
    ("san-dns", CertificateIdentity::Dns),
    ("san-uri", CertificateIdentity::Uri),
]);

const CLIENT_ID: Choice<ClientIdBinding> = Choice(&[
    ("any", ClientIdBinding::Any),
    ("is-user", ClientIdBinding::IsUser),
    ("begins-with-user", ClientIdBinding::BeginsWithUser),
    ("from-user", ClientIdBinding::FromUser),
]);

const TLS_RECORDS: Choice<TlsRecords> = Choice(&[("packet", TlsRecords::Packet), ("batch", TlsRecords::Batch)]);

const PUBLISH_RATE: OrWord<Whole<u32>> =
    OrWord { form: Whole { min: 1, max: 1_000_000_000 }, word: "off", zero: false };

const PUBLISH_BYTES_RATE: OrWord<Size> = OrWord { form: Size { min: 1, max: MOST_BYTES }, word: "off", zero: false };

/// `allow_anonymous`
pub(super) const ANONYMOUS: OrWord<Switch> = OrWord { form: Switch, word: "loopback", zero: false };

/// `workers`
pub(super) const WORKERS: OrWord<Whole<usize>> =
    OrWord { form: Whole { min: 1, max: 1024 }, word: "auto", zero: false };

/// `keys! { Type, variable => place; name: form, "help"; … }`: each key sets `place.name`; `name in part` sets
/// `place.part.name`.
macro_rules! keys {
    ($target:ty, $it:ident => $place:expr; $($name:ident $(in $part:ident)?: $form:expr, $help:expr;)+) => {
        &[$(Key {
            name: stringify!($name),
            help: $help,
            allowed: || $form.allowed(),
            secret: || forms::is_secret(&$form),
            path: || forms::is_path(&$form),
            read: |$it: &mut $target, written| {
                $place$(.$part)?.$name = forms::read(&$form, written)?;
                Ok(())
            },
            write: |$it: &$target| $form.write(&$place$(.$part)?.$name),
        }),+]
    };
}

/// What stands before the first `[table]`.
pub(super) const TOP: Table<Config> = Table {
    name: "",
    help: "",
    keys: keys! { Config, config => config;
        allow_anonymous: ANONYMOUS,
            "Whether clients that give no user name are served: on every listener, on none, or (\"loopback\") only on those \
             that listen on a loopback address, and nowhere once a login is configured: a password file, tokens, or a \
             listener with client_certificates.";
        workers: WORKERS,
            "Threads that serve connections; auto is one for each CPU that the process may use, less one.";
        shutdown_grace: span(Duration::ZERO, HOUR),
            "How long a shutdown waits for what is queued to connected clients. A client that neither acknowledges nor \
             closes meanwhile is waited for a tenth of it.";
        ready_file: OptionalPath,
            "A file that is written once all listeners accept, and removed on exit.";
        data_dir: OptionalPath,
            "A directory in which sessions, their messages and retained messages are kept beyond the process; without \
             one they are in memory alone. Made where it is missing; one broker at a time may use it.";
        sync: Choice(&[("before-ack", SyncMode::BeforeAck), ("interval", SyncMode::Interval)]),
            "When what is acknowledged is on the disk of data_dir: before the acknowledgement leaves, or every \
             sync_interval, in which case a power cut loses what came since.";
        sync_interval: span(Duration::from_millis(1), HOUR), "How often, with sync = \"interval\".";
        watch: Switch,
            "Whether a change of this file, or of a file that it names (certificates, keys, users, rules), is put in force \
             at once, as by SIGHUP.";
        server_reference: OptionalString { most: LONGEST_STRING },
            "Another server, as \"other.example.org:1883\" (several with a blank in between). Clients of MQTT 5 are told of it \
             when this one shuts down (DISCONNECT 0x9C, \"use another server\", in place of 0x8B) and when it refuses a \
             client for want of room or because it cannot serve it now (CONNACK 0x9C, in place of 0x88, 0x89 and 0x97).";
        response_information: OptionalString { most: LONGEST_STRING },
            "What a client of MQTT 5 is told that asks for Response Information: mostly the beginning of the topics for the \
             answers to its requests, as \"answers/%c\". %c is its Client Identifier and %u its user name; a client \
             without a user name, or with a + or # in a name that is asked for, is told nothing.";
    },
};

/// `[[listener]]`
pub(super) const LISTENER: Table<Listener> = Table {
    name: "listener",
    help: "Where to listen; may be repeated. The first one replaces the default ones.",
    keys: keys! { Listener, listener => listener;
        address: Address, "The address and port on which to listen.";
        transport in rest: TRANSPORT,
            "What is spoken below MQTT: plain TCP, TLS, WebSocket, WebSocket over TLS, or a Unix socket. May also stand \
             before the address, as in \"tls://0.0.0.0:8883\". Default ports: 1883, 8883, 8083, 8084.";
        allow_anonymous in rest: OrWord { form: Switch, word: "inherit", zero: false },
            "Whether clients of this listener that give no user name are served; by default as allow_anonymous says for \
             all listeners.";
        certificate_file in rest: OptionalPath,
            "TLS: the certificate chain in PEM, the broker's own certificate first.";
        key_file in rest: OptionalPath,
            "TLS: the private key of that certificate in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.";
        client_ca_file in rest: OptionalPath,
            "TLS: the authorities, in PEM, that sign clients' certificates.";
        client_certificates in rest: CLIENT_CERTIFICATES,
            "TLS: whether a client has to show a certificate that client_ca_file signed. With proxy_protocol and without \
             TLS: whether the proxy has to report that it has verified one.";
        revocation_list_file in rest: OptionalPath,
            "TLS: the revocation lists of those authorities, in PEM; a client whose certificate is on one is refused, and \
             so is one whose authority has none.";
        identity in rest: OrWord { form: IDENTITY, word: "off", zero: false },
            "What of a client's certificate is its user name, in place of the one in its CONNECT: the Common Name, the whole \
             subject as in \"CN=lamp,O=Example\", or the first DNS name or URI of its Subject Alternative Names. With proxy_protocol, unless this listener itself asks for \
             certificates: the Common Name that the proxy reports of a certificate that it has verified.";
        tls_records in rest: TLS_RECORDS,
            "TLS: whether each MQTT packet is sent in a TLS record of its own (and over wss in a WebSocket frame of its \
             own), or as many as fit. Clients that read one packet each time their socket becomes readable, such as \
             paho-mqtt in asyncio programs, need \"packet\"; \"batch\" is faster.";
        path in rest: OrWord { form: Text("/mqtt"), word: "any", zero: false },
            "WebSocket: the path at which MQTT is served; a slash at its end makes no difference.";
        allowed_origins in rest: List(Text("https://example.org")),
            "WebSocket: pages of which origins may connect; none here means all. Clients that are no browsers send no \
             origin and are not held up.";
        websocket_ping in rest: OrWord { form: span(Duration::from_millis(100), HOUR), word: "off", zero: true },
            "WebSocket: how long nothing is sent or received before the broker sends a WebSocket ping, so that proxies keep \
             the connection open (nginx closes it after 60 s).";
        publish_rate in rest: OrWord { form: PUBLISH_RATE, word: "limits", zero: false },
            "How many messages each client of this listener may publish in a second; \"limits\" is what limits.publish_rate \
             says. limits.publish_burst and limits.publish_rate_action hold here too.";
        publish_bytes_rate in rest: OrWord { form: PUBLISH_BYTES_RATE, word: "limits", zero: false },
            "The same in bytes; \"limits\" is what limits.publish_bytes_rate says.";
        mode in rest: Mode, "Unix socket: who may connect, as the permission bits of its file.";
        freebind in rest: Switch,
            "Linux: whether to listen although this machine does not have the address yet, such as one that Wi-Fi or DHCP \
             brings later (IP_FREEBIND).";
        proxy_protocol in rest: Switch,
            "Whether each connection begins with a header of the PROXY protocol (version 1 or 2), in which a proxy says \
             who the client is.";
        trusted_proxies in rest: List(Network),
            "The proxies that are believed. With proxy_protocol: connections from elsewhere are closed. Without it, for \
             WebSocket: the client's address is the last one in X-Forwarded-For or Forwarded that is not a trusted \
             proxy's; others are served, and these headers of theirs are not read.";
    },
};

const AUTH: Table<Config> = Table {
    name: "auth",
    help: "Who may connect, and what they may do. A text may have ${NAME} in it, which is the environment variable of that \
           name; $${ is ${ itself.",
    keys: keys! { Config, config => config.auth;
        password_file: OptionalPath,
            "The users: a password file as mosquitto's, which \"dunlin passwd\" and mosquitto_passwd write. A client that \
             gives a user name then has to prove it.";
        scram_from_password_file: Switch,
            "Whether lines that mosquitto_passwd wrote ($7$) serve SCRAM-SHA-512, too. Whoever reads such a line can then log \
             in with it as if it were the password. Lines of \"dunlin passwd --scram\" serve SCRAM-SHA-256 and \
             SCRAM-SHA-512 in any case.";
        acl_file: OptionalPath,
            "What users may do: an ACL file as mosquitto's. Without one everybody may do everything; with one, only what a \
             rule allows. \"dunlin explain\" says which.";
        session_owner: Choice(&[("user", SessionOwnership::User), ("anyone", SessionOwnership::Anyone)]),
            "Whose a session is. With \"user\", a client whose Client Identifier is that of a connection or a kept session \
             of another user is refused, while that user is configured (MQTT 3.1.1: code 2); a session that no user has, \
             because its client was anonymous or dunlin was older, goes to the next client that is let in. With \"anyone\", \
             every client that is let in takes over, or ends, any session.";
        client_id: CLIENT_ID,
            "How Client Identifiers are bound to user names: not at all (\"any\"); the identifier has to be the user name \
             (\"is-user\"); it has to be the user name, or begin with it and go on with neither a letter nor a digit, as \
             bob-1 (\"begins-with-user\"); or the user name takes its place, as with mosquitto's \
             use_username_as_clientid (\"from-user\"). But for \"any\", clients without a user name are refused.";
        denied_publish: Choice(&[("ignore", DeniedPublish::Ignore), ("disconnect", DeniedPublish::Disconnect)]),
            "What happens when a client publishes what it may not: acknowledged and dropped, or disconnected.";
        failed_login_delay: OrWord { form: span(MILLISECOND, MINUTE), word: "off", zero: true },
            "How long a login with a wrong password is refused later, after three different wrong passwords of a user from an \
             address (IPv6: a /64). At most 16 refusals of an address are delayed at a time; further logins that did not \
             prove right lately wait for them. With \"off\", passwords are guessed as fast as they are compared.";
        token_secret: OptionalSecret,
            "The secret of JSON Web Tokens that clients give as their password (HS256), best as \"${NAME}\".";
        token_secret_file: OptionalPath, "A file with such a secret.";
        token_key_file: OptionalPath, "A public key of such tokens in PEM: RSA (RS256) or of the curve P-256 (ES256).";
        token_jwks_file: OptionalPath, "Several keys, as a JSON Web Key Set.";
        token_issuer: OptionalText, "What a token's claim iss has to be.";
        token_audience: OptionalText, "What a token's claim aud has to be, or have in it.";
        token_leeway: span(Duration::ZERO, HOUR), "How far the clock of a token's issuer may be off (exp, nbf).";
        token_user_claim: OptionalText,
            "The claim of a token that is the client's user name; one that the client gives has to equal it. Without a \
             claim, any name may be given with any token.";
    },
};

const LOG: Table<Config> = Table {
    name: "log",
    help: "The log, on standard error.",
    keys: keys! { Config, config => config.log;
        level: LOG_LEVEL, "The least severe level that is written; can be changed without a restart.";
        format: LOG_FORMAT, "A readable line or a JSON object for each event.";
    },
};

const LIMITS: Table<Config> = Table {
    name: "limits",
    help: "The bounds of everything that a client can make grow. 0 never means \"unlimited\".",
    keys: keys! { Config, config => config.limits;
        max_connections: count(1), "Connections in all; one more is closed at once.";
        max_connecting: count(1),
            "Connections that have not sent their CONNECT yet, or whose CONNECT is not answered yet; one more is closed at \
             once. When more than half is used, so is one more of an address (IPv6: of a /64) that has half, and at least \
             1,000; trusted_proxies are exempt.";
        max_connecting_bytes: Size { min: 1 << 20, max: MOST_BYTES },
            "Bytes that all of those hold: what has come of a CONNECT, or waits for its login, TLS handshakes, requests for \
             a WebSocket. When an eighth is left, further connections wait to be accepted, for at most 3 seconds: then the one \
             that holds most is closed. It is also closed when nothing is left.";
        connect_timeout: span(MILLISECOND, HOUR), "How long a new connection may take to send its CONNECT.";
        max_packet_size: Size { min: 128, max: LARGEST_PACKET },
            "Bytes of a whole packet, header included; a longer one closes the connection before it is buffered.";
        max_connect_size: Size { min: 128, max: LARGEST_PACKET },
            "The same of a CONNECT, its Will included, from somebody whom nobody knows yet; max_packet_size holds for it \
             too.";
        // 23 bytes must be taken, [MQTT-3.1.3-5].
        max_client_id_length: Size { min: 23, max: LONGEST_STRING }, "Bytes of a Client Identifier.";
        max_topic_length: Size { min: 1, max: LONGEST_STRING }, "Bytes of a Topic Name or Topic Filter.";
        max_topic_levels: Whole { min: 1, max: LONGEST_STRING }, "Levels of a Topic Name or Topic Filter.";
        max_inflight_out: Whole { min: 1, max: u16::MAX },
            "QoS 1 and 2 messages sent to a client and not yet acknowledged by it; further ones wait in its queue. Until a \
             client has acknowledged 20, they are 20 at most.";
        max_inflight_in: Whole { min: 1, max: u16::MAX },
            "QoS 2 messages taken from a client and not yet released by it; further ones wait unacknowledged.";
        receive_maximum: Whole { min: 1, max: u16::MAX },
            "QoS 1 and 2 messages that a client of MQTT 5 may have sent and that are not acknowledged; CONNACK says so to it. As many again \
             are taken and wait; a client that sends more is disconnected.";
        topic_alias_maximum: Whole { min: 0, max: u16::MAX },
            "Topic Aliases (numbers in place of topics, MQTT 5) that each client may use, and that the broker uses towards each \
             client that takes them; 0 turns them off.";
        max_qos: Whole { min: 0, max: 2 },
            "The greatest QoS at which clients may publish, from their next connection on. Subscriptions are granted that QoS \
             at most. A client that publishes above it is disconnected, and one whose Will is above it is refused; CONNACK \
             tells clients of MQTT 5 before.";
        retain_available: Switch,
            "Whether clients may publish messages that are retained, from their next connection on. If not, CONNACK says so \
             to clients of MQTT 5: one that does so all the same is disconnected, one whose Will is to be retained is \
             refused. For clients of MQTT 3.1.1, which cannot be told, such messages are delivered and not retained. What is \
             retained already stays, and is sent to new subscribers.";
        max_keep_alive: OrWord { form: span(SECOND, Duration::from_secs(u16::MAX as u64)), word: "none", zero: false },
            "The longest Keep Alive that clients may have, from their next connection on, in whole seconds. A client of MQTT 5 \
             that asks for a longer one, or for none (0), is told this one (Server Keep Alive); one of MQTT 3.1.1 is refused \
             (code 2).";
        shared_subscriptions: Choice(&[
            ("round-robin", SharedSubscriptions::RoundRobin),
            ("random", SharedSubscriptions::Random),
            ("sticky", SharedSubscriptions::Sticky),
            ("hash-client", SharedSubscriptions::HashClient),
            ("hash-topic", SharedSubscriptions::HashTopic),
            ("off", SharedSubscriptions::Off),
        ]),
            "Which member of a group gets a message, of those that subscribe to $share/group/filter: one after the other, or any, \
             of those that are connected and have room; the same one until it is away or does not take what it is sent; the \
             same one for the same publisher, or for the same topic, while the same members are connected. \"off\" refuses new \
             ones; those that there are go on one after the other.";
        shared_requeue_after: span(MILLISECOND, HOUR),
            "What waits for a member of a group for this long, and was not sent to it, goes to members that have room.";
        max_queued_messages: count(1), "Messages queued for one session.";
        max_queued_bytes: Size { min: 1, max: MOST_BYTES }, "Bytes (topics and payloads) queued for one session, and of all Wills that wait for room on a full disk.";
        max_queued_bytes_total: OfMemory(Size { min: 1 << 20, max: MOST_BYTES }),
            "Bytes of memory for the messages that wait or are in flight in all sessions together; one that several sessions \
             hold counts once. When they are used up, every queue is full: queue_full says what goes. \"auto\" is a quarter \
             of the machine's memory, or of what the control group may have; 0 and \"none\" are no bound.";
        queue_full: Choice(&[
            ("drop-newest", QueueFull::DropNewest),
            ("drop-oldest", QueueFull::DropOldest),
            ("keep-last", QueueFull::KeepLast),
        ]),
            "Which message goes when a session's queue is full: the one that arrives, or the one that has waited longest. \
             \"keep-last\" is for clients that read state: of each topic the newest message stays. An older one of the same \
             topic goes; where none waits, the oldest for whose topic a newer one waits; where each is the newest of its \
             topic, the one that has waited longest.";
        queue_qos0: Switch, "Whether QoS 0 messages too are queued for a session whose client is away.";
        max_outbound_bytes: Size { min: 1, max: MOST_BYTES },
            "Bytes written for a client that its socket has not taken; QoS 0 messages beyond are dropped, others wait in \
             its queue.";
        write_timeout: span(MILLISECOND, DAY),
            "A client whose socket takes nothing for this long, while there is something to send, is disconnected.";
        publish_rate: PUBLISH_RATE,
            "How many messages each client may publish in a second, on average.";
        publish_bytes_rate: PUBLISH_BYTES_RATE,
            "How many bytes of PUBLISH packets each client may send in a second, on average.";
        publish_burst: span(MILLISECOND, HOUR),
            "How much of publish_rate and publish_bytes_rate may come at once: as much as they allow in this time.";
        publish_rate_action: Choice(&[
            ("slow", PublishRateAction::Slow),
            ("disconnect", PublishRateAction::Disconnect),
        ]),
            "What happens to a client that publishes faster: the broker waits before it reads on, so that nothing is lost and \
             the client is held back; or it is disconnected.";
        connect_rate: OrWord { form: Whole { min: 1, max: 1_000_000_000 }, word: "off", zero: false },
            "How many connections are accepted in a second on all listeners together, and with them TLS handshakes begun; \
             what a second brings may come at once. Further ones wait in the system's queue. So a storm of clients that come \
             back does not slow down those who are connected.";
        message_expiry: EXPIRY,
            "How long after it was published a message may still be sent to a client, at most: it bounds the Message Expiry \
             Interval (MQTT 5) of messages that have one, and all others have it, those of clients of 3.1 and 3.1.1 and Wills \
             too. What is retained is bounded by retained_expiry alone.";
        retained_expiry: EXPIRY,
            "How long a message stays retained, at most, unless it is replaced: the same for the copy that the broker retains. \
             It is removed then, also if the broker did not run meanwhile.";
        max_retained_messages: count(0), "Retained messages in all; 0 keeps none.";
        max_retained_bytes: Size { min: 0, max: MOST_BYTES },
            "Bytes of memory for all retained messages and their topics; 0 keeps none. A topic takes about 70 bytes for each \
             level that no other topic has.";
        max_subscriptions: count(1), "Subscriptions of one client.";
        max_subscription_bytes: Size { min: 1 << 20, max: MOST_BYTES },
            "Bytes of memory for the subscriptions of all clients; one more is refused. A filter takes about 80 bytes for each \
             level that no other filter has.";
        max_sessions: count(1),
            "Sessions in all, those of clients that are away among them; a client that would need one more (Clean Session \
             0) is refused. When more than half are used, so is a client of a user that has half of them, and at least \
             1,000; clients that prove no user name are one user, if others do.";
        session_expiry: OrWord { form: span(SECOND, CENTURY), word: "never", zero: false },
            "How long the session of a client that is away is kept (Clean Session 0).";
        max_memory: OfMemory(Size { min: 16 << 20, max: MOST_BYTES }),
            "Bytes of memory that the process may have, as the system counts them (resident). From 90 % on, new connections \
             and retained messages of new topics are refused; from 95 % on, new subscriptions too; from 100 % on, every queue \
             is full. \"auto\" is three quarters of the machine's memory, or of what the control group may have; 0 and \
             \"none\" are no bound.";
    },
};

const SYS: Table<Config> = Table {
    name: "sys",
    help: "The topics under $SYS/broker, in which the broker tells about itself.",
    keys: keys! { Config, config => config.sys;
        interval: OrWord { form: span(Duration::from_millis(100), DAY), word: "off", zero: true },
            "How often they are published; 0 is off too.";
        client_publish: Choice(&[
            ("drop", SysPublish::Drop),
            ("disconnect", SysPublish::Disconnect),
            ("allow", SysPublish::Allow),
        ]),
            "What happens when a client publishes to $SYS/…: acknowledged and dropped, disconnected, or delivered as any \
             other.";
    },
};

const HTTP: Table<Config> = Table {
    name: "http",
    help: "Health checks and metrics over HTTP. While no login is configured anywhere, programs on this machine may read \
           all of it; once one is, those of users.",
    keys: keys! { Config, config => config.http;
        listen: Addresses,
            "Where HTTP is served. A port of the default that is taken is passed over; if a listener has port 0, the \
             default is \"off\". An address other than loopback needs users.";
        mode: Mode,
            "Unix sockets: who may connect, as the permission bits of their files. A program that can open one may do \
             everything.";
        users: Users,
            "Users of auth.password_file who may log in (Basic), each with a role: \"viewer\", \"operator\" or \"admin\". \
             Today each of them may read the metrics.";
        metrics_open: Switch, "Whether /metrics is read without a login.";
        allowed_hosts: Hosts,
            "Names by which browsers and programs may call this server (the Host of a request), beside those of loopback. \
             Where there are some, requests with a login are checked too.";
        health: Addresses,
            "Where the three health checks alone are served, to everybody: /healthz, /readyz and /startupz.";
        drain_delay: span(Duration::ZERO, HOUR),
            "How long listeners stay open at a shutdown after /readyz has turned to 503, so that a load balancer sends no \
             more clients.";
    },
};

const EXPIRY: OrWord<Span> = OrWord { form: span(SECOND, CENTURY), word: "off", zero: false };

const fn span(min: Duration, max: Duration) -> Span {
    Span { min, max }
}

const fn count(min: usize) -> Whole<usize> {
    Whole { min, max: 1_000_000_000 }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// In humantime's years of 365.25 days. Every duration has an end, so that adding one to a time cannot overflow.
const CENTURY: Duration = Duration::from_secs(100 * 31_557_600);
/// A fixed header of 5 bytes and the largest Remaining Length (MQTT 3.1.1 section 2.2.3).
const LARGEST_PACKET: usize = 268_435_460;
/// The largest length of a UTF-8 encoded string (MQTT 3.1.1 section 1.5.3).
const LONGEST_STRING: usize = 65_535;
/// 1 TiB where the machine can count to it.
const MOST_BYTES: usize = 1 << if usize::BITS == 64 { 40 } else { 31 };
