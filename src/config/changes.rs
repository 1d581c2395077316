//! The keys whose values differ between two configurations: [`changes`]. The server decides which of them take effect
//! while the broker runs.

use std::fmt;

use super::{
    auth_http::AuthHttpConfig,
    auth_http_keys::AUTH_HTTP,
    bridge::BridgeConfig,
    bridge_keys::BRIDGE,
    keys::{Key, LISTENER, Listener, TABLES, Table},
    listener::ListenerConfig,
    settings::Config,
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
    let bridges = named_changes(&BRIDGE, [&from.bridges, &to.bridges], |bridge| &bridge.name);
    let services = named_changes(&AUTH_HTTP, [&from.auth.services, &to.auth.services], |service| &service.name);
    values.chain((from.listeners != to.listeners).then_some(listeners)).chain(services).chain(bridges).collect()
}

/// Those of a list whose members have names.
fn named_changes<T: Default + PartialEq>(
    table: &Table<T>,
    [from, to]: [&[T]; 2],
    name: impl Fn(&T) -> &str,
) -> Vec<KeyChange> {
    let unset = T::default();
    let find = |all: &[T], wanted: &str| all.iter().position(|one| name(one) == wanted);
    let mut changes = Vec::new();
    for now in to {
        let key = format!("{}.{}", table.name, name(now));
        match find(from, name(now)).map(|at| &from[at]) {
            Some(before) if before == now => {}
            // of one that is another, what differs
            Some(before) => changes.push(KeyChange { key, from: set(table, before, now), to: set(table, now, before) }),
            None => changes.push(KeyChange { key, from: "none".into(), to: set(table, now, &unset) }),
        }
    }
    for before in from.iter().filter(|before| find(to, name(before)).is_none()) {
        let key = format!("{}.{}", table.name, name(before));
        changes.push(KeyChange { key, from: set(table, before, &unset), to: "none".into() });
    }
    changes
}

/// What one of a list has that another has not.
fn set<T>(table: &Table<T>, one: &T, other: &T) -> String {
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
    let unset = BridgeConfig::default();
    let bridges = config.bridges.iter().map(|one| (format!("{}.{}", BRIDGE.name, one.name), set(&BRIDGE, one, &unset)));
    let unset = AuthHttpConfig::default();
    let services = config.auth.services.iter();
    let services = services.map(|one| (format!("{}.{}", AUTH_HTTP.name, one.name), set(&AUTH_HTTP, one, &unset)));
    let listeners = (LISTENER.name.into(), format!("[{}]", listeners.join(", ")));
    values.chain([listeners]).chain(services).chain(bridges).collect()
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
    fn only_what_differs() {
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
