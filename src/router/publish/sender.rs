//! [`Sender`]: the publisher of a message.

use crate::types::{ClientId, UserName};

/// The publisher of a message.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) user: Option<&'a UserName>,
}
