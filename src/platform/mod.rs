//! What the operating systems do differently. Linux is the system that dunlin is built and tested for. macOS is checked
//! by the compiler alone. Windows is built, and tried with Wine.
//!
//! | what | Linux | macOS |
//! |---|---|---|
//! | durable writes | `fdatasync` | `F_FULLFSYNC`, which the standard library's `sync_data` is there |
//! | writes past the page cache | `O_DIRECT` | not there: the store writes through the page cache |
//! | accepting a socket that does not block | one call, `accept4` | three calls |
//! | is a socket of systemd one that listens? | asked | not asked: there is no systemd |
//! | an address that the machine does not have yet | `IP_FREEBIND` | an error at the start |
//! | unacknowledged data ends a connection to another broker after 30 s | `TCP_USER_TIMEOUT` | when the system gives up |
//! | freed memory goes back to the system | `malloc_trim`, with glibc | as the allocator likes |
//! | memory of the process and of the machine | `/proc`, control groups | unknown: `limits.max_memory` has no default |
//! | readiness and watchdog | `sd_notify` | without effect |
//!
//! On Windows, where it differs from macOS:
//!
//! | what | Windows |
//! |---|---|
//! | durable names of files | not there: `data_dir` is an error at the start |
//! | Unix sockets, syslog, `-d`, `dunlin init` | an error that says so |
//! | readiness of a listening socket | told by a stream of tokio around a copy of the socket |
//! | a listener on an address that another one has | an error, without `SO_REUSEADDR` |
//! | modes, owners and locks of files | without effect, and no warning that others may read a file |
//! | device and inode of a file | unknown: a file is known by its length and times |
//! | limit of open files, processor time | unknown |
//! | stop and reload | Ctrl-C or the end of the console, Ctrl-Break |
//!
//! `unix` and `windows` have the same names, so that no other room asks for the system. What changes the state of the
//! process is the binary's.

mod files;
mod memory;
mod sockets;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(feature = "store")]
pub(crate) use files::open_direct;
pub(crate) use memory::trim;
pub(crate) use sockets::{HAS_FREEBIND, is_listening, set_freebind, set_user_timeout};
#[cfg(unix)]
pub(crate) use sockets::{accept, accept_from};
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;
