//! mosquitto's dynamic security, read from its JSON file: clients with passwords, groups, roles with priorities, ACLs
//! of six types. [`Dynsec`] is the file; [`DynsecRights`] are the rights of one client. [`Edit`] is a change of the
//! file that a client asks for, by `commands`; [`convert`] makes a password file and an ACL file of it.

mod commands;
mod convert;
mod edit;
mod file;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::Arc,
};

pub use convert::{Converted, convert};
pub use edit::Edit;

use super::{AuthError, files, filters::covers, password::Hash};
use crate::{
    router::Rights,
    topic::{TopicFilter, TopicName},
    types::Contents,
};
use file::{Defaults, File, RoleName};

/// Clients and their rights.
#[derive(Debug, Default)]
pub(super) struct Dynsec {
    clients: HashMap<String, Client>,
    anonymous: Vec<Arc<Role>>,
    defaults: Defaults,
}

#[derive(Debug)]
struct Client {
    /// `None`: login with this name is not possible.
    hash: Option<Hash>,
    /// The only Client Identifier that it may use.
    client_id: Option<String>,
    disabled: bool,
    /// Its roles and those of its groups, in the order of evaluation.
    roles: Vec<Arc<Role>>,
}

/// ACLs, each list in the order of evaluation.
#[derive(Debug, Default)]
struct Role {
    /// Are subscriptions with wildcards allowed?
    wildcards: bool,
    send: Vec<Acl>,
    receive: Vec<Acl>,
    subscribe_literal: Vec<Acl>,
    subscribe_pattern: Vec<Acl>,
}

#[derive(Clone, Debug)]
struct Acl {
    topic: String,
    priority: i64,
    allow: bool,
}

/// The configuration key of the file.
pub(super) const KEY: &str = "auth.dynsec_file";

impl Dynsec {
    /// Reads the file at `path`, or uses `text` as its content.
    pub(super) fn load(
        path: &Path,
        text: Option<&[u8]>,
        warnings: &mut Vec<String>,
        contents: &mut Contents,
    ) -> Result<Self, AuthError> {
        let text = match text {
            Some(text) => text.to_vec(),
            None => files::read_not_empty(path, KEY)?,
        };
        files::warn_of_others(path, KEY, warnings);
        contents.add("clients and roles (auth.dynsec_file)", &text);
        let mut found = Vec::new();
        let read = Self::parse(&text, &mut found);
        warnings.extend(found.into_iter().map(|warning| format!("{}: {warning}", path.display())));
        read.map_err(|problem| AuthError::Setting { key: KEY, problem: format!("{}: {problem}", path.display()) })
    }

    /// Reads the text of a file. The error has the reason. Appends everything that is ignored to `warnings`.
    pub(super) fn parse(text: &[u8], warnings: &mut Vec<String>) -> Result<Self, String> {
        let File { defaults, clients, groups, anonymous, roles } = file::read(text)?;
        let mut known = HashMap::<String, Arc<Role>>::new();
        for role in roles {
            // of repeated names, the first one counts
            if let Entry::Vacant(vacant) = known.entry(role.rolename.clone()) {
                vacant.insert(Arc::new(Role::of(&role, warnings)?));
            }
        }
        let listed = |names: &[RoleName]| {
            let mut names: Vec<_> = names.iter().collect();
            crate::types::sort_by_key(&mut names, |name| (Reverse(name.priority), &name.rolename));
            names.into_iter().filter_map(|name| known.get(&name.rolename).cloned()).collect::<Vec<_>>()
        };
        let mut made = Self { defaults, ..Self::default() };
        for client in &clients {
            let mut own: Vec<_> = groups
                .iter()
                .filter_map(|group| {
                    let member = group.clients.iter().find(|member| member.username == client.username)?;
                    Some((Reverse(member.priority), group))
                })
                .collect();
            crate::types::sort_by_key(&mut own, |(priority, group)| (*priority, &group.groupname));
            let of_groups = own.iter().flat_map(|(_, group)| listed(&group.roles));
            let roles = listed(&client.roles).into_iter().chain(of_groups).collect();
            let hash = hash(client).transpose().unwrap_or_else(|why| {
                warnings.push(format!("client {:?} cannot log in: {why}", client.username));
                None
            });
            let hash = hash.filter(|_| !client.disabled);
            let client_id = client.client_id.clone();
            made.clients.entry(client.username.clone()).or_insert(Client {
                hash,
                client_id,
                disabled: client.disabled,
                roles,
            });
        }
        let group = anonymous.and_then(|name| groups.iter().find(|group| group.groupname == name));
        made.anonymous = group.map(|group| listed(&group.roles)).unwrap_or_default();
        Ok(made)
    }

    /// The users with a password, and the hashes.
    pub(super) fn users(&self) -> impl Iterator<Item = (&str, &Hash)> {
        self.clients.iter().filter_map(|(name, client)| Some((name.as_str(), client.hash.as_ref()?)))
    }

    /// Is it a client that cannot log in, because it has no password?
    pub(super) fn locks_out(&self, user: &str) -> bool {
        self.clients.get(user).is_some_and(|client| client.hash.is_none())
    }

    /// Is it disabled, so that it is refused with any password?
    pub(super) fn is_disabled(&self, user: &str) -> bool {
        self.clients.get(user).is_some_and(|client| client.disabled)
    }

    /// May this user have this Client Identifier?
    pub(super) fn allows_client_id(&self, user: &str, client_id: &str) -> bool {
        let asked = self.clients.get(user).and_then(|client| client.client_id.as_deref());
        asked.is_none_or(|asked| asked == client_id)
    }

    /// The rights of a client; without a user name, those of the anonymous group.
    pub(super) fn rights(&self, client_id: &str, user: Option<&str>) -> DynsecRights {
        let roles = match user {
            Some(user) => self.clients.get(user).map_or(&[][..], |client| &client.roles),
            None => &self.anonymous,
        };
        let roles = roles.iter().map(|role| role.filled(client_id, user)).collect();
        DynsecRights { roles, defaults: self.defaults }
    }
}

/// `None`: it has no password.
fn hash(client: &file::Client) -> Option<Result<Hash, String>> {
    Some(Hash::parse(&hash_text(client)?))
}

/// As a password file has it.
fn hash_text(client: &file::Client) -> Option<String> {
    match (&client.encoded_password, &client.password, &client.salt) {
        (Some(encoded), _, _) => Some(encoded.clone()),
        (None, Some(password), Some(salt)) => {
            Some(format!("$7${}${salt}${password}", client.iterations.unwrap_or(101)))
        }
        _ => None,
    }
}

impl Role {
    fn of(written: &file::Role, warnings: &mut Vec<String>) -> Result<Self, String> {
        let mut role = Self { wildcards: written.wildcards, ..Self::default() };
        for acl in &written.acls {
            let list = match acl.kind.to_ascii_lowercase().as_str() {
                "publishclientsend" => &mut role.send,
                "publishclientreceive" => &mut role.receive,
                "subscribeliteral" => &mut role.subscribe_literal,
                "subscribepattern" => &mut role.subscribe_pattern,
                // an UNSUBSCRIBE is always allowed
                "unsubscribeliteral" | "unsubscribepattern" => continue,
                _ => {
                    warnings.push(format!("role {:?}: there is no ACL type {:?}", written.rolename, acl.kind));
                    continue;
                }
            };
            if let Err(error) = TopicFilter::new(&acl.topic) {
                return Err(format!("role {:?}: the topic {:?} {error}", written.rolename, acl.topic));
            }
            // of repeated types and topics, the first one counts
            if !list.iter().any(|other| other.topic == acl.topic) {
                list.push(Acl { topic: acl.topic.clone(), priority: acl.priority, allow: acl.allow });
            }
        }
        for list in [&mut role.send, &mut role.receive, &mut role.subscribe_literal, &mut role.subscribe_pattern] {
            crate::types::sort_by_key(list, |acl| Reverse(acl.priority));
        }
        Ok(role)
    }

    /// The role with a client's names in place of `%c` and `%u`, if these are whole levels.
    fn filled(&self, client_id: &str, user: Option<&str>) -> Self {
        let each = |list: &[Acl]| list.iter().filter_map(|acl| acl.filled(client_id, user)).collect();
        Self {
            wildcards: self.wildcards,
            send: each(&self.send),
            receive: each(&self.receive),
            subscribe_literal: self.subscribe_literal.clone(),
            subscribe_pattern: each(&self.subscribe_pattern),
        }
    }
}

impl Acl {
    /// `None`: the client does not have the name, or it would not be a single level.
    fn filled(&self, client_id: &str, user: Option<&str>) -> Option<Self> {
        let fits = |name: &&str| !name.is_empty() && !name.contains(['+', '#', '/']);
        let levels = self.topic.split('/').map(|level| match level {
            "%c" => Some(client_id).filter(fits),
            "%u" => user.filter(fits),
            other => Some(other),
        });
        let topic = levels.collect::<Option<Vec<_>>>()?.join("/");
        TopicFilter::new(&topic).ok()?;
        Some(Self { topic, ..self.clone() })
    }

    fn filter(&self) -> Option<&TopicFilter> {
        TopicFilter::new(&self.topic).ok()
    }
}

/// The rights of one client. The first role and ACL that match decide.
#[derive(Debug)]
pub(super) struct DynsecRights {
    roles: Vec<Role>,
    defaults: Defaults,
}

impl DynsecRights {
    fn decide(&self, topic: &TopicName, list: fn(&Role) -> &[Acl], default: bool) -> bool {
        let matches = |acl: &&Acl| acl.filter().is_some_and(|filter| filter.matches(topic));
        let found = self.roles.iter().find_map(|role| list(role).iter().find(matches));
        found.map_or(default && !is_reserved(topic.as_str()), |acl| acl.allow)
    }
}

/// The defaults do not apply to these.
fn is_reserved(topic: &str) -> bool {
    is_control(topic) || topic == "$events" || topic.starts_with("$events/")
}

fn is_control(topic: &str) -> bool {
    topic == "$CONTROL" || topic.starts_with("$CONTROL/")
}

impl Rights for DynsecRights {
    fn may_publish(&self, topic: &TopicName) -> bool {
        self.decide(topic, |role| &role.send, self.defaults.send)
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        self.decide(topic, |role| &role.receive, self.defaults.receive)
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        for role in &self.roles {
            if !role.wildcards && filter.has_wildcard() {
                return false;
            }
            let literal = role.subscribe_literal.iter().find(|acl| acl.topic == filter.as_str());
            let pattern = || role.subscribe_pattern.iter().find(|acl| acl.filter().is_some_and(|f| covers(f, filter)));
            if let Some(acl) = literal.or_else(pattern) {
                return acl.allow;
            }
        }
        self.defaults.subscribe && !is_reserved(filter.as_str())
    }

    fn limits_reading(&self) -> bool {
        !self.defaults.receive || self.roles.iter().any(|role| role.receive.iter().any(|acl| !acl.allow))
    }
}
