//! `dunlin import --dynsec`: converts a `dynamic-security.json` to a password file and an ACL file. Differences are
//! reported; the files then allow less, never more.

use std::fmt::Write;

use super::{Acl, Client, Dynsec, Role, file, is_control};
use crate::{
    auth::{
        filters::{common, covers},
        users::check_name,
    },
    topic::TopicFilter,
};

/// The two files, and the differences.
#[derive(Debug, Default)]
pub struct Converted {
    /// Lines of a password file.
    pub passwords: String,
    /// Lines of an ACL file.
    pub rules: String,
    /// The differences, one line each.
    pub notes: Vec<String>,
}

/// Converts the text of a `dynamic-security.json`. The error says what is wrong with it.
pub fn convert(text: &[u8]) -> Result<Converted, String> {
    let mut converted = Converted::default();
    let dynsec = Dynsec::parse(text, &mut converted.notes)?;
    let mut file = file::read(text)?;
    file.sort();
    let anonymous = Who { name: None, client_id: None };
    let lines = lines(&dynsec, &dynsec.anonymous, anonymous, &mut converted.notes);
    converted.rules += &lines;
    for written in &file.clients {
        let name = written.username.as_str();
        let Some(client) = dynsec.clients.get(name) else { continue };
        if let Err(problem) = check_name(name) {
            converted.notes.push(format!("client {name:?} is left out: its name {problem}"));
            continue;
        }
        let hash = match super::hash_text(written) {
            Some(hash) if client.hash.is_some() => hash,
            // one that cannot be read was told
            Some(_) if !client.disabled => continue,
            _ => {
                let why = if client.disabled { "is disabled" } else { "has no password" };
                converted.notes.push(format!("client {name:?} is left out: it {why}"));
                continue;
            }
        };
        if let Some(id) = &client.client_id {
            converted.notes.push(format!(
                "client {name:?} may use any Client Identifier, and not {id:?} alone: see auth.client_id_prefixes"
            ));
        }
        let _ = writeln!(converted.passwords, "{name}:{hash}");
        let lines = self::lines(&dynsec, &client.roles, Who::of(name, client), &mut converted.notes);
        if !lines.is_empty() {
            let _ = write!(converted.rules, "user {name}\n{lines}");
        }
    }
    Ok(converted)
}

/// The subject of the generated rules.
#[derive(Clone, Copy)]
struct Who<'a> {
    name: Option<&'a str>,
    /// The only one that it may have.
    client_id: Option<&'a str>,
}

/// What decides first stands first.
type List = Vec<(String, bool)>;

/// The lines for one user, or for clients without a name.
fn lines(dynsec: &Dynsec, roles: &[std::sync::Arc<Role>], who: Who<'_>, notes: &mut Vec<String>) -> String {
    let mut told = Vec::new();
    let mut all = |each: fn(&Role) -> Vec<&Acl>| {
        let acls = roles.iter().flat_map(|role| each(role));
        acls.filter_map(|acl| who.filled(acl, &mut told)).collect::<List>()
    };
    let mut send = all(|role| role.send.iter().collect());
    let mut receive = all(|role| role.receive.iter().collect());
    let subscribe = all(|role| role.subscribe_pattern.iter().collect());
    let literal = all(|role| role.subscribe_literal.iter().collect());
    let opened = |list: &mut List, opens: bool| {
        list.extend(opens.then_some(["#", "$SYS/#"]).into_iter().flatten().map(|filter| (filter.into(), true)));
    };
    opened(&mut send, dynsec.defaults.send);
    opened(&mut receive, dynsec.defaults.receive);
    let (send, receive) = (Resolved::of(&send), Resolved::of(&receive));
    let mut write = send.allows.clone();
    let mut read = Vec::new();
    for filter in readable(subscribe, literal, dynsec.defaults.subscribe, &mut told) {
        read.extend(receive.allows.iter().filter_map(|allowed| shared(&filter, allowed)));
    }
    let mut deny = Vec::new();
    for (denies, of, others, what) in [(&send, &write, &read, "reading"), (&receive, &read, &write, "publishing")] {
        for denied in denies.denies.iter().filter(|denied| of.iter().any(|filter| shared(filter, denied).is_some())) {
            if others.iter().any(|filter| shared(filter, denied).is_some()) && !deny.contains(denied) {
                told.push(format!("{denied} is denied, {what} too: an ACL file cannot deny only one of them"));
            }
            for (allowed, _) in denies.exceptions.iter().filter(|(_, of)| of == denied) {
                told.push(format!(
                    "{denied} is denied, what {allowed} allows of it too: deny goes first in an ACL file"
                ));
            }
            deny.push(denied.clone());
        }
    }
    let before = read.len() + write.len();
    [&mut read, &mut write, &mut deny].into_iter().for_each(|list| {
        list.retain(|filter| !is_control(filter));
        list.sort();
        list.dedup();
    });
    if read.len() + write.len() < before && roles.iter().any(|role| role.administers()) {
        told.push("it cannot administer by $CONTROL any more".into());
    }
    let whom = who.name.map_or_else(|| "clients without a name".to_owned(), |name| format!("client {name:?}"));
    told.sort();
    told.dedup();
    notes.extend(told.into_iter().map(|note| format!("{whom}: {note}")));
    written(&read, &write, &deny)
}

fn written(read: &[String], write: &[String], deny: &[String]) -> String {
    let mut out = String::new();
    let mut line = |access: &str, filter: &String| out += &format!("topic {access} {filter}\n");
    deny.iter().for_each(|filter| line("deny", filter));
    for filter in read {
        line(if write.contains(filter) { "readwrite" } else { "read" }, filter);
    }
    write.iter().filter(|filter| !read.contains(filter)).for_each(|filter| line("write", filter));
    out
}

/// The filters that may be subscribed to. A denied filter matters only if it is the whole subscription: a client that
/// may subscribe to `#` gets everything, even topics that it may not subscribe to by name.
fn readable(patterns: List, literals: List, by_default: bool, told: &mut Vec<String>) -> Vec<String> {
    let mut all = patterns;
    all.extend(by_default.then_some(["#", "$SYS/#"]).into_iter().flatten().map(|filter| (filter.into(), true)));
    let mut readable = Vec::new();
    for (at, (filter, _)) in all.iter().enumerate().filter(|(_, (_, allow))| *allow) {
        let denied = |(other, allow): &&(String, bool)| !allow && covered(other, filter);
        if all[..at].iter().any(|other| denied(&other)) {
            continue;
        }
        if literals.iter().any(|(other, allow)| !allow && other == filter) {
            told.push(format!(
                "{filter} is not to be read: it may not be subscribed to itself, but what it covers may"
            ));
            continue;
        }
        readable.push(filter.clone());
    }
    for (filter, allow) in &literals {
        // where something before may deny it, it is not taken to be allowed
        let is_denied = all.iter().any(|(other, allow)| !allow && covered(other, filter));
        match (*allow, is_denied || literals.iter().any(|(other, allow)| !allow && other == filter)) {
            (true, false) => readable.push(filter.clone()),
            (true, true) => told.push(format!("{filter} is not to be read: one role allows it, and another denies it")),
            (false, _) => {}
        }
    }
    readable
}

/// A list in which a rule that denies goes over all others.
#[derive(Default)]
struct Resolved {
    allows: Vec<String>,
    denies: Vec<String>,
    /// The filters that were allowed before they were denied.
    exceptions: Vec<(String, String)>,
}

impl Resolved {
    fn of(list: &List) -> Self {
        let mut resolved = Self::default();
        for (at, (filter, allow)) in list.iter().enumerate() {
            // decided already
            if list[..at].iter().any(|(other, _)| covered(other, filter)) {
                continue;
            }
            match allow {
                true => resolved.allows.push(filter.clone()),
                false => {
                    let before = list[..at].iter().filter(|(other, allow)| *allow && shared(other, filter).is_some());
                    resolved.exceptions.extend(before.map(|(other, _)| (other.clone(), filter.clone())));
                    resolved.denies.push(filter.clone());
                }
            }
        }
        resolved
    }
}

impl<'a> Who<'a> {
    fn of(name: &'a str, client: &'a Client) -> Self {
        Self { name: Some(name), client_id: client.client_id.as_deref() }
    }

    /// An ACL with the names of this user; `None`: it does not apply to the user, or an ACL file cannot express it.
    fn filled(self, acl: &Acl, told: &mut Vec<String>) -> Option<(String, bool)> {
        let topic = acl.topic.as_str();
        if topic.trim() != topic || topic.contains(['\n', '\r', '\0']) {
            told.push(format!("{topic:?} cannot be written in an ACL file"));
            // deny everything that it would deny
            return (!acl.allow).then(|| ("#".into(), false));
        }
        let names_client = topic.split('/').any(|level| level == "%c");
        if names_client && self.client_id.is_none() {
            if acl.allow {
                told.push(format!("{topic} is not allowed: in an ACL file only a pattern for everybody can say %c"));
                return None;
            }
            told.push(format!("{topic} is denied for every Client Identifier"));
            let topic = topic.split('/').map(|level| if level == "%c" { "+" } else { level });
            let topic = topic.collect::<Vec<_>>().join("/");
            return Acl { topic, ..acl.clone() }.filled("", self.name).map(|acl| (acl.topic, false));
        }
        acl.filled(self.client_id.unwrap_or_default(), self.name).map(|acl| (acl.topic, acl.allow))
    }
}

impl Role {
    fn administers(&self) -> bool {
        self.send.iter().any(|acl| acl.allow && is_control(&acl.topic))
    }
}

fn covered(outer: &str, inner: &str) -> bool {
    let parsed = TopicFilter::new(outer).ok().zip(TopicFilter::new(inner).ok());
    parsed.is_some_and(|(outer, inner)| covers(outer, inner))
}

fn shared(a: &str, b: &str) -> Option<String> {
    common(TopicFilter::new(a).ok()?, TopicFilter::new(b).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        auth::{Rules, Users},
        router::Rights,
        topic::TopicName,
    };

    fn file(roles: &serde_json::Value, defaults: [bool; 3]) -> Vec<u8> {
        let hash = format!("{}==", "A".repeat(86));
        let [send, receive, subscribe] = defaults;
        json!({
            "defaultACLAccess": {"publishClientSend": send, "publishClientReceive": receive, "subscribe": subscribe},
            "roles": roles, "anonymousGroup": "g", "groups": [{"groupname": "g", "roles": [{"rolename": "low"}]}],
            "clients": [
                {"username": "bob", "password": hash, "salt": "c2FsdHNhbHRzYWx0", "iterations": 101, "clientid": "b",
                 "roles": [{"rolename": "high", "priority": 1}, {"rolename": "low"}]},
                {"username": "off", "disabled": true}, {"username": "a:b"},
            ],
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn users_and_their_roles_are_lines_of_two_files() {
        let acl = |kind: &str, topic: &str, allow| json!({"acltype": kind, "topic": topic, "allow": allow});
        let roles = json!([
            {"rolename": "high", "acls": [
                acl("publishClientSend", "in/%u/#", true), acl("publishClientSend", "at/%c", true),
                acl("publishClientSend", "$CONTROL/dynamic-security/#", true),
                acl("publishClientReceive", "out/secret", false)]},
            {"rolename": "low", "acls": [acl("subscribePattern", "out/#", true), acl("publishClientSend", "at/%c", true)]},
        ]);
        let converted = convert(&file(&roles, [false, true, false])).unwrap();
        let hash = format!("$7$101$c2FsdHNhbHRzYWx0${}==", "A".repeat(86));
        assert_eq!(converted.passwords, format!("bob:{hash}\n"));
        assert!(Users::parse(converted.passwords.as_bytes(), "f").unwrap().contains("bob"));
        assert_eq!(
            converted.rules,
            "topic read out/#\nuser bob\ntopic deny out/secret\ntopic read out/#\ntopic write at/b\ntopic write in/bob/#\n"
        );
        let notes = converted.notes.join("\n");
        for note in [
            "clients without a name: at/%c is not allowed",
            "client \"bob\" may use any Client Identifier",
            "client \"bob\": it cannot administer by $CONTROL any more",
            "client \"off\" is left out: it is disabled",
            "client \"a:b\" is left out: its name",
        ] {
            assert!(notes.contains(note), "{note} is not in\n{notes}");
        }
        assert_eq!(converted.notes.len(), 5, "{notes}");
    }

    /// For any ACLs: the files allow nothing more, and without a reported difference they allow nothing less.
    #[test]
    fn converted_acl_lines_allow_what_the_roles_allow() {
        const FILTERS: [&str; 9] = ["#", "a/#", "a/+", "a/b", "b", "+/b", "+", "a/b/#", "$SYS/#"];
        const TOPICS: [&str; 7] = ["a", "a/b", "a/c", "b", "a/b/c", "c/b", "$SYS/x"];
        const KINDS: [&str; 4] = ["publishClientSend", "publishClientReceive", "subscribePattern", "subscribeLiteral"];
        let mut seed = 7_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut whole = 0;
        for round in 0..3_000 {
            let mut role = |name: &str| {
                let acls: Vec<_> = (0..random(5))
                    .map(|_| {
                        let (kind, topic) = (KINDS[random(4)], FILTERS[random(9)]);
                        json!({"acltype": kind, "topic": topic, "priority": random(3), "allow": random(3) > 0})
                    })
                    .collect();
                json!({"rolename": name, "acls": acls})
            };
            let roles = json!([role("high"), role("low")]);
            let text = file(&roles, [random(2) == 0, random(2) == 0, random(2) == 0]);
            let dynsec = Dynsec::parse(&text, &mut Vec::new()).unwrap();
            let converted = convert(&text).unwrap();
            let rules = Rules::parse(converted.rules.as_bytes(), "f").unwrap();
            for name in [None, Some("bob")] {
                let (now, before) = (rules.rights("b", name), dynsec.rights("b", name));
                let whom = name.map_or("clients without a name".to_owned(), |name| format!("client {name:?}"));
                let is_whole = !converted.notes.iter().any(|note| note.starts_with(&format!("{whom}: ")));
                whole += usize::from(is_whole);
                for topic in TOPICS {
                    let topic = TopicName::new(topic).unwrap();
                    let filters = FILTERS.iter().chain(&TOPICS).map(|filter| TopicFilter::new(filter).unwrap());
                    let gets = before.may_receive(topic)
                        && filters.clone().any(|filter| filter.matches(topic) && before.may_subscribe(filter));
                    let (was, is) =
                        ([before.may_publish(topic), gets], [now.may_publish(topic), now.may_receive(topic)]);
                    let told = format!("{round}: {name:?} {topic:?} was {was:?}, is {is:?} by\n{roles}\n{converted:?}");
                    for (was, is) in was.into_iter().zip(is) {
                        assert!(was || !is, "{told}");
                        assert!(!is_whole || was == is, "{told}");
                    }
                }
            }
        }
        assert!(whole > 1_000, "{whole}");
    }
}
