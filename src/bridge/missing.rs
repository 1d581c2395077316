//! [`Missing`]: retained messages that came from the other broker and are missing there, found at each connect
//! (`clear_missing_retained`). The other broker sends what it retains behind SUBACK, and the answer to a PINGREQ behind
//! that. (MQTT does not promise this order; brokers have it.)

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

/// The topics, as they are called here, of retained messages that the other broker sent on this connection.
#[derive(Default)]
pub(super) struct Missing {
    sent: HashSet<u64>,
    random: RandomState,
    /// PINGRESPs until it has sent all; `None`: not all SUBACKs have come.
    answers: Option<u8>,
}

impl Missing {
    /// A retained message came for this topic.
    pub(super) fn came(&mut self, here: &str) {
        self.sent.insert(self.random.hash_one(here));
    }

    /// All SUBACKs have come; `pinged`: the answer to a PINGREQ is due. `true`: one more is to be sent.
    pub(super) fn asks(&mut self, pinged: bool) -> bool {
        let is_first = self.answers.is_none();
        if is_first {
            self.answers = Some(1 + u8::from(pinged));
        }
        is_first
    }

    /// PINGRESP came: how many more are due until all was sent. `None`: it is not asked yet.
    pub(super) fn answered(&mut self) -> Option<u8> {
        let answers = self.answers.as_mut()?;
        *answers = answers.saturating_sub(1);
        Some(*answers)
    }

    /// Was no retained message sent for this topic?
    pub(super) fn has_not(&self, here: &str) -> bool {
        !self.sent.contains(&self.random.hash_one(here))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_an_earlier_ping_is_not_the_end() {
        let mut missing = Missing::default();
        assert_eq!(missing.answered(), None);
        missing.came("a");
        assert!(missing.asks(true) && !missing.asks(true));
        assert_eq!((missing.answered(), missing.answered()), (Some(1), Some(0)));
        assert!(missing.has_not("b") && !missing.has_not("a"));
    }
}
