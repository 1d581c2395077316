//! The text of a `dynamic-security.json`, as mosquitto's plug-in writes it: keys and ACL types in any case, unknown
//! ones ignored, and writes it. [`super`] interprets it.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The whole file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct File {
    #[serde(rename(deserialize = "defaultaclaccess", serialize = "defaultACLAccess"))]
    pub defaults: Defaults,
    pub clients: Vec<Client>,
    pub groups: Vec<Group>,
    #[serde(
        rename(deserialize = "anonymousgroup", serialize = "anonymousGroup"),
        skip_serializing_if = "Option::is_none"
    )]
    pub anonymous: Option<String>,
    pub roles: Vec<Role>,
}

/// What is allowed if no role decides.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Defaults {
    #[serde(rename(deserialize = "publishclientsend", serialize = "publishClientSend"))]
    pub send: bool,
    #[serde(rename(deserialize = "publishclientreceive", serialize = "publishClientReceive"))]
    pub receive: bool,
    pub subscribe: bool,
    pub unsubscribe: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Client {
    pub username: String,
    #[serde(default, rename = "clientid", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textdescription: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// The form of mosquitto 2.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded_password: Option<String>,
    /// The form of mosquitto 2.0, with salt and iterations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u32>,
    #[serde(default)]
    pub roles: Vec<RoleName>,
}

/// A role in a list, with its priority.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct RoleName {
    pub rolename: String,
    #[serde(default = "least", skip_serializing_if = "is_least")]
    pub priority: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Group {
    pub groupname: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textdescription: Option<String>,
    #[serde(default)]
    pub roles: Vec<RoleName>,
    #[serde(default)]
    pub clients: Vec<Member>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Member {
    pub username: String,
    #[serde(default = "least", skip_serializing_if = "is_least")]
    pub priority: i64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Role {
    pub rolename: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textdescription: Option<String>,
    /// Only 2.1 has it.
    #[serde(default = "yes", rename = "allowwildcardsubs", skip_serializing_if = "is_true")]
    pub wildcards: bool,
    #[serde(default)]
    pub acls: Vec<Acl>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Acl {
    #[serde(rename = "acltype")]
    pub kind: String,
    pub topic: String,
    #[serde(default)]
    pub priority: i64,
    #[serde(default)]
    pub allow: bool,
}

/// The types of ACLs, in the order in which mosquitto lists them.
pub(super) const ACL_TYPES: [&str; 6] = [
    "publishClientSend",
    "publishClientReceive",
    "subscribeLiteral",
    "subscribePattern",
    "unsubscribeLiteral",
    "unsubscribePattern",
];

impl Acl {
    pub(super) fn is(&self, kind: &str, topic: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.topic == topic
    }

    /// Where it stands among those of its role.
    fn place(&self) -> (usize, Reverse<i64>) {
        let kind = ACL_TYPES.iter().position(|kind| kind.eq_ignore_ascii_case(&self.kind));
        (kind.unwrap_or(ACL_TYPES.len()), Reverse(self.priority))
    }
}

/// The priority of a list entry without one.
fn least() -> i64 {
    -1
}

fn is_least(priority: &i64) -> bool {
    *priority == least()
}

fn yes() -> bool {
    true
}

fn is_true(it: &bool) -> bool {
    *it
}

fn is_false(it: &bool) -> bool {
    !it
}

/// Reads the text. The error has the reason.
pub(super) fn read(text: &[u8]) -> Result<File, String> {
    let written: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !written.is_object() {
        return Err("an object, in braces, is expected".into());
    }
    serde_json::from_value(lower_case(written)).map_err(|error| error.to_string())
}

impl File {
    /// Puts everything into the order in which mosquitto has it; of a doubled name, the first stays.
    pub(super) fn sort(&mut self) {
        crate::types::sort_by(&mut self.clients, |a, b| a.username.cmp(&b.username));
        self.clients.dedup_by(|a, b| a.username == b.username);
        crate::types::sort_by(&mut self.groups, |a, b| a.groupname.cmp(&b.groupname));
        self.groups.dedup_by(|a, b| a.groupname == b.groupname);
        crate::types::sort_by(&mut self.roles, |a, b| a.rolename.cmp(&b.rolename));
        self.roles.dedup_by(|a, b| a.rolename == b.rolename);
        let lists = self.clients.iter_mut().map(|client| &mut client.roles);
        for roles in lists.chain(self.groups.iter_mut().map(|group| &mut group.roles)) {
            crate::types::sort_by(roles, |a, b| {
                (Reverse(a.priority), &a.rolename).cmp(&(Reverse(b.priority), &b.rolename))
            });
        }
        self.groups
            .iter_mut()
            .for_each(|group| crate::types::sort_by(&mut group.clients, |a, b| a.username.cmp(&b.username)));
        self.roles.iter_mut().for_each(|role| crate::types::sort_by_key(&mut role.acls, Acl::place));
    }

    /// The text of a file with this content.
    pub(super) fn text(&self) -> Result<Vec<u8>, String> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        text.push(b'\n');
        Ok(text)
    }

    pub(super) fn client(&mut self, name: &str) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.username == name)
    }

    pub(super) fn group(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.groupname == name)
    }

    pub(super) fn role(&mut self, name: &str) -> Option<&mut Role> {
        self.roles.iter_mut().find(|role| role.rolename == name)
    }
}

/// Converts the keys of all objects to lower case.
pub(super) fn lower_case(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let keys = object.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), lower_case(value)));
            Value::Object(keys.collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(lower_case).collect()),
        other => other,
    }
}
