//! [`Reset`]: selects what is removed.

/// Selects what is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// Client Identifiers with this prefix; both fields `None`: everything.
    pub clients: Option<String>,
    /// Topics with this prefix.
    pub topics: Option<String>,
}

impl Reset {
    /// Is everything removed?
    pub(super) fn is_all(&self) -> bool {
        self.clients.is_none() && self.topics.is_none()
    }

    /// Is this client removed?
    pub(super) fn has_client(&self, name: &str) -> bool {
        self.is_all() || self.clients.as_ref().is_some_and(|prefix| name.starts_with(prefix))
    }

    /// Is this topic removed?
    pub(super) fn has_topic(&self, name: &str) -> bool {
        self.is_all() || self.topics.as_ref().is_some_and(|prefix| name.starts_with(prefix))
    }
}
