//! Random topics and filters for the tests of both indexes.

use proptest::{collection::vec, prelude::*};

use super::{TopicFilter, TopicName};

/// Topic Names with few levels, so that filters and topics match often.
pub(super) fn a_topic() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "$s"]);
    vec(level, 1..5).prop_map(|levels| levels.join("/")).prop_filter("a topic", |text| TopicName::new(text).is_ok())
}

/// Like [`a_topic`], with more wildcards than a client would send.
pub(super) fn a_filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "$s", "+", "+"]);
    let last = prop::sample::select(vec!["a", "", "+", "#"]);
    (vec(level, 0..4), last)
        .prop_map(|(mut levels, last)| {
            levels.push(last);
            levels.join("/")
        })
        .prop_filter("a filter", |text| TopicFilter::new(text).is_ok())
}
