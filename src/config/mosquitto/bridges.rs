//! The options of one bridge. What the file leaves out is as mosquitto has it: MQTT 3.1.1, waits of 5 to 30 seconds,
//! the queue of any client.

use super::{
    super::bridge::BridgeTopic,
    entries::{Entry, From, entry, path, quoted},
    lines::Found,
    listeners::BOTH,
    sections::{Section, Sections},
    told::Outcome,
    translation::Translation,
};

pub(super) fn translate(to: &mut Translation, sections: &Sections) {
    let queue = sections.global.get("max_queued_messages").map(Found::number);
    for section in &sections.bridges {
        let entries = bridge(to, section, queue);
        to.bridges.push(entries);
    }
}

fn bridge(to: &mut Translation, section: &Section, queue: Option<i64>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let Some(start) = &section.start else { return entries };
    entries.push(entry("bridge.name", quoted(start.word()), start));
    to.as_row(start);
    let tls = ["bridge_cafile", "bridge_capath"].iter().any(|name| section.get(name).is_some())
        || section.get("bridge_tls_use_os_certs").is_some_and(Found::is);
    addresses(to, section, start, tls, &mut entries);
    topics(to, section, start, &mut entries);
    for found in section.holding() {
        option(to, section, found, tls, &mut entries);
    }
    let has = |entries: &[Entry], key: &str| entries.iter().any(|entry| entry.key == key);
    let mut default = |key: &'static str, value: String, option: &'static str| {
        if !has(&entries, key) {
            entries.push(Entry { key, value, from: From::Default(option) });
        }
    };
    default("bridge.protocol", quoted("3.1.1"), "bridge_protocol_version");
    default("bridge.reconnect_min", quoted("5s"), "restart_timeout");
    default("bridge.reconnect_max", quoted("30s"), "restart_timeout");
    let messages = queue.map_or(1_000, |most| if most <= 0 { 1_000_000_000 } else { most.min(1_000_000_000) });
    default("bridge.queue_messages", messages.to_string(), "max_queued_messages");
    let is_5 = section.get("bridge_protocol_version").is_some_and(|found| found.text() == "mqttv50");
    if is_5 && section.get("bridge_session_expiry_interval").is_none() {
        default("bridge.session_expiry", quoted("0s"), "bridge_session_expiry_interval");
        if let Some(found) = section.get("bridge_protocol_version") {
            let what = "the remote broker keeps no session, as mosquitto has it: what it sends while the bridge is away is \
                        lost; write bridge_session_expiry_interval 2147483647";
            to.tell(found, Outcome::Lost, what);
        }
    }
    entries
}

fn addresses(to: &mut Translation, section: &Section, start: &Found, tls: bool, entries: &mut Vec<Entry>) {
    let lines = [section.get("address"), section.get("addresses")];
    let Some(found) = lines.into_iter().flatten().next() else {
        return to.tell(start, Outcome::Refused, "the bridge has no address: write \"address HOST:PORT\" below it");
    };
    if let [Some(_), Some(twice)] = lines {
        to.tell(twice, Outcome::Refused, "address says it too: take one away");
    }
    let scheme = if tls { "mqtts://" } else { "" };
    let words = found.text().split(' ').filter(|word| !word.is_empty()).take_while(|word| !word.starts_with('#'));
    let all: Vec<_> = words.map(|word| quoted(&format!("{scheme}{}", with_port(word)))).collect();
    entries.push(entry("bridge.addresses", format!("[{}]", all.join(", ")), found));
    to.as_row(found);
}

/// With the port that mosquitto means, and an IPv6 address in brackets.
fn with_port(word: &str) -> String {
    match word.rsplit_once(':') {
        None => format!("{word}:1883"),
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        Some(_) => word.into(),
    }
}

fn topics(to: &mut Translation, section: &Section, start: &Found, entries: &mut Vec<Entry>) {
    let (mut all, mut first) = (Vec::new(), None);
    for found in section.all("topic") {
        match found.text().parse::<BridgeTopic>() {
            Ok(topic) => {
                all.push(quoted(&topic.to_string()));
                first = first.or(Some(found));
                to.as_row(found);
            }
            Err(problem) => to.tell(found, Outcome::Refused, problem),
        }
    }
    match first {
        Some(found) => entries.push(entry("bridge.topics", format!("[{}]", all.join(", ")), found)),
        None => to.tell(start, Outcome::Refused, "the bridge has no topic: write one such as \"topic # out 1\""),
    }
}

/// An option whose value is a key as it is, or a word or a number of it.
fn option(to: &mut Translation, section: &Section, found: &Found, tls: bool, entries: &mut Vec<Entry>) {
    let mut set = |to: &mut Translation, key: &'static str, value: String| {
        entries.push(entry(key, value, found));
        to.as_row(found);
    };
    let seconds = |number: i64| quoted(&format!("{number}s"));
    match found.row.name {
        "address" | "addresses" | "topic" => {}
        "bridge_alpn" => set(to, "bridge.alpn", quoted(found.text())),
        "bridge_bind_address" => set(to, "bridge.bind_address", quoted(found.text())),
        "bridge_capath" if section.get("bridge_cafile").is_some() => to.tell(found, Outcome::Refused, BOTH),
        "bridge_cafile" | "bridge_capath" => set(to, "bridge.ca_file", path(found.text())),
        "bridge_certfile" | "bridge_keyfile" if !tls => {
            let what = "without bridge_cafile there is no TLS: write it, or take this away";
            to.tell(found, Outcome::Refused, what);
        }
        "bridge_certfile" => set(to, "bridge.certificate_file", path(found.text())),
        "bridge_keyfile" => set(to, "bridge.key_file", path(found.text())),
        "bridge_insecure" if found.is() && tls => set(to, "bridge.insecure", "true".into()),
        "bridge_insecure" if found.is() => to.tell(found, Outcome::Meaningless, "there is no TLS on this bridge"),
        "bridge_max_packet_size" if found.number() > 0 => {
            set(to, "bridge.max_packet_size", found.number().clamp(128, 268_435_460).to_string());
        }
        "bridge_outgoing_retain" => set(to, "bridge.outgoing_retain", found.is().to_string()),
        "bridge_protocol_version" => match found.text() {
            "mqttv50" => set(to, "bridge.protocol", quoted("5")),
            "mqttv311" | "mqttv31" => set(to, "bridge.protocol", quoted("3.1.1")),
            other => {
                let what = format!("{other:?} is not allowed; allowed: mqttv311, mqttv50, with nothing behind it");
                to.tell(found, Outcome::Refused, what);
            }
        },
        "bridge_session_expiry_interval" if found.number() == 2_147_483_647 => {
            set(to, "bridge.session_expiry", quoted("never"));
        }
        "bridge_session_expiry_interval" => set(to, "bridge.session_expiry", seconds(found.number().max(0))),
        "bridge_tls_use_os_certs" if found.is() => to.as_row(found),
        "cleansession" => set(to, "bridge.clean_session", found.is().to_string()),
        "idle_timeout" => set(to, "bridge.idle_timeout", seconds(found.number().clamp(1, 86_400))),
        "keepalive_interval" => set(to, "bridge.keep_alive", seconds(found.number().clamp(5, 65_535))),
        "remote_clientid" | "clientid" => set(to, "bridge.client_id", quoted(found.text())),
        "remote_username" | "username" => set(to, "bridge.username", quoted(found.text())),
        "remote_password" | "password" => set(to, "bridge.password", quoted(&found.text().replace("${", "$${"))),
        "notifications" if !found.is() => set(to, "bridge.notifications", quoted("off")),
        "notifications_local_only" if found.is() && section.get("notifications").is_none_or(Found::is) => {
            set(to, "bridge.notifications", quoted("local"));
        }
        "notification_topic" => set(to, "bridge.notification_topic", quoted(found.text())),
        "restart_timeout" => restart(to, found, entries),
        "round_robin" => set(to, "bridge.round_robin", found.is().to_string()),
        "start_type" if ["automatic", "lazy", "once"].contains(&found.word()) => {
            set(to, "bridge.start", quoted(found.word()));
        }
        "threshold" => set(to, "bridge.threshold", found.number().max(1).to_string()),
        "try_private" => set(to, "bridge.try_private", found.is().to_string()),
        _ => other(to, found),
    }
}

/// Those of which one value is how it is, and those that are not there.
fn other(to: &mut Translation, found: &Found) {
    let is_here = match found.row.name {
        "bridge_insecure" | "bridge_require_ocsp" | "bridge_tls_use_os_certs" | "local_cleansession" => !found.is(),
        "notifications" => found.is(),
        "notifications_local_only" => !found.is(),
        "bridge_max_packet_size" => true,
        "bridge_tls_version" => found.text() == "tlsv1.2",
        _ => false,
    };
    match found.row.name {
        _ if is_here => to.as_here(found),
        "bridge_psk" | "bridge_identity" | "bridge_require_ocsp" => to.refuse(found),
        "start_type" => {
            let what = format!("{:?} is not allowed; allowed: automatic, lazy, once", found.word());
            to.tell(found, Outcome::Refused, what);
        }
        _ => to.as_row(found),
    }
}

/// One number: always so long; two: between them.
fn restart(to: &mut Translation, found: &Found, entries: &mut Vec<Entry>) {
    let numbers: Vec<Option<u32>> =
        found.text().split(' ').filter(|word| !word.is_empty()).map(|word| word.parse().ok()).collect();
    let (low, high) = match numbers[..] {
        [Some(low)] => (low, low),
        [Some(low), Some(high), ..] if low <= high => (low, high),
        _ => {
            let what = "write one number of seconds, or two of which the second is not less";
            return to.tell(found, Outcome::Refused, what);
        }
    };
    for (key, seconds) in [("bridge.reconnect_min", low), ("bridge.reconnect_max", high)] {
        entries.push(entry(key, quoted(&format!("{}s", seconds.clamp(1, 3_600))), found));
    }
    to.as_row(found);
}
