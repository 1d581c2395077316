//! [`Acl`]: the rules in a service's answer, in the format of EMQX; [`AclRights`]: the rights of a client with such
//! rules. The first rule that matches decides. If none matches, the broker's own rules decide; without such rules the
//! action is refused.

use std::sync::Arc;

use serde::Deserialize;

use super::super::filters::{common, covers};
use crate::{
    router::Rights,
    topic::{TopicFilter, TopicName},
};

/// A rule as the service sends it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AclRule {
    permission: Permission,
    action: Action,
    topic: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Permission {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Publish,
    Subscribe,
    All,
}

/// The rules of one client.
#[derive(Clone, Debug)]
pub(in super::super) struct Acl(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    allows: bool,
    action: Action,
    /// A valid Topic Filter.
    filter: String,
    /// With `eq`: the filter itself is meant; only a subscription to this very filter matches.
    exact: bool,
}

impl Acl {
    /// Replaces `${clientid}` and `${username}` by the client's names. `None`: a name that a rule needs is missing or
    /// contains a wildcard. The error says what is wrong with the rules.
    pub(super) fn new(rules: Vec<AclRule>, client: &str, user: Option<&str>) -> Result<Option<Self>, String> {
        let mut all = Vec::new();
        for AclRule { permission, action, topic } in rules {
            let (exact, mut filter) = match topic.strip_prefix("eq ") {
                Some(exact) => (true, exact.to_owned()),
                None => (false, topic),
            };
            match filled(&filter, client, user) {
                Some(names) => filter = names,
                None => return Ok(None),
            }
            if TopicFilter::new(&filter).is_err() {
                return Err(format!("its answer is not as expected: acl has {filter:?}, which is not a Topic Filter"));
            }
            all.push(Rule { allows: permission == Permission::Allow, action, filter, exact });
        }
        Ok(Some(Self(all)))
    }

    /// The decision of the first rule that matches; `None`: no rule matches.
    fn decide(&self, action: Action, fits: impl Fn(&Rule, &TopicFilter) -> bool) -> Option<bool> {
        let mut rules = self.0.iter().filter(|rule| rule.action == Action::All || rule.action == action);
        rules.find(|rule| fits(rule, TopicFilter::from_valid(&rule.filter))).map(|rule| rule.allows)
    }

    fn of_topic(&self, action: Action, topic: &TopicName) -> Option<bool> {
        // a rule that refuses a subscription to one filter does not restrict messages of other subscriptions
        self.decide(action, |rule, filter| match rule.exact && (action == Action::Publish || !rule.allows) {
            true => filter.as_str() == topic.as_str(),
            false => filter.matches(topic),
        })
    }
}

/// Replaces the variables of a filter; a name that looks like a variable is not replaced again. `None`: a name that the
/// filter needs is missing or contains a wildcard.
fn filled(filter: &str, client: &str, user: Option<&str>) -> Option<String> {
    let variables = [("${clientid}", Some(client)), ("${username}", user)];
    let (mut out, mut rest) = (String::new(), filter);
    while let Some(at) = rest.find("${") {
        out += &rest[..at];
        rest = &rest[at..];
        match variables.into_iter().find(|(variable, _)| rest.starts_with(variable)) {
            Some((variable, name)) => {
                out += name.filter(|name| !name.contains(['+', '#']))?;
                rest = &rest[variable.len()..];
            }
            None => {
                out += "${";
                rest = &rest[2..];
            }
        }
    }
    Some(out + rest)
}

/// The rights of a client with such rules.
pub(in super::super) struct AclRights {
    acl: Acl,
    /// The broker's own rules.
    rest: Option<Arc<dyn Rights>>,
}

impl AclRights {
    pub(in super::super) fn new(acl: Acl, rest: Option<Arc<dyn Rights>>) -> Self {
        Self { acl, rest }
    }

    fn rest(&self, allows: impl Fn(&dyn Rights) -> bool) -> bool {
        self.rest.as_ref().is_some_and(|rest| allows(&**rest))
    }
}

impl Rights for AclRights {
    fn may_publish(&self, topic: &TopicName) -> bool {
        let decided = self.acl.of_topic(Action::Publish, topic);
        decided.unwrap_or_else(|| self.rest(|rest| rest.may_publish(topic)))
    }

    fn may_subscribe(&self, wanted: &TopicFilter) -> bool {
        let decided = self.acl.decide(Action::Subscribe, |rule, filter| match rule.exact {
            true => filter.as_str() == wanted.as_str(),
            false => covers(filter, wanted),
        });
        decided.unwrap_or_else(|| self.rest(|rest| rest.may_subscribe(wanted)))
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        let decided = self.acl.of_topic(Action::Subscribe, topic);
        decided.unwrap_or_else(|| self.rest(|rest| rest.may_receive(topic)))
    }

    fn may_receive_some(&self, wanted: &TopicFilter) -> bool {
        let reads = |rule: &&Rule| rule.allows && rule.action != Action::Publish;
        let mut readable = self.acl.0.iter().filter(reads).map(|rule| TopicFilter::from_valid(&rule.filter));
        readable.any(|filter| common(filter, wanted).is_some()) || self.rest(|rest| rest.may_receive_some(wanted))
    }

    // the session may have subscriptions that are older than these rules
    fn limits_reading(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(rules: &str, rest: Option<Arc<dyn Rights>>) -> AclRights {
        let rules: Vec<AclRule> = serde_json::from_str(rules).unwrap();
        AclRights::new(Acl::new(rules, "c1", Some("ann")).unwrap().unwrap(), rest)
    }

    #[test]
    fn a_name_that_looks_like_a_variable_is_not_replaced_again() {
        let of = |client, user| {
            let filled = filled("a/${clientid}/${username}/${x}", client, user);
            filled.unwrap_or_else(|| "none".into())
        };
        assert_eq!(of("${username}", Some("lamp")), "a/${username}/lamp/${x}");
        assert_eq!([of("c", None), of("c+", Some("u")), of("c", Some("#"))], ["none"; 3]);
    }

    #[test]
    fn a_refused_filter_does_not_restrict_other_subscriptions() {
        let rights = rights(
            r##"[{"permission": "deny", "action": "subscribe", "topic": "eq #"},
                {"permission": "allow", "action": "all", "topic": "#"}]"##,
            None,
        );
        let filter = |text| TopicFilter::new(text).unwrap();
        assert!(!rights.may_subscribe(filter("#")) && rights.may_subscribe(filter("a/#")));
        assert!(rights.may_receive(TopicName::new("a/b").unwrap()));
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = r#"[
            {"permission": "deny", "action": "all", "topic": "a/secret/#"},
            {"permission": "allow", "action": "publish", "topic": "w/${clientid}"},
            {"permission": "allow", "action": "subscribe", "topic": "eq r/#"},
            {"permission": "deny", "action": "subscribe", "topic": "a/${username}"},
            {"permission": "allow", "action": "all", "topic": "a/#"}
        ]"#;
        let rights = rights(rules, None);
        for (topic, publishes, receives) in [
            ("a/b", true, true),
            ("a/ann", true, false),
            ("a/secret/x", false, false),
            ("w/c1", true, false),
            ("w/c2", false, false),
            ("r/x", false, true),
            ("other", false, false),
            ("$SYS/x", false, false),
        ] {
            let topic = TopicName::new(topic).unwrap();
            assert_eq!((rights.may_publish(topic), rights.may_receive(topic)), (publishes, receives), "{topic:?}");
        }
        for (filter, subscribes, some) in [
            ("a/#", true, true),
            ("a/+", true, true),
            ("#", false, true),
            ("r/#", true, true),
            ("r/+", false, true),
            ("w/c1", false, false),
            ("a/secret/+", false, true),
            ("x/+", false, false),
        ] {
            let filter = TopicFilter::new(filter).unwrap();
            let got = (rights.may_subscribe(filter), rights.may_receive_some(filter));
            assert_eq!(got, (subscribes, some), "{filter:?}");
        }
    }

    #[test]
    fn the_broker_s_own_rules_decide_if_no_rule_of_the_service_matches() {
        let file = super::super::super::Rules::parse(b"user ann\ntopic read b\ntopic a\n", "f").unwrap();
        let own = super::super::super::rights::ClientRights::new(&file, "c1", Some("ann"));
        let rights = rights(r#"[{"permission": "deny", "action": "publish", "topic": "a"}]"#, Some(Arc::new(own)));
        let of = |topic| {
            let topic = TopicName::new(topic).unwrap();
            (rights.may_publish(topic), rights.may_receive(topic))
        };
        assert_eq!([of("a"), of("b"), of("c")], [(false, true), (false, true), (false, false)]);
    }
}
