//! What mosquitto has is taken over: its configuration, its data.

mod configurations;
mod database;
mod import;
