//! The origins of the values of a [`Config`](super::Config): [`Origins`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// For each key that is set: the file or environment variable that sets it, or [`Origins::FLAGS`]. Configurations with
/// the same values are equal, even if their origins differ.
#[derive(Clone, Default)]
pub struct Origins {
    keys: BTreeMap<String, String>,
    /// The paths that are relative to their file, as written.
    relative: BTreeMap<String, PathBuf>,
    /// The configuration file, absolute and without symbolic links.
    pub(super) file: Option<PathBuf>,
    /// The drop-in files that were read, and the directories where there may be more.
    pub(super) drop_ins: Vec<PathBuf>,
}

/// The begin of the names of environment variables.
pub(super) const PREFIX: &str = "DUNLIN_";

impl Origins {
    /// The origin of values from flags.
    pub const FLAGS: &str = "flags";

    /// The origin of a key such as `limits.max_connections`; `listener` stands for all listeners. `None`: the default.
    pub fn of(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// Does a flag or an environment variable set this key? Then no file changes it.
    pub(crate) fn is_above_files(&self, key: &str) -> bool {
        self.of(key).is_some_and(|origin| origin == Self::FLAGS || origin.starts_with(PREFIX))
    }

    pub(super) fn set(&mut self, key: &str, origin: &str) {
        self.keys.insert(key.into(), origin.into());
        self.relative.remove(key);
    }

    pub(super) fn set_relative(&mut self, key: &str, written: &str) {
        self.relative.insert(key.into(), written.into());
    }

    /// A key has the origin that it has in `other`.
    pub(crate) fn keep(&mut self, key: &str, other: &Self) {
        match other.keys.get(key) {
            Some(origin) => _ = self.keys.insert(key.into(), origin.clone()),
            None => _ = self.keys.remove(key),
        }
        match other.relative.get(key) {
            Some(path) => _ = self.relative.insert(key.into(), path.clone()),
            None => _ = self.relative.remove(key),
        }
    }

    /// The path of a key as written, if it is relative to its file. Earlier versions took it as relative to the working
    /// directory.
    pub fn relative(&self, key: &str) -> Option<&Path> {
        self.relative.get(key).map(PathBuf::as_path)
    }

    /// The configuration file, absolute and without symbolic links. `None`: there is none, or it cannot be read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The drop-in files that were read, and the directories where there may be more.
    pub fn drop_ins(&self) -> &[PathBuf] {
        &self.drop_ins
    }

    /// Each origin with its keys, in alphabetical order.
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
