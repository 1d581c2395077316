//! Commands about clients.

use serde_json::{Value, json};

use super::{
    Done, Outcome, add_text,
    asked::{Asked, names},
    listed,
};
use crate::auth::{
    dynsec::file::{Client, File, Member, RoleName},
    password::Hash,
};

const NOT_FOUND: &str = "Client not found";

pub(super) fn create(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("username")?;
    let password = asked.text_if_any("password", "password")?;
    let client_id = asked.text_if_any("clientid", "client id")?;
    let textname = asked.text_if_any("textname", "textname")?.map(Into::into);
    let textdescription = asked.text_if_any("textdescription", "textdescription")?.map(Into::into);
    if file.client(name).is_some() {
        return Err("Client already exists".into());
    }
    let roles = asked.roles(file)?.unwrap_or_default();
    let groups: Vec<_> = names(asked.list("groups").unwrap_or_default(), "groupname").collect();
    if groups.iter().any(|(group, _)| file.group(group).is_none()) {
        return Err("Group not found".into());
    }
    let client_id = client_id.filter(|id| !id.is_empty()).map(Into::into);
    let mut client = Client { username: name.into(), client_id, textname, textdescription, roles, ..Client::default() };
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        set(&mut client, password);
    }
    file.clients.push(client);
    join(file, name, &groups);
    Ok((Outcome::Changed, Vec::new()))
}

pub(super) fn delete(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("username")?;
    file.client(name).ok_or(NOT_FOUND)?;
    file.clients.retain(|client| client.username != name);
    leave(file, name);
    changed(name)
}

pub(super) fn modify(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("username")?;
    file.client(name).ok_or(NOT_FOUND)?;
    let roles = asked.roles(file)?;
    let client = file.client(name).ok_or(NOT_FOUND)?;
    if let Some(id) = asked.some_text("clientid") {
        client.client_id = Some(id).filter(|id| !id.is_empty());
    }
    if let Some(password) = asked.some_text("password").filter(|password| !password.is_empty()) {
        set(client, &password);
    }
    client.textname = asked.some_text("textname").or(client.textname.take());
    client.textdescription = asked.some_text("textdescription").or(client.textdescription.take());
    if let Some(roles) = roles {
        client.roles = roles;
    }
    if let Some(groups) = asked.list("groups") {
        leave(file, name);
        join(file, name, &names(groups, "groupname").collect::<Vec<_>>());
    }
    changed(name)
}

pub(super) fn set_password(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("username")?;
    let password = asked.text("password", "password")?;
    if password.is_empty() {
        return Err("Empty password is not allowed".into());
    }
    set(file.client(name).ok_or(NOT_FOUND)?, password);
    changed(name)
}

pub(super) fn set_id(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("username")?;
    let id = asked.text_if_any("clientid", "client ID")?;
    let client = file.client(name).ok_or(NOT_FOUND)?;
    client.client_id = id.filter(|id| !id.is_empty()).map(Into::into);
    changed(name)
}

pub(super) fn enable(file: &mut File, asked: &Asked<'_>) -> Done {
    file.client(asked.name("username")?).ok_or(NOT_FOUND)?.disabled = false;
    Ok((Outcome::Changed, Vec::new()))
}

pub(super) fn disable(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("username")?;
    file.client(name).ok_or(NOT_FOUND)?.disabled = true;
    changed(name)
}

pub(super) fn add_role(file: &mut File, asked: &Asked<'_>) -> Done {
    let (name, rolename) = (asked.name("username")?, asked.name("rolename")?);
    file.client(name).ok_or(NOT_FOUND)?;
    file.role(rolename).ok_or("Role not found")?;
    let client = file.client(name).ok_or(NOT_FOUND)?;
    if client.roles.iter().any(|role| role.rolename == rolename) {
        // mosquitto's error for a role that the client has already
        return Err("Internal error".into());
    }
    let priority = asked.number("priority").unwrap_or(-1);
    client.roles.push(RoleName { rolename: rolename.into(), priority });
    changed(name)
}

pub(super) fn remove_role(file: &mut File, asked: &Asked<'_>) -> Done {
    let (name, rolename) = (asked.name("username")?, asked.name("rolename")?);
    file.client(name).ok_or(NOT_FOUND)?;
    file.role(rolename).ok_or("Role not found")?;
    file.client(name).ok_or(NOT_FOUND)?.roles.retain(|role| role.rolename != rolename);
    changed(name)
}

pub(super) fn get(file: &mut File, asked: &Asked<'_>) -> Done {
    let name = asked.name("username")?;
    let client = file.clients.iter().find(|client| client.username == name).ok_or(NOT_FOUND)?;
    Ok((Outcome::Shown(json!({ "client": shown(file, client) })), Vec::new()))
}

pub(super) fn list(file: &mut File, asked: &Asked<'_>) -> Done {
    let whole = |client: &Client| shown(file, client);
    Ok((Outcome::Shown(listed(asked, "clients", &file.clients, |client| &client.username, whole)), Vec::new()))
}

fn shown(file: &File, client: &Client) -> Value {
    let groups = file.groups.iter().filter_map(|group| {
        let member = group.clients.iter().find(|member| member.username == client.username)?;
        Some((member.priority, &group.groupname))
    });
    let mut groups: Vec<_> = groups.collect();
    crate::types::sort_by_key(&mut groups, |(priority, _)| std::cmp::Reverse(*priority));
    let groups = groups.into_iter().map(|(priority, name)| match priority {
        -1 => json!({ "groupname": name }),
        _ => json!({ "groupname": name, "priority": priority }),
    });
    let mut json = json!({
        "username": client.username, "roles": client.roles, "groups": groups.collect::<Vec<_>>(),
    });
    let texts =
        [("clientid", &client.client_id), ("textname", &client.textname), ("textdescription", &client.textdescription)];
    texts.into_iter().for_each(|(key, text)| add_text(&mut json, key, text.as_deref()));
    if client.disabled {
        json["disabled"] = true.into();
    }
    json
}

/// The command changed this client: its connections are closed, as in mosquitto.
fn changed(name: &str) -> Done {
    Ok((Outcome::Changed, vec![Some(name.into())]))
}

/// Written as mosquitto 2.0 writes it, which 2.1 reads too.
fn set(client: &mut Client, password: &str) {
    let (hash, salt, iterations) = Hash::make_pbkdf2(password.as_bytes());
    client.encoded_password = None;
    (client.password, client.salt, client.iterations) = (Some(hash), Some(salt), Some(iterations));
}

/// Takes a client out of all groups.
fn leave(file: &mut File, name: &str) {
    file.groups.iter_mut().for_each(|group| group.clients.retain(|member| member.username != name));
}

/// Puts a client into groups; those that are not there are left out.
fn join(file: &mut File, name: &str, groups: &[(&str, i64)]) {
    for (group, priority) in groups {
        if let Some(group) = file.group(group)
            && !group.clients.iter().any(|member| member.username == name)
        {
            group.clients.push(Member { username: name.into(), priority: *priority });
        }
    }
}
