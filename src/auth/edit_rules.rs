//! Edits of an ACL file: one rule is set or deleted, or all of the text is replaced. Other lines stay as they are,
//! comments too.

use std::path::Path;

use super::{
    AuthError, Rules,
    edit::{check_version, rewrite, version},
    files,
    rules::{Permission, Statement, statement},
};
use crate::types::without_mark;

/// One rule of an ACL file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleLine {
    /// The clients that it applies to.
    pub of: RuleOf,
    /// `read`, `write`, `readwrite` or `deny`.
    pub access: &'static str,
    /// A Topic Filter; in a pattern with `%u` and `%c`.
    pub filter: String,
    /// Counted from 1.
    pub line: usize,
}

/// The clients that a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleOf {
    /// Clients without a user name.
    Anonymous,
    /// A user.
    User(String),
    /// All clients: a pattern.
    Everybody,
}

/// An edit of the rules.
#[derive(Clone, Debug)]
pub enum RulesChange {
    /// All of the text.
    Text(String),
    /// Sets a rule, which replaces those for the same filter.
    Set {
        /// The clients that it applies to.
        of: RuleOf,
        /// `read`, `write`, `readwrite` or `deny`.
        access: String,
        /// A Topic Filter.
        filter: String,
    },
    /// Deletes the rules for this filter.
    Delete {
        /// The clients that they apply to.
        of: RuleOf,
        /// The filter, as it is written.
        filter: String,
    },
}

/// The text of an ACL file, its rules in their order, and its version.
pub fn read_rules(path: &Path) -> Result<(String, Vec<RuleLine>, String), AuthError> {
    let bytes = files::read(path, SETTING)?;
    Rules::parse(&bytes, &path.display().to_string())?;
    let text = String::from_utf8_lossy(without_mark(&bytes)).into_owned();
    let rules = rules_of(&text);
    Ok((text, rules, version(&bytes)))
}

/// Edits an ACL file; it is only replaced by one that can be read. Gives the new version. `expected`: another one stays
/// as it is.
pub fn edit_rules(path: &Path, change: &RulesChange, expected: Option<&str>) -> Result<String, AuthError> {
    rewrite(path, SETTING, false, |old, file| {
        check_version(old, expected, file)?;
        let invalid = |problem: String| AuthError::Rule { problem };
        let new = match change {
            RulesChange::Text(text) => text.clone(),
            RulesChange::Set { of, access, filter } => {
                let access = Permission::word(access).ok_or_else(|| {
                    invalid(format!("access: read, write, readwrite or deny is expected, not {access:?}"))
                })?;
                let line = rule_line(of, access, filter).map_err(invalid)?;
                set(&text_of(old, file)?, of, filter, &line)
            }
            RulesChange::Delete { of, filter } => {
                let text = text_of(old, file)?;
                let is_it = |rule: &RuleLine| rule.of == *of && rule.filter == *filter;
                let lines: Vec<_> = rules_of(&text).iter().filter(|rule| is_it(rule)).map(|rule| rule.line).collect();
                if lines.is_empty() {
                    return Err(AuthError::Unknown { file: file.into(), what: format!("a rule for {filter:?}") });
                }
                without_empty_block(&without(&text, &lines), of)
            }
        };
        // a file without a byte is refused by a broker
        let new = if new.is_empty() { "# no rules\n".to_owned() } else { new };
        Rules::parse(new.as_bytes(), "the rules").map_err(|error| invalid(error.to_string()))?;
        let version = version(new.as_bytes());
        Ok((new, version))
    })
}

fn text_of(bytes: &[u8], file: &str) -> Result<String, AuthError> {
    Rules::parse(bytes, file)?;
    Ok(String::from_utf8_lossy(without_mark(bytes)).into_owned())
}

/// The rules of a text that can be read.
fn rules_of(text: &str) -> Vec<RuleLine> {
    let (mut rules, mut user) = (Vec::new(), RuleOf::Anonymous);
    for (line, text) in (1..).zip(text.split('\n')) {
        let (of, access, filter) = match statement(text.trim_end()) {
            Ok(Statement::User(name)) => {
                user = RuleOf::User(name.to_owned());
                continue;
            }
            Ok(Statement::Topic(access, filter)) => (user.clone(), access, filter),
            Ok(Statement::Pattern(access, filter)) => (RuleOf::Everybody, access, filter),
            Ok(Statement::Nothing) | Err(_) => continue,
        };
        rules.push(RuleLine { of, access: access.name(), filter: filter.to_owned(), line });
    }
    rules
}

/// Returns the line if it contains exactly this.
fn rule_line(of: &RuleOf, access: Permission, filter: &str) -> Result<String, String> {
    let keyword = if *of == RuleOf::Everybody { "pattern" } else { "topic" };
    let line = format!("{keyword} {} {filter}", access.name());
    let is_one_line = |text: &str| !text.contains(['\n', '\r', '\0']) && text.trim_end() == text;
    if !is_one_line(&line) {
        return Err("the topic has a line end or NUL in it, or ends with a blank".into());
    }
    match statement(&line)? {
        Statement::Topic(_, read) | Statement::Pattern(_, read) if read == filter => {}
        _ => return Err(format!("the topic {filter:?} begins with a blank, which the file does not keep")),
    }
    if let RuleOf::User(name) = of {
        let line = format!("user {name}");
        match statement(&line) {
            Ok(Statement::User(read)) if read == name && is_one_line(&line) => {}
            _ => return Err(format!("the user name {name:?} cannot be written in the file")),
        }
    }
    Ok(line)
}

/// Puts a line in the place of the rules for the same filter, or behind the other rules of the same user.
fn set(text: &str, of: &RuleOf, filter: &str, line: &str) -> String {
    let rules = rules_of(text);
    let same: Vec<_> = rules.iter().filter(|rule| rule.of == *of && rule.filter == filter).map(|r| r.line).collect();
    if let [first, others @ ..] = &same[..] {
        let replaced: Vec<_> =
            (1..).zip(lines(text)).map(|(number, old)| if number == *first { line } else { old }).collect();
        return without(&joined(&replaced), others);
    }
    let mut all = lines(text);
    let of_user = rules.iter().rfind(|rule| rule.of == *of).map(|rule| rule.line);
    let own_line = || {
        let is_own = |line: &str| matches!((statement(line.trim_end()), of), (Ok(Statement::User(a)), RuleOf::User(b)) if a == b);
        all.iter().rposition(|line| is_own(line)).map(|at| at + 1)
    };
    let first_user = || {
        let is_user = |line: &&str| matches!(statement(line.trim_end()), Ok(Statement::User(_)));
        all.iter().position(is_user).unwrap_or(all.len())
    };
    match of {
        RuleOf::Everybody => all.push(line),
        RuleOf::Anonymous => {
            let at = of_user.unwrap_or_else(first_user);
            all.insert(at, line);
        }
        RuleOf::User(name) => match of_user.or_else(own_line) {
            Some(at) => all.insert(at, line),
            None => {
                let user = format!("user {name}");
                all.extend(["", &user, line]);
                return joined(&all);
            }
        },
    }
    joined(&all)
}

fn without(text: &str, numbers: &[usize]) -> String {
    let left = (1..).zip(lines(text)).filter(|(number, _)| !numbers.contains(number)).map(|(_, line)| line);
    joined(&left.collect::<Vec<_>>())
}

/// Without the lines `user …` of a user behind which there is neither a rule nor a comment, and the blank ones before.
fn without_empty_block(text: &str, of: &RuleOf) -> String {
    let RuleOf::User(name) = of else { return text.to_owned() };
    let mut all = lines(text);
    let user = |line: &str| match statement(line.trim_end()) {
        Ok(Statement::User(name)) => Some(name.to_owned()),
        _ => None,
    };
    let mut at = 0;
    while at < all.len() {
        if user(all[at]).as_ref() == Some(name) {
            let blank = all[at + 1..].iter().take_while(|line| line.trim().is_empty()).count();
            let next = at + 1 + blank;
            if all.get(next).is_none_or(|line| user(line).is_some()) {
                let before = all[..at].iter().rev().take_while(|line| line.trim().is_empty()).count();
                all.drain(at - before..=at);
                at -= before;
                continue;
            }
        }
        at += 1;
    }
    joined(&all)
}

fn lines(text: &str) -> Vec<&str> {
    text.strip_suffix('\n')
        .map_or_else(|| text.split('\n'), |text| text.split('\n'))
        .filter(|_| !text.is_empty())
        .collect()
}

fn joined(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

const SETTING: &str = "auth.acl_file";

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ours\ntopic read news/#\n\nuser ann\n# her lamp\ntopic lamp/ann\ntopic read a b\n\nuser bob\ntopic deny x\npattern read own/%u\n";

    fn edited(text: &str, change: &RulesChange) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acl");
        std::fs::write(&path, text).unwrap();
        let done = edit_rules(&path, change, None).map_err(|error| error.to_string());
        let now = std::fs::read_to_string(&path).unwrap();
        match done {
            Ok(version) => {
                assert_eq!(read_rules(&path).unwrap().2, version);
                Ok(now)
            }
            Err(error) => {
                assert_eq!(now, text, "{error}");
                Err(error)
            }
        }
    }

    fn user(name: &str) -> RuleOf {
        RuleOf::User(name.into())
    }

    fn set_rule(of: RuleOf, access: &str, filter: &str) -> Result<String, String> {
        edited(TEXT, &RulesChange::Set { of, access: access.into(), filter: filter.into() })
    }

    #[test]
    fn a_rule_is_added_to_its_user_and_other_lines_stay() {
        let after = |line: &str, new: &str| TEXT.replace(&format!("{line}\n"), &format!("{line}\n{new}\n"));
        assert_eq!(set_rule(user("ann"), "write", "c/d").unwrap(), after("topic read a b", "topic write c/d"));
        assert_eq!(set_rule(user("bob"), "read", "c").unwrap(), after("topic deny x", "topic read c"));
        assert_eq!(set_rule(RuleOf::Anonymous, "read", "c").unwrap(), after("topic read news/#", "topic read c"));
        assert_eq!(set_rule(RuleOf::Everybody, "read", "c/%c").unwrap(), format!("{TEXT}pattern read c/%c\n"));
        assert_eq!(set_rule(user("eve"), "read", "c").unwrap(), format!("{TEXT}\nuser eve\ntopic read c\n"));
        let changed = TEXT.replace("topic lamp/ann", "topic deny lamp/ann");
        assert_eq!(set_rule(user("ann"), "deny", "lamp/ann").unwrap(), changed);
        let first =
            edited("user ann", &RulesChange::Set { of: RuleOf::Anonymous, access: "read".into(), filter: "a".into() });
        assert_eq!(first.unwrap(), "topic read a\nuser ann\n");
    }

    #[test]
    fn deleting_the_last_rule_leaves_the_file() {
        let delete = |text: &str, of, filter: &str| edited(text, &RulesChange::Delete { of, filter: filter.into() });
        assert_eq!(delete(TEXT, user("ann"), "a b").unwrap(), TEXT.replace("topic read a b\n", ""));
        assert_eq!(delete(TEXT, RuleOf::Everybody, "own/%u").unwrap(), TEXT.replace("pattern read own/%u\n", ""));
        assert!(delete(TEXT, user("bob"), "a b").unwrap_err().contains("is not in the file"));
        assert_eq!(delete("topic a\n", RuleOf::Anonymous, "a").unwrap(), "# no rules\n");
        // a user without rules is not named, unless there is a comment
        let three = "topic a\n\nuser ann\ntopic b\n\nuser bob\ntopic c\n\n# a comment\nuser eve\n# hers\ntopic d\n";
        assert_eq!(delete(three, user("ann"), "b").unwrap(), three.replace("\nuser ann\ntopic b\n", ""));
        assert_eq!(delete(three, user("bob"), "c").unwrap(), three.replace("topic c\n", ""));
        assert_eq!(delete(three, user("eve"), "d").unwrap(), three.replace("topic d\n", ""));
        assert_eq!(delete("topic a\n\nuser ann\ntopic b\n", user("ann"), "b").unwrap(), "topic a\n");
    }

    #[test]
    fn a_rule_that_cannot_be_a_line_is_refused() {
        for filter in ["", "a#", "a\nuser root", " a", "a ", "a\0", "a\r"] {
            assert!(set_rule(user("ann"), "read", filter).is_err(), "{filter:?}");
        }
        for name in ["", " a", "a\ntopic #", "a "] {
            assert!(set_rule(user(name), "read", "a").is_err(), "{name:?}");
        }
        assert!(set_rule(user("ann"), "all", "a").unwrap_err().contains("readwrite"));
        assert!(edited(TEXT, &RulesChange::Text("topc a\n".into())).unwrap_err().contains("the rules:1:"));
        assert_eq!(edited(TEXT, &RulesChange::Text("# new\ntopic a\n".into())).unwrap(), "# new\ntopic a\n");
    }

    #[test]
    fn the_slower_of_two_writers_gets_the_new_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acl");
        std::fs::write(&path, TEXT).unwrap();
        let (text, rules, version) = read_rules(&path).unwrap();
        assert_eq!((text.as_str(), rules.len()), (TEXT, 5));
        let change = |filter: &str| RulesChange::Set { of: user("ann"), access: "read".into(), filter: filter.into() };
        let new = edit_rules(&path, &change("c"), Some(&version)).unwrap();
        match edit_rules(&path, &change("d"), Some(&version)) {
            Err(AuthError::Changed { version, .. }) => assert_eq!(version, new),
            other => panic!("{other:?}"),
        }
        assert!(edit_rules(&path, &change("d"), Some(&new)).is_ok());
    }
}
