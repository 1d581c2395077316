//! Section 4.7: which filters match which topics.

use super::case::Case;
use crate::support::raw::{Client, Message};

/// Publishes to each topic and returns those that reach a subscriber of the filter; both below a prefix of their own.
fn matched<'a>(case: &Case, prefix: &str, filter: &str, topics: &[&'a str]) -> Vec<&'a str> {
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    let marker = case.topic("marker");
    client.subscribe(&[(&format!("{prefix}{filter}"), 1), (&marker, 1)]);
    for topic in topics {
        publisher.publish(Message::new(&format!("{prefix}{topic}"), topic).qos(1));
    }
    publisher.publish(Message::new(&marker, &marker).qos(1));
    let mut found = Vec::new();
    loop {
        let message = client.take();
        if message.topic == marker {
            return found;
        }
        // Filters that begin with a wildcard see the topics of other tests as well.
        let known = topics.iter().find(|topic| message.topic == format!("{prefix}{topic}"));
        match known {
            Some(topic) if message.text() == *topic => found.push(*topic),
            _ => assert!(prefix.is_empty(), "{message:?} came for {filter}"),
        }
    }
}

const TOPICS: [&str; 16] =
    ["a", "b", "a/b", "a/c", "a/b/c", "a/b/d", "b/b", "/", "/a", "a/", "a//", "a//c", "//", "//a", "aa", "a/b/c/d"];

#[track_caller]
fn assert_matches(case: &Case, filter: &str, expected: &[&str]) {
    let prefix = case.topic("");
    assert_eq!(matched(case, &prefix, filter, &TOPICS), expected, "{filter}");
}

#[test]
fn mqtt_4_7_1_2_multi_level_wildcard_matches_any_number_of_levels() {
    let case = case_apart!();
    assert_matches(&case, "#", &TOPICS);
    assert_matches(&case, "a/#", &["a", "a/b", "a/c", "a/b/c", "a/b/d", "a/", "a//", "a//c", "a/b/c/d"]);
    assert_matches(&case, "a/b/#", &["a/b", "a/b/c", "a/b/d", "a/b/c/d"]);
    assert_matches(&case, "/#", &["/", "/a", "//", "//a"]);
    assert_matches(&case, "a//#", &["a/", "a//", "a//c"]);
    assert_matches(&case, "a/b/c/d/e/#", &[]);
}

#[test]
fn mqtt_4_7_1_3_single_level_wildcard_matches_one_level() {
    let case = case_apart!();
    assert_matches(&case, "+", &["a", "b", "aa"]);
    assert_matches(&case, "a/+", &["a/b", "a/c", "a/"]);
    assert_matches(&case, "+/b", &["a/b", "b/b"]);
    assert_matches(&case, "+/+", &["a/b", "a/c", "b/b", "/", "/a", "a/"]);
    assert_matches(&case, "a/+/c", &["a/b/c", "a//c"]);
    assert_matches(&case, "/+", &["/", "/a"]);
    assert_matches(&case, "+/", &["/", "a/"]);
    assert_matches(
        &case,
        "+/+/#",
        &["a/b", "a/c", "a/b/c", "a/b/d", "b/b", "/", "/a", "a/", "a//", "a//c", "//", "//a", "a/b/c/d"],
    );
    assert_matches(&case, "+/b/#", &["a/b", "a/b/c", "a/b/d", "b/b", "a/b/c/d"]);
}

#[test]
fn also_topics_without_wildcards_match_themselves() {
    let case = case_apart!();
    for topic in TOPICS {
        assert_matches(&case, topic, &[topic]);
    }
}

#[test]
fn also_leading_wildcards_match_the_first_level() {
    let case = case_apart!();
    let name = case.topic("x");
    let below = name.split_once('/').expect("a topic of two levels").0;
    let slashed = format!("/{below}/x");
    let topics = [name.as_str(), &slashed, below];
    assert_eq!(matched(&case, "", "#", &topics), topics);
    assert_eq!(matched(&case, "", "+/x", &topics), [name.as_str()]);
    assert_eq!(matched(&case, "", "+/+", &topics), [name.as_str()]);
    assert_eq!(matched(&case, "", "+/+/x", &topics), [slashed.as_str()]);
    assert_eq!(matched(&case, "", "/+/x", &topics), [slashed.as_str()]);
    assert_eq!(matched(&case, "", "+", &topics), [below]);
    assert_eq!(matched(&case, "", "+/#", &topics), topics);
}

#[test]
fn mqtt_4_7_2_1_leading_wildcards_do_not_match_dollar_topics() {
    let case = case_apart!();
    let topic = format!("${}", case.topic("a"));
    let root = topic.split_once('/').expect("a topic of two levels").0;
    for filter in ["#", "+/#", "+/a", "+/+"] {
        assert_eq!(matched(&case, "", filter, &[&topic]), [""; 0], "{filter}");
    }
    assert_eq!(matched(&case, "", "+", &[root]), [""; 0]);
    // Named by its first level it is a topic as any other.
    for filter in [topic.clone(), format!("{root}/#"), format!("{root}/+")] {
        assert_eq!(matched(&case, "", &filter, &[&topic]), [topic.as_str()], "{filter}");
    }
}

#[test]
fn mqtt_4_7_2_1_leading_wildcards_do_not_match_retained_dollar_topics() {
    let case = case_apart!();
    let topic = format!("${}", case.topic("a"));
    case.client("pub").publish(Message::new(&topic, "stored").qos(1).retain());
    let mut client = case.client("sub");
    for filter in ["#", "+/a", "+/#"] {
        assert!(!retained_before_marker(&case, &mut client, filter).contains(&topic), "{filter}");
    }
    assert_eq!(case.retained(&topic, 1).len(), 1);
    case.client("pub").publish(Message::new(&topic, "").qos(1).retain());
}

/// The topics of all that comes for a new subscription to `filter`, until a marker that is published after it.
fn retained_before_marker(case: &Case, client: &mut Client, filter: &str) -> Vec<String> {
    let marker = case.topic("marker");
    // At QoS 0, so that other tests' messages need no acknowledgement, in one SUBSCRIBE, so that the order is known.
    client.send(&crate::support::raw::subscribe(9, &[(filter, 0), (&marker, 0)]));
    let mut found = Vec::new();
    while let Some(message) = client.expect_any().message() {
        found.push(message.topic);
    }
    case.client("marking").publish(Message::new(&marker, "marker"));
    loop {
        let message = client.receive();
        if message.topic == marker {
            break;
        }
        found.push(message.topic);
    }
    client.send(&crate::support::raw::unsubscribe(10, &[filter, &marker]));
    while client.expect_any().message().is_some() {}
    found
}

#[test]
fn also_dollar_within_a_topic_is_a_letter() {
    let case = case_apart!();
    let prefix = case.topic("");
    let topics = ["$a", "b/$a", "$"];
    assert_eq!(matched(&case, &prefix, "#", &topics), topics);
    assert_eq!(matched(&case, &prefix, "+", &topics), ["$a", "$"]);
    assert_eq!(matched(&case, &prefix, "+/+", &topics), ["b/$a"]);
}
