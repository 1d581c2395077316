//! [`KeptWill`]: the Will of a connected client without a stored session.

use super::session::{Place, due_cost};
use crate::{
    session::StoredWill,
    types::{ClientId, UserName},
};

/// The Will of a connected client without a stored session.
#[derive(Debug)]
pub(crate) struct KeptWill {
    pub(crate) client: ClientId,
    pub(crate) user: Option<UserName>,
    pub(crate) will: StoredWill,
    pub(crate) place: Place,
}

impl KeptWill {
    /// Approximate bytes of its record.
    pub(crate) fn cost(&self) -> u64 {
        let user = self.user.as_ref().map_or(0, |user| 2 + user.as_str().len());
        due_cost(&self.will) + (self.client.as_str().len() + user) as u64
    }
}
