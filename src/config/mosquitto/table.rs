//! The table of all options of mosquitto 2.0 and 2.1: [`ROWS`]. The reader takes the form of a value from it; the
//! report and the page in `docs` take the translation.

use std::fmt::Write;

/// An option.
#[derive(Debug)]
pub(super) struct Row {
    /// The option; a `*` at its end matches the rest of the word.
    pub name: &'static str,
    pub scope: Scope,
    pub form: Form,
    pub repeat: Repeat,
    pub fate: Fate,
    /// Its translation, the reason why it has no meaning in dunlin, or what to do.
    pub note: &'static str,
}

/// The scope of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Global,
    /// The broker, or the listener above if `per_listener_settings` is true.
    Security,
    Listener,
    /// The plug-in above.
    Plugin,
    Bridge,
}

/// The form of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Int,
    /// The rest of the line, trimmed.
    Text,
    /// Words; superfluous ones are ignored.
    Words,
    /// The rest of the line, not trimmed.
    Raw,
    /// Empty or not.
    Anything,
}

/// The meaning of a second line with the same option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// An error.
    Once,
    /// It replaces the first one.
    Last,
    /// It is added.
    Many,
}

/// The translation of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Same,
    Translated,
    Meaningless,
    Missing,
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Translated => "translated",
            Self::Meaningless => "without meaning here",
            Self::Missing => "not there",
        }
    }
}

/// The row of an option; the name may match a `*`.
pub(super) fn row(word: &str) -> Option<&'static Row> {
    let is = |row: &&Row| match row.name.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => row.name == word,
    };
    ROWS.iter().find(is)
}

/// The table of `docs/from-mosquitto.md`.
pub fn markdown() -> String {
    let mut text = "| option | becomes | |\n|---|---|---|\n".to_owned();
    for row in ROWS {
        let note = row.note.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {} | {note} |", row.name, row.fate.name());
    }
    text
}

const fn row_of(name: &'static str, scope: Scope, form: Form, repeat: Repeat, fate: Fate, note: &'static str) -> Row {
    Row { name, scope, form, repeat, fate, note }
}

macro_rules! rows {
    ($($name:literal $scope:ident $form:ident $repeat:ident $fate:ident $note:expr;)+) => {
        &[$(row_of($name, Scope::$scope, Form::$form, Repeat::$repeat, Fate::$fate, $note)),+]
    };
}

const BRIDGE_PSK: &str = "TLS with pre-shared keys is not supported; use certificates, or remote_password over TLS";
const ENGINE: &str = "keys are read from files in PEM";
const PSK: &str = "TLS with pre-shared keys is not supported; use certificates, or password_file over TLS";
const READ_BUFFER: &str = "buffers are those of the threads";

/// Exact names precede those with a `*`.
pub(super) const ROWS: &[Row] = rows! {
    "acl_file" Security Text Once Same "`auth.acl_file`";
    "password_file" Security Text Once Same "`auth.password_file`; a wrong line in it is an error";
    "psk_file" Security Text Once Missing PSK;
    "allow_anonymous" Security Bool Last Same "`allow_anonymous`";
    "allow_zero_length_clientid" Security Bool Last Same "`auth.allow_zero_length_client_id`";
    "auto_id_prefix" Security Text Once Same "`auth.auto_id_prefix`";
    "plugin" Security Text Many Translated "of mosquitto's own: password-file, acl-file, dynamic-security and persist-sqlite become keys; others are refused";
    "auth_plugin" Security Text Many Translated "as `plugin`";
    "global_plugin" Global Text Many Translated "as `plugin`";
    "plugin_opt_password_file" Plugin Raw Last Translated "`auth.password_file`";
    "plugin_opt_acl_file" Plugin Raw Last Translated "`auth.acl_file`";
    "plugin_opt_config_file" Plugin Raw Last Translated "`auth.dynsec_file`";
    "plugin_opt_password_init_file" Plugin Raw Last Missing "`auth.dynsec_file` is not created: it must exist";
    "plugin_opt_db_file" Plugin Raw Last Translated "the directory of that file has `data_dir`, if `persistence_location` is not set";
    "plugin_opt_sync" Plugin Raw Last Meaningless "acknowledged messages are on disk (`sync`)";
    "plugin_opt_flush_period" Plugin Raw Last Meaningless "acknowledged messages are on disk (`sync`)";
    "plugin_opt_page_size" Plugin Raw Last Meaningless "the data directory is a log";
    "plugin_opt_*" Plugin Raw Last Missing "an option of a plug-in that is not supported";
    "auth_opt_*" Plugin Raw Last Missing "an option of a plug-in that is not supported";
    "auth_plugin_deny_special_chars" Plugin Bool Last Meaningless "plug-ins of mosquitto are not loaded";
    "plugin_load" Global Words Many Missing "shared objects are not loaded; write `global_plugin` for one of mosquitto's own";
    "plugin_use" Listener Words Many Missing "shared objects are not loaded; write `global_plugin` for one of mosquitto's own";
    "per_listener_settings" Global Bool Last Translated "`allow_anonymous`, `password_file` and `acl_file` of each `[[listener]]`; other options are those of all listeners";
    "check_retain_source" Global Bool Last Same "`auth.check_retain_source`; the manual of mosquitto calls `true` the default, the broker has `false`";
    "enable_control_api" Global Bool Last Missing "`$CONTROL/broker/v1` is not served";
    "allow_duplicate_messages" Global Bool Last Missing "`false` is how it is: overlapping subscriptions deliver a message once";
    "clientid_prefixes" Global Text Once Translated "`auth.client_id_prefixes`";
    "connection_messages" Global Bool Last Same "`log.connections`";
    "global_max_clients" Global Int Last Translated "`limits.max_sessions`";
    "global_max_connections" Global Int Last Translated "`limits.max_connections`";
    "max_inflight_bytes" Global Int Last Missing "messages in flight are bounded by `limits.max_inflight_out` alone";
    "max_inflight_messages" Global Int Last Translated "`limits.max_inflight_out`, `limits.max_inflight_in` and `limits.receive_maximum`";
    "max_keepalive" Global Int Last Translated "`limits.max_keep_alive`; clients of MQTT 3.1.1 with a Keep Alive of 0 are refused too, as by 2.0.16 and later";
    "max_packet_size" Global Int Last Translated "`limits.max_packet_size`, at least 128";
    "max_queued_bytes" Global Int Last Translated "`limits.max_queued_bytes`";
    "max_queued_messages" Global Int Last Translated "`limits.max_queued_messages`";
    "memory_limit" Global Int Last Translated "`limits.max_memory`: the process as the system counts it, at least 16 MiB";
    "message_size_limit" Global Int Last Translated "`limits.max_message_size`";
    "persistent_client_expiration" Global Words Last Translated "`limits.session_expiry`";
    "queue_qos0_messages" Global Bool Last Translated "`limits.queue_qos0`";
    "retain_available" Global Bool Last Translated "`limits.retain_available`; of clients of MQTT 3.1.1 such messages are delivered and not retained";
    "retain_expiry_interval" Global Int Last Meaningless "what has expired is removed at once";
    "set_tcp_nodelay" Global Bool Last Meaningless "TCP_NODELAY is always set";
    "sys_interval" Global Int Last Translated "`sys.interval`";
    "upgrade_outgoing_qos" Global Bool Last Same "`limits.upgrade_outgoing_qos`";
    "packet_buffer_size" Global Int Last Meaningless READ_BUFFER;
    "websockets_headers_size" Global Int Last Meaningless READ_BUFFER;
    "websockets_log_level" Global Int Last Meaningless "`log.level` is for WebSocket too";
    "persistence" Global Bool Last Translated "`data_dir`: the directory `dunlin` in `persistence_location`; mosquitto.db is left as it is";
    "retained_persistence" Global Bool Last Translated "as `persistence`";
    "persistence_file" Global Text Once Meaningless "the data is a directory, not a file";
    "persistence_location" Global Text Once Translated "`data_dir`: the directory `dunlin` in it";
    "autosave_interval" Global Int Last Meaningless "acknowledged messages are on disk (`sync`)";
    "autosave_on_changes" Global Bool Last Meaningless "acknowledged messages are on disk (`sync`)";
    "include_dir" Global Raw Many Same "its files `*.conf` are read at this place, in mosquitto's order";
    "pid_file" Global Text Once Same "`pid_file`; if it cannot be written, the broker starts, and logs it";
    "user" Global Text Last Meaningless "the user is never changed: the service unit or the container says as whom dunlin runs";
    "log_dest" Global Words Many Translated "`file` is `log.file`, `syslog` is `log.syslog`, `stderr` and `stdout` are standard error (`log.stderr`); `none` is `log.level = \"error\"`; `topic` and others are lost";
    "log_facility" Global Int Last Translated "the facility in `log.syslog`";
    "log_timestamp" Global Bool Last Meaningless "each line has its time, but in the journal";
    "log_timestamp_format" Global Text Once Meaningless "times are ISO 8601 in UTC";
    "log_type" Global Words Many Translated "`log.level`: the least severe of them; `all`, `debug`, `subscribe` and `unsubscribe` are \"debug\"";
    "listener" Listener Words Many Translated "a `[[listener]]` with its `address`";
    "port" Listener Int Last Translated "a `[[listener]]` with its `address`";
    "bind_address" Listener Text Once Translated "a `[[listener]]` with its `address`";
    "bind_interface" Listener Text Once Missing "listeners are bound to addresses: write that of the interface behind the port";
    "socket_domain" Listener Words Last Translated "`address`: 0.0.0.0 or [::]";
    "protocol" Listener Words Last Translated "`websockets` is `address = \"ws://…\"`; `http_api` is refused, as `[http]` serves its own";
    "mount_point" Listener Text Once Same "`mount_point` of the `[[listener]]`, which ends with `/`; shared subscriptions are of what is behind it";
    "max_connections" Listener Int Last Translated "`max_connections` of the `[[listener]]`; those by IPv4 and by IPv6 are counted apart";
    "max_qos" Listener Int Last Translated "`max_qos` of the `[[listener]]`";
    "maximum_qos" Listener Int Last Translated "as `max_qos`";
    "max_topic_alias_broker" Listener Int Last Translated "`limits.topic_alias_maximum`, for both directions and all listeners";
    "max_topic_alias" Listener Int Last Translated "`limits.topic_alias_maximum`, for both directions and all listeners";
    "accept_protocol_versions" Listener Text Last Translated "`protocol_versions`: 3, 4 and 5 are \"3.1\", \"3.1.1\" and \"5\"";
    "listener_allow_anonymous" Listener Bool Last Translated "`allow_anonymous` of the `[[listener]]`";
    "listener_auto_id_prefix" Listener Text Once Translated "`auto_id_prefix` of the `[[listener]]`";
    "use_username_as_clientid" Listener Bool Last Translated "`auth.client_id = \"from-user\"`, if it is the same on all listeners";
    "http_dir" Listener Text Once Missing "files are not served: use a web server";
    "websockets_origin" Listener Text Many Translated "`allowed_origins`";
    "enable_proxy_protocol" Listener Int Last Translated "`proxy_protocol`, both versions, from every address";
    "proxy_protocol_v2_require_tls" Listener Bool Last Missing "a PROXY header cannot be asked to report TLS";
    "certfile" Listener Text Once Translated "`certificate_file`";
    "keyfile" Listener Text Once Translated "`key_file`, not encrypted";
    "cafile" Listener Text Once Translated "`client_ca_file`, if clients are asked for certificates";
    "capath" Listener Text Once Translated "`client_ca_file`, which may be a directory, if clients are asked for certificates";
    "crlfile" Listener Text Once Translated "`revocation_list_file`, if clients are asked for certificates";
    "ciphers_tls1.3" Listener Text Once Missing "the cipher suites are those of rustls, all of them with forward secrecy";
    "ciphers" Listener Text Once Missing "the cipher suites are those of rustls, all of them with forward secrecy";
    "dhparamfile" Listener Text Once Meaningless "keys are agreed on by elliptic curves";
    "require_certificate" Listener Bool Last Translated "`client_certificates = \"required\"`";
    "disable_client_cert_date_checks" Listener Bool Last Translated "`ignore_certificate_dates`, if clients are asked for certificates";
    "use_identity_as_username" Listener Bool Last Translated "`identity = \"common-name\"`";
    "use_subject_as_username" Listener Bool Last Translated "`identity = \"subject\"`";
    "tls_version" Listener Text Once Translated "`tls_min`; TLS 1.1 is not served";
    "tls_engine_kpass_sha1" Listener Text Once Missing ENGINE;
    "tls_engine" Listener Text Once Missing ENGINE;
    "tls_keyform" Listener Words Last Missing "`pem` is how it is: keys are read from files in PEM";
    "psk_hint" Listener Text Once Missing PSK;
    "connection" Bridge Words Many Translated "a `[[bridge]]` with its `name`";
    "addresses" Bridge Words Once Translated "`addresses`";
    "address" Bridge Words Once Translated "`addresses`";
    "topic" Bridge Words Many Same "`topics`";
    "bridge_alpn" Bridge Text Once Same "`alpn`";
    "bridge_attempt_unsubscribe" Bridge Bool Last Meaningless "what comes in of topics that are not `in` any more is dropped and counted";
    "bridge_bind_address" Bridge Text Once Same "`bind_address`";
    "bridge_cafile" Bridge Text Once Same "`ca_file`, and `mqtts://` in front of the addresses";
    "bridge_capath" Bridge Text Once Translated "`ca_file`, which may be a directory";
    "bridge_certfile" Bridge Text Once Same "`certificate_file`";
    "bridge_keyfile" Bridge Text Once Same "`key_file`";
    "bridge_ciphers_tls1.3" Bridge Text Once Missing "the cipher suites are those of rustls, all of them with forward secrecy";
    "bridge_ciphers" Bridge Text Once Missing "the cipher suites are those of rustls, all of them with forward secrecy";
    "bridge_identity" Bridge Text Once Missing BRIDGE_PSK;
    "bridge_psk" Bridge Text Once Missing BRIDGE_PSK;
    "bridge_insecure" Bridge Bool Last Same "`insecure`: the host name alone is not compared";
    "bridge_max_packet_size" Bridge Int Last Translated "`max_packet_size`, at least 128";
    "bridge_max_topic_alias" Bridge Int Last Meaningless "the remote broker is allowed no topic aliases, which changes no message";
    "bridge_outgoing_retain" Bridge Bool Last Same "`outgoing_retain`";
    "bridge_protocol_version" Bridge Raw Last Translated "`protocol`; MQTT 3.1 becomes 3.1.1";
    "bridge_receive_maximum" Bridge Int Last Meaningless "the Receive Maximum is 1,024";
    "bridge_reload_type" Bridge Words Last Meaningless "a bridge that changes connects anew at once";
    "bridge_require_ocsp" Bridge Bool Last Missing "`false` is how it is: OCSP responses are not asked for";
    "bridge_session_expiry_interval" Bridge Int Last Translated "`session_expiry`";
    "bridge_tcp_keepalive" Bridge Words Last Meaningless "the Keep Alive of MQTT finds dead connections (`keep_alive`)";
    "bridge_tcp_user_timeout" Bridge Int Last Meaningless "it is 30 s";
    "bridge_tls_use_os_certs" Bridge Bool Last Translated "`mqtts://` in front of the addresses, without `ca_file`";
    "bridge_tls_version" Bridge Text Once Missing "TLS 1.2 and 1.3 are spoken";
    "cleansession" Bridge Bool Last Translated "`clean_session`";
    "local_cleansession" Bridge Bool Last Missing "`false` is how it is: what is queued here stays";
    "idle_timeout" Bridge Int Last Translated "`idle_timeout`";
    "keepalive_interval" Bridge Int Last Translated "`keep_alive`";
    "local_clientid" Bridge Text Once Meaningless "here the bridge is `$bridge/NAME`";
    "local_username" Bridge Text Once Missing "rules are not asked what a bridge may do";
    "local_password" Bridge Text Once Meaningless "a bridge does not log in here";
    "remote_clientid" Bridge Text Once Same "`client_id`";
    "clientid" Bridge Text Once Same "`client_id`";
    "remote_username" Bridge Text Once Same "`username`";
    "username" Bridge Text Once Same "`username`";
    "remote_password" Bridge Text Once Same "`password`";
    "password" Bridge Text Once Same "`password`";
    "notifications_local_only" Bridge Bool Last Translated "`notifications = \"local\"`";
    "notifications" Bridge Bool Last Translated "`notifications`";
    "notification_topic" Bridge Text Once Same "`notification_topic`";
    "restart_timeout" Bridge Words Last Translated "`reconnect_min` and `reconnect_max`; a third number has no effect";
    "round_robin" Bridge Bool Last Same "`round_robin`";
    "start_type" Bridge Words Last Same "`start`";
    "threshold" Bridge Int Last Same "`threshold`";
    "try_private" Bridge Bool Last Same "`try_private`";
    "retry_interval" Global Anything Many Meaningless "mosquitto ignores it too";
};
