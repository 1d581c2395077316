//! Commands about groups.

use serde_json::{Value, json};

use super::{
    Done, Outcome, add_text,
    asked::{Asked, names},
    listed,
};
use crate::auth::dynsec::file::{File, Group, Member, RoleName};

const NOT_FOUND: &str = "Group not found";

pub(super) fn create(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("groupname")?;
    let textname = asked.text_if_any("textname", "textname")?.map(Into::into);
    let textdescription = asked.text_if_any("textdescription", "textdescription")?.map(Into::into);
    if file.group(name).is_some() {
        return Err("Group already exists".into());
    }
    let roles = asked.roles(file)?.unwrap_or_default();
    file.groups.push(Group { groupname: name.into(), textname, textdescription, roles, clients: Vec::new() });
    Ok((Outcome::Changed, Vec::new()))
}

pub(super) fn delete(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("groupname")?;
    file.group(name).ok_or(NOT_FOUND)?;
    let users = members(file, name);
    file.groups.retain(|group| group.groupname != name);
    // mosquitto 2.0.11 crashes of this
    file.anonymous.take_if(|anonymous| anonymous.as_str() == name);
    Ok((Outcome::Changed, users))
}

pub(super) fn modify(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("groupname")?;
    file.group(name).ok_or(NOT_FOUND)?;
    let roles = asked.roles(file)?;
    let mut users = members(file, name);
    let clients = asked.list("clients").map(|list| {
        let known = |(user, priority): (&str, i64)| {
            file.client(user).map(|client| Member { username: client.username.clone(), priority })
        };
        names(list, "username").filter_map(known).collect::<Vec<_>>()
    });
    let group = file.group(name).ok_or(NOT_FOUND)?;
    group.textname = asked.some_text("textname").or(group.textname.take());
    group.textdescription = asked.some_text("textdescription").or(group.textdescription.take());
    if let Some(roles) = roles {
        group.roles = roles;
    }
    if let Some(clients) = clients {
        group.clients = clients;
    }
    users.extend(members(file, name));
    Ok((Outcome::Changed, users))
}

pub(super) fn add_role(file: &mut File, asked: &Asked<'_>) -> Done {
    let (name, rolename) = (asked.name("groupname")?, asked.name("rolename")?);
    file.group(name).ok_or(NOT_FOUND)?;
    file.role(rolename).ok_or("Role not found")?;
    let group = file.group(name).ok_or(NOT_FOUND)?;
    if group.roles.iter().any(|role| role.rolename == rolename) {
        return Err("Group is already in this role".into());
    }
    let priority = asked.number("priority").unwrap_or(-1);
    group.roles.push(RoleName { rolename: rolename.into(), priority });
    Ok((Outcome::Changed, members(file, name)))
}

pub(super) fn remove_role(file: &mut File, asked: &Asked<'_>) -> Done {
    let (name, rolename) = (asked.name("groupname")?, asked.name("rolename")?);
    file.group(name).ok_or(NOT_FOUND)?;
    file.role(rolename).ok_or("Role not found")?;
    file.group(name).ok_or(NOT_FOUND)?.roles.retain(|role| role.rolename != rolename);
    Ok((Outcome::Changed, members(file, name)))
}

pub(super) fn add_client(file: &mut File, asked: &Asked<'_>) -> Done {
    let (user, name) = (asked.name("username")?, asked.name("groupname")?);
    file.client(user).ok_or("Client not found")?;
    let group = file.group(name).ok_or(NOT_FOUND)?;
    if group.clients.iter().any(|member| member.username == user) {
        return Err("Client is already in this group".into());
    }
    let priority = asked.number("priority").unwrap_or(-1);
    group.clients.push(Member { username: user.into(), priority });
    Ok((Outcome::Changed, vec![Some(user.into())]))
}

pub(super) fn remove_client(file: &mut File, asked: &Asked<'_>) -> Done {
    let (user, name) = (asked.name("username")?, asked.name("groupname")?);
    file.client(user).ok_or("Client not found")?;
    file.group(name).ok_or(NOT_FOUND)?.clients.retain(|member| member.username != user);
    Ok((Outcome::Changed, vec![Some(user.into())]))
}

pub(super) fn get(file: &mut File, asked: &Asked<'_>) -> Done {
    let group = file.group(asked.name("groupname")?).ok_or(NOT_FOUND)?;
    Ok((Outcome::Shown(json!({ "group": shown(group) })), Vec::new()))
}

pub(super) fn list(file: &mut File, asked: &Asked<'_>) -> Done {
    Ok((Outcome::Shown(listed(asked, "groups", &file.groups, |group| &group.groupname, shown)), Vec::new()))
}

pub(super) fn set_anonymous(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("groupname")?;
    file.group(name).ok_or(NOT_FOUND)?;
    file.anonymous = Some(name.into());
    Ok((Outcome::Changed, vec![None]))
}

pub(super) fn get_anonymous(file: &mut File, _: &Asked<'_>) -> Done {
    let name = file.anonymous.as_deref().unwrap_or_default();
    Ok((Outcome::Shown(json!({ "group": { "groupname": name } })), Vec::new()))
}

/// The clients that have the rights of a group.
pub(super) fn members(file: &File, name: &str) -> Vec<Option<String>> {
    let group = file.groups.iter().find(|group| group.groupname == name);
    let users = group.into_iter().flat_map(|group| &group.clients).map(|member| Some(member.username.clone()));
    users.chain((file.anonymous.as_deref() == Some(name)).then_some(None)).collect()
}

fn shown(group: &Group) -> Value {
    let clients: Vec<_> = group.clients.iter().map(|member| json!({ "username": member.username })).collect();
    let mut json = json!({ "groupname": group.groupname, "clients": clients, "roles": group.roles });
    add_text(&mut json, "textname", group.textname.as_deref());
    add_text(&mut json, "textdescription", group.textdescription.as_deref());
    json
}
