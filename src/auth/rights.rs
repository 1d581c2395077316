//! [`ClientRights`]: the rules of one client, compiled when it connects: those of its user, and the patterns with its
//! names filled in. They are evaluated in mosquitto's order:
//!
//! 1. the user's rules: a matching `deny` denies, otherwise a matching rule allows;
//! 2. if there are patterns: a client whose user name or identifier contains `+` or `#` is denied, because that would
//!    be a wildcard in a pattern;
//! 3. the patterns, as 1;
//! 4. everything else is denied.
//!
//! Subscribing is always allowed, as in mosquitto; messages that the client may not read are not delivered. An MQTT 5
//! client is told if no message can be delivered.

use std::sync::Arc;

use super::{
    filters::{common, covers},
    rules::{Permission, Rule, RuleSet, Rules, Want},
};
use crate::{
    router::Rights,
    topic::{TopicFilter, TopicName},
};

/// The rights of a client by an ACL file.
#[derive(Debug)]
pub(super) struct ClientRights {
    user: Option<Arc<RuleSet>>,
    patterns: Patterns,
}

#[derive(Debug)]
enum Patterns {
    /// With the client's names filled in.
    Filled(RuleSet),
    /// This name of the client, its user name or identifier, would be a wildcard in the patterns.
    Dangerous(&'static str),
}

/// The decision and its reason.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decision<'a> {
    /// A rule.
    Rule(&'a Rule),
    /// There are patterns, and this name contains a wildcard.
    Dangerous(&'static str),
    /// No rule allows it.
    Nothing,
}

impl Decision<'_> {
    pub(super) fn allows(&self) -> bool {
        matches!(self, Self::Rule(rule) if rule.access != Permission::Deny)
    }
}

impl ClientRights {
    /// The rights of a client with this identifier and the user name in force.
    pub(super) fn new(rules: &Rules, client: &str, user: Option<&str>) -> Self {
        let dangerous = |name: &str| name.contains(['+', '#']);
        let patterns = if rules.patterns().is_empty() {
            Patterns::Filled(RuleSet::default())
        } else if user.is_some_and(dangerous) {
            Patterns::Dangerous("user name")
        } else if dangerous(client) {
            Patterns::Dangerous("client identifier")
        } else {
            let mut set = RuleSet::default();
            rules.patterns().iter().filter_map(|rule| rule.of_client(client, user)).for_each(|rule| set.add(rule));
            Patterns::Filled(set)
        };
        Self { user: rules.of_user(user).cloned(), patterns }
    }

    /// The decision on an action of the client with a topic.
    pub(super) fn decide(&self, topic: &TopicName, want: Want) -> Decision<'_> {
        if let Some(rule) = self.user.as_ref().and_then(|rules| rules.decide(topic, want)) {
            return Decision::Rule(rule);
        }
        match &self.patterns {
            Patterns::Dangerous(name) => Decision::Dangerous(name),
            Patterns::Filled(rules) => rules.decide(topic, want).map_or(Decision::Nothing, Decision::Rule),
        }
    }

    /// May the client read messages of some topic that this filter matches? Also `true` if there are too many rules to
    /// check while others wait.
    pub(super) fn may_read_some(&self, filter: &TopicFilter) -> bool {
        if let Ok(topic) = TopicName::new(filter.as_str()) {
            return self.decide(topic, Want::Read).allows();
        }
        let mut left = MOST_RULES;
        let user = || self.of_user();
        // a pattern allows what neither a rule of the user nor another pattern denies
        leaves_some(filter, user(), user(), &mut left)
            || leaves_some(filter, self.of_patterns(), user().chain(self.of_patterns()), &mut left)
    }

    /// The rules of the client's user, which are evaluated first.
    pub(super) fn of_user(&self) -> impl Iterator<Item = &Rule> + Clone {
        self.user.as_deref().into_iter().flat_map(RuleSet::rules)
    }

    /// The patterns with the client's names, which are evaluated if no rule of its user decides.
    pub(super) fn of_patterns(&self) -> impl Iterator<Item = &Rule> + Clone {
        let patterns = match &self.patterns {
            Patterns::Filled(rules) => Some(rules),
            Patterns::Dangerous(_) => None,
        };
        patterns.into_iter().flat_map(RuleSet::rules)
    }
}

/// Most rules that are checked for one filter.
const MOST_RULES: usize = 1_024;

/// Does one of `rules` allow reading a part of the filter that `others` do not deny? Subtracts checked rules from
/// `left`; `true` if that is not enough.
fn leaves_some<'a>(
    filter: &TopicFilter,
    rules: impl Iterator<Item = &'a Rule>,
    others: impl Iterator<Item = &'a Rule> + Clone,
    left: &mut usize,
) -> bool {
    for rule in rules {
        let Some(fewer) = left.checked_sub(1) else { return true };
        *left = fewer;
        if !rule.access.allows(Want::Read) {
            continue;
        }
        let Some(common) = common(TopicFilter::from_valid(&rule.filter), filter) else { continue };
        if deny_all(&common, others.clone(), left) != Some(true) {
            return true;
        }
    }
    false
}

/// Do the denying rules together deny every topic that the filter matches? `None`: there are too many.
///
/// A filter without `#` matches a topic whose levels at the `+` occur in no rule. A rule that denies that topic denies
/// all of them, so one rule must be found for each number of levels.
fn deny_all<'a>(filter: &str, rules: impl Iterator<Item = &'a Rule> + Clone, left: &mut usize) -> Option<bool> {
    let mut longest = 0;
    let mut is_denied = |filter: &str| {
        let filter = TopicFilter::new(filter).ok()?;
        for rule in rules.clone() {
            *left = left.checked_sub(1)?;
            if rule.access == Permission::Deny {
                let denied = TopicFilter::from_valid(&rule.filter);
                longest = longest.max(denied.levels().count());
                if covers(denied, filter) {
                    return Some((true, longest));
                }
            }
        }
        Some((false, longest))
    };
    let (denied, longest) = is_denied(filter)?;
    if denied || !filter.ends_with('#') {
        return Some(denied);
    }
    // with each number of levels that occurs in a rule, and with one more
    let mut some = match filter.strip_suffix("/#") {
        None => "+",
        // an empty level alone is not a topic
        Some("") => "/+",
        Some(above) => above,
    }
    .to_owned();
    while some.split('/').count() <= longest {
        if !is_denied(&some)?.0 {
            return Some(false);
        }
        some.push_str("/+");
    }
    some.push_str("/#");
    Some(is_denied(&some)?.0)
}

impl Rules {
    /// The rights of a client with this identifier and user name.
    pub fn rights(&self, client: &str, user: Option<&str>) -> impl Rights + use<> {
        ClientRights::new(self, client, user)
    }
}

impl Rights for ClientRights {
    fn may_publish(&self, topic: &TopicName) -> bool {
        self.decide(topic, Want::Write).allows()
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        true
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        self.decide(topic, Want::Read).allows()
    }

    fn may_receive_some(&self, filter: &TopicFilter) -> bool {
        self.may_read_some(filter)
    }

    fn limits_reading(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (rules, client, user, topic, read, write)
    type Case = (&'static str, &'static str, Option<&'static str>, &'static str, bool, bool);

    #[test]
    fn rules_allow_publish_subscribe_and_receive() {
        const RULES: &str = "topic open/#\nuser bob\ntopic read b/#\ntopic deny b/secret\ntopic b/secret\n\
                             pattern write c/%c\npattern u/%u/#\npattern deny u/%u/no\n";
        let table: &[Case] = &[
            (RULES, "c1", None, "open/x", true, true),
            (RULES, "c1", None, "b/x", false, false),
            (RULES, "c1", None, "c/c1", false, true),
            (RULES, "c1", None, "u/bob/x", false, false),
            // the rules before the first user are for anonymous clients alone
            (RULES, "c1", Some("bob"), "open/x", false, false),
            (RULES, "c1", Some("bob"), "b/x", true, false),
            (RULES, "c1", Some("bob"), "b/secret", false, false),
            (RULES, "c1", Some("bob"), "u/bob/x", true, true),
            (RULES, "c1", Some("bob"), "u/bob/no", false, false),
            (RULES, "c1", Some("eve"), "u/bob/x", false, false),
            (RULES, "c1", Some("eve"), "u/eve", true, true),
            // names that would be wildcards
            (RULES, "+", None, "open/x", true, true),
            (RULES, "+", None, "c/x", false, false),
            (RULES, "c1", Some("#"), "u/bob/x", false, false),
            (RULES, "a/b", None, "c/a/b", false, true),
            // a user's rule goes over a pattern that denies
            ("pattern deny #\nuser bob\ntopic a", "c", Some("bob"), "a", true, true),
            ("topic #", "c", None, "$SYS/x", false, false),
            ("topic $SYS/#", "c", None, "$SYS/x", true, true),
            ("", "c", None, "a", false, false),
        ];
        for &(rules, client, user, topic, read, write) in table {
            let rights = ClientRights::new(&Rules::parse(rules.as_bytes(), "f").unwrap(), client, user);
            let name = TopicName::new(topic).unwrap();
            let got = (rights.may_receive(name), rights.may_publish(name));
            assert_eq!(got, (read, write), "{client} {user:?} {topic} by\n{rules}");
        }
    }

    #[test]
    fn a_filter_without_a_readable_topic_is_refused() {
        const RULES: &str = "topic read $SYS/#\nuser bob\ntopic read b/#\ntopic deny b/secret/#\ntopic read c/1\n\
                             topic deny c/1\ntopic write w/#\npattern read u/%u/#\npattern deny u/%u/no\n\
                             pattern read b/secret/%c\npattern deny b/open\npattern read n/+/no\npattern deny n/#\n";
        let table = [
            ("#", Some("bob"), true),
            ("+", Some("bob"), true),
            ("+/+", Some("bob"), true),
            ("b/#", Some("bob"), true),
            ("b", Some("bob"), true),
            ("b/secret", Some("bob"), false),
            ("b/secret/#", Some("bob"), false),
            ("b/secret/+", Some("bob"), false),
            ("+/secret/x", Some("bob"), false),
            ("b/+", Some("bob"), true),
            // a rule of the user precedes deny patterns
            ("b/open", Some("bob"), true),
            ("+/open", Some("bob"), true),
            ("c/+", Some("bob"), false),
            ("c/#", Some("bob"), false),
            ("w/#", Some("bob"), false),
            ("u/#", Some("bob"), true),
            ("u/bob/no", Some("bob"), false),
            ("u/+/no", Some("bob"), false),
            ("u/+/yes", Some("bob"), true),
            ("u/eve/#", Some("bob"), false),
            ("n/#", Some("bob"), false),
            ("x/#", Some("bob"), false),
            ("$SYS/#", Some("bob"), false),
            ("#", None, true),
            ("$SYS/#", None, true),
            ("$SYS/broker/+", None, true),
            ("u/#", None, false),
            ("b/secret/#", Some("eve"), true),
            ("b/#", Some("+"), false),
        ];
        let rules = Rules::parse(RULES.as_bytes(), "f").unwrap();
        for (filter, user, some) in table {
            let rights = ClientRights::new(&rules, "c1", user);
            assert_eq!(rights.may_read_some(TopicFilter::new(filter).unwrap()), some, "{filter} {user:?}");
        }
        // rules that leave nothing together
        const TOGETHER: &str = "topic read d/#\ntopic deny d\ntopic deny d/+\ntopic deny d/+/+/#\ntopic read e/#\n\
                                topic deny e/+\ntopic deny e/+/+/#\ntopic read f//#\ntopic deny f/\n\
                                topic deny f/+/+\ntopic deny f/+/+/+\nuser bob\ntopic read #\ntopic deny +\n\
                                topic deny /+\ntopic deny +/+\ntopic deny +/+/+/#\ntopic read $SYS/#\n\
                                topic deny $SYS/1\ntopic deny $SYS/+/+/#\nuser eve\ntopic read /#\n\
                                topic deny /+\ntopic deny /+/+/#\n";
        let table = [
            ("d/#", None, false),
            ("d/+/#", None, false),
            ("d/x/y/#", None, false),
            ("+/+/z", None, false),
            ("+/+/z/+/+", None, true),
            ("e/#", None, true),
            ("e/+/#", None, false),
            ("f//#", None, true),
            ("f//+/#", None, true),
            ("f//+/+/#", None, true),
            ("f//+", None, false),
            ("#", Some("bob"), false),
            ("+/#", Some("bob"), false),
            ("$SYS/#", Some("bob"), true),
            ("$SYS/+/+/#", Some("bob"), false),
            ("#", Some("eve"), false),
            ("/#", Some("eve"), false),
        ];
        let rules = Rules::parse(TOGETHER.as_bytes(), "f").unwrap();
        for (filter, user, some) in table {
            let rights = ClientRights::new(&rules, "c1", user);
            assert_eq!(rights.may_read_some(TopicFilter::new(filter).unwrap()), some, "{filter} {user:?}");
        }
        // too many to look at: granted, and each message is looked at
        let many: String = (0..5_000).map(|n| format!("topic read many/{n}\n")).collect();
        let rights = ClientRights::new(&Rules::parse(many.as_bytes(), "f").unwrap(), "c1", None);
        let reads = |filter| rights.may_read_some(TopicFilter::new(filter).unwrap());
        assert_eq!([reads("none/+"), reads("none/1"), reads("many/4999")], [true, false, true]);
    }
}
