//! Suggestions for unknown keys and environment variables.

use toml::de::DeValue;

use super::{
    auth_http_keys::AUTH_HTTP,
    bridge_keys::BRIDGE,
    keys::{LISTENER, LISTS},
    likeness::nearest,
    sink_keys::SINK,
    tables::TABLES,
    webhook_keys::WEBHOOK,
};

/// A suggestion for an unknown key.
pub(super) fn hint(table: &str, key: &str, value: &DeValue<'_>) -> String {
    if table.is_empty() && is_table(value) {
        let tables = names().map(|(table, _)| table).filter(|table| !table.is_empty());
        return match nearest(key, tables) {
            Some(list) if LISTS.contains(&list) => format!("did you mean [[{list}]]?"),
            Some(near) => format!("did you mean [{near}]?"),
            None => "\"dunlin --print-config\" shows every table".into(),
        };
    }
    let here = names().filter(|(owner, _)| *owner == table).map(|(_, name)| name);
    if let Some((_, _, meant)) = MEANT.iter().find(|(owner, name, _)| *owner == table && *name == key) {
        (*meant).to_owned()
    } else if let Some(meant) = of_parts(key, here.clone()).filter(|_| !is_table(value)) {
        format!("did you mean {meant}?")
    } else if let Some((owner, _)) = names().find(|(_, name)| *name == key) {
        format!("it belongs {}", place(owner))
    } else if let Some(near) = nearest(key, here) {
        format!("did you mean {near:?}?")
    } else if let Some(near) = nearest(key, names().map(|(_, name)| name)) {
        let owner = names().find(|(_, name)| *name == near).map_or("", |(owner, _)| owner);
        format!("did you mean {near:?} {}?", place(owner))
    } else {
        "\"dunlin --print-config\" shows every key".into()
    }
}

/// Keys that other programs have, or that a reader may expect in this table, and what to write instead.
const MEANT: [(&str, &str, &str); 21] = [
    ("", "listen", LISTENERS),
    ("", "port", LISTENERS),
    ("", "host", LISTENERS),
    ("", "bind", LISTENERS),
    ("", "bind_address", LISTENERS),
    ("listener", "listen", ADDRESS),
    ("listener", "port", ADDRESS),
    ("listener", "host", ADDRESS),
    ("listener", "bind", ADDRESS),
    ("listener", "bind_address", ADDRESS),
    ("listener", "tls", TLS),
    ("listener", "ssl", TLS),
    ("listener", "cafile", "did you mean \"client_ca_file\"?"),
    ("listener", "ca_file", "did you mean \"client_ca_file\"?"),
    ("listener", "protocol", "did you mean \"transport\", or \"protocol_versions\"?"),
    ("auth", "users", USERS),
    ("auth", "username", USERS),
    ("auth", "password", USERS),
    ("bridge", "host", "did you mean \"addresses\"?"),
    ("bridge", "url", "did you mean \"addresses\"?"),
    ("bridge", "tls", "write addresses = [\"mqtts://HOST:PORT\"] for TLS"),
];

const LISTENERS: &str = "a listener is a table: write address = \"HOST:PORT\" below a line [[listener]]";
const ADDRESS: &str = "write address = \"HOST:PORT\"";
const TLS: &str = "write address = \"tls://HOST:PORT\", certificate_file and key_file for TLS";
const USERS: &str = "users of MQTT are in the file that password_file names (\"dunlin passwd FILE USER\" adds one); the roles of \
                     users of the admin API are in users of [http]";

/// The keys that `word` is the beginning of, or the end of which it has, if they are few: `secret_file` for `secret`,
/// `username` for `remote_username`.
fn of_parts(word: &str, here: impl Iterator<Item = &'static str>) -> Option<String> {
    const MOST: usize = 3;
    let word = word.to_ascii_lowercase().replace('-', "_");
    let ends = |known: &str| word.strip_suffix(known).is_some_and(|before| before.ends_with('_'));
    let fits = |known: &&str| word.len() > 1 && *known != word && (known.starts_with(&word) || ends(known));
    let all: Vec<_> = here.filter(fits).map(|known| format!("{known:?}")).collect();
    match &all[..] {
        [] => None,
        _ if all.len() > MOST => None,
        [one] => Some(one.clone()),
        [rest @ .., last] => Some(format!("{} or {last}", rest.join(", "))),
    }
}

/// The table that has the key, in words.
pub(super) fn place(table: &str) -> String {
    match table {
        "" => "at the top, above the first [table]".into(),
        list if LISTS.contains(&list) => format!("in a [[{list}]]"),
        table => format!("in [{table}]"),
    }
}

fn is_table(value: &DeValue<'_>) -> bool {
    value.is_table() || value.as_array().is_some_and(|all| all.iter().any(|one| one.get_ref().is_table()))
}

/// Every key as (table, name).
pub(super) fn names() -> impl Iterator<Item = (&'static str, &'static str)> + Clone {
    let listener = LISTENER.keys.iter().map(|key| (LISTENER.name, key.name));
    let bridge = BRIDGE.keys.iter().map(|key| (BRIDGE.name, key.name));
    let auth_http = AUTH_HTTP.keys.iter().map(|key| (AUTH_HTTP.name, key.name));
    let webhook = WEBHOOK.keys.iter().map(|key| (WEBHOOK.name, key.name));
    let sink = SINK.keys.iter().map(|key| (SINK.name, key.name));
    let tables = TABLES.iter().flat_map(|table| table.keys.iter().map(|key| (table.name, key.name)));
    tables.chain(listener).chain(bridge).chain(auth_http).chain(webhook).chain(sink)
}
