//! The disk store: what must survive the process, in a log of our own. `FORMAT.md` describes the bytes.
//!
//! State lives in memory; the log makes it durable. What happens is applied to an index of all that is kept; a batch
//! writes what of it changed, once, as it is at its end; a batch is one frame, which is there whole or not at all.
//!
//! Its rooms import from one another one way, log ← index ← recovery ← commit ← tools, and only what a room shows in
//! its `mod.rs`.
//!
//! | room | owns |
//! |---|---|
//! | `log` | the log on the disk: records, frames, segments, files |
//! | `index` | all that is kept, in memory |
//! | `recovery` | a start on what is there |
//! | `commit` | batches, and the threads that bring them to the disk |
//! | `disk_store` | [`DiskStore`]: the router's port |
//! | [`tools`] | `dunlin store check`, `dump`, `repair`, `backup`, `export` and `import` |

mod commit;
mod disk_store;
mod index;
mod log;
mod recovery;
#[cfg(test)]
mod tests;
pub mod tools;

pub use commit::{Number, Statistics};
pub use disk_store::{DiskStore, MIN_SEGMENT_BYTES, Options, Sync, open};
pub use log::{Damage, Failure, OpenError, SegmentBytes, chown, is_stored_in};
pub use recovery::Dangling;
