//! Plug-ins: mosquitto's own, recognised by their base name, are translated to keys; others are refused.

use std::path::Path;

use super::{
    entries::path,
    lines::Found,
    sections::{Plugin, Sections},
    told::Outcome,
    translation::Translation,
};

pub(super) fn translate(to: &mut Translation, sections: &Sections) {
    for plugin in &sections.plugins {
        let name = Path::new(plugin.line.text()).file_name().unwrap_or_default().to_string_lossy();
        match &*name {
            _ if plugin.line.row.name == "plugin_load" => refuse(to, plugin, plugin.line.row.note),
            "mosquitto_password_file.so" => files(to, plugin, "plugin_opt_password_file", "auth.password_file"),
            "mosquitto_acl_file.so" => files(to, plugin, "plugin_opt_acl_file", "auth.acl_file"),
            "mosquitto_persist_sqlite.so" => persist(to, plugin, sections),
            "mosquitto_dynamic_security.so" => dynamic_security(to, plugin),
            "mosquitto_sparkplug_aware.so" => {
                refuse(to, plugin, "Sparkplug certificates are not retained by the broker");
            }
            other => refuse(to, plugin, instead(other)),
        }
    }
    for found in sections.listeners.iter().chain([&sections.default]).flat_map(|section| section.all("plugin_use")) {
        to.refuse(found);
    }
}

/// The replacement for a third-party plug-in.
fn instead(name: &str) -> &'static str {
    match name {
        _ if name.contains("go-auth") || name.contains("auth") => {
            "plug-ins are not loaded; users come from auth.password_file, from JSON Web Tokens (auth.token_…) or from \
             certificates (identity), rules from auth.acl_file"
        }
        _ => "plug-ins are not loaded; a program in Rust may use dunlin as a library (docs/library.md)",
    }
}

fn refuse(to: &mut Translation, plugin: &Plugin, why: &str) {
    to.tell(&plugin.line, Outcome::Refused, why);
    plugin.options.iter().for_each(|found| to.tell(found, Outcome::Lost, "an option of that plug-in"));
}

fn files(to: &mut Translation, plugin: &Plugin, option: &str, key: &'static str) {
    if let Some(found) = plugin.options.iter().rev().find(|found| found.row.name == option) {
        match to.has(key) {
            true => to.tell(found, Outcome::Refused, format!("{key} is set by another line too: take one away")),
            false => to.set(key, path(found.text()), found),
        }
    }
    match plugin.listener {
        Some(_) => {
            let what = "users and rules are those of all listeners: write global_plugin";
            to.tell(&plugin.line, Outcome::Refused, what);
        }
        None => to.set_row(&plugin.line, key),
    }
    others(to, plugin, &[option]);
}

fn dynamic_security(to: &mut Translation, plugin: &Plugin) {
    const OPTION: &str = "plugin_opt_config_file";
    let Some(found) = plugin.options.iter().rev().find(|found| found.row.name == OPTION) else {
        return refuse(to, plugin, "it has no plugin_opt_config_file, without which mosquitto's does nothing");
    };
    if plugin.listener.is_some() {
        return refuse(to, plugin, "its clients are those of all listeners: write global_plugin");
    }
    if to.has("auth.dynsec_file") {
        return refuse(to, plugin, "it appears twice");
    }
    to.set("auth.dynsec_file", path(found.text()), found);
    to.tell(&plugin.line, Outcome::Translated, "the file is read as it is, and $CONTROL/dynamic-security/v1 is served");
    others(to, plugin, &[OPTION]);
}

fn persist(to: &mut Translation, plugin: &Plugin, sections: &Sections) {
    let location = sections.global.get("persistence_location");
    let file = plugin.options.iter().rev().find(|found| found.row.name == "plugin_opt_db_file");
    let directory = match (location, file) {
        (Some(found), _) => Some((Path::new(found.text()), found)),
        (None, Some(found)) => Some((Path::new(found.text()).parent().unwrap_or(Path::new("")), found)),
        (None, None) => None,
    };
    let (directory, found) = directory.unwrap_or((Path::new(""), &plugin.line));
    if !to.has("data_dir") {
        to.entry("data_dir", path(&Path::new(".").join(directory).join("dunlin").to_string_lossy()), found);
    }
    to.tell(&plugin.line, Outcome::Lost, "data_dir stores the data; the SQLite file is not read");
    file.into_iter().for_each(|found| to.as_row(found));
    others(to, plugin, &["plugin_opt_db_file"]);
}

/// Options that this plug-in does not have, or that have no meaning in dunlin.
fn others(to: &mut Translation, plugin: &Plugin, but: &[&str]) {
    plugin.options.iter().filter(|found: &&Found| !but.contains(&found.row.name)).for_each(|found| to.as_row(found));
}
