//! A summary of what would run, the output of `--check`.

use std::path::Path;

use super::{
    changes::changes,
    listener::ListenerConfig,
    settings::{Config, SyncMode, VariableUser},
};
use crate::types::Endpoint;

/// A few lines that describe a broker with `config`; `file`: the file of the configuration.
pub fn summary(config: &Config, file: Option<&Path>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: &str| out += &format!("{:<15}{text}\n", format!("{name}:"));
    line("configuration", &file.map_or_else(|| "no file".into(), |file| file.display().to_string()));
    config.listeners.iter().for_each(|one| line("listen", &listener_text(one, config)));
    line("anonymous", &anonymous_text(config));
    if let Some(VariableUser { name, password_file }) = &config.auth.user {
        line("user", &format!("{name} (DUNLIN_USER), with the password in {}", password_file.display()));
    }
    line("persistence", &persistence_text(config));
    let auto = if config.workers.is_none() { " (auto: one for each CPU, less one)" } else { "" };
    line("workers", &format!("{}{auto}", config.worker_threads()));
    for bridge in &config.bridges {
        let [addresses, topics] = [texts(&bridge.addresses, ", "), texts(&bridge.topics, "; ")];
        line("bridge", &format!("{} to {addresses}: {topics}", bridge.name));
    }
    for webhook in &config.webhooks {
        let events: Vec<_> = webhook.events.iter().map(|told| told.name()).collect();
        let to = webhook.url.as_ref().map(ToString::to_string).unwrap_or_default();
        line("webhook", &format!("{} to {to}: {}", webhook.name, events.join(", ")));
    }
    for sink in &config.sinks {
        let file = sink.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        line("sink", &format!("{} in {file}: {}", sink.name, sink.filter.join(", ")));
    }
    config
        .origins
        .by_origin()
        .iter()
        .for_each(|(origin, keys)| line("from", &format!("{origin}: {}", keys.join(", "))));
    let told_above = ["listener", "allow_anonymous", "workers", "data_dir", "sync", "sync_interval"];
    let mut changed = changes(&Config::default(), config);
    let is_told = |key: &str| ["bridge.", "webhook.", "sink."].iter().any(|table| key.starts_with(table));
    changed.retain(|change| !told_above.contains(&change.key.as_str()) && !is_told(&change.key));
    if !changed.iter().any(|change| change.key.starts_with("limits.")) {
        line("limits", "all have their defaults");
    }
    changed.iter().for_each(|c| line("changed", &format!("{} = {} (by default {})", c.key, c.to, c.from)));
    out
}

fn texts<T: ToString>(all: &[T], between: &str) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

fn listener_text(listener: &ListenerConfig, config: &Config) -> String {
    let free = listener.address.socket_addr().is_some_and(|address| address.port() == 0);
    let note = match &listener.address {
        Endpoint::Passed(_) => " (sockets that systemd passes)",
        _ if free => " (a free port)",
        _ => "",
    };
    let allowed = listener.allow_anonymous.or(config.allow_anonymous);
    let allowed = allowed.unwrap_or(listener.is_loopback() && !config.has_login());
    let by_certificate = listener.identity.is_some();
    let whom = match (listener.demands_certificates(), allowed, config.auth.has_users()) {
        (true, true, _) => ", for clients with a certificate alone",
        (true, false, _) if by_certificate => ", for clients with a certificate alone",
        (true, false, true) => ", for users with a certificate",
        (true, false, false) => {
            ", which refuses all clients: a certificate is not a user name (identity), there are no users, and anonymous \
             clients are refused"
        }
        (false, true, _) => "",
        (false, false, true) => ", for users alone",
        (false, false, false) if by_certificate => ", for clients with a certificate alone",
        (false, false, false) => ", which refuses all clients: there are no users, and anonymous clients are refused",
    };
    format!("{}{note}{whom}", listener.name())
}

/// Where and when acknowledged state is stored.
pub fn persistence_text(config: &Config) -> String {
    match (&config.data_dir, config.sync) {
        (None, _) => "none: sessions and messages are kept in memory and end with the process".into(),
        (Some(dir), SyncMode::BeforeAck) => {
            format!("in {}: on disk before it is acknowledged", dir.display())
        }
        (Some(dir), SyncMode::Interval) => format!(
            "in {}: written before it is acknowledged, on disk every {:?}, which a power cut may lose",
            dir.display(),
            config.sync_interval
        ),
    }
}

fn anonymous_text(config: &Config) -> String {
    let mut text = anonymous_by_default(config);
    for (served, word) in [(true, "served"), (false, "refused")] {
        let own = config.own_anonymous().filter(|(_, own)| *own == served);
        let listeners: Vec<_> = own.map(|(listener, _)| listener.name()).collect();
        if !listeners.is_empty() {
            text += &format!("; but {word} on {}, by its own allow_anonymous = {served}", listeners.join(", "));
        }
    }
    text
}

/// On listeners without a setting of their own.
fn anonymous_by_default(config: &Config) -> String {
    if let Some(variable) = config.refuses_anonymous_for() {
        return format!("refused on every listener, as {variable} is set; DUNLIN_ALLOW_ANONYMOUS=true changes that");
    }
    let text = match config.allow_anonymous {
        Some(true) => "served on every listener",
        Some(false) => "refused on every listener",
        None if config.has_login() => {
            "refused on every listener, as a login is configured; allow_anonymous = true, for all or in a [[listener]], \
             changes that"
        }
        None => "served on loopback listeners alone; allow_anonymous = true or --allow-anonymous changes that",
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn the_summary_of_the_defaults() {
        let workers = Config::default().worker_threads();
        let expected = format!(
            "\
configuration: no file
listen:        127.0.0.1:1883
listen:        [::1]:1883
anonymous:     served on loopback listeners alone; allow_anonymous = true or --allow-anonymous changes that
persistence:   none: sessions and messages are kept in memory and end with the process
workers:       {workers} (auto: one for each CPU, less one)
limits:        all have their defaults
"
        );
        assert_eq!(summary(&Config::default(), None), expected);
    }

    #[test]
    fn the_summary_of_another_configuration() {
        let text = "\
workers = 3
shutdown_grace = 0
listener = [
    { address = '0.0.0.0:0' },
    { address = '127.0.0.1:1', proxy_protocol = true, trusted_proxies = ['::1'], identity = 'common-name' },
]
[limits]
max_packet_size = '2 MiB'
connect_timeout = '10s'
";
        let expected = "\
configuration: a.toml
listen:        0.0.0.0:0 (a free port), which refuses all clients: there are no users, and anonymous clients are refused
listen:        127.0.0.1:1, for clients with a certificate alone
anonymous:     served on loopback listeners alone; allow_anonymous = true or --allow-anonymous changes that
persistence:   none: sessions and messages are kept in memory and end with the process
workers:       3
from:          a.toml: limits.connect_timeout, limits.max_packet_size, listener, shutdown_grace, workers
changed:       shutdown_grace = \"0s\" (by default \"5s\")
changed:       limits.max_packet_size = \"2 MiB\" (by default 2000000)
";
        let config = parse(text, "a.toml").unwrap();
        let summary = summary(&config, Some("a.toml".as_ref()));
        assert_eq!(summary, expected);
    }
}
