//! The traits behind which authentication, authorization, the store, observers and other nodes are.
//!
//! | module | owns |
//! |---|---|
//! | `clients` | who clients are and what they may do; who is told of what happens |
//! | `store` | the trait behind which a store is, and what it gives back at a start |

mod clients;
mod store;

pub use clients::{
    Authenticate, Authorize, Credentials, DropReason, Event, Forward, Identity, Observe, Origin, Peer, PeerAddress,
    Pending, Proof, Refusal, Rights, Verdict,
};
pub use store::{Condition, QueuedCopy, Record, Restored, RestoredSession, Store};
