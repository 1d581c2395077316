//! [`Reset`]: what is forgotten.

/// What is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// Client Identifiers with this prefix, and topics with this prefix; `None` for both: everything.
    pub clients: Option<String>,
    /// Topics with this prefix.
    pub topics: Option<String>,
}

impl Reset {
    /// Is everything forgotten?
    pub(super) fn is_all(&self) -> bool {
        self.clients.is_none() && self.topics.is_none()
    }

    /// Is a client of this name forgotten?
    pub(super) fn has_client(&self, name: &str) -> bool {
        self.is_all() || self.clients.as_ref().is_some_and(|prefix| name.starts_with(prefix))
    }

    /// Is what this topic has forgotten?
    pub(super) fn has_topic(&self, name: &str) -> bool {
        self.is_all() || self.topics.as_ref().is_some_and(|prefix| name.starts_with(prefix))
    }
}
