//! What clients do, from CONNECT to the end of their sessions.
//!
//! | module | owns |
//! |---|---|
//! | `access` | asking who a client is, and for its rights |
//! | `authenticating`, `authentication` | clients that authenticate once more while they are connected |
//! | `connect` | sessions beginning and being taken over |
//! | `leave` | connections ending, and sessions |
//! | `ownership` | whose a session is, and which Client Identifiers a user may have |
//! | `client` | a connected client, and what there is to write for it |
//! | `welcome` | what CONNECT and CONNACK of MQTT 5 say |
//! | `exchange` | its packets, through its session |
//! | `turn` | what a connection remembers of its turns |
//! | `marks` | what of a connection is not as with most |
//! | `incoming` | a PUBLISH of a client, and what it means |
//! | `subscribe`, `unsubscribe` | its subscriptions and the retained messages they bring |
//! | `filters` | the Topic Filters of one packet |
//! | `operation`, `resume` | a packet that a turn is too short for |
//! | `unfinished` | what is still on its way |
//! | `inside` | clients within this process |
//! | `restore` | sessions and retained messages as a store kept them |

mod access;
mod authenticating;
mod authentication;
mod client;
mod connect;
mod exchange;
mod filters;
mod incoming;
mod inside;
mod leave;
mod marks;
mod operation;
mod ownership;
mod restore;
mod resume;
mod subscribe;
#[cfg(test)]
mod tests;
mod turn;
mod unfinished;
mod unsubscribe;
mod welcome;

pub use authentication::{CameFrom, auth_properties};
pub use client::{Client, Flush};
pub use connect::Connected;
pub use exchange::Handled;
pub use inside::InsideSession;
pub use unfinished::Unfinished;
pub use welcome::HEALTH_CHECK;
