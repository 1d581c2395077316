//! Configurations of other programs, given as one of dunlin: what they are is said, in place of what is wrong with them
//! as TOML.

/// What a text that is not TOML is, if it can be told; with what to do.
pub(super) fn recognised(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches('\u{feff}');
    let is_comment = |line: &&str| line.is_empty() || line.starts_with('#');
    let first = text.lines().map(str::trim).find(|line| !is_comment(line))?;
    if first.starts_with('{') {
        return Some("this is JSON; the configuration is TOML: \"dunlin --print-config\" prints one to begin with");
    }
    if first.contains('=') || first.starts_with('[') {
        return None;
    }
    if first == "---" || first.starts_with("- ") || first.ends_with(':') || first.contains(": ") {
        return Some("this is YAML; the configuration is TOML: \"dunlin --print-config\" prints one to begin with");
    }
    let word = first.split_whitespace().next().unwrap_or_default();
    OF_MOSQUITTO.contains(&word).then_some(
        "this is a configuration of mosquitto; the configuration is TOML: \"dunlin --print-config\" prints one to begin with \
         (password and ACL files are read as they are: auth.password_file, auth.acl_file)",
    )
}

/// The words with which a line of mosquitto.conf begins, those that occur in most.
const OF_MOSQUITTO: [&str; 36] = [
    "acl_file",
    "address",
    "allow_anonymous",
    "allow_zero_length_clientid",
    "autosave_interval",
    "bind_address",
    "bind_interface",
    "cafile",
    "capath",
    "certfile",
    "connection",
    "connection_messages",
    "global_plugin",
    "include_dir",
    "keyfile",
    "listener",
    "log_dest",
    "log_timestamp",
    "log_timestamp_format",
    "log_type",
    "max_connections",
    "max_inflight_messages",
    "max_keepalive",
    "max_packet_size",
    "max_queued_messages",
    "message_size_limit",
    "password_file",
    "per_listener_settings",
    "persistence",
    "persistence_file",
    "persistence_location",
    "pid_file",
    "port",
    "require_certificate",
    "sys_interval",
    "user",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_recognised() {
        for (text, expected) in [
            ("# Debian's\n\npid_file /run/mosquitto.pid\n", Some("this is a configuration of mosquitto;")),
            ("\u{feff}listener 1883 0.0.0.0\nallow_anonymous true", Some("this is a configuration of mosquitto;")),
            ("{\n \"listener\": 1883\n}", Some("this is JSON;")),
            ("---\nlisteners:", Some("this is YAML;")),
            ("allow_anonymous: true\n", Some("this is YAML;")),
            ("listeners:\n  - address: ':1883'", Some("this is YAML;")),
            ("allow_anonymous = 'a: b", None),
            ("[[listener\n", None),
            ("workers 3", None),
            ("", None),
        ] {
            let found = recognised(text);
            assert_eq!(found.is_some(), expected.is_some(), "{text}");
            assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{text}: {found:?}");
        }
    }
}
