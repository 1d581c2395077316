//! The options of one listener.

use super::{
    entries::{Entry, From, entry, path, quoted},
    global::{NO_LIMIT, wrong},
    lines::Found,
    sections::{Section, Sections},
    told::Outcome,
    translation::Translation,
};

pub(super) fn translate(to: &mut Translation, sections: &Sections) {
    let has_default = !sections.default.is_empty();
    if !sections.listens {
        let entry =
            Entry { key: "listener.address", value: "\"localhost:1883\"".into(), from: From::Default("listener") };
        to.listeners.push(vec![entry]);
        for found in sections.default.holding() {
            let what = "there is no listener, port or bind_address: mosquitto 2.0.11 opens port 1883 to everybody for it, and \
                        later releases ignore it; write \"listener 1883\" before it, or take it away";
            to.tell(found, Outcome::Refused, what);
        }
        return;
    }
    let default = has_default.then_some(&sections.default);
    let all: Vec<&Section> = default.into_iter().chain(&sections.listeners).collect();
    for section in &all {
        let mut entries = listener(to, section);
        if sections.per_listener && !entries.iter().any(|entry| entry.key == "listener.allow_anonymous") {
            let from = From::Default("allow_anonymous");
            entries.push(Entry { key: "listener.allow_anonymous", value: "false".into(), from });
        }
        to.listeners.push(entries);
    }
    shared(to, &all);
}

/// Of a file and a directory of authorities.
pub(super) const BOTH: &str =
    "there are authorities in a file too: put that file into the directory, and take its line away";

/// One `[[listener]]`.
fn listener(to: &mut Translation, section: &Section) -> Vec<Entry> {
    let mut entries: Vec<Entry> = address(to, section).into_iter().collect();
    let mut set = |key, value: String, found: &Found| entries.push(entry(key, value, found));
    let asks = section.get("require_certificate").filter(|found| found.is());
    let tls = ["certfile", "keyfile"].map(|name| section.get(name));
    if let [Some(found), None] | [None, Some(found)] = tls {
        to.tell(found, Outcome::Refused, "certfile and keyfile go together: write the other one too");
    }
    let no_tls = tls.iter().all(Option::is_none);
    for found in section.holding() {
        match found.row.name {
            "certfile" => to.in_listener(&mut set, "listener.certificate_file", path(found.text()), found),
            "keyfile" => to.in_listener(&mut set, "listener.key_file", path(found.text()), found),
            "cafile" | "capath" if no_tls => {
                to.tell(found, Outcome::Refused, "TLS needs certfile and keyfile: write them, or remove this line");
            }
            "cafile" | "crlfile" | "capath" if asks.is_none() => {
                to.tell(found, Outcome::Meaningless, "clients are not asked for certificates (require_certificate)");
            }
            "capath" if section.get("cafile").is_some() => to.tell(found, Outcome::Refused, BOTH),
            "cafile" | "capath" => to.in_listener(&mut set, "listener.client_ca_file", path(found.text()), found),
            "crlfile" => to.in_listener(&mut set, "listener.revocation_list_file", path(found.text()), found),
            "require_certificate" if !found.is() => to.as_here(found),
            "require_certificate" if no_tls => to.tell(found, Outcome::Meaningless, "there is no TLS on this listener"),
            "require_certificate" => {
                to.in_listener(&mut set, "listener.client_certificates", quoted("required"), found);
            }
            "disable_client_cert_date_checks" if !found.is() => to.as_here(found),
            "disable_client_cert_date_checks" if asks.is_none() => {
                to.tell(found, Outcome::Meaningless, "clients are not asked for certificates (require_certificate)");
            }
            "disable_client_cert_date_checks" => {
                to.in_listener(&mut set, "listener.ignore_certificate_dates", "true".into(), found);
            }
            "use_identity_as_username" | "use_subject_as_username" => identity(to, section, &mut set, found),
            "listener_allow_anonymous" => {
                to.in_listener(&mut set, "listener.allow_anonymous", found.is().to_string(), found);
            }
            "tls_version" if found.text() == "tlsv1.3" => {
                to.in_listener(&mut set, "listener.tls_min", quoted("1.3"), found);
            }
            "allow_anonymous" => to.in_listener(&mut set, "listener.allow_anonymous", found.is().to_string(), found),
            "password_file" => to.in_listener(&mut set, "listener.password_file", path(found.text()), found),
            "acl_file" => to.in_listener(&mut set, "listener.acl_file", path(found.text()), found),
            "websockets_origin" => {}
            "enable_proxy_protocol" if matches!(found.number(), 1 | 2) => {
                set("listener.trusted_proxies", "[\"0.0.0.0/0\", \"::/0\"]".into(), found);
                to.in_listener(&mut set, "listener.proxy_protocol", "true".into(), found);
            }
            "enable_proxy_protocol" => wrong(to, found, "1 and 2"),
            "listener_auto_id_prefix"
            | "accept_protocol_versions"
            | "max_connections"
            | "max_qos"
            | "maximum_qos"
            | "mount_point" => {
                own_limit(to, section, &mut set, found);
            }
            _ => other(to, found),
        }
    }
    let origins: Vec<_> = section.all("websockets_origin").collect();
    if let Some(first) = origins.first() {
        let list: Vec<_> = origins.iter().map(|found| quoted(found.text())).collect();
        set("listener.allowed_origins", format!("[{}]", list.join(", ")), first);
        origins.iter().for_each(|found| to.as_row(found));
    }
    entries
}

/// What one listener's clients are given or may do.
fn own_limit(
    to: &mut Translation,
    section: &Section,
    set: &mut impl FnMut(&'static str, String, &Found),
    found: &Found,
) {
    match found.row.name {
        "listener_auto_id_prefix" if found.text().len() > 50 => {
            to.tell(found, Outcome::Refused, "it is longer than 50 bytes");
        }
        "listener_auto_id_prefix" => {
            to.in_listener(set, "listener.auto_id_prefix", quoted(found.text()), found);
        }
        "mount_point" if found.text().contains(['+', '#']) => to.tell(found, Outcome::Refused, "it has a wildcard"),
        "mount_point" if section.start.is_none() => {
            to.tell(found, Outcome::Refused, "it has to stand below a \"listener\"");
        }
        "mount_point" if !found.text().ends_with('/') || found.text().starts_with('$') => {
            let what =
                "in dunlin it ends with \"/\" and does not begin with \"$\": write one such as \"mount_point site7/\"";
            to.tell(found, Outcome::Refused, what);
        }
        "mount_point" => to.in_listener(set, "listener.mount_point", quoted(found.text()), found),
        "accept_protocol_versions" => match versions(found.text()) {
            Some(list) => to.in_listener(set, "listener.protocol_versions", list, found),
            None => wrong(to, found, "3, 4 and 5, with commas in between"),
        },
        "max_connections" if found.number() <= 0 => to.tell(found, Outcome::Same, NO_LIMIT),
        "max_connections" => {
            let most = found.number().min(1_000_000_000).to_string();
            to.in_listener(set, "listener.max_connections", most, found);
        }
        "max_qos" | "maximum_qos" if !(0..=2).contains(&found.number()) => wrong(to, found, "0 to 2"),
        "max_qos" | "maximum_qos" if is_last_qos(section, found) => {
            to.in_listener(set, "listener.max_qos", found.number().to_string(), found);
        }
        "max_qos" | "maximum_qos" => to.tell(found, Outcome::Same, "the later line with the other name holds"),
        _ => {}
    }
}

/// Options of which dunlin has only one behaviour, or none.
fn other(to: &mut Translation, found: &Found) {
    let is_here = match found.row.name {
        // handled by address() and shared()
        "port"
        | "bind_address"
        | "socket_domain"
        | "protocol"
        | "max_topic_alias"
        | "max_topic_alias_broker"
        | "use_username_as_clientid"
        | "plugin_use" => return,
        "ciphers" | "ciphers_tls1.3" | "http_dir" => return to.lose(found),
        "dhparamfile" => return to.as_row(found),
        "proxy_protocol_v2_require_tls" => !found.is(),
        // with per_listener_settings
        "allow_zero_length_clientid" => found.is(),
        "tls_keyform" => found.word() != "engine",
        "tls_version" => found.text() == "tlsv1.2",
        _ => false,
    };
    match found.row.name {
        _ if is_here => to.as_here(found),
        "tls_version" if found.text() != "tlsv1.1" => {
            to.tell(found, Outcome::Refused, format!("{:?} is not allowed; allowed: tlsv1.2, tlsv1.3", found.text()));
        }
        "tls_version" if found.text() == "tlsv1.1" => {
            to.tell(found, Outcome::Lost, "TLS 1.1 is not served: TLS 1.2 and 1.3 are");
        }
        _ => to.refuse(found),
    }
}

/// The part of the certificate that is the user name. Without `require_certificate`, mosquitto requests no certificate,
/// and refuses every client then.
fn identity(
    to: &mut Translation,
    section: &Section,
    set: &mut impl FnMut(&'static str, String, &Found),
    found: &Found,
) {
    let common_name = section.get("use_identity_as_username").is_some_and(Found::is);
    let value = match found.row.name {
        _ if !found.is() => return to.as_here(found),
        "use_subject_as_username" if common_name => {
            return to.tell(found, Outcome::Same, "use_identity_as_username holds");
        }
        "use_subject_as_username" => "subject",
        _ => "common-name",
    };
    if !section.get("require_certificate").is_some_and(Found::is) {
        let what =
            "no client is asked for a certificate, so that mosquitto refuses them all: write require_certificate true";
        return to.tell(found, Outcome::Refused, what);
    }
    to.in_listener(set, "listener.identity", quoted(value), found);
}

/// The line with `listener`, or with `port` and `bind_address`, and its protocol.
fn address(to: &mut Translation, section: &Section) -> Option<Entry> {
    let protocol = section.get("protocol");
    let websocket = protocol.is_some_and(|found| found.word() == "websockets");
    let scheme = match (section.get("certfile").is_some(), websocket) {
        (false, false) => "",
        (true, false) => "tls://",
        (false, true) => "ws://",
        (true, true) => "wss://",
    };
    match protocol.map(|found| (found.word(), found)) {
        None => {}
        Some(("mqtt", found)) => to.as_here(found),
        Some(("websockets", found)) => to.as_row(found),
        Some(("http_api", found)) => to.refuse(found),
        Some((other, found)) => {
            to.tell(found, Outcome::Refused, format!("{other:?} is not a protocol; write mqtt or websockets"));
        }
    }
    let mut read = None;
    let any = match section.get("socket_domain").map(|found| (found.word(), found)) {
        None => "*",
        Some(("ipv4", found)) => given(to, found, "0.0.0.0"),
        Some(("ipv6", found)) => given(to, found, "[::]"),
        Some((other, found)) => {
            to.tell(found, Outcome::Refused, format!("{other:?} is neither ipv4 nor ipv6"));
            "*"
        }
    };
    let (port, host, found) = match &section.start {
        Some(found) => {
            let mut words = found.text().split(' ').filter(|word| !word.is_empty());
            let port = words.next().unwrap_or_default();
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            let number = port[..digits].parse::<i64>().unwrap_or(0);
            // only the leading digits count
            read = (digits == 0 || digits != port.len()).then(|| format!("read as {number}, as mosquitto 2.0 does: "));
            // a comment ends the line
            let host = words.next().filter(|word| !word.starts_with('#'));
            (number, host, Some(found))
        }
        None => {
            let (port, bind) = (section.get("port"), section.get("bind_address"));
            [port, bind].into_iter().flatten().for_each(|found| to.as_row(found));
            (port.map_or(1883, Found::number), bind.map(Found::text), port.or(bind))
        }
    };
    let value = match (port, host) {
        (0, Some(path)) if section.start.is_some() => format!("unix:{}", absolute(path)),
        (1..=65_535, None) => format!("{scheme}{any}:{port}"),
        (1..=65_535, Some(host)) if host.contains(':') && !host.starts_with('[') => format!("{scheme}[{host}]:{port}"),
        (1..=65_535, Some(host)) => format!("{scheme}{host}:{port}"),
        _ => {
            found.into_iter().for_each(|found| to.tell(found, Outcome::Refused, "the port must be 1 to 65535"));
            return None;
        }
    };
    match (section.start.as_ref(), read) {
        (Some(found), Some(read)) => to.tell(found, Outcome::Translated, read + found.row.note),
        (Some(found), None) => to.as_row(found),
        _ => {}
    }
    // without any of these, a listener on port 1883 is opened too
    let found = found.or_else(|| section.holding().next())?;
    Some(entry("listener.address", quoted(&value), found))
}

fn given<'a>(to: &mut Translation, found: &Found, any: &'a str) -> &'a str {
    to.as_row(found);
    any
}

fn absolute(path: &str) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
}

/// Options that mosquitto has for each listener, and dunlin for all together.
fn shared(to: &mut Translation, all: &[&Section]) {
    const ALIASES: &str = "limits.topic_alias_maximum";
    let names = ["max_topic_alias", "max_topic_alias_broker"];
    let lines: Vec<_> = all.iter().flat_map(|section| section.holding()).collect();
    let lines: Vec<_> = lines.into_iter().filter(|found| names.contains(&found.row.name)).collect();
    let without = all.iter().any(|section| names.iter().all(|name| section.get(name).is_none()));
    for found in &lines {
        let number = found.number();
        let others = lines.iter().any(|other| other.number() != number) || without && number != 10;
        match to.has(ALIASES) {
            _ if !(0..=65_535).contains(&number) => wrong(to, found, "0 to 65535"),
            true => to.as_row(found),
            false if others => {
                let what = "limits.topic_alias_maximum is that of all listeners and of both directions";
                to.tell(found, Outcome::Lost, what);
            }
            false => to.set(ALIASES, number.to_string(), found),
        }
    }
    let lines: Vec<_> = all.iter().map(|section| section.get("use_username_as_clientid")).collect();
    let same = lines.iter().all(|found| found.is_some_and(Found::is));
    for found in lines.into_iter().flatten() {
        match (found.is(), same) {
            (false, _) => to.as_here(found),
            (true, false) => {
                to.tell(found, Outcome::Refused, "auth.client_id is that of all listeners: write it for each of them");
            }
            (true, true) if to.has("auth.client_id") => to.as_row(found),
            (true, true) => to.set("auth.client_id", quoted("from-user"), found),
        }
    }
}

/// Protocol Levels as a list of versions; `None`: one of them is none.
fn versions(levels: &str) -> Option<String> {
    let version = |level: &str| match level.trim() {
        "3" => Some("3.1"),
        "4" => Some("3.1.1"),
        "5" => Some("5"),
        _ => None,
    };
    let all = levels.split(',').map(|level| version(level).map(quoted)).collect::<Option<Vec<_>>>()?;
    Some(format!("[{}]", all.join(", ")))
}

/// The option has two names: is this the line that holds?
fn is_last_qos(section: &Section, found: &Found) -> bool {
    let last = section.holding().filter(|other| matches!(other.row.name, "max_qos" | "maximum_qos")).last();
    last.is_some_and(|last| last.row.name == found.row.name)
}
