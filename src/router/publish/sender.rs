//! [`Sender`]: the publisher of a message. [`Publisher`]: its rights.

use std::sync::Arc;

use super::super::sessions::Access;
use crate::types::{ClientId, UserName};

/// The publisher of a message.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) user: Option<&'a UserName>,
}

/// The rights of the publisher of a message.
#[derive(Default)]
pub(crate) struct Publisher {
    /// `None`: it may do everything.
    pub(crate) access: Option<Arc<Access>>,
    /// May it publish to the topic, if that was asked elsewhere?
    pub(crate) may: Option<bool>,
}
