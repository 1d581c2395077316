//! What a listener says of its own: whether it serves anonymous clients, and the files of its users and rules.

use std::{path::PathBuf, sync::Arc};

use super::Policy;

/// What a listener says of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfListener {
    /// Whether clients are let in that give no user name; `None`: as for all.
    pub allow_anonymous: Option<bool>,
    /// Its users and rules.
    pub files: OwnFiles,
}

/// Files in place of those of all listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFiles {
    /// Its users.
    pub password_file: Option<PathBuf>,
    /// Its rules.
    pub acl_file: Option<PathBuf>,
}

impl OwnFiles {
    /// Does it have none of its own?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Policy {
    /// The policy of a listener with these files: this one, or one of its own.
    pub(super) fn of_listener(self: &Arc<Self>, files: &OwnFiles) -> Arc<Self> {
        // one that opened since is as all the others, until the next reload has read its files
        let own = self.own.iter().find(|(known, _)| known == files && !files.is_empty());
        own.map_or(self, |(_, policy)| policy).clone()
    }

    /// This one and those of listeners.
    pub(super) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.own.iter().map(|(_, policy)| &**policy))
    }
}
