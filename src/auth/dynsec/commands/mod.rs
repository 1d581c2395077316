//! The commands of mosquitto's dynamic security, which clients publish to `$CONTROL/dynamic-security/v1`: the changes
//! of the file, and the answers. Names, keys and errors are mosquitto's. No files, no clients.
//!
//! | module | owns |
//! |---|---|
//! | this one | a message with commands, and its answer |
//! | `asked` | the fields of one command |
//! | `clients`, `groups`, `roles` | the commands about each of them |
//! | `defaults` | the commands about the default access |

mod asked;
mod clients;
mod defaults;
mod groups;
mod roles;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::file::{self, File};
use asked::Asked;

/// The effect of a message with commands on a file.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub responses: Vec<Response>,
    /// Users whose connections are closed, as in mosquitto; `None`: clients without a user name.
    pub closed: BTreeSet<Option<String>>,
}

/// The answer to one command.
#[derive(Debug)]
pub(super) struct Response {
    pub command: String,
    /// The user, group or role that it is about.
    pub name: Option<String>,
    pub correlation: Option<String>,
    pub result: Result<Outcome, String>,
}

/// What became of a command.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This was asked for.
    Shown(Value),
    /// The file is another.
    Changed,
}

/// Result of a command: its answer, and the connections that it closes.
type Done = Result<(Outcome, Vec<Option<String>>), String>;
type Perform = fn(&mut File, &Asked<'_>) -> Done;

/// As mosquitto writes their names; they are known in any case.
const COMMANDS: &[(&str, &str, Perform)] = &[
    ("setDefaultACLAccess", "", defaults::set),
    ("getDefaultACLAccess", "", defaults::get),
    ("createClient", "username", clients::create),
    ("deleteClient", "username", clients::delete),
    ("modifyClient", "username", clients::modify),
    ("getClient", "username", clients::get),
    ("listClients", "", clients::list),
    ("setClientPassword", "username", clients::set_password),
    ("setClientId", "username", clients::set_id),
    ("enableClient", "username", clients::enable),
    ("disableClient", "username", clients::disable),
    ("addClientRole", "username", clients::add_role),
    ("removeClientRole", "username", clients::remove_role),
    ("createGroup", "groupname", groups::create),
    ("deleteGroup", "groupname", groups::delete),
    ("modifyGroup", "groupname", groups::modify),
    ("getGroup", "groupname", groups::get),
    ("listGroups", "", groups::list),
    ("addGroupRole", "groupname", groups::add_role),
    ("removeGroupRole", "groupname", groups::remove_role),
    ("addGroupClient", "groupname", groups::add_client),
    ("removeGroupClient", "groupname", groups::remove_client),
    ("setAnonymousGroup", "groupname", groups::set_anonymous),
    ("getAnonymousGroup", "", groups::get_anonymous),
    ("createRole", "rolename", roles::create),
    ("deleteRole", "rolename", roles::delete),
    ("modifyRole", "rolename", roles::modify),
    ("getRole", "rolename", roles::get),
    ("listRoles", "", roles::list),
    ("addRoleACL", "rolename", roles::add_acl),
    ("removeRoleACL", "rolename", roles::remove_acl),
];

/// Applies the commands of a message to the file.
pub(super) fn perform(file: &mut File, message: &[u8]) -> Answered {
    let mut answered = Answered::default();
    let Ok(message) = serde_json::from_slice::<Value>(message).map(file::lower_case) else {
        answered.responses.push(Response::unknown("Payload not valid JSON", None));
        return answered;
    };
    let Some(commands) = message.get("commands").and_then(Value::as_array) else {
        answered.responses.push(Response::unknown("Invalid/missing commands", None));
        return answered;
    };
    for command in commands {
        let response = one(file, command, &mut answered.closed);
        let is_last = response.result.as_ref().is_err_and(|error| error == CORRELATION);
        answered.responses.push(response);
        // like mosquitto, which ignores the rest after such an entry
        if is_last {
            break;
        }
    }
    answered
}

const CORRELATION: &str = "Invalid correlationData data type.";

fn one(file: &mut File, command: &Value, closed: &mut BTreeSet<Option<String>>) -> Response {
    let Some(fields) = command.as_object() else { return Response::unknown("Command not an object", None) };
    let correlation = fields.get("correlationdata");
    let said = correlation.and_then(Value::as_str).map(str::to_owned);
    let Some(name) = fields.get("command").and_then(Value::as_str) else {
        return Response::unknown("Missing command", said);
    };
    if correlation.is_some() && said.is_none() {
        return Response { command: name.into(), ..Response::unknown(CORRELATION, None) };
    }
    let Some((command, about, perform)) = COMMANDS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)) else {
        return Response { command: name.into(), ..Response::unknown("Unknown command", said) };
    };
    let result = perform(file, &Asked(fields)).map(|(outcome, users)| {
        closed.extend(users);
        if matches!(outcome, Outcome::Changed) {
            file.sort();
        }
        outcome
    });
    let about = fields.get(*about).and_then(Value::as_str).map(str::to_owned);
    Response { command: (*command).into(), name: about, correlation: said, result }
}

impl Response {
    fn unknown(error: &str, correlation: Option<String>) -> Self {
        Self { command: "Unknown command".into(), name: None, correlation, result: Err(error.into()) }
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({ "command": self.command });
        match &self.result {
            Ok(Outcome::Shown(data)) => json["data"] = data.clone(),
            Ok(Outcome::Changed) => {}
            Err(error) => json["error"] = error.as_str().into(),
        }
        if let Some(correlation) = &self.correlation {
            json["correlationData"] = correlation.as_str().into();
        }
        json
    }
}

/// A part of a list, as `count` and `offset` ask for it: as names, or all that is to be said where `verbose`.
fn listed<T>(asked: &Asked<'_>, key: &str, all: &[T], name: fn(&T) -> &str, whole: impl Fn(&T) -> Value) -> Value {
    let number = |key| asked.number(key).and_then(|number| usize::try_from(number).ok());
    // no element at all is not to be had
    let most = number("count").map_or(usize::MAX, |count| count.max(1));
    let part = all.iter().skip(number("offset").unwrap_or(0)).take(most);
    let verbose = asked.flag("verbose").unwrap_or(false);
    let part: Vec<_> = part.map(|one| if verbose { whole(one) } else { name(one).into() }).collect();
    json!({ "totalCount": all.len(), key: part })
}

/// Adds a text to the answer if it exists.
fn add_text(json: &mut Value, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        json[key] = text.into();
    }
}
