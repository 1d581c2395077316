//! The entries of TOML that lines become: [`Translation`].

use std::path::{Path, PathBuf};

use super::{
    Import,
    entries::{Entry, From, entry},
    lines::Found,
    output,
    sections::Sections,
    table::Fate,
    told::{Outcome, Told},
    values::Value,
};

/// What was translated so far.
pub(super) struct Translation {
    pub entries: Vec<Entry>,
    pub listeners: Vec<Vec<Entry>>,
    pub told: Vec<Told>,
    pub database: Option<PathBuf>,
}

impl Translation {
    /// `told`: what was told of lines that could not be read.
    pub fn new(sections: &Sections, told: Vec<Told>) -> Self {
        let mut translation = Self { entries: Vec::new(), listeners: Vec::new(), told, database: None };
        let bridges = sections.bridges.iter().map(|found| {
            let note = found.row.note;
            match found.row.name {
                "connection" => found.told(Outcome::Refused, note),
                _ => found.told(Outcome::Lost, "it belongs to a bridge"),
            }
        });
        translation.told.extend(bridges);
        translation
    }

    /// A key with the value of a line, and what the table says of that line.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>, found: &Found) {
        self.entry(key, value, found);
        self.as_row(found);
    }

    /// The same, and something else is told.
    pub fn set_so(&mut self, key: &'static str, value: impl Into<String>, found: &Found, what: impl Into<String>) {
        self.entry(key, value, found);
        self.tell(found, Outcome::Translated, what);
    }

    /// The same, and nothing is told.
    pub fn entry(&mut self, key: &'static str, value: impl Into<String>, found: &Found) {
        self.entries.push(entry(key, value, found));
    }

    /// A key with the value that mosquitto has where no line sets `option`.
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

    /// What the table says. Of an option that is not there, what it does is lost.
    pub fn as_row(&mut self, found: &Found) {
        let outcome = match found.row.fate {
            Fate::Same => Outcome::Same,
            Fate::Translated => Outcome::Translated,
            Fate::Meaningless => Outcome::Meaningless,
            Fate::Missing => Outcome::Lost,
        };
        self.tell(found, outcome, found.row.note);
    }

    /// A key of a listener, by `set`, and what the table says.
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

    /// It is there for the sake of a key that another line sets.
    pub fn set_row(&mut self, found: &Found, key: &str) {
        self.tell(found, Outcome::Translated, format!("it becomes {key}"));
    }

    /// It says what is so anyway.
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
        self.told.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        let toml = output::toml(path, &self.entries, &self.listeners);
        let of_listeners = self.listeners.iter().flatten();
        let defaults = self.entries.iter().chain(of_listeners).filter_map(output::default).collect();
        Import { toml, told: self.told, defaults, database: self.database }
    }
}
