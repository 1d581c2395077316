//! [`LogLines`]: the last lines of this process's log, for those who read it over HTTP.

use std::{sync::OnceLock, time::SystemTime};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::last::Last;

/// Lines that are remembered.
const MOST: usize = 1_000;

/// The longest text of a line, in bytes.
const LONGEST: usize = 1_024;

/// The last lines of the log. A process has one log, so it has one of these.
pub struct LogLines {
    last: Mutex<Last<LogLine>>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LogLine {
    at: SystemTime,
    level: &'static str,
    text: String,
}

/// Those of this process. They are there if the program that has the log adds them.
pub fn log_lines() -> &'static LogLines {
    static LINES: OnceLock<LogLines> = OnceLock::new();
    LINES.get_or_init(|| LogLines { last: Mutex::new(Last::new(MOST)) })
}

impl LogLines {
    /// Adds a line: when it was written, its level in capital letters, message and fields.
    pub fn add(&self, at: SystemTime, level: &'static str, mut text: String) {
        if text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
            text.push('…');
        }
        self.last.lock().add(LogLine { at, level, text });
    }

    /// Up to `limit` of those before the one of that number, the latest first, and where to go on.
    pub(super) fn before(&self, before: u64, limit: usize) -> (Vec<LogLine>, Option<u64>) {
        self.last.lock().before(before, limit)
    }
}

impl LogLine {
    /// As it is told.
    pub fn shown(&self) -> Value {
        json!({ "at": humantime::format_rfc3339_millis(self.at).to_string(), "level": self.level, "text": self.text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_there_each_of_them_cut() {
        let lines = LogLines { last: Mutex::new(Last::new(MOST)) };
        (0..=MOST).for_each(|n| lines.add(SystemTime::UNIX_EPOCH, "INFO", format!("line {n}")));
        let text = |number: u64| lines.before(number, 1).0[0].text.clone();
        assert_eq!((lines.before(u64::MAX, 2 * MOST).0.len(), text(u64::MAX)), (MOST, "line 1000".to_owned()));
        assert_eq!(lines.before(2, 1).0[0].shown()["text"], "line 1");
        lines.add(SystemTime::UNIX_EPOCH, "WARN", "ä".repeat(LONGEST));
        assert_eq!(text(u64::MAX), "ä".repeat(LONGEST / 2) + "…");
    }
}
