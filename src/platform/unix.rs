//! What Unix has, by its own names; `windows` has the same names.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

pub use std::os::unix::{
    fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    net::{UnixDatagram, UnixListener, UnixStream},
};

pub use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::{
    fd::{AsFd, AsRawFd},
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};
use socket2::{Domain, SockAddr, Socket, Type};
pub use tokio::{
    io::unix::AsyncFd,
    net::{UnixListener as AsyncUnixListener, UnixStream as AsyncUnixStream},
};

/// Waits for connections on a listening socket.
pub fn when_readable<S: AsFd + AsRawFd>(socket: S) -> io::Result<AsyncFd<S>> {
    // SAFETY: the socket is owned by the `AsyncFd`, open, and the same until both are dropped.
    #[allow(unsafe_code)]
    let registered = unsafe { AsyncFd::register_with_interest(socket, tokio::io::Interest::READABLE) };
    Ok(registered?)
}

/// Lets a listener have the address of one that ended a moment ago.
pub fn reuse_address(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// A new Unix socket.
pub fn unix_socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM, None)
}

/// A Unix socket that listens.
pub fn unix_listener(socket: Socket) -> io::Result<UnixListener> {
    Ok(socket.into())
}

/// The path of a Unix socket, or `@` and its abstract name.
pub fn unix_path(address: &SockAddr) -> PathBuf {
    let of_abstract = address.as_abstract_namespace().map(|name| format!("@{}", String::from_utf8_lossy(name)).into());
    address.as_pathname().map(PathBuf::from).or(of_abstract).unwrap_or_default()
}

/// The name of this machine; "" if it is unknown.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user and the group of this process.
pub fn user_and_group() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// The user of this process, by name if it has one: `dunlin (uid 998)`.
pub fn user() -> String {
    let (uid, _) = user_and_group();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_it = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
    let name = users.lines().find(is_it).and_then(|line| line.split(':').next());
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// Seconds of processor time that all threads used.
pub fn processor_time() -> Option<f64> {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Some(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9)
}

/// How many files the process may open; `None`: without limit.
pub fn most_open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Bytes that this process may still write in a directory; `None`: unknown, as some file systems do not count blocks.
pub fn room(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok().filter(|disk| disk.f_blocks > 0)?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The device and inode of an open file.
pub fn device_and_inode(file: impl AsFd) -> Option<(u64, u64)> {
    // they have other types on other systems
    #[allow(clippy::unnecessary_cast)]
    rustix::fs::fstat(file).ok().map(|about| (about.st_dev as u64, about.st_ino as u64))
}

/// Sets the permission bits of a file.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The same of an open file.
pub fn set_mode_of(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Opens a file to read. A FIFO does not block.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    File::options().read(true).custom_flags(nonblocking).open(path)
}

/// Opens a directory, to lock it. `None`: this system cannot.
pub fn open_directory(path: &Path) -> io::Result<Option<File>> {
    File::open(path).map(Some)
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// An error if names in directories cannot be made durable, so that no store is possible.
pub fn can_store() -> io::Result<()> {
    Ok(())
}

/// A part of an argument.
pub fn os_string(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// Is it /dev/null? A closed standard output is replaced by that.
pub fn is_null(out: impl AsFd) -> bool {
    let about = out.as_fd().try_clone_to_owned().and_then(|out| File::from(out).metadata());
    let (Ok(about), Ok(null)) = (about, fs::metadata("/dev/null")) else { return false };
    about.file_type().is_char_device() && about.rdev() == null.rdev()
}
