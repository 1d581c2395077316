//! Dunlin: an MQTT broker, as a library and a thin binary.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = dunlin::Server::start(dunlin::Config::ephemeral()).await?;
//! println!("serving on {}", server.local_addrs()[0]);
//! server.shutdown().await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```
//!
//! # The map
//!
//! Imports go one way: [`types`] ← [`topic`] ← [`codec`] ← [`session`] ← [`router`] ← `net`, [`auth`], [`store`] ← [`server`];
//! [`config`] imports `types` alone, and `server` turns it into each room's own options; [`certs`] stands alone. `topic`,
//! `codec` and `session` are pure: no sockets, no clock, no randomness, no locks. `tests/tidy.rs` holds both.

pub mod auth;
pub mod certs;
pub mod codec;
pub mod config;
mod net;
pub mod router;
pub mod server;
pub mod session;
pub mod store;
pub mod topic;
pub mod types;

#[doc(hidden)] // for the fuzz target: any bytes may arrive
pub use net::{ProxyCertificate, ProxyHeader, proxy_header};

pub use config::Config;
pub use server::{Builder, Server, ServerError};
