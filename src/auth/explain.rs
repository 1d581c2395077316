//! `dunlin explain`: a [`Question`] whether a client may publish or subscribe, and which rule decides.

use std::fmt;

use super::{
    Policy,
    filters::{common, covers},
    rights::{ClientRights, Decision},
    rules::{Permission, Rule, Want},
};
use crate::{
    router::Rights,
    topic::{TopicFilter, TopicName},
};

/// The question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// User Name; `None`: an anonymous client.
    pub user: Option<&'a str>,
    /// Client Identifier.
    pub client: &'a str,
    /// About publishing; otherwise about subscribing.
    pub publish: bool,
    /// A Topic Name, or for subscribing a Topic Filter.
    pub topic: &'a str,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Is it allowed?
    pub allowed: bool,
    /// The reason, in one or more lines.
    pub because: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.allowed { "allowed" } else { "denied" }, self.because)
    }
}

impl Policy {
    /// Is there a login, and does none know this user? Tokens, certificates, services and the embedding program may
    /// have names of their own.
    pub fn is_unknown(&self, name: &str) -> bool {
        let others = self.takes_tokens() || !self.services.is_empty() || self.settings.other_login.is_some();
        let is_missing = self.users.as_ref().is_some_and(|users| !users.contains(name));
        is_missing && !others && self.own.iter().all(|(_, own)| own.is_unknown(name))
    }

    /// The place of a rule that depends on the Client Identifier: a pattern with `%c`.
    pub fn needs_client(&self) -> Option<String> {
        let rules = self.rules.as_ref()?;
        let pattern = rules.patterns().iter().find(|rule| rule.filter.contains("%c"))?;
        Some(format!("{}:{}", rules.file(), pattern.line))
    }

    /// Answers by the current rules, for a client that is logged in: its name may come from a certificate. Claims of a
    /// token are not considered.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let answer = |allowed, because: String| Explanation { allowed, because };
        if let Some(dynsec) = &self.dynsec {
            let rights = dynsec.rights(question.client, question.user);
            let allowed = match question.publish {
                true => TopicName::new(question.topic).is_ok_and(|topic| rights.may_publish(topic)),
                false => TopicFilter::new(question.topic).is_ok_and(|filter| rights.may_subscribe(filter)),
            };
            return answer(allowed, "the roles of auth.dynsec_file say so".into());
        }
        let Some(rules) = &self.rules else {
            return answer(
                true,
                "there are no rules (auth.acl_file is not set): every client may do everything".into(),
            );
        };
        let rights = ClientRights::new(rules, question.client, question.user);
        if question.publish {
            return match TopicName::new(question.topic) {
                Ok(topic) => of_topic(&rights, topic, Want::Write, rules.file()),
                Err(error) => answer(false, format!("no client can publish to {:?}, which {error}", question.topic)),
            };
        }
        // for a shared subscription, rules apply to the filter of the group
        let asked = TopicFilter::new(question.topic).map_or(question.topic, |filter| filter.behind_share().as_str());
        match (TopicName::new(asked), TopicFilter::new(asked)) {
            (Ok(topic), _) => of_topic(&rights, topic, Want::Read, rules.file()),
            (_, Ok(filter)) => of_filter(&rights, filter, rules.file()),
            (_, Err(error)) => answer(false, format!("no client can subscribe to {:?}, which {error}", question.topic)),
        }
    }
}

fn of_topic(rights: &ClientRights, topic: &TopicName, want: Want, file: &str) -> Explanation {
    let decision = rights.decide(topic, want);
    let because = match decision {
        Decision::Rule(rule) => said(rule, file),
        Decision::Dangerous(name) => {
            format!("{file}: there are patterns, and the {name} has + or # in it, which would be a wildcard in them")
        }
        Decision::Nothing => format!("{file}: no rule allows it"),
    };
    Explanation { allowed: decision.allows(), because }
}

/// The subscription is granted; rules apply to each message.
fn of_filter(rights: &ClientRights, filter: &TopicFilter, file: &str) -> Explanation {
    let of = |rule: &Rule| TopicFilter::new(&rule.filter).ok().and_then(|f| common(f, filter)).is_some();
    let denies_all = |rule: &&&Rule| {
        rule.access == Permission::Deny && TopicFilter::new(&rule.filter).is_ok_and(|f| covers(f, filter))
    };
    let mut rules: Vec<_> = rights.of_user().filter(|rule| of(rule)).collect();
    let user_reads = rules.iter().any(|rule| rule.access.allows(Want::Read));
    let patterns: Vec<_> = rights.of_patterns().filter(|rule| of(rule)).collect();
    // a rule of the user precedes deny patterns
    let of_pattern = || patterns.iter().find(denies_all).filter(|_| !user_reads);
    if let Some(rule) = rules.iter().find(denies_all).or_else(of_pattern) {
        return Explanation { allowed: false, because: format!("no message would be delivered: {}", said(rule, file)) };
    }
    rules.extend(patterns);
    crate::types::sort_by_key(&mut rules, |rule| rule.line);
    let allowed = rights.may_read_some(filter);
    if !allowed {
        let reads = rules.iter().any(|rule| rule.access.allows(Want::Read));
        let why = if reads { "rules deny all that others allow of it" } else { "no rule allows to read any of it" };
        return Explanation { allowed, because: format!("no message would be delivered: {file}: {why}") };
    }
    let speak = rules.iter().filter(|rule| rule.access == Permission::Deny || rule.access.allows(Want::Read));
    let lines: Vec<_> = speak.map(|rule| format!("\n  {}", said(rule, file))).collect();
    let because = format!("the subscription is granted, and these rules apply to each message{}", lines.concat());
    Explanation { allowed, because }
}

fn said(rule: &Rule, file: &str) -> String {
    format!("{file}:{}: {} {}", rule.line, rule.access.name(), rule.filter)
}
