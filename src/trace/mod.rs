//! Traces: the packets of some connections, as lines of JSON, for an operator who looks for a fault. And the form of
//! packets in recordings, which the test bench shares.
//!
//! | module | owns |
//! |---|---|
//! | `packet` | what a packet is: its type and its contents, with Topic Aliases resolved |
//! | `form` | payloads and properties as JSON |
//! | `line` | a packet as JSON |
//! | `target` | which packets a trace is about |
//! | `watched` | a connection that a trace is about |
//! | `set` | the traces that are set, and their lines |
//!
//! A connection compares one number in each turn: while no trace is set or ended, that is all that this room costs.

mod form;
mod line;
mod packet;
mod set;
mod target;
mod watched;

pub(crate) use form::{name, properties, put_payload};
pub use packet::Direction;
pub(crate) use packet::{Seen, Who, packet_type};
pub(crate) use set::{Asked, MOST_TRACES, Shown, TooMany, Traces, first_line};
pub(crate) use target::Target;
pub(crate) use watched::{About, Watched};
