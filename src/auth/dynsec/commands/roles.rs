//! Commands about roles and their ACLs.

use serde_json::{Value, json};

use super::{Done, Outcome, add_text, asked::Asked, groups::members, listed};
use crate::{
    auth::dynsec::file::{ACL_TYPES, Acl, File, Role, RoleName},
    topic::TopicFilter,
};

const NOT_FOUND: &str = "Role not found";

pub(super) fn create(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("rolename")?;
    let textname = asked.text_if_any("textname", "textname")?.map(Into::into);
    let textdescription = asked.text_if_any("textdescription", "textdescription")?.map(Into::into);
    if file.role(name).is_some() {
        return Err("Role already exists".into());
    }
    let acls = asked.list("acls").map(acls).transpose()?.unwrap_or_default();
    let wildcards = asked.flag("allowwildcardsubs").unwrap_or(true);
    file.roles.push(Role { rolename: name.into(), textname, textdescription, wildcards, acls });
    Ok((Outcome::Changed, Vec::new()))
}

pub(super) fn delete(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("rolename")?;
    file.role(name).ok_or(NOT_FOUND)?;
    let users = users_of(file, name);
    file.roles.retain(|role| role.rolename != name);
    file.clients.iter_mut().for_each(|client| client.roles.retain(|role| role.rolename != name));
    file.groups.iter_mut().for_each(|group| group.roles.retain(|role| role.rolename != name));
    Ok((Outcome::Changed, users))
}

pub(super) fn modify(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("rolename")?;
    let acls = asked.list("acls").map(acls).transpose()?;
    let role = file.role(name).ok_or("Role does not exist")?;
    role.textname = asked.some_text("textname").or(role.textname.take());
    role.textdescription = asked.some_text("textdescription").or(role.textdescription.take());
    let wildcards = asked.flag("allowwildcardsubs").unwrap_or(role.wildcards);
    // the text name has no effect
    let is_other = acls.is_some() || wildcards != role.wildcards;
    role.wildcards = wildcards;
    if let Some(acls) = acls {
        role.acls = acls;
    }
    Ok((Outcome::Changed, if is_other { users_of(file, name) } else { Vec::new() }))
}

pub(super) fn add_acl(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("rolename")?;
    let role = file.role(name).ok_or(NOT_FOUND)?;
    let kind = kind(asked)?;
    let topic = asked.topic()?;
    if role.acls.iter().any(|acl| acl.is(kind, topic)) {
        return Err("ACL with this topic already exists".into());
    }
    let (priority, allow) = (asked.number("priority").unwrap_or(0), asked.flag("allow").unwrap_or(false));
    role.acls.push(Acl { kind: kind.into(), topic: topic.into(), priority, allow });
    Ok((Outcome::Changed, users_of(file, name)))
}

pub(super) fn remove_acl(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("rolename")?;
    let role = file.role(name).ok_or(NOT_FOUND)?;
    let kind = kind(asked)?;
    let topic = asked.topic()?;
    let before = role.acls.len();
    role.acls.retain(|acl| !acl.is(kind, topic));
    if role.acls.len() == before {
        return Err("ACL not found".into());
    }
    Ok((Outcome::Changed, users_of(file, name)))
}

pub(super) fn get(file: &mut File, asked: &Asked<'_>) -> Done {
    let role = file.role(asked.name("rolename")?).ok_or(NOT_FOUND)?;
    Ok((Outcome::Shown(json!({ "role": shown(role) })), Vec::new()))
}

pub(super) fn list(file: &mut File, asked: &Asked<'_>) -> Done {
    Ok((Outcome::Shown(listed(asked, "roles", &file.roles, |role| &role.rolename, shown)), Vec::new()))
}

/// The users that have a role, directly or by their groups.
fn users_of(file: &File, name: &str) -> Vec<Option<String>> {
    let has = |roles: &[RoleName]| roles.iter().any(|role| role.rolename == name);
    let own = file.clients.iter().filter(|client| has(&client.roles)).map(|client| Some(client.username.clone()));
    let groups = file.groups.iter().filter(|group| has(&group.roles));
    own.chain(groups.flat_map(|group| members(file, &group.groupname))).collect()
}

/// The type of an ACL, as mosquitto writes it.
fn kind(asked: &Asked<'_>) -> Result<&'static str, String> {
    let kind = asked.text("acltype", "acltype")?;
    known(kind).ok_or_else(|| "Unknown acltype".into())
}

fn known(kind: &str) -> Option<&'static str> {
    ACL_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(kind))
}

/// ACLs of a list; invalid entries are ignored.
fn acls(list: &[Value]) -> Result<Vec<Acl>, String> {
    let mut acls: Vec<Acl> = Vec::new();
    for one in list {
        let text = |key| one.get(key).and_then(Value::as_str);
        let (Some(kind), Some(topic)) = (text("acltype").and_then(known), text("topic")) else { continue };
        TopicFilter::new(topic).map_err(|_| "Invalid ACL topic")?;
        if !acls.iter().any(|acl| acl.is(kind, topic)) {
            let number = |value: &Value| value.as_f64().map(|number| number as i64);
            let priority = one.get("priority").and_then(number).unwrap_or(0);
            let allow = one.get("allow").and_then(Value::as_bool).unwrap_or(false);
            acls.push(Acl { kind: kind.into(), topic: topic.into(), priority, allow });
        }
    }
    Ok(acls)
}

fn shown(role: &Role) -> Value {
    let mut json = json!({ "rolename": role.rolename, "acls": role.acls });
    add_text(&mut json, "textname", role.textname.as_deref());
    add_text(&mut json, "textdescription", role.textdescription.as_deref());
    if !role.wildcards {
        json["allowwildcardsubs"] = false.into();
    }
    json
}
