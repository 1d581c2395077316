//! The keys for people: the commented default configuration and the table in `docs/configuration.md`, both generated
//! from the table of keys (`keys`) and [`Config::default`].

use super::{
    auth_http::AuthHttpConfig,
    auth_http_keys::AUTH_HTTP,
    bridge::BridgeConfig,
    bridge_keys::BRIDGE,
    keys::{Key, LISTENER, LISTS, Listener, Table},
    settings::Config,
    sink::SinkConfig,
    sink_keys::SINK,
    tables::TABLES,
    webhook::WebhookConfig,
    webhook_keys::WEBHOOK,
};

/// `config/dunlin.toml`: every key with its description and its default, commented out.
pub fn toml() -> String {
    let defaults = Config::default();
    let mut out = INTRODUCTION.to_owned();
    for table in TABLES {
        if !table.name.is_empty() {
            out += "\n";
            comment(&mut out, table.help);
            out += &format!("[{}]\n", table.name);
        }
        for key in table.keys {
            out += "\n";
            explain(&mut out, table, key);
            out += &format!("#{} = {}\n", key.name, (key.write)(&defaults));
        }
        if table.name.is_empty() {
            listeners(&mut out, &defaults);
        }
    }
    list(&mut out, &AUTH_HTTP, "a url", &AuthHttpConfig::default());
    list(&mut out, &BRIDGE, "a name, addresses and topics", &BridgeConfig::default());
    list(&mut out, &WEBHOOK, "a name, a url and events", &WebhookConfig::default());
    list(&mut out, &SINK, "a name and a file", &SinkConfig::default());
    out
}

/// An entry of a list, with defaults. The default list is empty, so these lines stay comments when the others are
/// uncommented.
fn list<T>(out: &mut String, table: &Table<T>, needed: &str, default: &T) {
    *out += "\n";
    comment(out, table.help);
    comment(out, &format!("The list is empty by default: remove \"# \" away, and write {needed}."));
    *out += &format!("# [[{}]]\n", table.name);
    for key in table.keys {
        *out += "#\n";
        explain(out, table, key);
        *out += &format!("# {} = {}\n", key.name, (key.write)(default));
    }
}

/// The table in `docs/configuration.md`: key, default, description.
pub fn markdown() -> String {
    let mut out = String::from("| key | default | meaning |\n|---|---|---|\n");
    let defaults = Config::default();
    let [top, rest @ ..] = TABLES;
    rows(&mut out, top, |key| (key.write)(&defaults));
    let addresses: Vec<_> = default_listeners(&defaults);
    let both = |key: &Key<Listener>| {
        let mut values: Vec<_> = addresses.iter().map(key.write).collect();
        values.dedup();
        values.join(" and ")
    };
    rows(&mut out, &LISTENER, both);
    rest.iter().for_each(|table| rows(&mut out, table, |key| (key.write)(&defaults)));
    rows(&mut out, &AUTH_HTTP, |key| (key.write)(&AuthHttpConfig::default()));
    rows(&mut out, &BRIDGE, |key| (key.write)(&BridgeConfig::default()));
    rows(&mut out, &WEBHOOK, |key| (key.write)(&WebhookConfig::default()));
    rows(&mut out, &SINK, |key| (key.write)(&SinkConfig::default()));
    out
}

fn rows<T>(out: &mut String, table: &Table<T>, default: impl Fn(&Key<T>) -> String) {
    let cell = |text: String| text.replace('|', "\\|");
    for key in table.keys {
        let name = match table.name {
            list if LISTS.contains(&list) => format!("[[{list}]] {}", key.name),
            _ => table.full(key.name),
        };
        let variable = table.variable(key.name).map_or_else(String::new, |name| format!(" Variable: `{name}`."));
        let meaning = cell(format!("{} Allowed: {}.{variable}", key.help, (key.allowed)()));
        *out += &format!("| `{name}` | `{}` | {meaning} |\n", cell(default(key)));
    }
}

/// The default listeners. The line of the table is commented out too, because one listener replaces all default ones.
fn listeners(out: &mut String, defaults: &Config) {
    *out += "\n";
    comment(out, LISTENER.help);
    for (at, listener) in default_listeners(defaults).iter().enumerate() {
        *out += if at == 0 { "#[[listener]]\n" } else { "\n#[[listener]]\n" };
        for key in LISTENER.keys {
            if at == 0 {
                explain(out, &LISTENER, key);
            }
            *out += &format!("#{} = {}\n", key.name, (key.write)(listener));
        }
    }
}

fn default_listeners(defaults: &Config) -> Vec<Listener> {
    defaults.listeners.iter().map(Listener::from).collect()
}

fn explain<T>(out: &mut String, table: &Table<T>, key: &Key<T>) {
    comment(out, key.help);
    comment(out, &format!("Allowed: {}.", (key.allowed)()));
    table.variable(key.name).iter().for_each(|variable| comment(out, &format!("Variable: {variable}.")));
}

/// Appends `text` as comment lines that fit a terminal.
fn comment(out: &mut String, text: &str) {
    const WIDTH: usize = 100;
    let mut width = usize::MAX;
    for word in text.split_whitespace() {
        let length = word.chars().count() + 1;
        if width.saturating_add(length) > WIDTH {
            let newline = if width == usize::MAX { "#" } else { "\n#" };
            *out += newline;
            width = 1;
        }
        *out += " ";
        *out += word;
        width += length;
    }
    *out += "\n";
}

const INTRODUCTION: &str = "\
# The configuration of dunlin: every key, with its default.
#
# A line that begins with \"#\" and no blank is a key with its default: take the \"#\" away and change the value.
# A flag goes over an environment variable, which goes over this file, which goes over the default.
# A variable's value is as here, without the quotation marks; an empty one counts as unset.
# A key that does not exist is an error. \"dunlin --config FILE --check\" says what would run and starts nothing.
# Relative paths are relative to this file. Files dunlin.d/*.toml beside it are read after it, in the order of
# their names.
# Durations are texts with a unit (\"500ms\", \"10s\", \"1h 30m\", \"1d\"), sizes are bytes or texts (\"64 KiB\", \"1 MiB\").
";

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn is_commented_key(line: &str) -> bool {
        line.starts_with('#') && line.len() > 1 && !line.starts_with("# ")
    }

    #[test]
    fn the_reference_is_the_default_commented_or_uncommented() {
        let commented = toml();
        assert_eq!(parse(&commented, "default").unwrap(), Config::default());
        let uncommented: Vec<_> =
            commented.lines().map(|line| if is_commented_key(line) { &line[1..] } else { line }).collect();
        assert_eq!(parse(&uncommented.join("\n"), "uncommented").unwrap(), Config::default());
    }

    #[test]
    fn each_key_of_the_reference_alone_is_the_default() {
        let text = toml();
        let lines: Vec<_> = text.lines().collect();
        // the keys of a listener need the line of its table
        let mut of_listener = false;
        for at in (0..lines.len()).filter(|at| is_commented_key(lines[*at]) || lines[*at].starts_with('[')) {
            if lines[at].starts_with("#[") || lines[at].starts_with('[') {
                of_listener = lines[at].starts_with("#[[");
            }
            if of_listener || lines[at].starts_with('[') {
                continue;
            }
            let one: Vec<_> = (0..lines.len()).map(|l| if l == at { &lines[l][1..] } else { lines[l] }).collect();
            assert_eq!(parse(&one.join("\n"), "one").unwrap(), Config::default(), "{}", lines[at]);
        }
    }

    /// A field without a key cannot be configured: the names come from what `Debug` shows of the settings.
    #[test]
    fn every_setting_has_a_key() {
        let mut config = Config::default();
        config.listeners.truncate(1);
        let shown = format!("{config:#?}");
        let fields = shown.lines().filter_map(|line| line.trim().split_once(": ")).filter(|(_, v)| *v != "[");
        let text = toml();
        let mut missing: Vec<_> = fields
            .filter(|(_, value)| {
                !["LogConfig {", "Limits {", "SysConfig {", "AuthConfig {", "HttpConfig {"].contains(value)
            })
            .map(|(name, _)| name)
            // fields that are not keys of the file
            .filter(|name| {
                const BESIDE: [&str; 10] = [
                    "warnings",
                    "origins",
                    "user",
                    "mosquitto_db",
                    "mosquitto_conf",
                    "tls_key_log",
                    "bridges",
                    "services",
                    "webhooks",
                    "sinks",
                ];
                !BESIDE.contains(name)
            })
            .filter(|name| !text.lines().any(|line| line.starts_with(&format!("#{name} = "))))
            .collect();
        missing.dedup();
        assert_eq!(missing, Vec::<&str>::new(), "settings without a line in src/config/keys.rs");
    }

    #[test]
    fn comments_are_wrapped() {
        assert!(toml().lines().all(|line| line.chars().count() <= 120));
    }
}
