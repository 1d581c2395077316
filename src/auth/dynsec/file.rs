//! The text of a `dynamic-security.json`, as mosquitto's plug-in writes it: keys and ACL types in any case, unknown
//! ones ignored. [`super`] interprets it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    #[serde(rename = "defaultaclaccess")]
    pub defaults: Defaults,
    pub clients: Vec<Client>,
    pub groups: Vec<Group>,
    #[serde(rename = "anonymousgroup")]
    pub anonymous: Option<String>,
    pub roles: Vec<Role>,
}

/// What is allowed if no role decides.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Defaults {
    #[serde(rename = "publishclientsend")]
    pub send: bool,
    #[serde(rename = "publishclientreceive")]
    pub receive: bool,
    pub subscribe: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Client {
    pub username: String,
    #[serde(default, rename = "clientid")]
    pub client_id: Option<String>,
    #[serde(default)]
    pub disabled: bool,
    /// The form of mosquitto 2.1.
    #[serde(default)]
    pub encoded_password: Option<String>,
    /// The form of mosquitto 2.0, with salt and iterations.
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub salt: Option<String>,
    #[serde(default)]
    pub iterations: Option<u32>,
    #[serde(default)]
    pub roles: Vec<RoleName>,
}

/// A role in a list, with its priority.
#[derive(Debug, Deserialize)]
pub(super) struct RoleName {
    pub rolename: String,
    #[serde(default = "least")]
    pub priority: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub groupname: String,
    #[serde(default)]
    pub roles: Vec<RoleName>,
    #[serde(default)]
    pub clients: Vec<Member>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Member {
    pub username: String,
    #[serde(default = "least")]
    pub priority: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Role {
    pub rolename: String,
    #[serde(default = "yes", rename = "allowwildcardsubs")]
    pub wildcards: bool,
    #[serde(default)]
    pub acls: Vec<Acl>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Acl {
    #[serde(rename = "acltype")]
    pub kind: String,
    pub topic: String,
    #[serde(default)]
    pub priority: i64,
    #[serde(default)]
    pub allow: bool,
}

/// The priority of a list entry without one.
fn least() -> i64 {
    -1
}

fn yes() -> bool {
    true
}

/// Reads the text. The error has the reason.
pub(super) fn read(text: &[u8]) -> Result<File, String> {
    let written: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !written.is_object() {
        return Err("an object, in braces, is expected".into());
    }
    serde_json::from_value(lower_case(written)).map_err(|error| error.to_string())
}

/// Converts the keys of all objects to lower case.
fn lower_case(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let keys = object.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), lower_case(value)));
            Value::Object(keys.collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(lower_case).collect()),
        other => other,
    }
}
