//! The import of mosquitto's configuration and data.

mod configurations;
mod database;
mod dynsec;
mod import;
mod options;
mod start;
