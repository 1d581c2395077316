//! The options of the whole broker.

use std::path::Path;

use super::{
    entries::{path, quoted},
    lines::Found,
    sections::Sections,
    told::Outcome,
    translation::Translation,
};

/// The largest value of a limit in dunlin, for options that mean "no limit" in mosquitto.
const MOST: &str = "1000000000";
const MOST_BYTES: &str = "\"1 TiB\"";
/// The note about limits of connections.
pub(super) const NO_LIMIT: &str = "there are as many as the process may have open files, and 100,000 at most";
/// The largest packet in MQTT.
const LARGEST_PACKET: i64 = 268_435_460;

pub(super) fn translate(to: &mut Translation, sections: &Sections) {
    for found in sections.global.holding() {
        match found.row.name {
            "acl_file" => to.set("auth.acl_file", path(found.text()), found),
            "password_file" => to.set("auth.password_file", path(found.text()), found),
            "allow_anonymous" => to.set("allow_anonymous", found.is().to_string(), found),
            "psk_file" | "plugin_load" => to.refuse(found),
            // options of which dunlin has only one behaviour
            "allow_zero_length_clientid" => to.set("auth.allow_zero_length_client_id", found.is().to_string(), found),
            "pid_file" => to.set("pid_file", path(found.text()), found),
            "connection_messages" => to.set("log.connections", found.is().to_string(), found),
            "per_listener_settings" if found.is() => to.as_row(found),
            "per_listener_settings" => to.as_here(found),
            "check_retain_source" => to.set("auth.check_retain_source", found.is().to_string(), found),
            "upgrade_outgoing_qos" => to.set("limits.upgrade_outgoing_qos", found.is().to_string(), found),
            "enable_control_api" | "allow_duplicate_messages" => weakly_only(to, found, !found.is()),
            "max_inflight_bytes" => weakly_only(to, found, found.number() <= 0),
            "clientid_prefixes" => to.set("auth.client_id_prefixes", format!("[{}]", quoted(found.text())), found),
            "auto_id_prefix" if found.text().len() > 50 => {
                to.tell(found, Outcome::Refused, "it is longer than 50 bytes")
            }
            "auto_id_prefix" => to.set("auth.auto_id_prefix", quoted(found.text()), found),
            // handled by persistence() and by `log`
            "persistence" | "retained_persistence" | "persistence_file" | "persistence_location" => {}
            "log_dest" | "log_type" | "log_facility" => {}
            "persistent_client_expiration" => expiration(to, found),
            "queue_qos0_messages" => to.set("limits.queue_qos0", found.is().to_string(), found),
            "retain_available" => to.set("limits.retain_available", found.is().to_string(), found),
            _ => limit(to, found),
        }
    }
    persistence(to, sections);
    defaults(to, sections);
}

/// An option of which dunlin has only one behaviour: another value is a warning.
fn weakly_only(to: &mut Translation, found: &Found, is_here: bool) {
    if is_here { to.as_here(found) } else { to.lose(found) }
}

fn limit(to: &mut Translation, found: &Found) {
    let number = found.number();
    match found.row.name {
        "global_max_clients" => count(to, "limits.max_sessions", found),
        "global_max_connections" if number <= 0 => to.tell(found, Outcome::Same, NO_LIMIT),
        "global_max_connections" => count(to, "limits.max_connections", found),
        "max_queued_messages" => count(to, "limits.max_queued_messages", found),
        "max_queued_bytes" if number <= 0 => unlimited(to, "limits.max_queued_bytes", MOST_BYTES, found),
        "max_queued_bytes" => to.set("limits.max_queued_bytes", number.min(1 << 40).to_string(), found),
        "max_inflight_messages" => in_flight(to, found),
        "max_keepalive" if !(0..=65_535).contains(&number) => wrong(to, found, "0 to 65535"),
        // the default of 2.0.15 and before
        "max_keepalive" if matches!(number, 0 | 65_535) => to.set("limits.max_keep_alive", "\"none\"", found),
        "max_keepalive" => to.set("limits.max_keep_alive", format!("\"{number}s\""), found),
        "max_packet_size" if number < 20 => wrong(to, found, "20 or more"),
        "max_packet_size" => {
            to.set("limits.max_packet_size", number.clamp(128, LARGEST_PACKET).to_string(), found);
        }
        "memory_limit" if number < 0 => wrong(to, found, "0 or more"),
        "memory_limit" if number == 0 => to.set("limits.max_memory", "\"none\"", found),
        "memory_limit" => to.set("limits.max_memory", number.clamp(16 << 20, 1 << 40).to_string(), found),
        "message_size_limit" if !(0..=268_435_455).contains(&number) => wrong(to, found, "0 to 268435455"),
        "message_size_limit" if number == 0 => to.set("limits.max_message_size", "\"off\"", found),
        "message_size_limit" => to.set("limits.max_message_size", number.to_string(), found),
        "sys_interval" if !(0..=65_535).contains(&number) => wrong(to, found, "0 to 65535"),
        "sys_interval" if number == 0 => to.set("sys.interval", "\"off\"", found),
        "sys_interval" => to.set("sys.interval", format!("\"{number}s\""), found),
        _ => to.as_row(found),
    }
}

/// Refuses a value with which mosquitto does not start.
pub(super) fn wrong(to: &mut Translation, found: &Found, allowed: &str) {
    to.tell(found, Outcome::Refused, format!("{} is not allowed; allowed: {allowed}", found.number()));
}

fn count(to: &mut Translation, key: &'static str, found: &Found) {
    match found.number() {
        ..=0 => unlimited(to, key, MOST, found),
        number => to.set(key, number.min(1_000_000_000).to_string(), found),
    }
}

fn unlimited(to: &mut Translation, key: &'static str, most: &str, found: &Found) {
    to.set_so(key, most, found, format!("no limit in mosquitto; {key} is at most {most}"));
}

fn in_flight(to: &mut Translation, found: &Found) {
    let keys = ["limits.max_inflight_out", "limits.max_inflight_in", "limits.receive_maximum"];
    let number = match found.number() {
        number @ 1..=65_534 => number,
        65_536.. => return wrong(to, found, "0 to 65535"),
        _ => 65_535,
    };
    keys.into_iter().for_each(|key| to.entry(key, number.to_string(), found));
    to.as_row(found);
}

fn expiration(to: &mut Translation, found: &Found) {
    let days = |unit| match unit {
        'h' => Some((1, "h")),
        'd' => Some((1, "days")),
        'w' => Some((7, "days")),
        'm' => Some((30, "days")),
        'y' => Some((365, "days")),
        _ => None,
    };
    let word = found.word();
    let unit = word.chars().last().and_then(days);
    let number = word.get(..word.len().saturating_sub(1)).and_then(|digits| digits.parse::<u32>().ok());
    match (number.filter(|number| *number > 0), unit) {
        // a century is the longest duration in dunlin
        (Some(number), Some((many, unit))) => {
            let most = if unit == "h" { 876_600 } else { 36_525 };
            let number = (u64::from(number) * many).min(most);
            to.set("limits.session_expiry", quoted(&format!("{number}{unit}")), found);
        }
        _ => {
            to.tell(found, Outcome::Refused, format!("{word:?} is not a number with one of h, d, w, m, y, such as 14d"))
        }
    }
}

/// Puts `data_dir` beside mosquitto's data.
fn persistence(to: &mut Translation, sections: &Sections) {
    let global = &sections.global;
    // the later of both lines counts: they set one option
    let both = ["persistence", "retained_persistence"].map(|name| global.get(name));
    let on = both.into_iter().flatten().max_by_key(|found| (found.file, found.place.line));
    let (location, file) = (global.get("persistence_location"), global.get("persistence_file"));
    let is_on = on.is_some_and(Found::is);
    let directory = Path::new(location.map_or(".", Found::text));
    for found in both.into_iter().flatten() {
        match is_on {
            true => to.as_row(found),
            false => to.tell(found, Outcome::Same, "nothing is stored: there is no data_dir"),
        }
    }
    location.into_iter().for_each(|found| match is_on {
        true => to.as_row(found),
        false => to.tell(found, Outcome::Meaningless, "nothing is kept there without persistence true"),
    });
    file.into_iter().for_each(|found| to.as_row(found));
    if let Some(found) = on.filter(|_| is_on) {
        let name = file.map_or("mosquitto.db", Found::text);
        let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        to.database = Some(absolute.join(name));
        to.entry("data_dir", path(&directory.join("dunlin").to_string_lossy()), location.unwrap_or(found));
    }
}

/// The defaults of mosquitto 2.0 for options that the file leaves out.
fn defaults(to: &mut Translation, sections: &Sections) {
    if !sections.per_listener {
        to.default("allow_anonymous", (!sections.listens).to_string(), "allow_anonymous");
    }
    to.default("auth.session_owner", "\"anyone\"", "");
    to.default("http.listen", "\"off\"", "");
    to.default("limits.max_sessions", MOST, "global_max_clients");
    to.default("limits.max_inflight_out", "20", "max_inflight_messages");
    to.default("limits.max_inflight_in", "20", "max_inflight_messages");
    to.default("limits.receive_maximum", "20", "max_inflight_messages");
    to.default("limits.max_keep_alive", "\"none\"", "max_keepalive");
    to.default("limits.max_packet_size", LARGEST_PACKET.to_string(), "max_packet_size");
    to.default("limits.max_queued_messages", "1000", "max_queued_messages");
    to.default("limits.max_queued_bytes", MOST_BYTES, "max_queued_bytes");
    to.default("limits.max_memory", "\"none\"", "memory_limit");
    to.default("limits.session_expiry", "\"never\"", "persistent_client_expiration");
    to.default("limits.queue_qos0", "false", "queue_qos0_messages");
    to.default("limits.retain_available", "true", "retain_available");
    to.default("sys.interval", "\"10s\"", "sys_interval");
}
