//! Every limit: what the client beyond it sees, that others see nothing of it, and what is counted.

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod outbound;
mod packets;
mod queues;
mod reading;
mod reload;
mod retained;
mod sessions;
