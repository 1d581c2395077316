//! Collects the TOML entries of the lines: [`Translation`].

use std::path::{Path, PathBuf};

use super::{
    Import,
    entries::{Entry, From, entry},
    lines::Found,
    output,
    table::Fate,
    told::{Outcome, Told},
    values::Value,
};

/// The translation so far.
pub(super) struct Translation {
    pub entries: Vec<Entry>,
    pub listeners: Vec<Vec<Entry>>,
    pub bridges: Vec<Vec<Entry>>,
    pub told: Vec<Told>,
    pub database: Option<PathBuf>,
}

impl Translation {
    /// `told`: the entries for lines that could not be read.
    pub fn new(told: Vec<Told>) -> Self {
        let (entries, listeners, bridges, database) = Default::default();
        Self { entries, listeners, bridges, told, database }
    }

    /// Sets a key to the value of a line, and reports the table's note for that line.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>, found: &Found) {
        self.entry(key, value, found);
        self.as_row(found);
    }

    /// The same, with another note.
    pub fn set_so(&mut self, key: &'static str, value: impl Into<String>, found: &Found, what: impl Into<String>) {
        self.entry(key, value, found);
        self.tell(found, Outcome::Translated, what);
    }

    /// The same, without a report.
    pub fn entry(&mut self, key: &'static str, value: impl Into<String>, found: &Found) {
        self.entries.push(entry(key, value, found));
    }

    /// Sets a key to mosquitto's default if no line sets `option`.
    pub fn default(&mut self, key: &'static str, value: impl Into<String>, option: &'static str) {
        if !self.has(key) {
            self.entries.push(Entry { key, value: value.into(), from: From::Default(option) });
        }
    }

    /// Is the key set?
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    pub fn tell(&mut self, found: &Found, outcome: Outcome, what: impl Into<String>) {
        let odd = matches!(found.value, Value::Number { odd: true, .. });
        let read = if odd { format!("read as {}, as mosquitto 2.0 does: ", found.number()) } else { String::new() };
        self.told.push(found.told(outcome, read + &what.into()));
    }

    /// Reports the table's note. A missing option counts as lost.
    pub fn as_row(&mut self, found: &Found) {
        let outcome = match found.row.fate {
            Fate::Same => Outcome::Same,
            Fate::Translated => Outcome::Translated,
            Fate::Meaningless => Outcome::Meaningless,
            Fate::Missing => Outcome::Lost,
        };
        self.tell(found, outcome, found.row.note);
    }

    /// Sets a key of a listener with `set`, and reports the table's note.
    pub fn in_listener(
        &mut self,
        set: &mut impl FnMut(&'static str, String, &Found),
        key: &'static str,
        value: String,
        found: &Found,
    ) {
        set(key, value, found);
        self.as_row(found);
    }

    /// Reports a line that only belongs to a key that another line sets.
    pub fn set_row(&mut self, found: &Found, key: &str) {
        self.tell(found, Outcome::Translated, format!("it becomes {key}"));
    }

    /// Reports a line that sets the only behaviour that dunlin has.
    pub fn as_here(&mut self, found: &Found) {
        self.tell(found, Outcome::Same, "this is how it is");
    }

    pub fn lose(&mut self, found: &Found) {
        self.tell(found, Outcome::Lost, found.row.note);
    }

    pub fn refuse(&mut self, found: &Found) {
        self.tell(found, Outcome::Refused, found.row.note);
    }

    pub fn finish(mut self, path: &Path) -> Import {
        crate::types::sort_by(&mut self.told, |a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        let (toml, origins) =
            output::toml(path, &self.entries, &[("listener", &self.listeners), ("bridge", &self.bridges)]);
        let of_listeners = self.listeners.iter().chain(&self.bridges).flatten();
        let defaults = self.entries.iter().chain(of_listeners).filter_map(output::default).collect();
        Import { toml, origins, told: self.told, defaults, database: self.database, missing: Vec::new() }
    }
}
