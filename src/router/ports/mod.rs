//! The traits for authentication, authorization, the store, observers and other nodes.
//!
//! | module | owns |
//! |---|---|
//! | `clients` | authentication, rights |
//! | `drop_reason` | why a message was dropped |
//! | `events` | observers, events, their kinds, the description of a client in events |
//! | `plug_in` | calls of plug-ins during work that must be finished |
//! | `store` | the trait of a store, its records, and the state at a start |

mod clients;
mod drop_reason;
mod events;
mod plug_in;
mod store;

pub use clients::{
    Admitted, Authenticate, Authentication, Authorize, Command, Credentials, Exchange, Forward, Identity, Origin, Peer,
    PeerAddress, Pending, Proof, Refusal, Right, Rights, Verdict,
};
pub use drop_reason::DropReason;
pub use events::{ClientInfo, Event, EventKinds, Observe};
pub(crate) use plug_in::caught;
pub use store::{
    Condition, Distribution, Login, Publisher, QueuedCopy, Record, Restored, RestoredRetained, RestoredSession,
    RestoredWill, SessionOwner, Store, WillLeft,
};
