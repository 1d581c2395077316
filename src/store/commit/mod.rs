//! Group commit: takes records from the router, writes them in batches, and wakes the tasks that wait for a batch.
//!
//! | module | owns |
//! |---|---|
//! | `handover`, `bell` | the state that appending threads share with the store's threads; how the writer is woken |
//! | `waiting` | the writer waits until a batch is due |
//! | `batches`, `contents` | when a batch is taken, and when it is durable; its records |
//! | `hold`, `gather` | delayed writes of messages that may be acknowledged first; the group-commit wait |
//! | `driver` | the threads |
//! | `writer`, `unsynced` | the tail of the log: batches, segments, cleaning; frames that are written and not synced |
//! | `statistics` | counters |

pub(super) mod batches;
mod bell;
pub(super) mod contents;
pub(crate) mod driver;
pub(super) mod gather;
pub(super) mod handover;
pub(super) mod hold;
pub(super) mod statistics;
pub(super) mod unsynced;
pub(super) mod waiting;
pub(super) mod writer;

pub(crate) use driver::{Threads, milliseconds};
pub(crate) use handover::Handover;
pub use statistics::{Number, Statistics};
pub(crate) use writer::{Progress, Settings, Writer, random};
