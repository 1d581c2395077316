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
//! Imports go one way. `ARCHITECTURE.md` in the repository draws the rooms, and describes the way of a packet, the
//! threads and the memory. `ROOMS` in `tests/tidy` is the exact list. `topic`, `codec` and `session` are pure: no
//! sockets, no clock, no randomness, no locks.
//!
//! # Locks
//!
//! The order in which locks are taken is the table "Locks" of `ARCHITECTURE.md`; `tests/tidy` finds a lock that it does
//! not name. Never two slots, never trie and slot together, never a lock over an `.await`. Wakers are called with no
//! lock held, and no input or output happens with one held that a connection takes.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
// without all features, the code that only the binary uses is dead
#![cfg_attr(
    not(all(feature = "http", feature = "store", feature = "tls", feature = "websocket")),
    allow(dead_code, unreachable_code, unused_imports)
)]

// The items for embedding programs are exported below. The modules are for the binary, tests, benches and fuzz targets.
#[cfg(feature = "http")]
mod admin;
#[cfg(not(feature = "http"))]
#[path = "admin/absent.rs"]
mod admin;
#[doc(hidden)]
pub mod auth;
mod bridge;
#[cfg(feature = "tls")]
#[doc(hidden)]
pub mod certs;
mod clock;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod config;
#[cfg(feature = "http")]
mod hooks;
#[cfg(not(feature = "http"))]
#[path = "hooks/absent.rs"]
mod hooks;
mod inside;
mod net;
mod outbound;
#[cfg(feature = "tls")]
mod pem;
#[doc(hidden)]
pub mod platform;
#[doc(hidden)]
pub mod router;
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod session;
#[cfg(feature = "store")]
#[doc(hidden)]
pub mod store;
#[cfg(not(feature = "store"))]
#[doc(hidden)]
#[path = "store/absent.rs"]
pub mod store;
#[cfg(all(feature = "http", feature = "store", feature = "tls", feature = "websocket"))]
pub mod testing;
#[doc(hidden)]
pub mod topic;
mod trace;
#[doc(hidden)]
pub mod types;

#[doc(hidden)] // for the fuzz target: any bytes may arrive
pub use net::{ProxyCertificate, ProxyHeader, proxy_header};

#[cfg(feature = "http")]
#[doc(hidden)] // the binary has the log
pub use admin::{LogLines, log_lines};
pub use bridge::{BridgeError, Counts as BridgeCounts, Phase as BridgePhase, View as BridgeView};
pub use clock::{Clock, TestClock};
pub use codec::{Properties, PropertiesBuf, PropertyId, PropertyValue, ReasonCode};
pub use config::{Config, ConfigError, ListenerConfig};
pub use hooks::{Counts as WebhookCounts, HookError, SinkCounts, SinkView, View as WebhookView};
pub use inside::{Ack, Client, ClientError, InsideClient, Publication, PublishError, Published, Received};
pub use router::inspect;
pub use router::{
    Admitted, Authenticate, Authentication, Authorize, ClientInfo, Counters, Credentials, DropReason, Event,
    EventKinds, Exchange, Forward, Identity, Observe, Origin, Peer, PeerAddress, Pending, Proof, Publisher, Refusal,
    Right, Rights, Verdict,
};
pub use server::{BanError, Builder, Server, ServerError};
pub use session::{Bound, CloseReason, Missed, Outgoing};
pub use topic::{TopicFilter, TopicName};
pub use types::{ClientId, Network, ProtocolVersion, QoS, QueueFull, RetainHandling, SubscriptionOptions};

/// Runs the Rust of this page as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
mod page_for_embedders {}

/// The same of the page for tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/testing.md")]
mod page_for_tests {}
