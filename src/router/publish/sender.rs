//! [`Sender`]: the publisher of a message.

use crate::types::{ClientId, UserName};

/// Who publishes a message.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) user: Option<&'a UserName>,
}
