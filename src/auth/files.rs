//! Reading the files that the configuration names.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use super::AuthError;

/// All of a file; the error names it by `key`.
pub(super) fn read(path: &Path, key: &'static str) -> Result<Vec<u8>, AuthError> {
    let unreadable = |reason| AuthError::Unreadable { key, file: path.display().to_string(), reason };
    let about = fs::metadata(path).map_err(unreadable)?;
    // a pipe or a device would keep whoever reloads waiting
    if !about.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    fs::read(path).map_err(unreadable)
}

/// The same for what is nobody else's business: that others may read it is a warning.
pub(super) fn read_secret(path: &Path, key: &'static str, warnings: &mut Vec<String>) -> Result<Vec<u8>, AuthError> {
    let bytes = read(path, key)?;
    warn_of_others(path, key, warnings);
    Ok(bytes)
}

/// Warns where everybody on the machine may read a file or, which is worse, write it.
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
