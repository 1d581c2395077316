//! The names under which events are reported to webhooks, to readers of the admin API and as messages.

use super::{
    super::ports::EventKinds,
    events::{Happened, What},
};
use crate::types::Told;

impl EventKinds {
    /// The kind of the events that have this name.
    pub const fn of(told: Told) -> Self {
        match told {
            Told::ClientConnected => Self::CONNECT,
            Told::ClientDisconnected => Self::DISCONNECT,
            Told::ClientRefused => Self::REFUSE,
            Told::ClientBanned => Self::BAN,
            Told::ClientSubscribed => Self::SUBSCRIBE,
            Told::ClientUnsubscribed => Self::UNSUBSCRIBE,
            Told::SessionExpired => Self::SESSION_EXPIRED,
            Told::MessagePublished => Self::PUBLISH,
            Told::MessageDelivered => Self::DELIVER,
            Told::MessageAcknowledged => Self::ACKNOWLEDGE,
            Told::MessageDropped => Self::DROP,
            Told::WillPublished => Self::WILL,
            Told::BrokerStarted => Self::START,
            Told::BrokerStopping => Self::STOP,
            Told::StoreCondition => Self::STORE,
            Told::BridgeUp | Told::BridgeDown => Self::BRIDGE,
        }
    }
}

impl Happened {
    /// Its name; `None`: it is for measurements only.
    pub fn told(&self) -> Option<Told> {
        let is_it = |told: Told| match &self.what {
            What::Bridge { down, .. } => down.is_some() == (told == Told::BridgeDown),
            _ => true,
        };
        let mut all = Told::WORDS.iter().map(|(_, told)| *told);
        all.find(|told| EventKinds::of(*told) == self.kind && is_it(*told))
    }
}
