//! The log on the disk: records as bytes, frames, segments and their files. It does not know the broker's state.
//! `../FORMAT.md` describes the bytes.
//!
//! | module | owns |
//! |---|---|
//! | `format`, `names` | headers of segments and frames; file names |
//! | `record`, `records`, `optional`, `varint` | one record as bytes; the records of a frame; optional fields; numbers |
//! | `files`, `disk`, `direct`, `memory` | the file operations as traits; the real file system; O_DIRECT; a directory in memory |
//! | `ends` | the end of the log, stored outside of the log |
//! | `pool`, `sizes` | files for the next segments; the size of a segment |
//! | `data_dir`, `owner` | the directory: permissions, the lock; its owner |
//! | `error` | errors |

pub(crate) mod data_dir;
pub(super) mod direct;
pub(super) mod disk;
pub(super) mod ends;
pub(super) mod error;
pub(super) mod files;
pub(crate) mod format;
pub(super) mod memory;
pub(crate) mod names;
pub(super) mod optional;
pub(super) mod owner;
pub(crate) mod pool;
pub(super) mod record;
pub(super) mod records;
pub(super) mod sizes;
pub(super) mod varint;

pub(crate) use data_dir::Lock;
pub(crate) use disk::Disk;
pub(crate) use ends::{End, Last};
pub(crate) use error::{DATA_DIR, RecoveryError};
pub use error::{Damage, Failure, OpenError};
pub(crate) use files::{File, Files, is_full, read_all, write_all_at, zero_fill};
pub(crate) use format::{About, BadHeader, Frame, HEADER, Header, Key, Time, VERSION};
pub use memory::MemoryDisk;
pub use names::is_stored_in;
pub(crate) use optional::{Extras, Origin, Owner, WillExtras, are_identifiers};
pub use owner::chown;
pub(crate) use pool::{Pool, READY, RESERVE, Spare};
pub(crate) use record::{Away, EntryState, LogRecord, MAX_SENT, Will};
pub(crate) use records::{Decoder, Encoder};
pub use sizes::SegmentBytes;
pub(crate) use sizes::Sizes;
