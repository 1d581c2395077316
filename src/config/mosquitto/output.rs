//! Writes the TOML, with the source line of each value, and the report.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use super::{
    super::{
        bridge::BridgeConfig,
        bridge_keys::BRIDGE,
        keys::{LISTENER, Listener},
        settings::Config,
        tables::TABLES,
    },
    Import,
    entries::{Entry, From, Origin},
    told::Place,
};

/// The entries as a file, and the origins of its lines.
pub(super) fn toml(path: &Path, entries: &[Entry], lists: &[(&str, &Vec<Vec<Entry>>)]) -> (String, Vec<Origin>) {
    let shown = one_line(&path.display().to_string());
    let mut text = format!("# The configuration that dunlin import made of {shown}.\n");
    let mut origins = Vec::new();
    let whole = Place { file: path.display().to_string().into(), line: 0 };
    let mut tables = BTreeMap::from([("", Vec::<&Entry>::new())]);
    for entry in entries {
        let table = entry.key.rsplit_once('.').map_or("", |(table, _)| table);
        tables.entry(table).or_default().push(entry);
    }
    for (table, entries) in &tables {
        if !table.is_empty() {
            let _ = writeln!(text, "\n[{table}]");
        }
        entries.iter().for_each(|entry| write_entry(&mut text, entry, &whole, &mut origins));
        if table.is_empty() {
            for (name, list) in lists {
                for one in *list {
                    let _ = writeln!(text, "\n[[{name}]]");
                    let first = one.iter().find_map(|entry| match &entry.from {
                        From::Line { place, option } => Some((place, option)),
                        From::Default(_) => None,
                    });
                    let (first, option) = first.map_or((&whole, *name), |(place, option)| (place, option.as_str()));
                    origins.push(Origin {
                        toml: text.lines().count(),
                        place: first.clone(),
                        option: option.to_owned(),
                    });
                    one.iter().for_each(|entry| write_entry(&mut text, entry, first, &mut origins));
                }
            }
        }
    }
    (text, origins)
}

/// `section`: the place of an entry that is a default.
fn write_entry(text: &mut String, entry: &Entry, section: &Place, origins: &mut Vec<Origin>) {
    let key = entry.key.rsplit_once('.').map_or(entry.key, |(_, key)| key);
    let _ = match &entry.from {
        From::Line { place, option } => {
            writeln!(text, "# {}: {}\n{key} = {}", one_line(&place.to_string()), one_line(option), entry.value)
        }
        From::Default("") => writeln!(text, "# as mosquitto has it\n{key} = {}", entry.value),
        From::Default(option) => writeln!(text, "# mosquitto's default of {option}\n{key} = {}", entry.value),
    };
    let (place, option) = match &entry.from {
        From::Line { place, option } => (place, option.as_str()),
        From::Default(option) => (section, *option),
    };
    origins.push(Origin { toml: text.lines().count(), place: place.clone(), option: option.to_owned() });
}

/// Removes line breaks, which would end a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The report's line for a default of mosquitto that differs from dunlin's.
pub(super) fn default(entry: &Entry) -> Option<String> {
    let From::Default(option) = entry.from else { return None };
    let config = Config::default();
    let (table, name) = entry.key.rsplit_once('.').unwrap_or(("", entry.key));
    let of_config = TABLES.iter().find(|known| known.name == table).and_then(|known| known.key(name));
    let here = of_config.map(|key| (key.write)(&config));
    let here = here.or_else(|| match table {
        "bridge" => BRIDGE.key(name).map(|key| (key.write)(&BridgeConfig::default())),
        _ => LISTENER.key(name).map(|key| (key.write)(&Listener::default())),
    })?;
    let of = if option.is_empty() { String::new() } else { format!(" ({option})") };
    (here != entry.value).then(|| format!("{} = {}{of}; dunlin's own default is {here}", entry.key, entry.value))
}

pub(super) fn report(import: &Import) -> String {
    let mut text = String::new();
    import.told.iter().for_each(|told| _ = writeln!(text, "{}", one_line(&told.to_string())));
    if !import.defaults.is_empty() {
        text += "What the file leaves out is as in mosquitto 2.0:\n";
        import.defaults.iter().for_each(|line| _ = writeln!(text, "  {line}"));
    }
    text
}
