//! The settings of one listener: whether it accepts anonymous clients, and the files of its users and rules.

use std::{path::PathBuf, sync::Arc};

use super::Policy;

/// The settings of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfListener {
    /// Are clients without a user name accepted? `None`: by the general setting.
    pub allow_anonymous: Option<bool>,
    /// Its users and rules.
    pub files: OwnFiles,
}

/// Files that replace the general ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFiles {
    /// Its users.
    pub password_file: Option<PathBuf>,
    /// Its rules.
    pub acl_file: Option<PathBuf>,
}

impl OwnFiles {
    /// Are there none?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Policy {
    /// The policy of a listener with these files: this one, or a separate one.
    pub(super) fn of_listener(self: &Arc<Self>, files: &OwnFiles) -> Arc<Self> {
        // a listener that was opened since uses this one until the next reload has read its files
        let own = self.own.iter().find(|(known, _)| known == files && !files.is_empty());
        own.map_or(self, |(_, policy)| policy).clone()
    }

    /// This one and those of listeners.
    pub(super) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.own.iter().map(|(_, policy)| &**policy))
    }
}
