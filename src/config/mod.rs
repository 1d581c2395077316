//! The settings of a broker: as written (the TOML file, the command line) and as resolved ([`Config`]).

mod settings;

pub use settings::*;
