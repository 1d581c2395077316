//! Every limit: what the client beyond it sees, that others see nothing of it, and what is counted.

mod client_ids;
mod connections;
mod expiry;
mod memory;
mod outbound;
mod packets;
mod queues;
mod rates;
mod reading;
mod reload;
mod retained;
mod sessions;
mod turns;
