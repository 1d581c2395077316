//! The tree of retained messages against a map of topics that are asked one by one.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::topic::strategies::{a_filter, a_topic};

fn topic(text: &str) -> &TopicName {
    TopicName::new(text).unwrap()
}

fn matches(tree: &RetainedTree<u32>, filter: &str) -> Vec<u32> {
    let mut found = Vec::new();
    tree.for_each_match(TopicFilter::new(filter).unwrap(), |&message| found.push(message));
    found.sort();
    found
}

#[test]
fn a_topic_keeps_its_last_message() {
    let mut tree = RetainedTree::new(1);
    assert_eq!(tree.insert(topic("a/b"), 1), None);
    assert_eq!(tree.insert(topic("a/b"), 2), Some(1));
    assert_eq!((tree.get(topic("a/b")), tree.get(topic("a")), tree.len()), (Some(&2), None, 1));
    assert_eq!(tree.remove(topic("a")), None);
    assert_eq!(tree.remove(topic("a/b")), Some(2));
    assert_eq!(tree.remove(topic("a/b")), None);
    assert!(tree.is_empty());
}

#[test]
fn a_refused_retained_message_changes_nothing() {
    let mut tree = RetainedTree::new(1);
    let nodes = tree.tree.node_count();
    assert_eq!(
        tree.replace(topic("a/b/c"), |old, _| {
            assert_eq!(old, None);
            None
        }),
        None
    );
    assert_eq!((tree.tree.node_count(), tree.len(), tree.is_empty()), (nodes, 0, true));
    tree.insert(topic("a/b"), 1);
    let nodes = tree.tree.node_count();
    assert_eq!(
        tree.replace(topic("a/b"), |old, _| {
            assert_eq!(old, Some(&1));
            None
        }),
        None
    );
    assert_eq!(tree.replace(topic("a/b/c"), |_, _| None), None);
    assert_eq!((tree.tree.node_count(), tree.len(), matches(&tree, "#")), (nodes, 1, vec![1]));
    assert_eq!(tree.replace(topic("a/b"), |old, _| old.map(|old| old + 1)), Some(1));
    assert_eq!(matches(&tree, "#"), [2]);
}

#[test]
fn wildcards_find_retained_messages_as_section_4_7_requires() {
    let mut tree = RetainedTree::new(1);
    let topics = ["a", "a/b", "a/b/c", "a//c", "/a", "/", "$SYS/x", "$SYS", "b/b"];
    for (message, text) in (0..).zip(topics) {
        tree.insert(topic(text), message);
    }
    for (filter, expected) in [
        ("#", &[0, 1, 2, 3, 4, 5, 8][..]),
        ("a/#", &[0, 1, 2, 3]),
        ("a/b/c/#", &[2]),
        ("+", &[0]),
        ("+/+", &[1, 4, 5, 8]),
        ("/+", &[4, 5]),
        ("+/b/#", &[1, 2, 8]),
        ("a/+/c", &[2, 3]),
        ("+/+/+/#", &[2, 3]),
        ("$SYS/#", &[6, 7]),
        ("$SYS/+", &[6]),
        ("c/#", &[]),
    ] {
        assert_eq!(matches(&tree, filter), expected, "{filter}");
    }
}

#[test]
fn the_deepest_topic_overflows_no_stack() {
    let mut tree = RetainedTree::new(1);
    let text = "/".repeat(32_767);
    tree.insert(topic(&text), 1);
    assert_eq!(matches(&tree, "#"), [1]);
    assert_eq!(matches(&tree, &format!("+{}", "/+".repeat(32_767))), [1]);
    assert_eq!(tree.remove(topic(&text)), Some(1));
    assert_eq!(tree.tree.node_count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_equals_a_naive_map(
        steps in vec((a_topic(), prop::option::weighted(0.7, any::<u32>())), 1..100),
        filters in vec(a_filter(), 1..20),
        seed: u64,
    ) {
        let (mut tree, mut map) = (RetainedTree::new(seed), BTreeMap::new());
        for (text, message) in steps {
            match message {
                Some(message) => prop_assert_eq!(tree.insert(topic(&text), message), map.insert(text, message)),
                None => prop_assert_eq!(tree.remove(topic(&text)), map.remove(&text)),
            }
        }
        prop_assert_eq!((tree.len(), tree.is_empty()), (map.len(), map.is_empty()));
        for text in filters {
            let filter = TopicFilter::new(&text).unwrap();
            let expected = map.iter().filter(|(text, _)| filter.matches(topic(text))).map(|(_, message)| *message);
            let mut expected: Vec<_> = expected.collect();
            expected.sort();
            prop_assert_eq!(matches(&tree, &text), expected, "{}", text);
        }
        for (text, message) in map {
            prop_assert_eq!(tree.get(topic(&text)), Some(&message));
            prop_assert_eq!(tree.remove(topic(&text)), Some(message));
        }
        prop_assert_eq!(tree.tree.node_count(), 1);
    }

    /// Of the messages that are there all the time, a walk finds each once, whatever comes and goes beside them; and
    /// nothing that is not there.
    #[test]
    fn a_walk_in_steps_finds_every_lasting_topic(
        stay in vec(a_topic(), 0..20),
        others in vec((a_topic(), prop::option::weighted(0.5, Just(()))), 1..100),
        text in a_filter(),
        each in 1..4_u32,
    ) {
        let (mut tree, mut stays, mut others) = (RetainedTree::new(1), BTreeMap::new(), others.into_iter());
        for (number, text) in (1..).zip(stay) {
            tree.insert(topic(&text), number);
            stays.insert(text, number);
        }
        // changing topics have numbers of their own
        let mut number = 1_000;
        let mut change = |tree: &mut RetainedTree<u32>, count| {
            for (text, is_there) in others.by_ref().take(count).filter(|(text, _)| !stays.contains_key(text)) {
                number += 1;
                match is_there {
                    Some(()) => tree.insert(topic(&text), number),
                    None => tree.remove(topic(&text)),
                };
            }
        };
        change(&mut tree, 20);
        let filter = TopicFilter::new(&text).unwrap();
        let (mut found, mut from) = (Vec::new(), Place::default());
        loop {
            let mut steps = Steps::new(each);
            let walked = tree.walk(filter, from, &mut steps, |&message, _| {
                found.push(message);
                ControlFlow::Continue(())
            });
            let Walked::Left(place) = walked else {
                tree.unpin(from);
                break;
            };
            prop_assert_eq!(steps.taken(), each);
            tree.pin(place);
            tree.unpin(from);
            change(&mut tree, 3);
            from = place;
        }
        found.retain(|message| *message < 1_000);
        found.sort();
        let mut expected: Vec<_> =
            stays.iter().filter(|(text, _)| filter.matches(topic(text))).map(|(_, message)| *message).collect();
        expected.sort();
        prop_assert_eq!(found, expected);
        change(&mut tree, usize::MAX);
        prop_assert_eq!(tree.tree.pins(), 0);
        let mut all = Vec::new();
        for filter in ["#", "$s/#"] {
            tree.for_each_match(TopicFilter::new(filter).unwrap(), |message| all.push(*message));
        }
        prop_assert_eq!(all.len(), tree.len());
    }
}
