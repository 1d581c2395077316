//! The disk store: a log on disk of the state that survives the process. `FORMAT.md` describes its bytes.
//!
//! The state is in memory, in an index. Each record of the router changes the index. A batch writes everything that
//! changed since the previous batch, in its latest version, as one frame: recovery finds all of a frame or nothing.
//!
//! Its rooms import from one another one way, log ← index ← recovery ← commit ← tools, and only what a room shows in
//! its `mod.rs`.
//!
//! | room | owns |
//! |---|---|
//! | `log` | the log on the disk: records, frames, segments, files |
//! | `index` | the stored state, in memory |
//! | `recovery` | a start on an existing log |
//! | `commit` | batches, and the threads that write and sync them |
//! | `sync` | when a store acknowledges |
//! | `disk_store` | [`DiskStore`]: the router's port |
//! | [`tools`] | `dunlin store check`, `dump`, `repair`, `backup`, `export` and `import` |

mod commit;
mod disk_store;
mod index;
mod log;
mod recovery;
mod sync;
#[cfg(test)]
mod tests;
pub mod tools;

#[cfg(test)]
pub(crate) use tests::{
    simulated::{Fault, Rng, Simulated},
    stepped::Stepped,
};

pub use commit::{Number, Statistics};
pub(crate) use disk_store::open_in_memory;
pub use disk_store::{DiskStore, MIN_SEGMENT_BYTES, Options, open};
pub use log::{Damage, Failure, MemoryDisk, OpenError, SegmentBytes, chown, is_stored_in};
pub use recovery::Dangling;
pub use sync::Sync;
