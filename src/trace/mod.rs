//! Traces: packets of selected connections as lines of JSON, for operators. Also the JSON form of packets in
//! recordings, which the test bench uses too.
//!
//! | module | owns |
//! |---|---|
//! | `packet` | decodes packets, and resolves Topic Aliases |
//! | `form` | payloads and properties as JSON |
//! | `line` | a packet as JSON |
//! | `target` | selects the packets of a trace |
//! | `watched` | the state of a traced connection |
//! | `set` | all traces and their lines |
//!
//! A connection compares one number in each turn. Without traces, this room costs nothing else.

mod form;
mod line;
mod packet;
mod set;
mod target;
mod watched;

pub(crate) use form::{name, properties, put_payload};
pub use packet::Direction;
pub(crate) use packet::{Seen, TYPES, Who, packet_type};
pub(crate) use set::{Asked, MOST_TRACES, Shown, TooMany, Traces, first_line};
pub(crate) use target::{About, Target};
pub(crate) use watched::Watched;
