//! Cached matches, compared with a plain list of subscriptions.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::{matches::Generations, *};
use crate::{
    router::SlotRef,
    session::{Expiry, Session},
    topic::{Beginning, FilterId, Steps, TopicFilter, TopicName},
    types::{QoS, SubscriptionOptions},
};

fn filter(text: &str) -> &TopicFilter {
    TopicFilter::new(text).unwrap()
}

fn topic(text: &str) -> &TopicName {
    TopicName::new(text).unwrap()
}

/// The match; checks that matching in steps gives the same.
fn matching(subscriptions: &Subscriptions, cache: &mut MatchCache, text: &str) -> Arc<Matched> {
    let (matched, _) = subscriptions.matching(cache, topic(text), usize::MAX).unwrap();
    let mut matching = subscriptions.begin_matching(topic(text));
    let mut steps = Steps::new(0);
    while !subscriptions.go_on_matching(&mut matching, topic(text), &mut steps) {
        steps = Steps::new(2);
    }
    let in_steps = matching.finish(topic(text));
    assert!(subscriptions.is_fresh(&in_steps));
    let sorted = |matched: &Matched| {
        let mut targets: Vec<_> = matched.targets.iter().map(|t| (t.slot.address(), t.options)).collect();
        targets.sort_by_key(|target| target.0);
        targets
    };
    assert_eq!(sorted(&matched), sorted(&in_steps));
    assert_eq!(matched.has_options, in_steps.has_options);
    matched
}

fn slot() -> SlotRef {
    SlotRef::new(Session::new("c".into(), Expiry::WithConnection, None))
}

/// Two levels with the hash of `a` in the cache's generations: one alone, one before the level `b`.
fn collide_with_a() -> Vec<String> {
    let generations = Generations::default();
    let beginnings: [fn(&str) -> Beginning<'_>; 2] =
        [|level| Beginning::Level(level), |level| Beginning::Levels(level, "b")];
    let collides = |beginning: &fn(&str) -> Beginning<'_>| {
        let shares = |level: &String| generations.share(beginning(level), beginning("a"));
        (0..).map(|n| format!("n{n}")).find(shares).expect("there are endless levels")
    };
    beginnings.iter().map(collides).collect()
}

#[test]
fn a_change_invalidates_matches_that_it_may_affect() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("+/x", &["a", "a/b", "a/b/c", "b/c", "$s/b"], &[]),
        ("#", &["a", "a/b", "a/b/c", "b/c", "$s/b"], &[]),
        ("a/#", &["a", "a/b", "a/b/c"], &["b/c", "$s/b"]),
        ("a/+/c", &["a", "a/b", "a/b/c"], &["b/c", "$s/b"]),
        ("a/b/#", &["a/b", "a/b/c"], &["a", "b/c", "$s/b"]),
        ("a/b/+/d", &["a/b", "a/b/c"], &["a", "b/c", "$s/b"]),
        ("$s/+", &["$s/b"], &["a", "a/b", "a/b/c", "b/c"]),
        ("a/b", &["a/b"], &["a", "a/b/c", "b/c", "$s/b"]),
    ];
    for &(changed, stale, fresh) in table {
        let (subscriptions, mut cache, slot) = (Subscriptions::new(1), MatchCache::default(), slot());
        let changes: [&dyn Fn() -> Option<FilterId>; 3] = [
            &|| subscriptions.change().subscribe(filter(changed), &slot, SubscriptionOptions::default()),
            &|| subscriptions.change().subscribe(filter(changed), &slot, QoS::ExactlyOnce.into()),
            &|| subscriptions.change().unsubscribe(filter(changed), &slot),
        ];
        for change in changes {
            let answers = |texts: &[&str], cache: &mut MatchCache| {
                texts.iter().map(|text| matching(&subscriptions, cache, text)).collect::<Vec<_>>()
            };
            let (stale, fresh) = (answers(stale, &mut cache), answers(fresh, &mut cache));
            change();
            for _ in 0..2 {
                assert!(stale.iter().all(|m| !subscriptions.is_fresh(m)), "{changed} {stale:?}");
                assert!(fresh.iter().all(|m| subscriptions.is_fresh(m)), "{changed} {fresh:?}");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(String, usize, QoS),
    Unsubscribe(String, usize),
    /// By number: as when a session ends.
    End(usize),
    Look(usize),
    Tidy,
}

const SESSIONS: usize = 4;

fn a_level() -> impl Strategy<Value = String> {
    let levels = ["a", "b", "", "$s"].map(str::to_owned).into_iter().chain(collide_with_a()).collect::<Vec<_>>();
    prop::sample::select(levels)
}

fn a_topic() -> impl Strategy<Value = String> {
    vec(a_level(), 1..4).prop_map(|levels| levels.join("/")).prop_filter("a topic", |text| !text.is_empty())
}

fn a_filter() -> impl Strategy<Value = String> {
    let level = || prop_oneof![2 => a_level(), 1 => Just("+".to_owned())];
    let last = prop_oneof![2 => a_level(), 1 => Just("+".to_owned()), 1 => Just("#".to_owned())];
    (vec(level(), 0..3), last)
        .prop_map(|(mut levels, last)| {
            levels.push(last);
            levels.join("/")
        })
        .prop_filter("a filter", |text| !text.is_empty())
}

fn a_step() -> impl Strategy<Value = Step> {
    let qos = prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    prop_oneof![
        6 => (a_filter(), 0..SESSIONS, qos).prop_map(|(filter, session, qos)| Step::Subscribe(filter, session, qos)),
        4 => (a_filter(), 0..SESSIONS).prop_map(|(filter, session)| Step::Unsubscribe(filter, session)),
        1 => (0..SESSIONS).prop_map(Step::End),
        8 => any::<prop::sample::Index>().prop_map(|at| Step::Look(at.index(64))),
        1 => Just(Step::Tidy),
    ]
}

type Held = BTreeMap<(String, usize), (QoS, FilterId)>;

fn apply(step: &Step, subscriptions: &Subscriptions, slots: &[SlotRef], held: &mut Held) {
    match step {
        Step::Subscribe(text, session, qos) => {
            let id = subscriptions.change().subscribe(filter(text), &slots[*session], (*qos).into());
            let key = (text.clone(), *session);
            let before = held.get(&key).map(|&(_, id)| id);
            assert_eq!(id.is_none(), before.is_some());
            held.insert(key, (*qos, id.or(before).expect("it is new, or was there")));
        }
        Step::Unsubscribe(text, session) => {
            let gone = subscriptions.change().unsubscribe(filter(text), &slots[*session]);
            assert_eq!(gone, held.remove(&(text.clone(), *session)).map(|(_, id)| id));
        }
        Step::End(session) => {
            held.retain(|(_, of), (_, id)| {
                if of == session {
                    subscriptions.change().remove(*id, &slots[*session]);
                }
                of != session
            });
        }
        Step::Look(_) | Step::Tidy => {}
    }
}

/// The sessions that receive a topic's messages, and the QoS.
fn expected(held: &Held, name: &str) -> BTreeMap<usize, QoS> {
    let mut expected = BTreeMap::new();
    for ((text, session), (qos, _)) in held {
        if filter(text).matches(topic(name)) {
            let most = expected.entry(*session).or_insert(*qos);
            *most = (*most).max(*qos);
        }
    }
    expected
}

fn found(matched: &Matched, slots: &[SlotRef]) -> BTreeMap<usize, QoS> {
    let session = |target: &SlotRef| slots.iter().position(|slot| slot == target).expect("one of the sessions");
    matched.targets.iter().map(|target| (session(&target.slot), target.options.qos)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cached_matches_equal_a_naive_matcher(
        steps in vec(a_step(), 1..120),
        topics in vec(a_topic(), 1..12),
        seed: u64,
    ) {
        let (subscriptions, mut caches) = (Subscriptions::new(seed), [MatchCache::default(), MatchCache::default()]);
        let slots: Vec<_> = (0..SESSIONS).map(|_| slot()).collect();
        let mut held = Held::new();
        // the matches that publishers remember, besides the threads' caches
        let mut last: BTreeMap<&str, Arc<Matched>> = BTreeMap::new();
        for step in &steps {
            apply(step, &subscriptions, &slots, &mut held);
            if let Step::Tidy = step {
                subscriptions.forget_stale(&mut caches[0]);
            }
            for (&name, matched) in &last {
                if subscriptions.is_fresh(matched) {
                    prop_assert_eq!(found(matched, &slots), expected(&held, name), "{} after {:?}", name, step);
                }
            }
            if let Step::Look(at) = step {
                let name = topics[at % topics.len()].as_str();
                let matched = matching(&subscriptions, &mut caches[at / topics.len() % 2], name);
                prop_assert_eq!(found(&matched, &slots), expected(&held, name), "{}", name);
                prop_assert!(subscriptions.is_fresh(&matched));
                last.insert(name, matched);
            }
        }
        for name in &topics {
            for cache in &mut caches {
                let matched = matching(&subscriptions, cache, name);
                prop_assert_eq!(found(&matched, &slots), expected(&held, name), "{}", name);
            }
        }
    }
}
