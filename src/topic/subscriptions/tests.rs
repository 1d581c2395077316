//! The subscription trie against a list of filters that are asked one by one.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    topic::strategies::{a_filter, a_topic},
    types::QoS,
};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn filter(text: &str) -> &TopicFilter {
    TopicFilter::new(text).unwrap()
}

fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions::from(qos)
}

fn matches(trie: &SubscriptionTrie<u8>, topic: &str) -> Vec<(u8, QoS)> {
    let mut found = Vec::new();
    trie.for_each_match(TopicName::new(topic).unwrap(), |&subscriber, options| found.push((subscriber, options.qos)));
    found.sort();
    found
}

#[test]
fn an_identical_filter_of_the_same_subscriber_replaces_its_options() {
    for text in ["a/b", "a/+"] {
        let mut trie = SubscriptionTrie::new(1);
        let first = trie.subscribe(filter(text), 7, options(QoS::AtLeastOnce));
        assert_eq!(first.replaced, None);
        let second = trie.subscribe(filter(text), 7, options(QoS::ExactlyOnce));
        assert_eq!(second, Subscribed { id: first.id, replaced: Some(options(QoS::AtLeastOnce)) });
        assert_eq!(trie.subscribe(filter(text), 8, options(QoS::AtMostOnce)).id, first.id);
        assert_eq!((trie.len(), trie.filters()), (2, 1));
        assert_eq!(trie.options(first.id, &7), Some(options(QoS::ExactlyOnce)));
        assert_eq!(trie.filter(first.id).as_deref(), Some(text));
        assert_eq!(matches(&trie, "a/b"), [(7, QoS::ExactlyOnce), (8, QoS::AtMostOnce)]);
    }
}

#[test]
fn removing_a_missing_subscription_changes_nothing() {
    let mut trie = SubscriptionTrie::new(1);
    let deep = trie.subscribe(filter("a/b/+"), 7, options(QoS::AtMostOnce)).id;
    // A node without subscribers, a node that is not, a subscriber that is not.
    assert_eq!(trie.unsubscribe(filter("a/#"), &7), None);
    assert_eq!(trie.unsubscribe(filter("a/b"), &7), None);
    assert_eq!(trie.unsubscribe(filter("a/b/+"), &8), None);
    assert!(!trie.remove(FilterId(ROOT), &7));
    assert!(!trie.remove(FilterId(99), &7));
    assert!(!trie.remove(FilterId::exact(0), &7));
    assert!(trie.remove(deep, &7));
    assert!(!trie.remove(deep, &7));
    assert_eq!((trie.filter(deep), trie.beginning(deep), trie.len(), trie.filters()), (None, None, 0, 0));
}

#[test]
fn overlapping_filters_of_one_subscriber_are_each_named() {
    let mut trie = SubscriptionTrie::new(1);
    for (text, qos) in ["a/b", "a/+", "#"].into_iter().zip(QOS) {
        trie.subscribe(filter(text), 7, options(qos));
    }
    assert_eq!(matches(&trie, "a/b"), QOS.map(|qos| (7, qos)));
    assert_eq!(matches(&trie, "$a/b"), []);
}

/// The visited subscriptions of a walk after these steps, with changes between them.
fn walk(
    trie: &mut SubscriptionTrie<u8>,
    topic: &str,
    each: u32,
    mut meanwhile: impl FnMut(&mut SubscriptionTrie<u8>),
) -> Vec<(u8, QoS)> {
    let (mut found, mut from) = (Vec::new(), WalkPlace::default());
    loop {
        let mut steps = Steps::new(each);
        let walked = trie.walk(TopicName::new(topic).unwrap(), from, &mut steps, |&subscriber, options| {
            found.push((subscriber, options.qos));
        });
        let Walked::Left(place) = walked else {
            trie.unpin(from);
            break;
        };
        assert!(steps.taken() >= each);
        trie.pin(place);
        trie.unpin(from);
        meanwhile(trie);
        from = place;
    }
    found.sort();
    found
}

#[test]
fn a_match_that_visits_too_many_nodes_stops() {
    let mut trie = SubscriptionTrie::new(1);
    for n in 0..1 << 10 {
        let levels: Vec<_> = (0..10).map(|bit| if n >> bit & 1 == 0 { "x" } else { "+" }).collect();
        trie.subscribe(filter(&levels.join("/")), 7, options(QoS::AtMostOnce));
    }
    let topic = ["x"; 10].join("/");
    let name = TopicName::new(&topic).unwrap();
    let (mut told, most) = (0, 100);
    let Err(TooMany { visited }) = trie.match_within(name, most, |_, _| told += 1) else { panic!("not given up") };
    assert!(visited > most && visited <= 3 * most, "{visited}");
    // one of the filters has no wildcard, and no node
    assert_eq!(told, 1);
    assert_eq!(trie.match_within(name, 2_046, |_, _| told += 1), Ok(2_046));
    assert_eq!(told, 1 + (1 << 10));
    assert_eq!(walk(&mut trie, &topic, 50, |_| {}).len(), 1 << 10);
}

#[test]
fn the_deepest_topic_overflows_no_stack() {
    let mut trie = SubscriptionTrie::new(1);
    let deep = format!("{}+", "/".repeat(65_534));
    trie.subscribe(filter(&deep), 7, options(QoS::AtMostOnce));
    trie.subscribe(filter("/#"), 8, options(QoS::AtMostOnce));
    assert_eq!(matches(&trie, &"/".repeat(65_534)), [(7, QoS::AtMostOnce), (8, QoS::AtMostOnce)]);
    assert!(trie.unsubscribe(filter(&deep), &7).is_some());
    assert_eq!(trie.tree.node_count(), 3);
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(String, u8, QoS),
    Unsubscribe(String, u8),
    /// By number: the subscription at this place of the list, if it has as many.
    Remove(usize),
}

fn a_step() -> impl Strategy<Value = Step> {
    // More subscribers than a short list holds, so that some filters have a long one.
    let subscriber = || 0..24_u8;
    prop_oneof![
        6 => (a_filter(), subscriber(), prop::sample::select(QOS.to_vec()))
            .prop_map(|(filter, subscriber, qos)| Step::Subscribe(filter, subscriber, qos)),
        2 => (a_filter(), subscriber()).prop_map(|(filter, subscriber)| Step::Unsubscribe(filter, subscriber)),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::Remove(at.index(64))),
    ]
}

/// One subscription as the naive list keeps it.
type Kept = (String, u8, QoS, FilterId);

fn apply(step: Step, trie: &mut SubscriptionTrie<u8>, list: &mut Vec<Kept>) {
    match step {
        Step::Subscribe(text, subscriber, qos) => {
            let done = trie.subscribe(filter(&text), subscriber, options(qos));
            let known = list.iter_mut().find(|kept| kept.0 == text && kept.1 == subscriber);
            assert_eq!(done.replaced, known.as_ref().map(|kept| options(kept.2)));
            match known {
                Some(kept) => kept.2 = qos,
                None => list.push((text, subscriber, qos, done.id)),
            }
        }
        Step::Unsubscribe(text, subscriber) => {
            let at = list.iter().position(|kept| kept.0 == text && kept.1 == subscriber);
            let kept = at.map(|at| list.swap_remove(at));
            assert_eq!(trie.unsubscribe(filter(&text), &subscriber), kept.map(|kept| kept.3));
        }
        Step::Remove(at) if at < list.len() => {
            let (_, subscriber, _, id) = list.swap_remove(at);
            assert!(trie.remove(id, &subscriber));
            assert!(!trie.remove(id, &subscriber));
        }
        Step::Remove(_) => {}
    }
}

fn check(trie: &SubscriptionTrie<u8>, list: &[Kept]) {
    assert_eq!(trie.len(), list.len());
    assert_eq!(trie.is_empty(), list.is_empty());
    let mut filters: Vec<_> = list.iter().map(|kept| &kept.0).collect();
    filters.sort();
    filters.dedup();
    assert_eq!(trie.filters(), filters.len());
    for (text, subscriber, qos, id) in list {
        assert_eq!(trie.filter(*id).as_ref(), Some(text));
        assert_eq!(trie.id(filter(text)), Some(*id));
        let levels: Vec<_> = text.split('/').take_while(|level| !["+", "#"].contains(level)).collect();
        let beginning = match levels[..] {
            _ if !filter(text).has_wildcard() => Beginning::Whole(text),
            [] => Beginning::Nothing,
            [first] => Beginning::Level(first),
            [first, second, ..] => Beginning::Levels(first, second),
        };
        assert_eq!(trie.beginning(*id), Some(beginning));
        assert_eq!(trie.options(*id, subscriber), Some(options(*qos)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_equals_a_naive_matcher(
        steps in vec(a_step(), 1..200),
        topics in vec(a_topic(), 1..20),
        seed: u64,
    ) {
        let mut trie = SubscriptionTrie::new(seed);
        let mut list = Vec::new();
        for step in steps {
            apply(step, &mut trie, &mut list);
        }
        check(&trie, &list);
        for topic in topics {
            let name = TopicName::new(&topic).unwrap();
            let expected = list.iter().filter(|kept| filter(&kept.0).matches(name)).map(|kept| (kept.1, kept.2));
            let mut expected: Vec<_> = expected.collect();
            expected.sort();
            prop_assert_eq!(matches(&trie, &topic), expected.as_slice(), "{}", topic);
            prop_assert_eq!(walk(&mut trie, &topic, 1, |_| {}), expected, "{} in steps", topic);
        }
        for (_, subscriber, _, id) in list.drain(..) {
            prop_assert!(trie.remove(id, &subscriber));
        }
        check(&trie, &list);
        prop_assert_eq!((trie.tree.node_count(), trie.exact.len()), (1, 0));
    }

    #[test]
    fn a_filter_of_many_subscribers_equals_a_map(steps in vec((0..24_u8, 0..4_usize), 1..400), wildcard: bool) {
        let text = if wildcard { "a/+" } else { "a/b" };
        let (mut trie, mut list) = (SubscriptionTrie::new(1), Vec::new());
        for (subscriber, what) in steps {
            let step = match QOS.get(what) {
                Some(&qos) => Step::Subscribe(text.to_owned(), subscriber, qos),
                None => Step::Unsubscribe(text.to_owned(), subscriber),
            };
            apply(step, &mut trie, &mut list);
        }
        check(&trie, &list);
        let mut expected: Vec<_> = list.iter().map(|kept| (kept.1, kept.2)).collect();
        expected.sort();
        prop_assert_eq!(matches(&trie, "a/b"), expected);
    }

    /// Of the subscriptions that are there all the time, a walk misses none and tells none twice, whatever comes and
    /// goes beside them.
    #[test]
    fn a_walk_in_steps_visits_every_lasting_subscription(
        stay in vec((a_filter(), 0..8_u8), 1..30),
        others in vec(a_step(), 1..100),
        topic in a_topic(),
        each in 1..4_u32,
    ) {
        let (mut trie, mut list) = (SubscriptionTrie::new(1), Vec::new());
        for (text, subscriber) in stay {
            apply(Step::Subscribe(text, 100 + subscriber, QoS::AtLeastOnce), &mut trie, &mut list);
        }
        let name = TopicName::new(&topic).unwrap();
        let mut expected: Vec<_> = list.iter().filter(|kept| filter(&kept.0).matches(name)).map(|kept| kept.1).collect();
        expected.sort();
        let (mut others, mut others_list) = (others.into_iter(), Vec::new());
        for step in others.by_ref().take(20) {
            apply(step, &mut trie, &mut others_list);
        }
        let found = walk(&mut trie, &topic, each, |trie| {
            others.by_ref().take(3).for_each(|step| apply(step, trie, &mut others_list));
        });
        let found: Vec<_> = found.into_iter().map(|(subscriber, _)| subscriber).filter(|s| *s >= 100).collect();
        prop_assert_eq!(found, expected);
        for (_, subscriber, _, id) in list.drain(..).chain(others_list) {
            prop_assert!(trie.remove(id, &subscriber));
        }
        prop_assert_eq!((trie.tree.node_count(), trie.tree.pins()), (1, 0));
    }
}
