//! Where the values of a [`Config`](super::Config) come from: [`Origins`].

use std::collections::BTreeMap;

/// For each key that is set, the file that sets it, or [`Origins::FLAGS`]. Two configurations with the same values are equal,
/// wherever these come from.
#[derive(Clone, Default)]
pub struct Origins(BTreeMap<String, String>);

impl Origins {
    /// Where a flag or an environment variable says so.
    pub const FLAGS: &str = "flags and variables";

    /// Where the value of a key such as `limits.max_connections` comes from; `listener` for the listeners altogether.
    /// `None`: it is the default.
    pub fn of(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn set(&mut self, key: &str, origin: &str) {
        self.0.insert(key.into(), origin.into());
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
