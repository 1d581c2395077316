//! The report's entries: [`Told`].

use std::{fmt, path::Path, rc::Rc};

/// The place of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub file: Rc<str>,
    /// Counted from 1; 0: the file as a whole.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// The translation of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It means the same in dunlin.
    Same,
    /// It became another key with the same meaning.
    Translated,
    /// dunlin has nothing that it could change; ignoring it loses nothing.
    Meaningless,
    /// It has no effect here.
    Lost,
    /// Without it the broker would do something unintended: nothing is imported.
    Refused,
}

/// The report's entry for one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its place.
    pub place: Place,
    /// The option as written.
    pub option: String,
    /// The kind of its translation.
    pub outcome: Outcome,
    /// The translation, the reason, or what to do.
    pub what: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Same => "same",
            Outcome::Translated => "translated",
            Outcome::Meaningless => "without meaning here",
            Outcome::Lost => "not there",
            Outcome::Refused => "refused",
        };
        write!(f, "{}: {}: {outcome}: {}", self.place, self.option, self.what)
    }
}

/// Where a relative path begins, in words; empty for an absolute one.
pub(super) fn of_working_directory(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(directory) if path.is_relative() => {
            format!(" (relative to the working directory {}, as in mosquitto)", directory.display())
        }
        _ => String::new(),
    }
}
