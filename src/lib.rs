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
//! Imports go one way: [`types`] ← [`topic`] ← [`codec`] ← [`session`] ← [`router`] ← `net`, [`auth`], [`store`] ←
//! [`server`]; [`config`] imports `types` alone, and `server` turns it into each room's own options; [`certs`] stands
//! alone. `topic`, `codec` and `session` are pure: no sockets, no clock, no randomness, no locks. `tests/tidy` holds
//! both.
//!
//! # Locks
//!
//! Those that are taken while another is held, in the order in which they are taken. All others are taken with nothing
//! else held.
//!
//! | lock | guards | may be taken while holding |
//! |---|---|---|
//! | `Handover::groups` of the store, for reading | that no batch is taken within a group of records ([`together`](router::Store::together)) | nothing |
//! | `Sessions::map` of the router (a shard) | which slot has a Client Identifier | a group |
//! | a slot of the router | one session and its connection | a group, a shard of `Sessions::map` |
//! | `Owners::named` of the router | how many sessions each user has | any of the above |
//! | `Subscriptions::trie` of the router | the trie | a group |
//! | `Groups::inner` of the router | which groups of shared subscriptions there are | a group, `Subscriptions::trie` |
//! | `GroupRef::members` of the router | who is in one of them | a group, one slot, `Subscriptions::trie` |
//! | `Requeues::due` of the router | when messages that wait in their members go to others | a group, one slot |
//! | `RetainedStore::inner` of the router | the retained tree | a group, one slot |
//! | `Sessions::expiries` of the router | when sessions end | a group |
//! | `Wills::due` of the router | Wills that wait for room | a group |
//! | `Handover::pending` of the store | the batch that collects, and those on their way | any of the above |
//! | `Handover::waiters` of the store | whom to wake when | any of the router's |
//!
//! Never two slots, never trie and slot together, never a lock over an `.await`. Wakers are called with no lock held,
//! and no input or output happens with one held.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

// What an embedder needs is exported below. The modules are for the binary, tests, benches and fuzz targets.
#[doc(hidden)]
pub mod auth;
#[doc(hidden)]
pub mod certs;
mod clock;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod config;
mod net;
#[doc(hidden)]
pub mod router;
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod topic;
#[doc(hidden)]
pub mod types;

#[doc(hidden)] // for the fuzz target: any bytes may arrive
pub use net::{ProxyCertificate, ProxyHeader, proxy_header};

pub use clock::{Clock, TestClock};
pub use codec::ReasonCode;
pub use config::{Config, ConfigError, ListenerConfig};
pub use router::{
    Authenticate, Authorize, Counters, Credentials, DropReason, Event, Forward, Identity, Observe, Origin, Peer,
    PeerAddress, Pending, Proof, Refusal, Rights, Verdict,
};
pub use server::{Builder, Server, ServerError};
pub use session::{CloseReason, Outgoing};
pub use topic::{TopicFilter, TopicName};
pub use types::{ClientId, QoS};
