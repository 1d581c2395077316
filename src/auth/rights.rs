//! [`ClientRights`]: the rules of one client, compiled when it connects: those of its user, and the patterns with its
//! names put in. The order in which they are asked is mosquitto's:
//!
//! 1. the user's rules: a `deny` that matches denies, else one that allows what is wanted allows;
//! 2. where there are patterns, a client whose user name or identifier has `+` or `#` in it is denied: put into a
//!    pattern it would be a wildcard;
//! 3. the patterns, as 1;
//! 4. what nothing allows is denied.
//!
//! Subscribing is always allowed; messages that may not be read are not delivered.

use std::sync::Arc;

use super::rules::{Permission, Rule, RuleSet, Rules, Want};
use crate::{
    router::Rights,
    topic::{TopicFilter, TopicName},
};

/// What a client may do by the rules of an ACL file.
#[derive(Debug)]
pub(super) struct ClientRights {
    user: Option<Arc<RuleSet>>,
    patterns: Patterns,
}

#[derive(Debug)]
enum Patterns {
    /// With the client's names.
    Filled(RuleSet),
    /// This name of the client, its user name or identifier, would be a wildcard in them.
    Dangerous(&'static str),
}

/// What decides, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decision<'a> {
    /// A rule.
    Rule(&'a Rule),
    /// There are patterns, and this name has a wildcard in it.
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

    /// May the client do this with a topic, and why?
    pub(super) fn decide(&self, topic: &TopicName, want: Want) -> Decision<'_> {
        if let Some(rule) = self.user.as_ref().and_then(|rules| rules.decide(topic, want)) {
            return Decision::Rule(rule);
        }
        match &self.patterns {
            Patterns::Dangerous(name) => Decision::Dangerous(name),
            Patterns::Filled(rules) => rules.decide(topic, want).map_or(Decision::Nothing, Decision::Rule),
        }
    }

    /// The rules of the client's user, which are asked first.
    pub(super) fn of_user(&self) -> impl Iterator<Item = &Rule> {
        self.user.as_deref().into_iter().flat_map(RuleSet::rules)
    }

    /// The patterns with the client's names, which are asked where no rule of its user decides.
    pub(super) fn of_patterns(&self) -> impl Iterator<Item = &Rule> {
        let patterns = match &self.patterns {
            Patterns::Filled(rules) => Some(rules),
            Patterns::Dangerous(_) => None,
        };
        patterns.into_iter().flat_map(RuleSet::rules)
    }
}

impl Rules {
    /// What a client with this identifier, and this user name if any, may do.
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
    fn what_rules_mean() {
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
}
