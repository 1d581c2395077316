//! The errors of a configuration: [`ConfigError`], one readable line each.

/// The reason why there is no [`Config`](super::Config). Its `Display` is one line with the place, the fault, and what
/// to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{file}: cannot read the configuration: {reason}")]
    Unreadable {
        /// The file as it was named.
        file: String,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{file}:{line}:{column}: not valid TOML: {reason}")]
    Syntax {
        /// The file as it was named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// The parser's error.
        reason: String,
    },
    /// The file is a configuration of another program, or in another format.
    #[error("{file}: {what}")]
    Foreign {
        /// The file as it was named.
        file: String,
        /// The recognised format, and what to do.
        what: &'static str,
    },
    /// A line of a `mosquitto.conf` that cannot be imported.
    #[error("{what}")]
    Mosquitto {
        /// File, line, option, and what is wrong or what to do.
        what: String,
    },
    /// An unknown key.
    #[error("{file}:{line}: unknown key {key:?}{place}; {hint}")]
    UnknownKey {
        /// The file as it was named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// The key as written.
        key: String,
        /// Its place: ` in [limits]`, or empty at the top level.
        place: String,
        /// A guess at the key that was meant.
        hint: String,
    },
    /// A key with an invalid value.
    #[error("{file}:{line}: {key}: {problem}")]
    Value {
        /// The file as it was named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// The key with its table: `limits.max_connections`.
        key: String,
        /// The expected or allowed values, and the one that was found.
        problem: String,
    },
    /// The environment variable of a key, with an invalid value.
    #[error("{variable}: {problem}")]
    Variable {
        /// Its name.
        variable: String,
        /// The expected or allowed values, and the one that was found.
        problem: String,
    },
    /// A flag or environment variable with an invalid value.
    #[error("{argument}: {problem}")]
    Argument {
        /// The flag and the variable.
        argument: &'static str,
        /// The fault.
        problem: String,
    },
}
