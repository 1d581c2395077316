//! From the records that the router hands over to the disk, and to those who wait for that.
//!
//! | module | owns |
//! |---|---|
//! | `handover` | what appenders and the threads share |
//! | `batches`, `contents` | when a batch is taken, and when it is durable; the records that it has |
//! | `hold`, `gather` | what may be acknowledged before it is written; whom a batch waits for |
//! | `driver` | the threads |
//! | `writer`, `unsynced` | the tail of the log: batches, segments, cleaning; what is written and not yet on the disk |
//! | `statistics` | what was done, in numbers |

pub(super) mod batches;
pub(super) mod contents;
pub(crate) mod driver;
pub(super) mod gather;
pub(super) mod handover;
pub(super) mod hold;
pub(super) mod statistics;
pub(super) mod unsynced;
pub(super) mod writer;

pub(crate) use driver::{Threads, milliseconds};
pub(crate) use handover::Handover;
pub use statistics::{Number, Statistics};
pub(crate) use writer::{Progress, Settings, Writer, random};
