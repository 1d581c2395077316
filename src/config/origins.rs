//! Where the values of a [`Config`](super::Config) come from: [`Origins`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// For each key that is set, the file or environment variable that sets it, or [`Origins::FLAGS`]. Two configurations
/// with the same values are equal, wherever these come from.
#[derive(Clone, Default)]
pub struct Origins {
    keys: BTreeMap<String, String>,
    /// The paths that are relative to their file, as they are written there.
    relative: BTreeMap<String, PathBuf>,
    /// Files that were read beside the configuration, and where there may be more.
    pub(super) drop_ins: Vec<PathBuf>,
}

impl Origins {
    /// Where a flag says so.
    pub const FLAGS: &str = "flags";

    /// Where the value of a key such as `limits.max_connections` comes from; `listener` for the listeners altogether.
    /// `None`: it is the default.
    pub fn of(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    pub(super) fn set(&mut self, key: &str, origin: &str) {
        self.keys.insert(key.into(), origin.into());
        self.relative.remove(key);
    }

    pub(super) fn set_relative(&mut self, key: &str, written: &str) {
        self.relative.insert(key.into(), written.into());
    }

    /// The path that the key has as it is written, where it is relative to its file. Earlier versions took it for
    /// relative to the working directory.
    pub fn relative(&self, key: &str) -> Option<&Path> {
        self.relative.get(key).map(PathBuf::as_path)
    }

    /// The drop-in files that were read, and what changes when there are others.
    pub fn drop_ins(&self) -> &[PathBuf] {
        &self.drop_ins
    }

    /// Each origin with its keys, in the order of the alphabet.
    pub(super) fn by_origin(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut all = BTreeMap::<&str, Vec<&str>>::new();
        self.keys.iter().for_each(|(key, origin)| all.entry(origin).or_default().push(key));
        all
    }
}

impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Origins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Origins")
    }
}
