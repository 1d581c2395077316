//! The packets of clients, from CONNECT to the end of their sessions.
//!
//! | module | owns |
//! |---|---|
//! | `adopt` | sessions and retained messages that are brought in while the broker runs |
//! | `access` | calls of the authentication and authorization ports |
//! | `authenticating`, `authentication` | re-authentication of connected clients |
//! | `connect` | begins and takes over sessions |
//! | `leave` | the end of connections and sessions |
//! | `banned` | clients that are not let in, and those that come back too often |
//! | `ownership` | the owners of sessions, and the Client Identifiers that a user may have |
//! | `client` | a connected client and its output |
//! | `welcome` | the properties of CONNECT and CONNACK |
//! | `exchange` | its packets, through its session |
//! | `turn` | the figures of a connection's turns |
//! | `deferred` | its QoS 2 messages that wait for a place |
//! | `dropped` | messages that are acknowledged and not published |
//! | `answers` | what is known about the rights that a packet needs |
//! | `asking` | packets and messages that wait for rights that are asked about elsewhere |
//! | `marks` | unusual properties of a connection, as bits |
//! | `incoming` | an interpreted PUBLISH of a client |
//! | `subscribe`, `unsubscribe` | its subscriptions and the retained messages they bring |
//! | `subscribe_for` | subscriptions that an operator makes and ends |
//! | `sources` | whether publishers of retained messages may still publish them |
//! | `filters` | the Topic Filters of one packet |
//! | `operation`, `resume` | packets that take several turns |
//! | `unfinished` | output that remains to be sent at a shutdown |
//! | `inside` | clients within this process |
//! | `relay` | those of them that relay messages to and from another broker |
//! | `restore` | sessions and retained messages from the store |

mod access;
mod adopt;
mod answers;
mod asking;
mod authenticating;
mod authentication;
mod banned;
mod client;
mod connect;
mod deferred;
mod dropped;
mod due;
mod exchange;
mod filters;
mod handled;
mod incoming;
mod inside;
mod leave;
mod marks;
mod operation;
mod ownership;
mod relay;
mod restore;
mod resume;
mod sources;
mod subscribe;
mod subscribe_for;
#[cfg(test)]
mod tests;
mod turn;
mod unfinished;
mod unsubscribe;
mod welcome;

pub use adopt::NotAdopted;
pub use authentication::{CameFrom, auth_properties};
pub(crate) use banned::network_address;
pub use client::{Client, Flush};
pub use connect::Connected;
pub use due::Brought;
pub use handled::Handled;
pub use inside::InsideSession;
pub use relay::Relaying;
pub use subscribe_for::NotSubscribed;
pub use unfinished::Unfinished;
pub use welcome::HEALTH_CHECK;
