//! [`Rules`]: an ACL file in mosquitto's format, read as mosquitto reads it. `rights` has the rights of
//! one client.
//!
//! | line | meaning |
//! |---|---|
//! | `topic [read\|write\|readwrite\|deny] <filter>` | a right of the user above; before the first `user`, of anonymous clients |
//! | `user <name>` | the user of the `topic` lines below |
//! | `pattern [read\|write\|readwrite\|deny] <filter>` | a right of every client; `%u` and `%c` are its user name and client identifier |
//! | `# …`, empty | ignored |
//!
//! Words are separated by single spaces. The rest of the line behind the access word is the filter, including spaces.
//! Without an access word, reading and writing are allowed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::AuthError;
use crate::{
    topic::{TopicFilter, TopicName},
    types::without_mark,
};

/// The rules of an ACL file.
#[derive(Debug, Default)]
pub struct Rules {
    file: String,
    anonymous: Option<Arc<RuleSet>>,
    users: HashMap<Box<str>, Arc<RuleSet>>,
    /// The names in `user` lines, without repetition, with the first line of each.
    named: Vec<(usize, Box<str>)>,
    /// In the order of the file.
    patterns: Vec<Rule>,
    warnings: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// A valid Topic Filter; in a pattern, before names are filled in.
    pub(super) filter: Box<str>,
    pub(super) access: Permission,
    /// Its line in the file, from 1.
    pub(super) line: usize,
}

/// The permission of a rule. `Deny` allows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Read,
    Write,
    ReadWrite,
    Deny,
}

/// The client's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Receiving messages of the topic.
    Read,
    /// Publishing to the topic.
    Write,
}

impl Permission {
    pub(super) fn allows(self, want: Want) -> bool {
        matches!((self, want), (Self::ReadWrite, _) | (Self::Read, Want::Read) | (Self::Write, Want::Write))
    }

    pub(super) fn word(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "readwrite" => Some(Self::ReadWrite),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "readwrite",
            Self::Deny => "deny",
        }
    }
}

/// Rules that are evaluated together: a matching `deny` has precedence over all others. Rules without wildcards, which
/// are most in long lists, are found by their topic.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    exact: HashMap<Box<str>, Vec<Rule>>,
    wild: Vec<Rule>,
}

impl RuleSet {
    pub(super) fn add(&mut self, rule: Rule) {
        let wild = rule.filter.contains(['+', '#']);
        let rules = if wild { &mut self.wild } else { self.exact.entry(rule.filter.clone()).or_default() };
        rules.push(rule);
    }

    /// The rule that decides; `None`: no rule about this action matches.
    pub(super) fn decide(&self, topic: &TopicName, want: Want) -> Option<&Rule> {
        let mut allows = None;
        let exact = self.exact.get(topic.as_str()).into_iter().flatten();
        for rule in exact.chain(self.wild.iter().filter(|rule| rule.matches(topic))) {
            if rule.access == Permission::Deny {
                return Some(rule);
            }
            if allows.is_none() && rule.access.allows(want) {
                allows = Some(rule);
            }
        }
        allows
    }

    /// All rules, in any order.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> + Clone {
        self.exact.values().flatten().chain(&self.wild)
    }
}

impl Rule {
    fn matches(&self, topic: &TopicName) -> bool {
        TopicFilter::from_valid(&self.filter).matches(topic)
    }

    /// A pattern for one client. `None`: it contains `%u` and the client has no user name, or the result is not a valid
    /// filter.
    pub(super) fn of_client(&self, client: &str, user: Option<&str>) -> Option<Self> {
        if user.is_none() && self.filter.contains("%u") {
            return None;
        }
        let (mut filter, mut rest) = (String::with_capacity(self.filter.len()), &*self.filter);
        // in one pass: an inserted name is not searched for placeholders
        while let Some(at) = rest.find('%') {
            filter += &rest[..at];
            rest = &rest[at..];
            let put = match (rest.as_bytes().get(1), user) {
                (Some(b'c'), _) => Some(client),
                (Some(b'u'), Some(user)) => Some(user),
                _ => None,
            };
            filter += put.unwrap_or("%");
            rest = &rest[if put.is_some() { 2 } else { 1 }..];
        }
        filter += rest;
        TopicFilter::new(&filter).ok()?;
        Some(Self { filter: filter.into(), ..self.clone() })
    }
}

impl Rules {
    /// Parses a whole file. Errors name it `file`.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, AuthError> {
        let mut rules = Self { file: file.into(), ..Self::default() };
        let (mut anonymous, mut users) = (None, HashMap::<Box<str>, RuleSet>::new());
        let mut user: Option<Box<str>> = None;
        let mut known = HashSet::<Box<str>>::new();
        for (line, bytes) in (1..).zip(without_mark(text).split(|byte| *byte == b'\n')) {
            let wrong = |problem: String| AuthError::Line { file: file.into(), line, problem };
            let text = std::str::from_utf8(bytes).map_err(|_| wrong("not UTF-8".into()))?;
            if text.contains('\0') {
                return Err(wrong("a NUL character".into()));
            }
            match statement(text.trim_end()).map_err(wrong)? {
                Statement::Nothing => {}
                Statement::User(name) => {
                    if known.insert(Box::from(name)) {
                        rules.named.push((line, name.into()));
                    }
                    user = Some(name.into());
                }
                Statement::Topic(access, filter) => {
                    rules.warn_of_blanks(line, filter);
                    let of = match &user {
                        Some(name) => users.entry(name.clone()).or_default(),
                        None => anonymous.get_or_insert_default(),
                    };
                    of.add(Rule { filter: filter.into(), access, line });
                }
                Statement::Pattern(access, filter) => {
                    rules.warn_of_blanks(line, filter);
                    // a pattern for all topics is meant for all clients
                    let is_for_all = matches!(filter, "#" | "$SYS/#");
                    if !is_for_all && !filter.contains("%c") && !filter.contains("%u") {
                        let says = "has neither %c nor %u: it holds for everybody alike";
                        rules.warnings.push(format!("{file}:{line}: the pattern {filter:?} {says}"));
                    }
                    rules.patterns.push(Rule { filter: filter.into(), access, line });
                }
            }
        }
        rules.anonymous = anonymous.map(Arc::new);
        rules.users = users.into_iter().map(|(name, set)| (name, Arc::new(set))).collect();
        Ok(rules)
    }

    fn warn_of_blanks(&mut self, line: usize, filter: &str) {
        for (blanks, says) in [
            ("\t", "has a tab in it, which is part of the filter: words are parted by single blanks"),
            (
                "  ",
                "has several blanks in a row in it, which are part of the filter: topics that have them as well match",
            ),
        ] {
            if filter.contains(blanks) {
                self.warnings.push(format!("{}:{line}: {filter:?} {says}", self.file));
            }
        }
    }

    /// The file, as configured.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Warnings about valid but unlikely rules, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The rules of a user; without a name, those of anonymous clients.
    pub(super) fn of_user(&self, user: Option<&str>) -> Option<&Arc<RuleSet>> {
        match user {
            Some(name) => self.users.get(name),
            None => self.anonymous.as_ref(),
        }
    }

    pub(super) fn patterns(&self) -> &[Rule] {
        &self.patterns
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        let sets = self.users.values().chain(&self.anonymous);
        sets.map(|set| set.rules().count()).sum::<usize>() + self.patterns.len()
    }

    /// Are there no rules? Then nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The users in the file, in order, with the first line of each.
    pub(super) fn named(&self) -> &[(usize, Box<str>)] {
        &self.named
    }

    /// Are there rules for named users?
    pub fn names_users(&self) -> bool {
        !self.users.is_empty()
    }
}

/// A parsed line.
pub(super) enum Statement<'a> {
    Nothing,
    User(&'a str),
    Topic(Permission, &'a str),
    Pattern(Permission, &'a str),
}

/// Parses a line. The error has the reason, and what to write instead.
pub(super) fn statement(line: &str) -> Result<Statement<'_>, String> {
    // spaces before a word are ignored, but not before a comment, as in mosquitto
    let words = line.trim_start_matches(' ');
    if line.starts_with('#') || words.is_empty() {
        return Ok(Statement::Nothing);
    }
    let (keyword, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.trim_start_matches(' ');
    match keyword {
        "user" if rest.is_empty() => Err("a user's name is missing: user <name>".into()),
        "user" => Ok(Statement::User(rest)),
        "topic" => access(rest).map(|(access, filter)| Statement::Topic(access, filter)),
        "pattern" => access(rest).map(|(access, filter)| Statement::Pattern(access, filter)),
        _ if keyword.starts_with('#') => {
            Err("a comment begins in the first column; take the blanks before # away".into())
        }
        _ => {
            Err(format!("a line begins with \"topic\", \"user\", \"pattern\" or \"#\", not with {:?}", short(keyword)))
        }
    }
}

fn access(rest: &str) -> Result<(Permission, &str), String> {
    let (access, filter) = match rest.split_once(' ') {
        // a single word is the filter
        None => (Permission::ReadWrite, rest),
        Some((word, filter)) => {
            let access = Permission::word(word).ok_or_else(|| {
                let allowed = "\"read\", \"write\", \"readwrite\" or \"deny\"";
                format!("{allowed} is expected in front of the topic, not {:?}", short(word))
            })?;
            (access, filter.trim_start_matches(' '))
        }
    };
    match TopicFilter::new(filter) {
        _ if filter.is_empty() => Err("a topic is missing: topic [read|write|readwrite|deny] <topic>".into()),
        Ok(_) => Ok((access, filter)),
        Err(error) => Err(format!("the topic {:?} {error}", short(filter))),
    }
}

fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        Rules::parse(text.as_bytes(), "f").unwrap()
    }

    fn listed(set: &RuleSet) -> Vec<(usize, &str, Permission)> {
        let mut all: Vec<_> = set.rules().map(|rule| (rule.line, &*rule.filter, rule.access)).collect();
        crate::types::sort_by_key(&mut all, |(line, ..)| *line);
        all
    }

    #[test]
    fn an_acl_file_is_parsed() {
        let rules = rules(
            "# comment\ntopic read $SYS/#\n\n   topic  write  a b/c  \r\nuser eve smith\ntopic e/#\ntopic read\n\
             pattern write d/%c\nuser bob\ntopic deny x\nuser eve smith\ntopic readwrite y\ttab\nuser nobody",
        );
        assert_eq!(
            listed(rules.of_user(None).unwrap()),
            [(2, "$SYS/#", Permission::Read), (4, "a b/c", Permission::Write)]
        );
        assert_eq!(
            listed(rules.of_user(Some("eve smith")).unwrap()),
            [
                (6, "e/#", Permission::ReadWrite),
                (7, "read", Permission::ReadWrite),
                (12, "y\ttab", Permission::ReadWrite)
            ]
        );
        assert_eq!(listed(rules.of_user(Some("bob")).unwrap()), [(10, "x", Permission::Deny)]);
        assert!(rules.of_user(Some("nobody")).is_none() && rules.of_user(Some("eve")).is_none());
        assert_eq!((rules.len(), rules.patterns().len(), rules.names_users()), (7, 1, true));
        assert_eq!(rules.warnings().len(), 1);
        assert_eq!(rules.named().iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 9, 13]);
        assert!(super::Rules::parse(b"", "f").unwrap().is_empty());
    }

    #[test]
    fn blanks_that_are_part_of_a_topic_are_warned_of() {
        let warned = |text: &str| rules(text).warnings().to_vec();
        assert_eq!(warned("topic  read  a b\ntopic   read a \n"), [""; 0]);
        for (text, line) in [("user x\ntopic read a  b\n", 2), ("pattern write %c/   x\n", 1)] {
            let told = warned(text);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&format!("f:{line}: ")) && told[0].contains("blanks in a row"), "{told:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let rules = rules("\u{FEFF}user bob\ntopic read a\n");
        assert_eq!(listed(rules.of_user(Some("bob")).unwrap()), [(2, "a", Permission::Read)]);
    }

    #[test]
    fn a_deny_rule_comes_first_and_a_rule_for_the_other_action_does_not_count() {
        let rules = rules("topic read a/#\ntopic write a/b\ntopic deny a/b/c\ntopic a/b/c\n");
        let set = rules.of_user(None).unwrap();
        let decided = |topic, want| set.decide(TopicName::new(topic).unwrap(), want).map(|rule| rule.line);
        assert_eq!((decided("a/b", Want::Read), decided("a/b", Want::Write)), (Some(1), Some(2)));
        assert_eq!((decided("a/x", Want::Write), decided("b", Want::Read)), (None, None));
        assert_eq!((decided("a/b/c", Want::Write), decided("a/b/c/d", Want::Read)), (Some(3), Some(1)));
    }

    #[test]
    fn variables_of_a_pattern_are_replaced_once() {
        let filled = |pattern: &str, client, user| {
            let rule = Rule { filter: pattern.into(), access: Permission::Read, line: 1 };
            rule.of_client(client, user).map(|rule| rule.filter.into_string())
        };
        assert_eq!(filled("a/%c/%u/%c", "C", Some("U")).as_deref(), Some("a/C/U/C"));
        assert_eq!(filled("a/%c", "%u", Some("U")).as_deref(), Some("a/%u"));
        assert_eq!(filled("%u/%c", "%c", Some("%c%u")).as_deref(), Some("%c%u/%c"));
        assert_eq!(filled("%x/%%c/%", "ä", None).as_deref(), Some("%x/%ä/%"));
        assert_eq!(filled("%u", "C", None), None);
    }

    #[test]
    fn an_invalid_line_is_reported() {
        let table = [
            ("topic", "a topic is missing"),
            ("topic ", "a topic is missing"),
            ("user", "a user's name is missing"),
            (
                "topic foo bar",
                "\"read\", \"write\", \"readwrite\" or \"deny\" is expected in front of the topic, not \"foo\"",
            ),
            ("topic read a # b", "the topic \"a # b\""),
            ("topic a+", "the topic \"a+\""),
            ("pattern read %u#", "the topic \"%u#\""),
            ("  # indented", "a comment begins in the first column"),
            ("Topic read a", "a line begins with \"topic\", \"user\", \"pattern\" or \"#\", not with \"Topic\""),
            ("topic\tread a", "a line begins with"),
            ("topic a\0", "a NUL character"),
        ];
        for (text, said) in table {
            let text = format!("topic a\n{text}\ntopic b\n");
            match Rules::parse(text.as_bytes(), "f").unwrap_err() {
                AuthError::Line { line: 2, problem, .. } => assert!(problem.starts_with(said), "{problem}"),
                other => panic!("{other}"),
            }
        }
        assert_eq!(Rules::parse(b"topic a\n\xFF", "f").unwrap_err().to_string(), "f:2: not UTF-8");
    }
}
