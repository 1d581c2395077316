//! The traits behind which authentication, authorization, the store, observers and other nodes are.
//!
//! | module | owns |
//! |---|---|
//! | `clients` | who clients are and what they may do; who is told of what happens |
//! | `events` | which events an observer asks for, and what they say of clients |
//! | `plug_in` | calling plug-ins where a panic must not leave things half done |
//! | `store` | the trait behind which a store is, and what it gives back at a start |

mod clients;
mod events;
mod plug_in;
mod store;

pub use clients::{
    Admitted, Authenticate, Authentication, Authorize, Credentials, DropReason, Event, Exchange, Forward, Identity,
    Observe, Origin, Peer, PeerAddress, Pending, Proof, Refusal, Rights, Verdict,
};
pub use events::{ClientInfo, EventKinds};
pub(crate) use plug_in::caught;
pub use store::{
    Condition, Distribution, Login, Publisher, QueuedCopy, Record, Restored, RestoredRetained, RestoredSession,
    RestoredWill, SessionOwner, Store, WillLeft,
};
