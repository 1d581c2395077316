//! The keys whose values differ between two configurations: [`changes`]. The server decides which of them take effect
//! while the broker runs.

use std::fmt;

use super::{
    auth_http_keys::AUTH_HTTP,
    bridge_keys::BRIDGE,
    keys::{Key, LISTENER, Listener, Table},
    listener::ListenerConfig,
    settings::Config,
    sink_keys::SINK,
    tables::TABLES,
    webhook_keys::WEBHOOK,
};

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key with its table, such as `limits.max_connections`; `listener` stands for all listeners.
    pub key: String,
    /// The old value, as TOML.
    pub from: String,
    /// The new value, as TOML.
    pub to: String,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} (was {})", self.key, self.to, self.from)
    }
}

/// Every key whose values in `from` and `to` differ, in the order of the reference.
pub fn changes(from: &Config, to: &Config) -> Vec<KeyChange> {
    let keys = TABLES.iter().flat_map(|table| table.keys.iter().map(move |key| (table.full(key.name), key)));
    let values = keys.filter_map(|(name, key)| change(name, key, from, to));
    let [before, after] = [from, to].map(|config| {
        let listeners: Vec<_> = config.listeners.iter().map(listener).collect();
        format!("[{}]", listeners.join(", "))
    });
    let listeners = KeyChange { key: LISTENER.name.into(), from: before, to: after };
    let bridges = of_list(&BRIDGE, &from.bridges, &to.bridges, |bridge| &bridge.name);
    let services = of_list(&AUTH_HTTP, &from.auth.services, &to.auth.services, |service| &service.name);
    let webhooks = of_list(&WEBHOOK, &from.webhooks, &to.webhooks, |webhook| &webhook.name);
    let sinks = of_list(&SINK, &from.sinks, &to.sinks, |sink| &sink.name);
    let listeners = (from.listeners != to.listeners).then_some(listeners);
    values.chain(listeners).chain(services).chain(bridges).chain(webhooks).chain(sinks).collect()
}

/// The changes of a list of tables with names.
fn of_list<T: Default + PartialEq>(
    table: &Table<T>,
    from: &[T],
    to: &[T],
    name: impl Fn(&T) -> &String,
) -> Vec<KeyChange> {
    let change = |name: &str, from: Option<&T>, to: Option<&T>| {
        let (from, to) = match (from, to) {
            // a table that is in both: the keys that differ
            (Some(from), Some(to)) => (differing(table, from, to), differing(table, to, from)),
            (from, to) => {
                let unset = T::default();
                let shown = |one: Option<&T>| one.map_or("none".into(), |one| differing(table, one, &unset));
                (shown(from), shown(to))
            }
        };
        KeyChange { key: format!("{}.{name}", table.name), from, to }
    };
    let now = to.iter().filter_map(|now| {
        let before = from.iter().find(|before| name(before) == name(now));
        before.is_none_or(|before| before != now).then(|| change(name(now), before, Some(now)))
    });
    let is_gone = |before: &&T| to.iter().all(|now| name(now) != name(before));
    let gone = from.iter().filter(is_gone).map(|before| change(name(before), Some(before), None));
    now.chain(gone).collect()
}

/// The keys of a table whose values differ from those of another.
fn differing<T>(table: &Table<T>, one: &T, other: &T) -> String {
    let differs = table.keys.iter().filter(|key| (key.write)(one) != (key.write)(other));
    let set: Vec<_> = differs.map(|key| format!("{} = {}", key.name, key.shown(one))).collect();
    format!("{{ {} }}", set.join(", "))
}

/// Every key with its value in `config`, in the order of the reference, and all listeners at the end. Secrets are
/// hidden.
pub fn settings(config: &Config) -> Vec<(String, String)> {
    let keys = TABLES.iter().flat_map(|table| table.keys.iter().map(move |key| (table.full(key.name), key)));
    let values = keys.map(|(name, key)| (name, key.shown(config)));
    let listeners: Vec<_> = config.listeners.iter().map(listener).collect();
    let bridges = of_list(&BRIDGE, &[], &config.bridges, |bridge| &bridge.name);
    let services = of_list(&AUTH_HTTP, &[], &config.auth.services, |service| &service.name);
    let webhooks = of_list(&WEBHOOK, &[], &config.webhooks, |webhook| &webhook.name);
    let sinks = of_list(&SINK, &[], &config.sinks, |sink| &sink.name);
    let tables = services.into_iter().chain(bridges).chain(webhooks).chain(sinks).map(|change| (change.key, change.to));
    values.chain([(LISTENER.name.into(), format!("[{}]", listeners.join(", ")))]).chain(tables).collect()
}

fn change<T>(name: String, key: &Key<T>, from: &T, to: &T) -> Option<KeyChange> {
    let differs = (key.write)(from) != (key.write)(to);
    differs.then(|| KeyChange { key: name, from: key.shown(from), to: key.shown(to) })
}

/// Every key of a listener whose values in `from` and `to` differ, except its address, in the order of the reference.
pub fn listener_changes(from: &ListenerConfig, to: &ListenerConfig) -> Vec<KeyChange> {
    let (from, to) = (Listener::from(from), Listener::from(to));
    let keys = LISTENER.keys.iter().filter(|key| key.name != "address");
    keys.filter_map(|key| change(key.name.into(), key, &from, &to)).collect()
}

/// The address alone, if the listener sets no other key.
fn listener(listener: &ListenerConfig) -> String {
    let unset = Listener::from(&ListenerConfig::new(listener.address.clone(), listener.transport));
    let address = format!("\"{}\"", listener.name());
    let set: Vec<_> = LISTENER
        .keys
        .iter()
        .filter_map(|key| change(key.name.into(), key, &unset, &listener.into()))
        .map(|set| format!(", {} = {}", set.key, set.to))
        .collect();
    if set.is_empty() { address } else { format!("{{ address = {address}{} }}", set.concat()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differing_keys_are_reported() {
        assert_eq!(changes(&Config::default(), &Config::default()), []);
        let mut other = Config::ephemeral();
        other.workers = Some(3);
        other.limits.session_expiry = None;
        let told: Vec<_> = changes(&Config::default(), &other).iter().map(ToString::to_string).collect();
        let expected = [
            "workers = 3 (was \"auto\")",
            "limits.session_expiry = \"never\" (was \"14days\")",
            "listener = [\"127.0.0.1:0\"] (was [\"127.0.0.1:1883\", \"[::1]:1883\"])",
        ];
        assert_eq!(told, expected);
    }
}
