//! Commands and their answers: what mosquitto 2.0.11 was seen to answer is compared in `tests/it/mosquitto`.

use serde_json::{Value, json};

use super::*;
use crate::auth::dynsec::Dynsec;

fn file() -> File {
    let roles = json!([{"rolename": "r", "acls": [{"acltype": "publishClientSend", "topic": "a/#", "allow": true}]}]);
    let groups = json!([{"groupname": "g", "roles": [{"rolename": "r"}], "clients": [{"username": "bob"}]}]);
    let text = json!({
        "clients": [{"username": "eve", "roles": [{"rolename": "r"}]}, {"username": "bob"}],
        "groups": groups, "roles": roles, "anonymousGroup": "g",
    });
    let mut file = file::read(text.to_string().as_bytes()).unwrap();
    file.sort();
    file
}

/// The answer to one command, and the users whose connections it closes.
fn ask(file: &mut File, command: Value) -> (Value, Vec<Option<String>>) {
    let answered = perform(file, json!({ "commands": [command] }).to_string().as_bytes());
    assert_eq!(answered.responses.len(), 1);
    (answered.responses[0].json(), answered.closed.into_iter().collect())
}

#[test]
fn a_command_closes_the_connections_of_affected_clients() {
    let everybody = ["", "bob", "eve"];
    for (command, closed) in [
        (json!({"command": "deleteClient", "username": "bob"}), &["bob"][..]),
        (json!({"command": "disableClient", "username": "bob"}), &["bob"]),
        (json!({"command": "enableClient", "username": "bob"}), &[]),
        (json!({"command": "setClientId", "username": "bob", "clientid": "x"}), &["bob"]),
        (json!({"command": "setClientPassword", "username": "bob", "password": "x"}), &["bob"]),
        (json!({"command": "modifyClient", "username": "bob"}), &["bob"]),
        (json!({"command": "addClientRole", "username": "bob", "rolename": "r"}), &["bob"]),
        (json!({"command": "removeClientRole", "username": "eve", "rolename": "r"}), &["eve"]),
        (json!({"command": "createClient", "username": "new"}), &[]),
        (json!({"command": "deleteGroup", "groupname": "g"}), &["", "bob"]),
        (json!({"command": "addGroupClient", "groupname": "g", "username": "eve"}), &["eve"]),
        (json!({"command": "removeGroupClient", "groupname": "g", "username": "bob"}), &["bob"]),
        (json!({"command": "removeGroupRole", "groupname": "g", "rolename": "r"}), &["", "bob"]),
        (json!({"command": "modifyGroup", "groupname": "g", "clients": [{"username": "eve"}]}), &everybody),
        (json!({"command": "setAnonymousGroup", "groupname": "g"}), &[""]),
        (json!({"command": "deleteRole", "rolename": "r"}), &everybody),
        (json!({"command": "modifyRole", "rolename": "r", "acls": []}), &everybody),
        (json!({"command": "modifyRole", "rolename": "r", "textname": "R"}), &[]),
        (json!({"command": "addRoleACL", "rolename": "r", "acltype": "subscribeLiteral", "topic": "x"}), &everybody),
        (
            json!({"command": "removeRoleACL", "rolename": "r", "acltype": "PublishClientSend", "topic": "a/#"}),
            &everybody,
        ),
        (json!({"command": "setDefaultACLAccess", "acls": [{"acltype": "subscribe", "allow": true}]}), &[]),
        (json!({"command": "listClients"}), &[]),
        // a failed command closes no connection
        (json!({"command": "addGroupClient", "groupname": "g", "username": "bob"}), &[]),
    ] {
        let users: Vec<_> = ask(&mut file(), command.clone()).1.into_iter().map(Option::unwrap_or_default).collect();
        assert_eq!(users, closed, "{command}");
    }
}

#[test]
fn an_edited_dynsec_file_is_reloaded() {
    let mut file = file();
    let commands = json!({"commands": [
        {"command": "createRole", "rolename": "w", "acls": [
            {"acltype": "subscribePattern", "topic": "%c/#", "priority": 3, "allow": true}, {"acltype": "x", "topic": "a"},
        ], "allowwildcardsubs": false},
        {"command": "createClient", "username": "new", "password": "pw", "clientid": "", "roles": [{"rolename": "w"}]},
        {"command": "disableClient", "username": "eve"},
        {"command": "setDefaultACLAccess", "acls": [{"acltype": "PUBLISHclientSEND", "allow": true}]},
    ]});
    let answered = perform(&mut file, commands.to_string().as_bytes());
    assert!(answered.responses.iter().all(|response| response.result.is_ok()), "{answered:?}");
    let text = file.text().unwrap();
    let said: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(said["anonymousGroup"], "g");
    assert_eq!(said["defaultACLAccess"]["publishClientSend"], true);
    assert_eq!(said["roles"][1]["allowwildcardsubs"], false);
    assert_eq!(said["clients"][1], json!({"username": "eve", "disabled": true, "roles": [{"rolename": "r"}]}));
    let mut warnings = Vec::new();
    let dynsec = Dynsec::parse(&text, &mut warnings).unwrap();
    assert_eq!(warnings, <[String; 0]>::default());
    let users: Vec<_> = dynsec.users().collect();
    assert!(users.len() == 1 && users[0].0 == "new" && users[0].1.is_of(b"pw"));
    // once more, nothing changes
    let mut again = file::read(&text).unwrap();
    again.sort();
    assert_eq!(again.text().unwrap(), text);
}

#[test]
fn an_impossible_command_leaves_the_file_unchanged() {
    let before = file().text().unwrap();
    for (command, error) in [
        (json!({"command": "createClient", "username": ""}), "Invalid/missing username"),
        (json!({"command": "createClient", "username": "bob"}), "Client already exists"),
        (json!({"command": "createClient", "username": "x", "groups": [{"groupname": "none"}]}), "Group not found"),
        (
            json!({"command": "modifyClient", "username": "bob", "textname": "B", "roles": [{"rolename": "none"}]}),
            "Role not found",
        ),
        (
            json!({"command": "createRole", "rolename": "x", "acls": [{"acltype": "subscribeLiteral", "topic": "#/"}]}),
            "Invalid ACL topic",
        ),
        (
            json!({"command": "addRoleACL", "rolename": "r", "acltype": "subscribeLiteral", "topic": "a/#b"}),
            "Invalid ACL topic",
        ),
        (json!({"command": "setClientId", "username": "bob", "clientid": 7}), "Invalid/missing client ID"),
        (json!({"command": "invented"}), "Unknown command"),
    ] {
        let mut file = file();
        assert_eq!(ask(&mut file, command.clone()).0["error"], error, "{command}");
        assert_eq!(file.text().unwrap(), before, "{command}");
    }
}
