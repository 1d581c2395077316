//! The default access, for actions that no role decides.

use serde_json::{Value, json};

use super::{Done, Outcome, asked::Asked};
use crate::auth::dynsec::file::{Defaults, File};

/// The place of one of the four values.
type Place = fn(&mut Defaults) -> &mut bool;

/// The four, as mosquitto writes them.
const KINDS: [(&str, Place); 4] = [
    ("publishClientSend", |defaults| &mut defaults.send),
    ("publishClientReceive", |defaults| &mut defaults.receive),
    ("subscribe", |defaults| &mut defaults.subscribe),
    ("unsubscribe", |defaults| &mut defaults.unsubscribe),
];

pub(super) fn set(file: &mut File, asked: &Asked<'_>) -> Done {
    let acls = asked.list("acls").ok_or("Missing/invalid actions array")?;
    for acl in acls {
        let kind = acl.get("acltype").and_then(Value::as_str);
        let (Some(kind), Some(allow)) = (kind, acl.get("allow").and_then(Value::as_bool)) else { continue };
        if let Some((_, place)) = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(kind)) {
            *place(&mut file.defaults) = allow;
        }
    }
    // no client is disconnected: the next action is decided by the new defaults
    Ok((Outcome::Changed, Vec::new()))
}

pub(super) fn get(file: &mut File, _: &Asked<'_>) -> Done {
    let acls = KINDS.map(|(kind, place)| json!({ "acltype": kind, "allow": *place(&mut file.defaults) }));
    Ok((Outcome::Shown(json!({ "acls": acls })), Vec::new()))
}
