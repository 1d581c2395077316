//! Reads the files of the configuration.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use super::AuthError;
use crate::platform::{self, PermissionsExt};

/// Reads a whole file. The error names it by `key`.
pub(super) fn read(path: &Path, key: &'static str) -> Result<Vec<u8>, AuthError> {
    let mut bytes = Vec::new();
    let read = open_regular(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|reason| AuthError::Unreadable { key, file: path.display().to_string(), reason })?;
    Ok(bytes)
}

/// The same for a file that must not be empty: an empty one is incomplete or a mistake.
pub(super) fn read_not_empty(path: &Path, key: &'static str) -> Result<Vec<u8>, AuthError> {
    let bytes = read(path, key)?;
    match bytes.is_empty() {
        false => Ok(bytes),
        true => Err(AuthError::Setting {
            key,
            problem: format!(
                "{} is empty (0 bytes), a program may be writing it; a file without entries needs one line that \
                 begins with #",
                path.display()
            ),
        }),
    }
}

/// Opens a regular file. Others are refused: a FIFO would block the reader.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let refused = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    // opening some devices has effects
    if !fs::metadata(path)?.is_file() {
        return Err(refused());
    }
    // it may have been replaced by a FIFO meanwhile
    let file = platform::open_without_waiting(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused()) }
}

/// Reads a file with secrets: warns if others may read it.
pub(super) fn read_secret(path: &Path, key: &'static str, warnings: &mut Vec<String>) -> Result<Vec<u8>, AuthError> {
    let bytes = read(path, key)?;
    warn_of_others(path, key, warnings);
    Ok(bytes)
}

/// Warns if all users of the machine may read a file or, worse, write it.
pub(super) fn warn_of_others(path: &Path, key: &'static str, warnings: &mut Vec<String>) {
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_WRITE: u32 = 0o002;
    let Ok(about) = fs::metadata(path) else { return };
    let mode = about.permissions().mode() & 0o7777;
    let may = match (mode & OTHERS_READ != 0, mode & OTHERS_WRITE != 0) {
        (false, false) => return,
        (true, false) => "read",
        (false, true) => "write",
        (true, true) => "read and write",
    };
    let file = path.display();
    let says = format!("everybody on this machine may {may} it");
    warnings.push(format!("{key} = {file}: {says} (mode {mode:04o}); chmod o-rwx {file} takes that away"));
}
