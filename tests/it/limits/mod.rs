//! Every limit: its effect on the client that exceeds it, no effect on others, and its counter.

mod client_ids;
mod connections;
mod expiry;
mod listeners;
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
