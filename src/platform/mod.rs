//! What the operating systems do differently. Linux is the system that dunlin is built and tested for; macOS is checked
//! by the compiler alone.
//!
//! | what | Linux | macOS |
//! |---|---|---|
//! | durable writes | `fdatasync` | `F_FULLFSYNC`, which the standard library's `sync_data` is there |
//! | writes past the page cache | `O_DIRECT` | not there: the store writes through the page cache |
//! | accepting a socket that does not block | one call, `accept4` | three calls |
//! | is a socket of systemd one that listens? | asked | not asked: there is no systemd |
//! | an address that the machine does not have yet | `IP_FREEBIND` | an error at the start |
//! | freed memory goes back to the system | `malloc_trim`, with glibc | as the allocator likes |
//! | memory of the process and of the machine | `/proc`, control groups | unknown: `limits.max_memory` has no default |
//! | readiness and watchdog | `sd_notify` | without effect |
//!
//! Windows is not built. `docs/install.md` lists what would have to be behind this room.

mod files;
mod memory;
mod sockets;

#[cfg(feature = "store")]
pub(crate) use files::open_direct;
pub(crate) use memory::trim;
pub(crate) use sockets::{accept, accept_from, is_listening, set_freebind};
