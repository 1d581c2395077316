//! What is told of each line: [`Told`].

use std::{fmt, rc::Rc};

/// Where a line is.
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

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It means the same here.
    Same,
    /// It became something else with the same meaning.
    Translated,
    /// What it is about is not there, and nobody notices.
    Meaningless,
    /// It has no effect here.
    Lost,
    /// Without it the broker would do what nobody meant: nothing is imported.
    Refused,
}

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it is.
    pub place: Place,
    /// The option as written.
    pub option: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How, why, or what to do.
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
