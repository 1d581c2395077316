//! The disk store: what must survive the process, in a log of our own. `FORMAT.md` describes the bytes.
//!
//! State lives in memory; the log makes it durable. What happens is applied to an index of all that is kept; a batch
//! writes what of it changed, once, as it is at its end; a batch is one frame, which is there whole or not at all.
//!
//! | module | owns |
//! |---|---|
//! | `disk_store` | [`DiskStore`]: the router's port |
//! | `handover`, `batches` | what appenders and the threads share; when a batch is taken, and when it is durable |
//! | `hold`, `gather` | what may be acknowledged before it is written; whom a batch waits for |
//! | `driver` | the threads |
//! | `writer` | the tail of the log: batches, segments, cleaning; one step at a time |
//! | `index`, `session`, `bodies`, `emit` | all that is kept, and what of it is to be written |
//! | `homes`, `slab` | how much lives in which segment; things by small numbers |
//! | `op`, `record`, `records`, `varint` | what happened; what the log says of it; as bytes |
//! | `format`, `names` | headers of segments and frames; names of files |
//! | `recover`, `replay`, `restore` | from the bytes to the index, from the index to the router |
//! | `pool`, `sizes` | files that wait to be segments; how large they are |
//! | `files`, `disk`, `direct` | what is asked of a file system; the real one; around its cache |
//! | [`tools`], `json` | `dunlin store check`, `dump` and `repair` |
//! | `data_dir` | the directory: permissions, the lock |

mod batches;
mod bodies;
mod body;
mod contents;
mod data_dir;
mod direct;
mod disk;
mod disk_store;
mod driver;
mod emit;
mod error;
mod files;
mod format;
mod gather;
mod handover;
mod hold;
mod homes;
mod index;
mod json;
mod names;
mod pool;
mod record;
mod records;
mod recover;
mod replay;
mod restore;
mod session;
mod sizes;
mod slab;
mod statistics;
#[cfg(test)]
mod tests;
pub mod tools;
mod unsynced;
mod varint;
mod writer;

pub use disk_store::{DiskStore, MIN_SEGMENT_BYTES, Options, Sync, open};
pub use error::{Damage, Failure, OpenError};
pub use names::is_stored_in;
pub use replay::Dangling;
pub use sizes::SegmentBytes;
pub use statistics::{Number, Statistics};
