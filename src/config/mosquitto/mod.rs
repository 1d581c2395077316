//! A `mosquitto.conf` as it is → a configuration of dunlin as TOML, and a report of what became of each line.
//!
//! ```text
//! table ────────► Row             every option: its form, whether it may repeat, what becomes of it
//! lines ────────► Found           the lines of a file and of its include_dir, read as mosquitto reads them
//!  └► values                      one value: a word, a number, the rest of the line
//! sections ─────► Sections        which lines belong to which listener or bridge
//! translation ──► Translation     entries of TOML, each with the line that it is from (entries); what is told of each
//!                                 line (told)
//!  ├► global, plugins             the options of the broker as a whole
//!  ├► listeners                   the options of one listener
//!  ├► bridges                     the options of one bridge
//!  └► log                         log_dest, log_type
//! output ───────► text            the TOML, the report
//! remedies                        errors about the TOML, in the words of a mosquitto.conf
//! other                           files that are none
//! command ──────► arguments       the flags of mosquitto's command line
//! ```
//!
//! Defaults are those of mosquitto 2.0: an option that the file leaves out is written as mosquitto has it.

mod bridges;
mod command;
mod entries;
mod global;
mod lines;
mod listeners;
mod log;
mod other;
mod output;
mod plugins;
mod remedies;
mod sections;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod translation;
mod values;

use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub(super) use command::arguments;
pub use entries::Origin;
pub use other::what_it_is;
pub(super) use remedies::in_words_of_mosquitto;
pub use table::markdown;
pub use told::{Outcome, Told};

use super::error::ConfigError;
use sections::Sections;
use translation::Translation;

/// The translation of a `mosquitto.conf`.
#[derive(Clone, Debug)]
pub struct Import {
    /// The configuration as TOML; incomplete if a line is refused.
    pub toml: String,
    /// The origins of the lines of the TOML, in their order.
    pub origins: Vec<Origin>,
    /// The report's entries, in the order of the lines.
    pub told: Vec<Told>,
    /// The values that the file leaves out and that differ from dunlin's defaults, a line each.
    pub defaults: Vec<String>,
    /// mosquitto's database, if it has one.
    pub database: Option<PathBuf>,
    /// The lines with relative paths of files that do not exist in the working directory.
    missing: Vec<Told>,
}

impl Import {
    /// Reads `path` and its includes. Relative paths in it start from the working directory, as in mosquitto.
    pub fn of_file(path: &Path) -> Self {
        let (found, mut told) = lines::read(path);
        let missing = found.iter().filter_map(other::missing).collect();
        let (sections, wrong) = Sections::of(found);
        told.extend(wrong);
        let mut translation = Translation::new(told);
        global::translate(&mut translation, &sections);
        log::translate(&mut translation, &sections);
        plugins::translate(&mut translation, &sections);
        listeners::translate(&mut translation, &sections);
        bridges::translate(&mut translation, &sections);
        Self { missing, ..translation.finish(path) }
    }

    /// The lines that cannot be imported.
    pub fn refused(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.outcome == Outcome::Refused)
    }

    /// The lines that have an effect in mosquitto and none in dunlin.
    pub fn lost(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.outcome == Outcome::Lost)
    }

    /// The report: file, line, option and its translation, a line each, and the defaults.
    pub fn report(&self) -> String {
        output::report(self)
    }

    /// The errors with which a broker refuses it.
    pub(super) fn errors(&self) -> Vec<ConfigError> {
        self.refused().chain(&self.missing).map(|told| ConfigError::Mosquitto { what: told.to_string() }).collect()
    }
}

/// Is this the text of a `mosquitto.conf`? Its first line that is neither empty nor a comment decides: a line of TOML
/// never begins with an option of mosquitto and a blank. If the name ends in `.conf`, every other text that is not TOML
/// counts too, and so does a text of only comments.
pub(super) fn is_one(path: &Path, text: &str) -> bool {
    let named = path.extension().is_some_and(|extension| extension == "conf");
    let first = text.lines().map(|line| line.trim_matches(' ')).find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = first else { return named };
    let word = first.split(' ').next().unwrap_or_default();
    let begins_toml = first.starts_with('[') || first.contains('=') && table::row(word).is_none();
    let begins_mosquitto = table::row(word).is_some_and(|_| !first[word.len()..].trim_start().starts_with('='));
    begins_mosquitto || named && !begins_toml && DeTable::parse(text).is_err()
}
