//! `log_dest` and `log_type`.

use super::{
    entries::{path, quoted},
    global::wrong,
    lines::Found,
    sections::Sections,
    told::Outcome,
    translation::Translation,
};

pub(super) fn translate(to: &mut Translation, sections: &Sections) {
    let global = &sections.global;
    let mut silent = None;
    let facility = facility(to, sections);
    // a "none" clears the lines before it
    let cleared = global.all("log_dest").collect::<Vec<_>>().iter().rposition(|found| found.word() == "none");
    let (before, after) = global.all("log_dest").enumerate().partition::<Vec<_>, _>(|(n, _)| Some(*n) < cleared);
    for (_, found) in before {
        to.tell(found, Outcome::Same, "a later none clears it");
    }
    let elsewhere = after.iter().any(|(_, found)| ["file", "syslog"].contains(&found.word()));
    for (_, found) in after {
        match found.word() {
            "stderr" | "stdout" if elsewhere => {
                if !to.has("log.stderr") {
                    to.entry("log.stderr", "true", found);
                }
                to.as_row(found);
            }
            "stderr" => to.as_here(found),
            "stdout" => to.tell(found, Outcome::Translated, "the log is on standard error"),
            "none" => {
                silent = Some(found);
                to.as_row(found);
            }
            "file" => file(to, found),
            "syslog" => {
                to.set_so("log.syslog", quoted(facility.as_deref().unwrap_or("daemon")), found, "`log.syslog`");
            }
            "topic" | "dlt" | "android" => to.lose(found),
            other => to.tell(found, Outcome::Refused, format!("mosquitto has no log_dest {other:?}")),
        }
    }
    let mut least: Option<(u8, &Found)> = None;
    for found in global.all("log_type") {
        match severity(found.word()) {
            // none clears the lines before it
            Some(0) => least = Some((0, found)),
            Some(level) if least.is_none_or(|(least, _)| least < level) => least = Some((level, found)),
            Some(_) => {}
            None => {
                let what = format!("mosquitto has no log_type {:?}", found.word());
                to.tell(found, Outcome::Refused, what);
                continue;
            }
        }
        to.as_row(found);
    }
    if let Some(found) = silent.filter(|_| !elsewhere) {
        to.entry("log.level", "\"error\"", found);
    } else if let Some((level, found)) = least {
        to.entry(
            "log.level",
            ["\"error\"", "\"error\"", "\"warn\"", "\"info\"", "\"debug\""][usize::from(level)],
            found,
        );
    }
    to.default("log.level", "\"info\"", "log_type");
}

/// `file` and a path, which is the rest of the line.
fn file(to: &mut Translation, found: &Found) {
    let name = found.text().trim_start_matches(' ').strip_prefix("file").and_then(|rest| rest.strip_prefix(' '));
    match name.filter(|name| !name.is_empty()) {
        Some(_) if to.has("log.file") => {
            to.tell(found, Outcome::Refused, "there is another log_dest file: take one away")
        }
        Some(name) => to.set_so("log.file", path(name), found, "`log.file`"),
        None => to.tell(found, Outcome::Refused, "it has no path"),
    }
}

/// `local0` to `local7`.
fn facility(to: &mut Translation, sections: &Sections) -> Option<String> {
    let found = sections.global.get("log_facility")?;
    match found.number() {
        number @ 0..=7 => {
            to.as_row(found);
            Some(format!("local{number}"))
        }
        _ => {
            wrong(to, found, "0 to 7");
            None
        }
    }
}

/// 1 for errors to 4 for everything; 0 for nothing.
fn severity(word: &str) -> Option<u8> {
    match word {
        "none" => Some(0),
        "error" => Some(1),
        "warning" => Some(2),
        "notice" | "information" | "websockets" | "internal" => Some(3),
        "debug" | "subscribe" | "unsubscribe" | "all" => Some(4),
        _ => None,
    }
}
