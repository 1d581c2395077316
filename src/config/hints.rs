//! Suggestions for unknown keys and environment variables.

use toml::de::DeValue;

use super::{
    auth_http_keys::AUTH_HTTP,
    bridge_keys::BRIDGE,
    keys::{LISTENER, LISTS},
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
    if let Some((owner, _)) = names().find(|(_, name)| *name == key) {
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
pub(super) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let listener = LISTENER.keys.iter().map(|key| (LISTENER.name, key.name));
    let bridge = BRIDGE.keys.iter().map(|key| (BRIDGE.name, key.name));
    let auth_http = AUTH_HTTP.keys.iter().map(|key| (AUTH_HTTP.name, key.name));
    let webhook = WEBHOOK.keys.iter().map(|key| (WEBHOOK.name, key.name));
    let sink = SINK.keys.iter().map(|key| (SINK.name, key.name));
    let tables = TABLES.iter().flat_map(|table| table.keys.iter().map(|key| (table.name, key.name)));
    tables.chain(listener).chain(bridge).chain(auth_http).chain(webhook).chain(sink)
}

/// The known word that is most like `word`, if one is like it.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LIKE: f64 = 0.6;
    likest(word, known).filter(|(likeness, _)| *likeness >= LIKE).map(|(_, known)| known)
}

/// The same, however little it is like it.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    likest(word, known).map(|(_, known)| known)
}

fn likest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let near = known.map(|known| (strsim::normalized_damerau_levenshtein(&word, known), known));
    near.max_by(|a, b| a.0.total_cmp(&b.0))
}
