//! `log_dest` and `log_type`.

use super::{lines::Found, sections::Sections, told::Outcome, translation::Translation};

pub(super) fn translate(to: &mut Translation, sections: &Sections) {
    let global = &sections.global;
    let mut silent = None;
    for found in global.all("log_dest") {
        match found.word() {
            "stderr" => to.as_here(found),
            "stdout" => to.tell(found, Outcome::Translated, "the log is on standard error"),
            "none" => silent = Some(found),
            "file" | "syslog" => to.refuse(found),
            "topic" | "dlt" | "android" => to.lose(found),
            other => to.tell(found, Outcome::Refused, format!("mosquitto has no log_dest {other:?}")),
        }
    }
    global.all("log_facility").for_each(|found| to.lose(found));
    let mut least: Option<(u8, &Found)> = None;
    for found in global.all("log_type") {
        match severity(found.word()) {
            // none clears those before it
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
    if let Some(found) = silent {
        to.set("log.level", "\"error\"", found);
    } else if let Some((level, found)) = least {
        to.entry(
            "log.level",
            ["\"error\"", "\"error\"", "\"warn\"", "\"info\"", "\"debug\""][usize::from(level)],
            found,
        );
    }
    to.default("log.level", "\"info\"", "log_type");
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
