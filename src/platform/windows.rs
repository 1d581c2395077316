//! The names of `unix` on Windows. What Windows lacks is an error that names it, or has no effect if it only restricts
//! others: modes and owners of files, locks of directories.

use std::{
    convert::Infallible,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener},
    ops::BitOr,
    os::windows::{
        fs::{FileExt as _, MetadataExt as _},
        io::{AsSocket, BorrowedSocket},
    },
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::fd::AsFd;
use socket2::{SockAddr, Socket};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("{what} needs Linux or macOS"))
}

/// Files without modes and owners.
pub trait OpenOptionsExt {
    /// Without effect.
    fn mode(&mut self, _: u32) -> &mut Self;
}

impl OpenOptionsExt for fs::OpenOptions {
    fn mode(&mut self, _: u32) -> &mut Self {
        self
    }
}

/// Directories without modes.
pub trait DirBuilderExt {
    /// Without effect.
    fn mode(&mut self, _: u32) -> &mut Self;
}

impl DirBuilderExt for fs::DirBuilder {
    fn mode(&mut self, _: u32) -> &mut Self {
        self
    }
}

/// Permissions without a mode.
pub trait PermissionsExt {
    /// The mode of a private file.
    fn mode(&self) -> u32;
}

impl PermissionsExt for fs::Permissions {
    fn mode(&self) -> u32 {
        0o600
    }
}

/// Kinds of files that Windows lacks.
pub trait FileTypeExt {
    /// `false`.
    fn is_socket(&self) -> bool;
}

impl FileTypeExt for fs::FileType {
    fn is_socket(&self) -> bool {
        false
    }
}

/// Facts about a file. All files seem to have the same device, inode and owner.
#[allow(missing_docs)]
pub trait MetadataExt {
    fn dev(&self) -> u64 {
        0
    }
    fn ino(&self) -> u64 {
        0
    }
    fn nlink(&self) -> u64 {
        1
    }
    fn uid(&self) -> u32 {
        0
    }
    fn gid(&self) -> u32 {
        0
    }
    fn mode(&self) -> u32 {
        0o600
    }
    fn mtime_nsec(&self) -> i64 {
        0
    }
    fn ctime_nsec(&self) -> i64 {
        0
    }
    /// In the system's unit.
    fn mtime(&self) -> i64;
    fn ctime(&self) -> i64;
}

impl MetadataExt for fs::Metadata {
    fn mtime(&self) -> i64 {
        self.last_write_time().cast_signed()
    }
    fn ctime(&self) -> i64 {
        self.creation_time().cast_signed()
    }
}

/// Reads and writes at an offset.
#[allow(missing_docs)]
pub trait FileExt {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
}

impl FileExt for File {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.seek_read(to, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.seek_write(bytes, offset)
    }
}

/// Without effect.
pub fn fchown(_: &File, _: Option<u32>, _: Option<u32>) -> io::Result<()> {
    Ok(())
}

/// A right to a file. Windows checks it when the file is opened.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug)]
pub struct Access;

#[allow(missing_docs)]
impl Access {
    pub const READ_OK: Self = Self;
    pub const WRITE_OK: Self = Self;
    pub const EXEC_OK: Self = Self;
}

impl BitOr for Access {
    type Output = Self;
    fn bitor(self, _: Self) -> Self {
        self
    }
}

/// Not checked.
pub fn access(_: &Path, _: Access) -> rustix::io::Result<()> {
    Ok(())
}

/// How a file is locked.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug)]
pub enum FlockOperation {
    LockExclusive,
    Unlock,
    NonBlockingLockShared,
    NonBlockingLockExclusive,
}

/// Without effect.
pub fn flock(_: &File, _: FlockOperation) -> rustix::io::Result<()> {
    Ok(())
}

/// The name of this machine; "" if it is unknown.
pub fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// The owner and group that all files seem to have.
pub fn user_and_group() -> (u32, u32) {
    (0, 0)
}

/// The user of this process.
pub fn user() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "an unknown user".into())
}

/// Unknown.
pub fn processor_time() -> Option<f64> {
    None
}

/// Without limit.
pub fn most_open_files() -> Option<u64> {
    None
}

/// Unknown.
pub fn room(_: &Path) -> Option<u64> {
    None
}

/// Unknown.
pub fn device_and_inode<F>(_: F) -> Option<(u64, u64)> {
    None
}

/// Without effect.
pub fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Without effect.
pub fn set_mode_of(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

/// Opens a file to read.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Directories cannot be locked.
pub fn open_directory(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// Without effect.
pub fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Directories cannot be synced.
pub fn can_store() -> io::Result<()> {
    let problem = "data_dir needs Linux or macOS; without it, everything is in memory";
    Err(io::Error::new(io::ErrorKind::Unsupported, problem))
}

/// A part of an argument.
pub fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Unknown.
pub fn is_null<F>(_: F) -> bool {
    false
}

/// Waits for connections on a listening socket. tokio reports them for streams only, so a stream owns a copy of the
/// socket.
#[derive(Debug)]
pub struct AsyncFd<S> {
    socket: S,
    copy: TcpStream,
}

/// See [`AsyncFd`].
pub fn when_readable<S: AsFd>(socket: S) -> io::Result<AsyncFd<S>> {
    let copy = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?);
    Ok(AsyncFd { copy: TcpStream::from_std(copy)?, socket })
}

/// A connection may be waiting.
#[derive(Debug)]
pub struct Ready<'a, S>(&'a AsyncFd<S>);

/// No connection is waiting.
#[derive(Debug)]
pub struct WouldBlock;

impl<S> AsyncFd<S> {
    /// Waits for a connection.
    pub async fn readable(&self) -> io::Result<Ready<'_, S>> {
        self.copy.readable().await?;
        Ok(Ready(self))
    }

    /// The socket.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }
}

impl<S> Ready<'_, S> {
    /// Tries an operation that does not block.
    pub fn try_io<R>(
        &mut self,
        operation: impl FnOnce(&AsyncFd<S>) -> io::Result<R>,
    ) -> Result<io::Result<R>, WouldBlock> {
        match self.0.copy.try_io(Interest::READABLE, || operation(self.0)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(WouldBlock),
            done => Ok(done),
        }
    }
}

/// Accepts a connection: a socket that does not block, with the address of the client.
pub(crate) fn accept_from(socket: &TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (accepted, address) = socket.accept()?;
    // neither is inherited
    accepted.set_nonblocking(true)?;
    accepted.set_nodelay(true)?;
    Ok((accepted, address))
}

/// Without effect: on Windows two listeners would share the address. A new one may have that of one that ended.
pub fn reuse_address(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// An error.
pub fn unix_socket() -> io::Result<Socket> {
    Err(unsupported("a Unix socket"))
}

/// An error.
pub fn unix_listener(_: Socket) -> io::Result<UnixListener> {
    Err(unsupported("a Unix socket"))
}

/// Never called with an address of a Unix socket.
pub fn unix_path(_: &SockAddr) -> PathBuf {
    PathBuf::new()
}

/// Never exists: every function that would make one is an error.
#[derive(Debug)]
pub struct UnixListener(Infallible);

impl AsSocket for UnixListener {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        match self.0 {}
    }
}

/// Never called.
pub(crate) fn accept(socket: &UnixListener) -> rustix::io::Result<UnixStream> {
    match socket.0 {}
}

/// Never exists: every function that would make one is an error.
#[derive(Debug)]
pub struct UnixStream(Infallible);

#[allow(missing_docs)]
impl UnixStream {
    pub fn connect(_: impl AsRef<Path>) -> io::Result<Self> {
        Err(unsupported("a Unix socket"))
    }
}

impl Read for UnixStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for UnixStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }
    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

/// Never exists: every function that would make one is an error.
#[derive(Debug)]
pub struct UnixDatagram(Infallible);

#[allow(missing_docs)]
impl UnixDatagram {
    pub fn unbound() -> io::Result<Self> {
        Err(unsupported("syslog"))
    }
    pub fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        match self.0 {}
    }
    pub fn send_to(&self, _: &[u8], _: impl AsRef<Path>) -> io::Result<usize> {
        match self.0 {}
    }
}

/// Never exists: every function that would make one is an error.
#[derive(Debug)]
pub struct AsyncUnixListener(Infallible);

#[allow(missing_docs)]
impl AsyncUnixListener {
    pub fn from_std(listener: UnixListener) -> io::Result<Self> {
        match listener.0 {}
    }
    pub async fn accept(&self) -> io::Result<(AsyncUnixStream, ())> {
        match self.0 {}
    }
}

/// Never exists: every function that would make one is an error.
#[derive(Debug)]
pub struct AsyncUnixStream(Infallible);

#[allow(missing_docs)]
impl AsyncUnixStream {
    pub fn from_std(stream: UnixStream) -> io::Result<Self> {
        match stream.0 {}
    }
}

impl AsyncRead for AsyncUnixStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for AsyncUnixStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
