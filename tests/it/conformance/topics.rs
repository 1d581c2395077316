//! Section 4.7: valid Topic Names and Topic Filters. `topics_match` tests matching.

use crate::support::raw::{Connect, Message, subscribe, unsubscribe};

#[test]
fn mqtt_4_7_1_1_wildcards_are_for_filters_alone() {
    let case = case!();
    case.client("sub").subscribe(&[(&case.topic("+/a"), 0), (&case.topic("a/#"), 0)]);
    for topic in ["+/a", "a/#", "#", "+"] {
        case.assert_closes(&Message::new(topic, "payload").frame());
    }
}

#[test]
fn mqtt_4_7_1_1_will_topic_with_wildcards_is_not_accepted() {
    let case = case!();
    for topic in ["+/a", "a/#", "#", "+"] {
        let mut client = case.open();
        client.send(&Connect::new(&case.id("will")).will(&Message::new(topic, "will")).frame());
        // With or without a refusal first.
        if let Some(frame) = client.read() {
            assert_ne!(frame.body[1], 0, "{topic} was accepted");
            client.expect_closed();
        }
    }
}

#[test]
fn mqtt_4_7_1_2_multi_level_wildcard_elsewhere_than_last_and_alone_closes() {
    let case = case!();
    for bad in ["#/", "#/a", "a/#/b", "a#", "a/b#", "a/#b", "##", "a/##", "#+", "+#", "/#/", "$SYS/#/a"] {
        case.assert_closes(&subscribe(1, &[(bad, 0)]));
        case.assert_closes(&subscribe(1, &[(&case.topic("good"), 0), (bad, 0)]));
    }
}

#[test]
fn mqtt_4_7_1_3_single_level_wildcard_with_company_closes() {
    let case = case!();
    for bad in ["a+", "+a", "a/b+", "a/+b", "a/b+/c", "++", "a/++/b", "+a/b", "$SYS/a+"] {
        case.assert_closes(&subscribe(1, &[(bad, 0)]));
        case.assert_closes(&subscribe(1, &[(&case.topic("good"), 0), (bad, 0)]));
    }
}

#[test]
fn mqtt_4_7_3_1_empty_topics_and_filters_close() {
    let case = case!();
    for qos in 0..=2 {
        case.assert_closes(&Message::new("", "payload").qos(qos).id(1).frame());
        case.assert_closes(&subscribe(1, &[("", qos)]));
    }
    case.assert_closes(&subscribe(1, &[(&case.topic("good"), 0), ("", 0)]));
    case.assert_closes(&unsubscribe(1, &[""]));
}

#[test]
fn mqtt_4_7_3_1_topics_of_one_character_are_valid() {
    let case = case!();
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    for topic in ["x", "/", " ", "é"] {
        client.subscribe(&[(topic, 1)]);
        publisher.publish(Message::new(topic, &case.id("payload")).qos(1));
        client.expect_message(topic, &case.id("payload"), 1);
    }
}

#[test]
fn mqtt_4_7_3_2_null_in_topics_and_filters_closes() {
    let case = case!();
    for bad in ["\0", "a\0", "\0a", "a/\0/b", "a/\0"] {
        case.assert_closes(&Message::new(bad, "payload").frame());
        case.assert_closes(&subscribe(1, &[(bad, 0)]));
        case.assert_closes(&unsubscribe(1, &[bad]));
    }
}

#[test]
fn mqtt_4_7_3_3_longest_topic_is_served() {
    let case = case!();
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    let longest = format!("{:x<65535}", case.topic(""));
    client.subscribe(&[(&longest, 1)]);
    publisher.publish(Message::new(&longest[..65534], "shorter").qos(1));
    publisher.publish(Message::new(&longest, "longest").qos(1).retain());
    client.expect_message(&longest, "longest", 1);
    client.unsubscribe(&[&longest]);
    assert_eq!(client.subscribe_retained(&[(&longest, 0)], 1).len(), 1);
    publisher.publish(Message::new(&longest, "").qos(1).retain());
}

#[test]
fn mqtt_4_7_3_4_topics_are_not_normalized() {
    let case = case!();
    let (mut client, mut publisher) = (case.client("sub"), case.client("pub"));
    // Two spellings of one letter; case; spaces; slashes; dots; escapes.
    let pairs = [
        ("\u{E9}", "e\u{301}"),
        ("\u{212B}", "\u{C5}"),
        ("Topic", "topic"),
        (" a", "a"),
        ("a ", "a"),
        ("a/b", "a//b"),
        ("a", "a/"),
        ("./a", "a"),
        ("a/../b", "b"),
        ("%61", "a"),
        ("\u{FF0F}a", "/a"),
        ("\u{200B}a", "a"),
        ("straße", "strasse"),
    ];
    for (number, (one, two)) in pairs.into_iter().enumerate() {
        for (filter, other) in [(one, two), (two, one)] {
            let (filter, other) = (case.topic(&format!("{number}/{filter}")), case.topic(&format!("{number}/{other}")));
            client.subscribe(&[(&filter, 1)]);
            publisher.publish(Message::new(&other, "other").qos(1));
            publisher.publish(Message::new(&filter, "same").qos(1));
            client.expect_message(&filter, "same", 1);
            client.unsubscribe(&[&filter]);
        }
    }
}

#[test]
fn also_invalid_filters_of_unsubscribe_close() {
    let case = case!();
    for bad in ["#/a", "a#", "a+"] {
        case.assert_closes(&unsubscribe(1, &[bad]));
    }
}
