//! [`Progress`]: progress reports of long work: a bar on a terminal, otherwise a line every ten seconds.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::Duration,
};

use super::super::log::{Files, names};
use crate::clock::Stopwatch;

type Say = fn(&str, &str);

/// Progress of long work.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    /// If the work reads a log: the bytes before each file.
    before: BTreeMap<String, u64>,
    /// Writes a line with the work and how far it is. `None`: standard error is a terminal.
    say: Option<Say>,
    began: Stopwatch,
    /// When to show it next, measured from the beginning.
    next: Duration,
    shown: bool,
}

impl Progress {
    /// For work on `total` bytes. `say` writes a line if standard error is not a terminal.
    pub(crate) fn new(what: &'static str, total: u64, say: Say) -> Self {
        let say = (!std::io::stderr().is_terminal()).then_some(say);
        Self::shown_by(what, total, say)
    }

    fn shown_by(what: &'static str, total: u64, say: Option<Say>) -> Self {
        let next = if say.is_some() { EVERY } else { SHORT };
        Self { what, total, before: BTreeMap::new(), say, began: Stopwatch::start(), next, shown: false }
    }

    /// For reading all segments of a log.
    pub(crate) fn of_log(what: &'static str, files: &impl Files, say: Say) -> Self {
        use super::super::log::File;
        let mut progress = Self::new(what, 0, say);
        let mut names = files.list().unwrap_or_default();
        names.retain(|name| names::segment_id(name).is_some());
        names.sort();
        for name in names {
            // the work itself reports a file that it cannot read
            let len = files.open(&name).and_then(|file| file.len()).unwrap_or(0);
            progress.before.insert(name, progress.total);
            progress.total += len;
        }
        progress
    }

    /// The log was read up to here.
    pub(crate) fn read(&mut self, file: &str, offset: usize) {
        // printing costs more than reading most records
        if self.began.took() >= self.next {
            self.at(self.before.get(file).copied().unwrap_or(0) + offset as u64);
        }
    }

    /// `done` bytes are done.
    pub(crate) fn at(&mut self, done: u64) {
        let took = self.began.took();
        if took < self.next {
            return;
        }
        let text = self.text(done);
        match self.say {
            Some(say) => say(self.what, &text),
            // errors are ignored: the terminal may be gone
            None => drop(write!(std::io::stderr(), "\r{text}\x1b[K")),
        }
        self.shown = true;
        self.next = took + if self.say.is_some() { EVERY } else { OFTEN };
    }

    fn text(&self, done: u64) -> String {
        const MIB: u64 = 1 << 20;
        let (what, total) = (self.what, self.total.max(done).max(1));
        let percent = done * 100 / total;
        if self.say.is_some() {
            return format!("{percent} %, {} of {} MiB", done / MIB, total / MIB);
        }
        let full = (percent as usize * WIDTH / 100).min(WIDTH);
        format!("{what} [{}{}] {percent} %", "#".repeat(full), " ".repeat(WIDTH - full))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && self.say.is_none() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// How often a line is written.
const EVERY: Duration = Duration::from_secs(10);
/// Shorter work has no bar.
const SHORT: Duration = Duration::from_millis(500);
/// How often a bar is drawn.
const OFTEN: Duration = Duration::from_millis(100);
/// Characters of a bar.
const WIDTH: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_as_a_line_and_a_bar() {
        let mut progress = Progress::shown_by("copying", 4 << 20, Some(|_, _| ()));
        assert_eq!(progress.text(1 << 20), "25 %, 1 of 4 MiB");
        assert_eq!(progress.text(5 << 20), "100 %, 5 of 5 MiB");
        // not before ten seconds
        progress.at(1 << 20);
        assert!(!progress.shown);
        progress.next = Duration::ZERO;
        progress.at(1 << 20);
        assert!(progress.shown && progress.next >= EVERY);
        let bar = Progress::shown_by("copying", 0, None).text(0);
        assert_eq!(bar, format!("copying [{}] 0 %", " ".repeat(WIDTH)));
        let bar = Progress::shown_by("copying", 2, None).text(1);
        assert_eq!(bar, format!("copying [{}{}] 50 %", "#".repeat(WIDTH / 2), " ".repeat(WIDTH / 2)));
    }
}
