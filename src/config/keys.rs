//! The table of all keys: name, meaning, form, and the setting. It is used to read a file (`file`), to write the
//! commented default file and the tables in `docs` (`reference`), and for the summary, so that all of them have the
//! same keys. The defaults are those of [`Config::default`].

use std::time::Duration;

use toml::de::DeValue;

use super::{
    forms::{self, Choice, Form, OptionalPath, OptionalString, OrWord, Size, Span, Switch, Times, Whole},
    http::{Addresses, Hosts, Users},
    listen::ListenAddress,
    listener::ListenerConfig,
    lists::{Address, List, Mode, Network, Text},
    memory_bound::OfMemory,
    settings::{Config, LogFormat, LogLevel, PublishRateAction, SyncMode, SysPublish},
    words::{CLIENT_CERTIFICATES, IDENTITY, SYSLOG, TLS_MIN, TLS_RECORDS, TRANSPORT},
};
use crate::types::{ProtocolVersion, QueueFull, Secret, SharedSubscriptions};

/// The keys of one TOML table; `T` is what they set.
pub(super) struct Table<T: 'static> {
    /// Empty for the top level.
    pub name: &'static str,
    /// A description of the table.
    pub help: &'static str,
    /// The keys, in the order of the reference.
    pub keys: &'static [Key<T>],
}

/// One key.
pub(super) struct Key<T> {
    /// As written in the file.
    pub name: &'static str,
    /// What it does, in one or two sentences.
    pub help: &'static str,
    /// The accepted values.
    pub allowed: fn() -> String,
    /// Is the value a secret?
    pub secret: fn() -> bool,
    /// Is the value a path?
    pub path: fn() -> bool,
    /// May variables of a login be in the value?
    pub template: fn() -> bool,
    /// Sets the value; the error says what was expected.
    pub read: fn(&mut T, &DeValue<'_>) -> Result<(), String>,
    /// The value in force, as TOML; for a secret, text that differs for different secrets.
    pub write: fn(&T) -> String,
}

/// A `[[listener]]` table.
pub(super) struct Listener {
    /// Its address, without the default port of its transport.
    pub address: Option<ListenAddress>,
    /// All other keys; the address in it is not set yet.
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
    /// The value in force, as TOML, to be printed.
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
        (!LISTS.contains(&self.name)).then(|| format!("DUNLIN_{}", self.full(key).replace('.', "_").to_uppercase()))
    }
}

/// The lists of tables.
pub(super) const LISTS: [&str; 5] = ["listener", "bridge", "auth.http", "webhook", "sink"];

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
            template: || forms::is_template(&$form),
            read: |$it: &mut $target, written| {
                $place$(.$part)?.$name = forms::read(&$form, written)?;
                Ok(())
            },
            write: |$it: &$target| $form.write(&$place$(.$part)?.$name),
        }),+]
    };
}
pub(super) use keys;

/// The keys before the first `[table]`.
pub(super) const TOP: Table<Config> = Table {
    name: "",
    help: "",
    keys: keys! { Config, config => config;
        allow_anonymous: ANONYMOUS,
            "Whether clients without a user name are served: on every listener (true), on none (false), or on \
             loopback addresses only (\"loopback\"). \"loopback\" serves none once a login is configured: a password \
             file, tokens, or a listener with client_certificates.";
        workers: WORKERS,
            "Threads that serve connections; auto is one for each CPU that the process may use, less one.";
        shutdown_grace: span(Duration::ZERO, HOUR),
            "How long a shutdown waits until queued messages are sent to connected clients. A client that neither \
             acknowledges nor closes is waited for a tenth of it.";
        pid_file: OptionalPath,
            "A file with the process id while the broker runs, for start scripts. It is written at the start, and removed at \
             the end.";
        ready_file: OptionalPath,
            "A file that is written once all listeners accept, and removed on exit.";
        data_dir: OptionalPath,
            "The directory that stores sessions, their messages and retained messages. Unset: they are in memory and \
             end with the process. It is created if it is missing; one broker at a time may use it.";
        sync: Choice(&[("before-ack", SyncMode::BeforeAck), ("interval", SyncMode::Interval)]),
            "When an acknowledged message is on the disk of data_dir: before its acknowledgement is sent, or every \
             sync_interval. With \"interval\" a power cut loses the messages since the last interval.";
        sync_interval: span(Duration::from_millis(1), HOUR), "The interval of sync = \"interval\".";
        watch: Switch,
            "Whether the broker reloads when this file or a file that it names (certificates, keys, users, rules) \
             changes, as after SIGHUP.";
        server_reference: OptionalString { most: LONGEST_STRING },
            "Another server, as \"other.example.org:1883\" (several: separated by blanks). Clients of MQTT 5 are \
             referred to it when this broker shuts down (DISCONNECT 0x9C, \"use another server\", instead of 0x8B) \
             and when it refuses a client because it is full or unavailable (CONNACK 0x9C instead of 0x88, 0x89 and \
             0x97).";
        response_information: OptionalString { most: LONGEST_STRING },
            "The answer to a client of MQTT 5 that asks for Response Information: usually the prefix of its response \
             topics, as \"answers/%c\". %c is the Client Identifier, %u the user name. A client without a user name \
             gets no answer if %u is used, and neither does one whose name contains + or #.";
    },
};

const PROTOCOL_VERSION: Choice<ProtocolVersion> =
    Choice(&[("3.1", ProtocolVersion::V31), ("3.1.1", ProtocolVersion::V311), ("5", ProtocolVersion::V5)]);

/// `[[listener]]`
pub(super) const LISTENER: Table<Listener> = Table {
    name: "listener",
    help: "An address to listen on; may be repeated. The first one replaces the default ones.",
    keys: keys! { Listener, listener => listener;
        address: Address, "The address and port on which to listen.";
        transport in rest: TRANSPORT,
            "The protocol below MQTT: TCP, TLS, WebSocket, WebSocket over TLS, or a Unix socket. It may also be a \
             prefix of the address, as in \"tls://0.0.0.0:8883\". Default ports: 1883, 8883, 8083, 8084.";
        allow_anonymous in rest: OrWord { form: Switch, word: "inherit", zero: false },
            "Whether this listener serves clients without a user name. \"inherit\": as the global allow_anonymous.";
        password_file in rest: OptionalPath,
            "The users of this listener, in place of those of auth.password_file.";
        acl_file in rest: OptionalPath,
            "The access rules of clients of this listener, in place of auth.acl_file.";
        certificate_file in rest: OptionalPath,
            "TLS: the certificate chain in PEM, the broker's own certificate first.";
        key_file in rest: OptionalPath,
            "TLS: the private key of that certificate in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.";
        client_ca_file in rest: OptionalPath,
            "TLS: the certificate authorities of client certificates, in PEM: a file, or a directory of files named \
             by \"openssl rehash\", or else *.pem and *.crt.";
        client_certificates in rest: CLIENT_CERTIFICATES,
            "TLS: whether a client must present a certificate signed by client_ca_file. With proxy_protocol and \
             without TLS: whether the proxy must report that it verified one.";
        tls_min in rest: TLS_MIN,
            "TLS: the oldest version that a client may use.";
        revocation_list_file in rest: OptionalPath,
            "TLS: the revocation lists of those authorities, in PEM. A client is refused if its certificate is on a \
             list, or if its authority has no list.";
        ignore_certificate_dates in rest: Switch,
            "TLS: whether a client certificate is accepted that is not valid yet or has expired.";
        identity in rest: OrWord { form: IDENTITY, word: "off", zero: false },
            "The part of a client certificate that is the user name; the user name in CONNECT is ignored: the Common \
             Name, the whole subject as in \"CN=lamp,O=Example\", or the first DNS name or URI of the Subject \
             Alternative Names. With proxy_protocol, and unless this listener itself requests certificates: the \
             Common Name that the proxy reports of a verified certificate.";
        tls_records in rest: TLS_RECORDS,
            "TLS: \"packet\" sends each MQTT packet in its own TLS record (over wss: in its own WebSocket frame), \
             \"batch\" puts as many packets into a record as fit. Clients that read one packet each time their socket \
             becomes readable, such as paho-mqtt in asyncio programs, need \"packet\"; \"batch\" is faster.";
        path in rest: OrWord { form: Text("/mqtt"), word: "any", zero: false },
            "WebSocket: the path that serves MQTT; a trailing slash makes no difference.";
        allowed_origins in rest: List(Text("https://example.org")),
            "WebSocket: web pages that may connect, by origin. Empty: all. Clients other than browsers are not \
             affected.";
        websocket_ping in rest: OrWord { form: span(Duration::from_millis(100), HOUR), word: "off", zero: true },
            "WebSocket: after this long without traffic the broker sends a WebSocket ping, so that proxies keep the \
             connection open (nginx closes it after 60 s).";
        auto_id_prefix in rest: OptionalString { most: 50 },
            "What the Client Identifiers begin with that the broker gives to clients of this listener. \"\": as \
             auth.auto_id_prefix.";
        mount_point in rest: OptionalString { most: 1000 },
            "What the topics and filters of clients of this listener begin with, as \"site7/\". These clients do not see \
             it: it is put in front of what they publish and subscribe to, their Wills included, and taken away from \
             what they receive. Rules, the log and all other clients see it. \"\": nothing.";
        protocol_versions in rest: List(PROTOCOL_VERSION),
            "The versions of MQTT that clients of this listener may speak. Empty: all.";
        max_connections in rest: OrWord { form: count(1), word: "limits", zero: false },
            "Connections of this listener; an additional one is closed at once. For an address such as \"*:1883\", IPv4 \
             and IPv6 are counted apart. \"limits\": as many as limits.max_connections leaves.";
        max_qos in rest: OrWord { form: Whole { min: 0, max: 2 }, word: "limits", zero: false },
            "The highest QoS of clients of this listener. \"limits\": as limits.max_qos.";
        publish_rate in rest: OrWord { form: PUBLISH_RATE, word: "limits", zero: false },
            "Messages that each client of this listener may publish in a second. \"limits\": as limits.publish_rate. \
             limits.publish_burst and limits.publish_rate_action apply here too.";
        publish_bytes_rate in rest: OrWord { form: PUBLISH_BYTES_RATE, word: "limits", zero: false },
            "Bytes of PUBLISH packets that each client of this listener may send in a second. \"limits\": as \
             limits.publish_bytes_rate.";
        mode in rest: Mode, "Unix socket: the permission bits of its file, which decide who may connect.";
        freebind in rest: Switch,
            "Linux: whether to listen on an address that this machine does not have yet, such as one that Wi-Fi or \
             DHCP assigns later (IP_FREEBIND).";
        proxy_protocol in rest: Switch,
            "Whether each connection begins with a PROXY protocol header (version 1 or 2), in which a proxy reports \
             the address of the client.";
        trusted_proxies in rest: List(Network),
            "The proxies that the broker trusts. With proxy_protocol: connections from other addresses are closed. \
             For WebSocket without it: the client address is the last one in X-Forwarded-For or Forwarded that is not \
             a trusted proxy; other clients are served, and their headers are ignored.";
    },
};

/// `[log]`
pub(super) const LOG: Table<Config> = Table {
    name: "log",
    help: "The log: on standard error, in a file, in syslog.",
    keys: keys! { Config, config => config.log;
        level: LOG_LEVEL, "The least severe level that is logged; can be changed without a restart.";
        format: LOG_FORMAT, "One line of text or one JSON object for each event.";
        connections: Switch,
            "Whether connects, refused connects and disconnects of clients are logged; can be changed without a restart.";
        file: OptionalPath,
            "A file that the log is appended to. After SIGHUP the broker opens it again by its name (for logrotate).";
        rotate_size: OrWord { form: Size { min: 4096, max: MOST_BYTES }, word: "off", zero: false },
            "At this size the broker renames log.file (it appends \".1\" to the name) and begins a new one.";
        rotate_keep: Whole { min: 0, max: 1000 }, "Number of renamed log files to keep.";
        syslog: OrWord { form: SYSLOG, word: "off", zero: false },
            "Whether the log is sent to the machine's syslog (/dev/log), and with which facility.";
        stderr: OrWord { form: Switch, word: "auto", zero: false },
            "Whether the log is written to standard error. \"auto\": only with neither file nor syslog. The reason of a \
             failed start is written there in any case.";
    },
};

/// `[limits]`
pub(super) const LIMITS: Table<Config> = Table {
    name: "limits",
    help: "Limits of everything that a client can make grow. 0 means \"unlimited\" only if the key's text says so.",
    keys: keys! { Config, config => config.limits;
        max_connections: count(1), "Connections of all listeners; an additional one is closed at once.";
        max_connecting: count(1),
            "Connections whose CONNECT has not arrived or is not answered yet; an additional one is closed at once. \
             If more than half are in use, so is an additional one of an address (IPv6: of a /64) that has half of \
             them and at least 1,000; trusted_proxies are exempt.";
        max_connecting_bytes: Size { min: 1 << 20, max: MOST_BYTES },
            "Memory of all those connections in bytes: partial CONNECT packets, logins in progress, TLS handshakes, \
             WebSocket requests. If less than an eighth is left, new connections wait to be accepted for at most 3 \
             seconds; then, and if nothing is left, the connection that uses most is closed.";
        connect_timeout: span(MILLISECOND, HOUR), "How long a new connection may take until its CONNECT has arrived.";
        max_packet_size: Size { min: 128, max: LARGEST_PACKET },
            "Largest packet in bytes, header included. A larger one closes the connection before it is buffered.";
        max_message_size: OrWord { form: Size { min: 1, max: LARGEST_PACKET }, word: "off", zero: false },
            "Largest payload in bytes of a message that a client publishes; Wills are exempt. A larger message is \
             acknowledged and dropped, and its client stays connected (MQTT 5: reason 0x97). Unless a limit was set when \
             the client connected, a new one applies from its next connection on.";
        max_connect_size: Size { min: 128, max: LARGEST_PACKET },
            "Largest CONNECT packet in bytes, Will included. (It arrives before login, so the limit is lower than \
             max_packet_size, which also applies.)";
        // 23 bytes must be taken, [MQTT-3.1.3-5].
        max_client_id_length: Size { min: 23, max: LONGEST_STRING }, "Longest Client Identifier in bytes.";
        max_topic_length: Size { min: 1, max: LONGEST_STRING }, "Longest Topic Name or Topic Filter in bytes.";
        max_topic_levels: Whole { min: 1, max: LONGEST_STRING }, "Most levels of a Topic Name or Topic Filter.";
        max_inflight_out: Whole { min: 1, max: u16::MAX },
            "QoS 1 and 2 messages in flight to a client (sent, not acknowledged); further ones wait in its queue. \
             Until a client has acknowledged 20, the limit is 20.";
        max_inflight_in: Whole { min: 1, max: u16::MAX },
            "QoS 2 messages in flight from a client (received, not released); further ones wait unacknowledged.";
        receive_maximum: Whole { min: 1, max: u16::MAX },
            "QoS 1 and 2 messages in flight from a client of MQTT 5, as CONNACK tells it. As many again are accepted \
             and wait; a client that sends more is disconnected.";
        topic_alias_maximum: Whole { min: 0, max: u16::MAX },
            "Topic Aliases (MQTT 5: numbers instead of topics) that each client may use, and that the broker uses \
             towards each client that accepts them; 0 turns them off.";
        max_qos: Whole { min: 0, max: 2 },
            "The highest QoS at which clients may publish, from their next connection on. Subscriptions are granted \
             at most this QoS. A client that publishes above it is disconnected, and one whose Will is above it is \
             refused; CONNACK tells clients of MQTT 5 the limit.";
        retain_available: Switch,
            "Whether clients may publish retained messages, from their next connection on. If false, CONNACK tells \
             clients of MQTT 5: one that publishes with RETAIN anyway is disconnected, one with a retained Will is \
             refused. Such messages of MQTT 3.1.1 clients, which cannot be told, are delivered and not retained. \
             Messages that are already retained stay and are sent to new subscribers.";
        max_keep_alive: OrWord { form: span(SECOND, Duration::from_secs(u16::MAX as u64)), word: "none", zero: false },
            "The longest Keep Alive, from the next connection on, in whole seconds. A client of MQTT 5 that asks for \
             a longer one, or for none (0), is assigned this one (Server Keep Alive); one of MQTT 3.1.1 is refused \
             (code 2).";
        shared_subscriptions: Choice(&[
            ("round-robin", SharedSubscriptions::RoundRobin),
            ("random", SharedSubscriptions::Random),
            ("sticky", SharedSubscriptions::Sticky),
            ("hash-client", SharedSubscriptions::HashClient),
            ("hash-topic", SharedSubscriptions::HashTopic),
            ("off", SharedSubscriptions::Off),
        ]),
            "Which member of a shared subscription ($share/group/filter) gets a message. \"round-robin\", \"random\": \
             one of those that are connected and have room. \"sticky\": the same member until it is away or its queue \
             is full. \"hash-client\", \"hash-topic\": the same member for the same publisher or topic, while the \
             connected members stay the same. \"off\": new ones are refused; existing ones work as \"round-robin\".";
        shared_requeue_after: span(MILLISECOND, HOUR),
            "A message that has waited this long for a member of a group, and was not sent to it, is moved to members \
             that have room.";
        max_queued_messages: count(1), "Messages queued for one session.";
        max_queued_bytes: Size { min: 1, max: MOST_BYTES }, "Bytes (topics and payloads) queued for one session; and of all Wills that wait because the disk is full.";
        max_queued_bytes_total: OfMemory(Size { min: 1 << 20, max: MOST_BYTES }),
            "Memory in bytes of queued and in-flight messages of all sessions; a message that several sessions share \
             counts once. If it is used up, every queue is full, and queue_full applies. \"auto\": a quarter of the \
             memory of the machine or control group; 0 and \"none\": no limit.";
        queue_full: Choice(&[
            ("drop-newest", QueueFull::DropNewest),
            ("drop-oldest", QueueFull::DropOldest),
            ("keep-last", QueueFull::KeepLast),
        ]),
            "Which message is dropped when the queue of a session is full: the new one (\"drop-newest\") or the \
             oldest (\"drop-oldest\"). \"keep-last\" is for clients that read state and keeps the newest message of \
             each topic: it drops an older message of the same topic; if there is none, the oldest message that has a \
             newer one of its topic; otherwise the oldest message.";
        queue_qos0: Switch, "Whether QoS 0 messages are also queued for sessions whose client is away.";
        upgrade_outgoing_qos: Switch,
            "Whether messages of clients that connect from now on are delivered at the QoS of the subscription, even if \
             they were published at a lower one. MQTT has them delivered at the lower one.";
        max_outbound_bytes: Size { min: 1, max: MOST_BYTES },
            "Bytes that are written for a client and not accepted by its socket. Above it QoS 0 messages are dropped, \
             others wait in its queue.";
        write_timeout: span(MILLISECOND, DAY),
            "A client is disconnected if its socket accepts no bytes for this long while output is pending.";
        publish_rate: PUBLISH_RATE,
            "Messages that each client may publish in a second, on average.";
        publish_bytes_rate: PUBLISH_BYTES_RATE,
            "Bytes of PUBLISH packets that each client may send in a second, on average.";
        publish_burst: span(MILLISECOND, HOUR),
            "How much a client may publish at once: as much as publish_rate and publish_bytes_rate allow in this \
             time.";
        publish_rate_action: Choice(&[
            ("slow", PublishRateAction::Slow),
            ("disconnect", PublishRateAction::Disconnect),
        ]),
            "What happens to a client that publishes faster. \"slow\": the broker reads from it more slowly, so that \
             nothing is lost. \"disconnect\": it is disconnected.";
        connect_rate: OrWord { form: Whole { min: 1, max: 1_000_000_000 }, word: "off", zero: false },
            "Connections accepted in a second on all listeners together, TLS handshakes included; as many may arrive \
             at once. Further ones wait in the accept queue of the system, so that a storm of reconnecting clients \
             does not slow down connected ones.";
        reconnects: OrWord { form: Times, word: "off", zero: false },
            "How often a client that logs in may connect, such as \"20/1m\". A client that connects more often, by its \
             user name and Client Identifier together, is banned for 5 minutes. Clients without a login are not \
             counted.";
        message_expiry: EXPIRY,
            "The longest time from the publication of a message until it may be sent to a client. It is the upper \
             bound of the Message Expiry Interval (MQTT 5) and the default for messages without one, those of MQTT \
             3.1 and 3.1.1 clients and Wills included. It does not apply to retained messages: see retained_expiry.";
        retained_expiry: EXPIRY,
            "The longest time that a message stays retained unless it is replaced. It is removed then, also if the \
             broker was not running meanwhile.";
        max_retained_messages: count(0), "Retained messages of all topics; 0: nothing is retained.";
        max_retained_bytes: Size { min: 0, max: MOST_BYTES },
            "Memory in bytes of all retained messages and their topics; 0: nothing is retained. A topic takes about \
             70 bytes for each level that no other topic has.";
        max_subscriptions: count(1), "Subscriptions of one client.";
        max_subscription_bytes: Size { min: 1 << 20, max: MOST_BYTES },
            "Memory in bytes of the subscriptions of all clients; above it new ones are refused. A filter takes about \
             80 bytes for each level that no other filter has.";
        max_sessions: count(1),
            "Sessions of all clients, connected or away; a client that would need an additional one (Clean Session 0) \
             is refused. If more than half are in use, so is a client of a user that has half of them and at least \
             1,000. Anonymous clients count as one user if a login is configured.";
        session_expiry: OrWord { form: span(SECOND, CENTURY), word: "never", zero: false },
            "How long the session of a client that is away is stored (Clean Session 0).";
        max_memory: OfMemory(Size { min: 16 << 20, max: MOST_BYTES }),
            "Resident memory of the process in bytes. From 90 % on, new connections and retained messages of new \
             topics are refused; from 95 % on, new subscriptions too; from 100 % on, every queue is full. \"auto\": \
             three quarters of the memory of the machine or control group; 0 and \"none\": no limit.";
    },
};

/// `[sys]`
pub(super) const SYS: Table<Config> = Table {
    name: "sys",
    help: "The topics under $SYS/broker, with figures of the broker.",
    keys: keys! { Config, config => config.sys;
        interval: OrWord { form: span(Duration::from_millis(100), DAY), word: "off", zero: true },
            "How often they are published; 0 is off too.";
        client_publish: Choice(&[
            ("drop", SysPublish::Drop),
            ("disconnect", SysPublish::Disconnect),
            ("allow", SysPublish::Allow),
        ]),
            "What happens to a PUBLISH of a client to $SYS/…: acknowledged and dropped, client disconnected, or \
             delivered.";
        events: Switch,
            "Whether events of clients, sessions, the store, bridges and the broker are published below $events/. A \
             client receives them only with a rule for topics below $events/.";
    },
};

/// `[http]`
pub(super) const HTTP: Table<Config> = Table {
    name: "http",
    help: "Health checks, metrics and the admin API over HTTP. Without a configured login, programs on this machine are \
           operators; with one, only the users and keys below are let in.",
    keys: keys! { Config, config => config.http;
        listen: Addresses,
            "Addresses of the HTTP server. A default address whose port is taken is skipped; if a listener has port \
             0, the default is \"off\". An address beyond loopback needs users or keys_file.";
        mode: Mode,
            "Unix sockets: who may connect, as the permission bits of their files. A program that can open one may do \
             everything.";
        certificate_file: OptionalPath,
            "TLS on the addresses of listen: the certificate chain in PEM, the broker's own certificate first. Unix \
             sockets and health stay without.";
        key_file: OptionalPath,
            "TLS: the private key of that certificate in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.";
        users: Users,
            "Users of auth.password_file who may log in (Basic), each with a role: \"viewer\", \"operator\" or \
             \"admin\". The page on the admin API lists what each role may do.";
        keys_file: OptionalPath,
            "A file with keys of programs, which log in with Authorization: Bearer. dunlin key add makes it and its \
             keys; only the SHA-256 of each key is stored.";
        audit_file: OptionalPath,
            "A file that gets a JSON line for each writing request: time, caller, address, request and result. \
             A reload opens it again. Unset: the last 1,000 are in memory.";
        metrics_open: Switch, "Whether /metrics can be read without a login.";
        allowed_hosts: Hosts,
            "Host names, beside those of loopback, that requests may have in their Host header. If set, requests with \
             a login are checked too.";
        console: Switch, "Whether the web console is served, at / of the same addresses.";
        mqtt: OrWord { form: Switch, word: "auto", zero: false },
            "Whether MQTT over WebSocket is served at /mqtt of the same addresses, to pages of this server, as the console's \
             client page is one. \"auto\": while they are all on loopback and no listener demands client certificates.";
        console_dir: OptionalPath,
            "Directory from which the files of the web console are read at each request, instead of those in the \
             binary: for developers of the console.";
        slow_threshold: span(MILLISECOND, HOUR),
            "A subscriber that takes longer from the publication of a message to its acknowledgement is shown as slow.";
        health: Addresses,
            "Addresses that serve only the three health checks, to every client: /healthz, /readyz and /startupz.";
        drain_delay: span(Duration::ZERO, HOUR),
            "At a shutdown /readyz returns 503 for this long before the listeners close, so that a load balancer \
             sends no more clients.";
    },
};

pub(super) const EXPIRY: OrWord<Span> = OrWord { form: span(SECOND, CENTURY), word: "off", zero: false };

pub(super) const fn span(min: Duration, max: Duration) -> Span {
    Span { min, max }
}

pub(super) const fn count(min: usize) -> Whole<usize> {
    Whole { min, max: 1_000_000_000 }
}

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// In humantime's years of 365.25 days. Every duration has an end, so that adding one to a time cannot overflow.
pub(super) const CENTURY: Duration = Duration::from_secs(100 * 31_557_600);
/// A fixed header of 5 bytes and the largest Remaining Length (MQTT 3.1.1 section 2.2.3).
pub(super) const LARGEST_PACKET: usize = 268_435_460;
/// The largest length of a UTF-8 encoded string (MQTT 3.1.1 section 1.5.3).
pub(super) const LONGEST_STRING: usize = 65_535;
/// 1 TiB, or the largest number of the machine if that is less.
pub(super) const MOST_BYTES: usize = 1 << if usize::BITS == 64 { 40 } else { 31 };
