//! [`Asking`]: what is known about the rights that a client's packet needs, if another service is asked about them.

/// The rights that a client's packet needs.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The packet waits for an answer.
    pub(super) waits: bool,
    /// The answers about the packet, as far as they are known: one for each filter of a SUBSCRIBE.
    pub(super) answers: Vec<Option<bool>>,
}
