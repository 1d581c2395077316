//! The stored state, in memory, and the segment of each item's latest record.
//!
//! | module | owns |
//! |---|---|
//! | `apply` | [`Index`]: how a record changes it, and what the next frame has to say for that |
//! | `session`, `body` | the stored state of a session, and of a message |
//! | `bodies` | the messages of an [`Index`] |
//! | `emit` | from changes to the records of the log; the live records of a segment |
//! | `will`, `wills` | Wills of connected clients; those, and Wills that wait for room, of an [`Index`] |
//! | `segment_use`, `slab` | live bytes of each segment; items by small numbers |

pub(super) mod apply;
pub(super) mod bodies;
pub(super) mod body;
pub(super) mod emit;
pub(super) mod segment_use;
pub(super) mod session;
pub(super) mod slab;
pub(super) mod will;
pub(super) mod wills;

pub(crate) use apply::Index;
pub(crate) use body::{Origin, body_cost, origin_cost};
pub(crate) use emit::{Cursor, Emitted, body_record, log_will, session_record, will_record};
pub(crate) use segment_use::SegmentId;
pub(crate) use session::{
    DueWill, Entry, Hasher, Place, RECEIVED_COST, Received, Session, Subscription, due_cost, entry_cost,
    retained_due_cost, subscription_cost,
};
pub(crate) use will::KeptWill;
