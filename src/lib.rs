//! Dunlin: an MQTT broker, as a library and a thin binary.

pub mod codec;
pub mod config;
pub mod topic;
pub mod types;

pub use config::Config;
