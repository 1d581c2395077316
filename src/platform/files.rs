//! Opening a file past the page cache.

use std::{
    fs::File,
    io::{self, ErrorKind},
    path::Path,
};

/// Opens a file for writes past the page cache. An error if the system or the file system does not have such writes.
#[cfg(target_os = "linux")]
pub(crate) fn open_direct(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).map_err(|_| ErrorKind::Unsupported)?;
    File::options().write(true).custom_flags(flags).open(path)
}

/// The same: not on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open_direct(_: &Path) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}
