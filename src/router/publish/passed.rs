//! Messages that passed a ring of brokers: a bridge names its broker in a User Property of each sent message (MQTT 5),
//! and a broker with bridges drops messages that name itself.

use crate::{codec::Properties, router::Router};

/// The User Property with the name of a broker that a message passed.
pub const PASSED: &str = "dunlin-via";

impl Router {
    /// This broker has bridges, which send messages with this name. The first name stays.
    pub fn set_bridge_name(&self, name: &str) {
        let _ = self.bridge_name.set(name.into());
    }

    /// Did a bridge of this broker send the message with these properties to another broker before?
    #[inline]
    pub(crate) fn has_passed_here(&self, properties: &Properties<'_>) -> bool {
        self.bridge_name
            .get()
            .is_some_and(|name| properties.user().any(|(key, value)| key == PASSED && *value == **name))
    }
}
