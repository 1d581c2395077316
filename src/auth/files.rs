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
    if let Some(mode) = readable_by_others(path) {
        let file = path.display();
        let says = "everybody on this machine may read it";
        warnings.push(format!("{key} = {file}: {says} (mode {mode:04o}); chmod o-rwx {file} takes that away"));
    }
    Ok(bytes)
}

/// The mode of a file that everybody may read.
fn readable_by_others(path: &Path) -> Option<u32> {
    const OTHERS_READ: u32 = 0o004;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & OTHERS_READ != 0).then_some(mode)
}
