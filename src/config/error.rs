//! What can be wrong with a configuration: [`ConfigError`], one readable line each. Finding it is the business of the
//! other files.

/// Why there is no [`Config`](super::Config). Its `Display` is one line that says where, what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{file}: cannot read the configuration: {reason}")]
    Unreadable {
        /// The file as it was named.
        file: String,
        /// What the operating system says.
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
        /// What the parser says.
        reason: String,
    },
    /// The file is a configuration of another program, or in another format.
    #[error("{file}: {what}")]
    Foreign {
        /// The file as it was named.
        file: String,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// A line of a `mosquitto.conf` that cannot be imported.
    #[error("{what}")]
    Mosquitto {
        /// File, line, option, and what is wrong or what to do.
        what: String,
    },
    /// A key that nothing reads.
    #[error("{file}:{line}: unknown key {key:?}{place}; {hint}")]
    UnknownKey {
        /// The file as it was named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// The key as written.
        key: String,
        /// Where it stands: ` in [limits]`, or nothing at the top level.
        place: String,
        /// What was meant, as far as it can be guessed.
        hint: String,
    },
    /// A key whose value cannot be.
    #[error("{file}:{line}: {key}: {problem}")]
    Value {
        /// The file as it was named.
        file: String,
        /// Counted from 1.
        line: usize,
        /// The key with its table: `limits.max_connections`.
        key: String,
        /// What was expected or allowed, and what was found.
        problem: String,
    },
    /// The environment variable of a key, whose value cannot be.
    #[error("{variable}: {problem}")]
    Variable {
        /// Its name.
        variable: String,
        /// What was expected or allowed, and what was found.
        problem: String,
    },
    /// A flag or environment variable that was understood and cannot be.
    #[error("{argument}: {problem}")]
    Argument {
        /// The flag and the variable.
        argument: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
