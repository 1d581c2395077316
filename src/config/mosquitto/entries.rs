//! Keys with their values as TOML, and their source lines: [`Entry`].

use super::{lines::Found, told::Place};

/// A key with its value as TOML, and its origin.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// With its table: `limits.max_qos`.
    pub key: &'static str,
    pub value: String,
    pub from: From,
}

#[derive(Clone, Debug)]
pub(super) enum From {
    Line {
        place: Place,
        option: String,
    },
    /// mosquitto's default, with the option if there is one.
    Default(&'static str),
}

pub(super) fn entry(key: &'static str, value: impl Into<String>, found: &Found) -> Entry {
    let from = From::Line { place: found.place.clone(), option: found.name() };
    Entry { key, value: value.into(), from }
}

/// The line of a `mosquitto.conf` that a line of the TOML is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The line of the TOML, counted from 1.
    pub toml: usize,
    /// The line that it is from; of a default, the first line of its section.
    pub place: Place,
    /// The option.
    pub option: String,
}

/// A text as TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A path as TOML. A relative one starts from the working directory, as in mosquitto; the directory of the TOML file
/// may be another one.
pub(super) fn path(written: &str) -> String {
    let absolute = std::path::absolute(written).unwrap_or_else(|_| written.into());
    quoted(&absolute.to_string_lossy())
}
