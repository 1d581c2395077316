//! The published message of a Will.

use std::time::{Duration, Instant};

use super::super::{Message, StoredWill};
use crate::{topic::TopicName, types::QoS};

#[test]
fn its_message_expiry_interval_counts_from_its_publication() {
    let message = Message::new(TopicName::new("t").unwrap(), b"gone", QoS::AtLeastOnce);
    let will = StoredWill { message, retain: true, delay: 5, expiry: Some(60) };
    let (published, second) = (Instant::now() + Duration::from_secs(1_000), Duration::from_secs(1));
    let outgoing = will.outgoing(published);
    assert!(outgoing.retain);
    assert!(!outgoing.message().is_expired(published + 59 * second));
    assert!(outgoing.message().is_expired(published + 60 * second));
    assert!(!will.message.is_expired(published + 60 * second), "it may be published once more");
    let lasting = StoredWill { expiry: None, ..will };
    assert!(!lasting.outgoing(published).message().is_expired(published + u32::MAX * second));
}
