//! What mosquitto has is taken over: its configuration.

mod import;
