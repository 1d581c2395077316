//! Dynamic security as `mosquitto_ctrl dynsec` administers it: dunlin and Debian's mosquitto get the same file and the
//! same commands, and must have the same answers and the same effects on connecting, publishing and subscribing.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::configurations::{Dunlin, PLUGIN, connected, free, let_in, round_trip, start, wait_for};
use crate::support::{
    mosquitto::Mosquitto,
    raw::{Client, Connect, Message, PINGREQ, PINGRESP, subscribe},
};

const COMMANDS: &str = "$CONTROL/dynamic-security/v1";
const ANSWERS: &str = "$CONTROL/dynamic-security/v1/response";

/// Every command of `mosquitto_ctrl dynsec`, with its errors.
const SCRIPT: &str = "
    getDefaultACLAccess
    setDefaultACLAccess publishClientSend allow
    setDefaultACLAccess subscribe allow
    setDefaultACLAccess unsubscribe deny
    getDefaultACLAccess
    setDefaultACLAccess publishClientSend deny
    setDefaultACLAccess subscribe deny
    setDefaultACLAccess publishClientReceive deny
    setDefaultACLAccess publishClientReceive allow
    createClient bob -p bobpw
    createClient bob -p bobpw
    createClient eve -c eveid -p evepw
    createGroup g
    createGroup g
    createGroup guests
    createRole r
    createRole r
    createRole low
    addRoleACL r publishClientSend a/# allow 5
    addRoleACL r publishClientSend a/# allow 5
    addRoleACL r publishClientSend a/closed deny 7
    addRoleACL r subscribePattern a/# allow
    addRoleACL r subscribeLiteral n/# deny
    addRoleACL r unsubscribePattern a/# allow
    addRoleACL r unsubscribeLiteral n/# deny
    addRoleACL low publishClientSend n/# allow
    addRoleACL low subscribePattern n/# allow
    addRoleACL low publishClientReceive n/secret deny
    addRoleACL r subscribePattern a#b allow
    addRoleACL none subscribePattern a/b allow
    addRoleACL r inventedType a/b allow
    addGroupRole g r 3
    addGroupRole g r 3
    addGroupRole none r
    addGroupRole g none
    addGroupClient g bob 2
    addGroupClient g bob 2
    addGroupClient none bob
    addGroupClient g none
    addClientRole eve low 7
    addClientRole eve low 7
    addClientRole none low
    addClientRole eve none
    addClientRole bob low
    getAnonymousGroup
    addGroupRole guests low
    setAnonymousGroup guests
    setAnonymousGroup none
    getAnonymousGroup
    getClient admin
    getClient bob
    getClient eve
    getClient none
    getGroup g
    getGroup none
    getRole r
    getRole low
    getRole none
    listClients
    listClients 1
    listClients 1 1
    listClients 5 2
    listGroups
    listGroups 1 1
    listRoles
    listRoles 2 1
    setClientPassword bob new
    setClientPassword none new
    setClientId bob bobid
    setClientId none bobid
    getClient bob
    setClientId bob
    disableClient bob
    disableClient none
    getClient bob
    enableClient bob
    enableClient none
    removeClientRole eve low
    removeClientRole eve low
    removeClientRole eve none
    removeClientRole none low
    removeGroupClient g bob
    removeGroupClient g none
    removeGroupClient none bob
    addGroupClient g eve
    removeGroupRole g r
    removeGroupRole g none
    addGroupRole g r 1
    removeRoleACL r publishClientSend a/closed
    removeRoleACL r publishClientSend a/closed
    removeRoleACL none publishClientSend a/closed
    deleteRole low
    deleteRole low
    deleteGroup g
    deleteGroup g
    deleteClient bob
    deleteClient bob
    listClients
    listGroups
    listRoles
    invented
";

/// A broker with a file of its own.
struct Broker {
    dir: TempDir,
    address: SocketAddr,
    running: Running,
}

enum Running {
    Dunlin(Dunlin),
    Mosquitto { _it: Mosquitto },
}

impl Broker {
    fn file(&self) -> PathBuf {
        self.dir.path().join("dynsec.json")
    }

    fn configured(text: &[u8]) -> (TempDir, SocketAddr, PathBuf) {
        let (dir, address) = (tempfile::tempdir().unwrap(), free());
        fs::write(dir.path().join("dynsec.json"), text).unwrap();
        let file = dir.path().join("mosquitto.conf");
        let conf = format!(
            "user root\nlistener {} 127.0.0.1\nallow_anonymous true\nplugin {PLUGIN}\n\
             plugin_opt_config_file {}/dynsec.json\n",
            address.port(),
            dir.path().display()
        );
        fs::write(&file, conf).unwrap();
        // dunlin's: many wrong passwords are given below
        fs::create_dir(dir.path().join("dunlin.d")).unwrap();
        fs::write(dir.path().join("dunlin.d/test.toml"), "[auth]\nfailed_login_delay = \"off\"\n").unwrap();
        (dir, address, file)
    }

    fn dunlin(text: &[u8]) -> Self {
        let (dir, address, file) = Self::configured(text);
        let mut running = start(&file);
        wait_for(address, || running.0.try_wait().unwrap().is_some(), "dunlin");
        Self { dir, address, running: Running::Dunlin(running) }
    }

    /// `None` if mosquitto is not installed.
    fn mosquitto(text: &[u8]) -> Option<Self> {
        if !Path::new(PLUGIN).exists() {
            return None;
        }
        let (dir, address, file) = Self::configured(text);
        let mut running = Mosquitto::with_file(&file, address)?;
        wait_for(address, || running.has_ended(), "mosquitto");
        Some(Self { dir, address, running: Running::Mosquitto { _it: running } })
    }

    /// kill -9, and a start with the content of the disk.
    fn killed_and_started(mut self) -> Self {
        let text = fs::read(self.file()).unwrap();
        if let Running::Dunlin(dunlin) = &mut self.running {
            dunlin.0.kill().unwrap();
            dunlin.0.wait().unwrap();
        }
        Self::dunlin(&text)
    }

    fn admin(&self) -> Client {
        let mut admin = connected(self.address, &connect("the-admin").user("admin", "adminpw")).expect("it is let in");
        admin.subscribe(&[(ANSWERS, 1)]);
        admin
    }

    /// The output of `mosquitto_ctrl` for a command, and its exit code.
    fn ctrl(&self, command: &str) -> String {
        let port = self.address.port().to_string();
        let mut ctrl = Command::new("mosquitto_ctrl");
        ctrl.args(["-h", "127.0.0.1", "-p", &port, "-u", "admin", "-P", "adminpw", "dynsec"]);
        let output = ctrl.args(command.split_whitespace()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{}{:?}", text(&output.stdout), text(&output.stderr), output.status.code())
    }
}

fn connect(id: &str) -> Connect {
    Connect::new(id).keep_alive(60)
}

/// Publishes a message with commands, and gives its answer.
fn ask(admin: &mut Client, message: &str) -> Value {
    admin.send(&Message::new(COMMANDS, message).qos(1).id(9).frame());
    // the acknowledgement may come before the answer or after it
    let frames = [admin.expect_any(), admin.expect_any()];
    let message = frames.iter().find_map(|frame| frame.message()).expect("an answer");
    assert_eq!((message.topic.as_str(), message.retain), (ANSWERS, false));
    serde_json::from_str(message.text()).unwrap()
}

/// An administrator, with the name and password that `admin` of [`Broker`] gives.
fn with_admin() -> Vec<u8> {
    include_bytes!("../../data/dynsec_admin.json").to_vec()
}

/// Rights of clients.
fn questions(address: SocketAddr) -> Vec<String> {
    let mut answers = Vec::new();
    for (who, connect) in [
        ("bob", connect("b").user("bob", "bobpw")),
        ("bob with his new password", connect("b").user("bob", "new")),
        ("bob with his own identifier", connect("bobid").user("bob", "new")),
        ("eve", connect("eveid").user("eve", "evepw")),
        ("eve with another identifier", connect("other").user("eve", "evepw")),
        ("nobody", connect("c")),
    ] {
        if let_in(address, &connect) == "refused" {
            answers.push(format!("{who} is refused"));
            continue;
        }
        for topic in ["a/x", "a/closed", "n/x", "n/secret", COMMANDS] {
            answers.push(format!("{who} on {topic}: {}", round_trip(address, &connect, topic, 1)));
        }
        let mut client = connected(address, &connect).unwrap();
        client.send(&subscribe(5, &[("a/#", 1), ("n/#", 1), ("#", 0), ("$CONTROL/#", 0)]));
        answers.push(format!("{who} is granted {:?}", client.expect_any().body));
    }
    answers
}

#[test]
fn each_command_of_mosquitto_ctrl_is_answered_as_by_mosquitto() {
    let Some(mosquitto) = Broker::mosquitto(&with_admin()) else { return };
    let dunlin = Broker::dunlin(&with_admin());
    let (mut asked, mut wrong) = (0, Vec::new());
    for command in SCRIPT.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [ours, theirs] = [&dunlin, &mosquitto].map(|broker| broker.ctrl(command));
        if ours != theirs {
            wrong.push(format!("{command}: dunlin: {ours}; mosquitto: {theirs}"));
        }
        // what only shows something has no effect
        if command.starts_with("get") || command.starts_with("list") || theirs.contains("Error") {
            continue;
        }
        let [ours, theirs] = [&dunlin, &mosquitto].map(|broker| questions(broker.address));
        asked += ours.len();
        for (ours, theirs) in ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs) {
            wrong.push(format!("after {command}: dunlin: {ours}; mosquitto: {theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 500, "{asked} questions");
}

#[test]
fn each_message_with_commands_is_answered_as_by_mosquitto() {
    let messages = [
        json!({"commands": [
            {"command": "CREATErole", "rolename": "r2", "textname": "R",
             "acls": [{"acltype": "publishclientsend", "topic": "q/#", "allow": true}, {"acltype": "x", "topic": "a"}]},
            {"command": "createRole", "rolename": "r"},
            {"command": "createGroup", "groupname": "g", "textdescription": "D"},
            {"command": "createGroup", "groupname": "g2", "roles": [{"rolename": "r2"}]},
            {"command": "createClient", "username": "x", "textname": "X", "roles": [{"rolename": "r2", "priority": 4}],
             "groups": [{"groupname": "g2", "priority": 3}, {"groupname": "g"}]},
            {"command": "getClient", "username": "x", "correlationData": "c1"},
        ]}),
        json!({"commands": [
            {"command": "modifyClient", "username": "x", "textdescription": "D", "clientid": "id", "password": "pw",
             "roles": [], "groups": [{"groupname": "g"}, {"groupname": "none"}]},
            {"command": "getClient", "username": "x"},
            {"command": "modifyGroup", "groupname": "g2", "roles": [{"rolename": "r"}], "textname": "G2",
             "clients": [{"username": "x"}, {"username": "none"}]},
            {"command": "getGroup", "groupname": "g2"},
            {"command": "modifyRole", "rolename": "r2", "textname": "T", "acls": []},
            {"command": "getRole", "rolename": "r2"},
        ]}),
        json!({"commands": [
            {"command": "modifyRole", "rolename": "none"}, {"command": "modifyClient", "username": "none"},
            {"command": "modifyGroup", "groupname": "none"},
            {"command": "createGroup", "groupname": "g3", "roles": [{"rolename": "none"}]},
            {"command": "createClient", "username": "y", "roles": [{"rolename": "none"}]},
            {"command": "createClient", "username": "y", "roles": 7}, {"command": "createClient", "username": 7},
            {"command": "addRoleACL", "rolename": "r", "acltype": "x", "topic": "a"},
            {"command": "addRoleACL", "rolename": "r", "topic": "a"},
            {"command": "addRoleACL", "rolename": "r", "acltype": "subscribeLiteral"},
            {"command": "addGroupRole", "groupname": "g"}, {"command": "addClientRole", "rolename": "r"},
            {"command": "setClientPassword", "username": "x"},
            {"command": "setClientPassword", "username": "x", "password": ""},
            {"command": "removeRoleACL", "rolename": "r", "acltype": "subscribeLiteral", "topic": "#a"},
        ]}),
        json!({"commands": [
            {"command": "listClients", "verbose": true}, {"command": "listClients", "count": 1, "offset": 1},
            {"command": "listGroups", "verbose": true, "count": 1}, {"command": "listRoles", "verbose": true, "offset": 2},
            {"command": "getDefaultACLAccess", "correlationData": "x"}, {"command": "getAnonymousGroup"},
        ]}),
        json!({"commands": [
            {"command": "setDefaultACLAccess"},
            {"command": "setDefaultACLAccess", "acls": [{"acltype": "subscribe", "allow": true}, {"acltype": "x"}, 7]},
            {"command": "invented", "correlationData": "y"}, {"command": "getClient", "correlationData": "z"},
        ]}),
        json!({"commands": [{"command": "createClient", "username": "z", "correlationData": 7}, {"command": "listRoles"}]}),
        json!({"commands": 7}),
        json!({}),
        json!({"commands": []}),
        json!({"commands": [
            {"command": "deleteGroup", "groupname": "g2"}, {"command": "deleteRole", "rolename": "r2"},
            {"command": "getClient", "username": "x"}, {"command": "deleteClient", "username": "x"},
            {"command": "getGroup", "groupname": "g"}, {"command": "listClients"},
        ]}),
    ];
    let Some(mosquitto) = Broker::mosquitto(&with_admin()) else { return };
    let dunlin = Broker::dunlin(&with_admin());
    let mut admins = [&dunlin, &mosquitto].map(Broker::admin);
    let texts = messages.iter().map(Value::to_string).chain(["no JSON".into(), "{".into()]);
    for text in texts {
        let [ours, theirs] = admins.each_mut().map(|admin| ask(admin, &text));
        assert_eq!(ours, theirs, "{text}");
    }
    // both have the same in their files, but for the passwords
    let [ours, theirs] = [&dunlin, &mosquitto].map(|broker| {
        let mut file: Value = serde_json::from_slice(&fs::read(broker.file()).unwrap()).unwrap();
        for client in file["clients"].as_array_mut().unwrap() {
            let client = client.as_object_mut().unwrap();
            ["password", "salt", "iterations"].into_iter().for_each(|key| _ = client.remove(key));
        }
        file
    });
    assert_eq!(ours, theirs);
}

#[test]
fn dynsec_commands_disconnect_the_same_clients_as_mosquitto() {
    let commands = [
        json!({"command": "enableClient", "username": "bob"}),
        json!({"command": "setDefaultACLAccess", "acls": [{"acltype": "subscribe", "allow": true}]}),
        json!({"command": "modifyRole", "rolename": "own", "textname": "T"}),
        json!({"command": "setClientId", "username": "bob", "clientid": "bob"}),
        json!({"command": "addClientRole", "username": "eve", "rolename": "r"}),
        json!({"command": "removeClientRole", "username": "eve", "rolename": "r"}),
        json!({"command": "addGroupClient", "groupname": "g", "username": "bob"}),
        json!({"command": "addGroupRole", "groupname": "g", "rolename": "r"}),
        json!({"command": "addRoleACL", "rolename": "r", "acltype": "subscribeLiteral", "topic": "x", "allow": true}),
        json!({"command": "removeRoleACL", "rolename": "r", "acltype": "subscribeLiteral", "topic": "x"}),
        json!({"command": "modifyGroup", "groupname": "g", "textname": "T"}),
        json!({"command": "removeGroupRole", "groupname": "g", "rolename": "r"}),
        json!({"command": "removeGroupClient", "groupname": "g", "username": "bob"}),
        json!({"command": "setAnonymousGroup", "groupname": "g"}),
        json!({"command": "modifyClient", "username": "eve", "textname": "E"}),
        json!({"command": "setClientPassword", "username": "bob", "password": "bobpw"}),
        json!({"command": "deleteRole", "rolename": "own"}),
        json!({"command": "disableClient", "username": "eve"}),
        json!({"command": "deleteClient", "username": "bob"}),
    ];
    let begin = json!({"commands": [
        {"command": "createRole", "rolename": "r"}, {"command": "createRole", "rolename": "own"},
        {"command": "createGroup", "groupname": "g"}, {"command": "createClient", "username": "bob", "password": "bobpw"},
        {"command": "createClient", "username": "eve", "password": "evepw"},
        // for roles that createClient gives, mosquitto 2.0.11 closes no connection
        {"command": "addClientRole", "username": "eve", "rolename": "own"},
    ]});
    let Some(mosquitto) = Broker::mosquitto(&with_admin()) else { return };
    let dunlin = Broker::dunlin(&with_admin());
    let of = |broker: &Broker| {
        let mut admin = broker.admin();
        ask(&mut admin, &begin.to_string());
        let mut gone = Vec::new();
        for command in &commands {
            let who = [("bob", connect("bob").user("bob", "bobpw")), ("eve", connect("eve").user("eve", "evepw"))];
            let all = who.into_iter().chain([("nobody", connect("nobody"))]);
            let clients: Vec<_> = all.map(|(name, connect)| (name, connected(broker.address, &connect))).collect();
            ask(&mut admin, &json!({ "commands": [command] }).to_string());
            for (name, client) in clients {
                let Some(mut client) = client else {
                    gone.push(format!("{name} was refused before {command}"));
                    continue;
                };
                if !client.try_send(PINGREQ) || client.read().is_none_or(|frame| frame.bytes() != PINGRESP) {
                    gone.push(format!("{name} by {command}"));
                }
            }
        }
        gone
    };
    assert_eq!(of(&dunlin), of(&mosquitto));
}

#[test]
fn a_change_is_in_the_file_before_it_is_answered() {
    let dunlin = Broker::dunlin(&with_admin());
    let mut admin = dunlin.admin();
    for n in 0..20 {
        let name = format!("user-{n}");
        let command = json!({"command": "createClient", "username": name, "password": "secret"});
        let answer = ask(&mut admin, &json!({ "commands": [command] }).to_string());
        assert_eq!(answer, json!({"responses": [{"command": "createClient"}]}));
        assert!(fs::read_to_string(dunlin.file()).unwrap().contains(&name), "{name}");
    }
    // nothing else is left beside it
    let mut left: Vec<_> = fs::read_dir(dunlin.dir.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["dunlin.d", "dynsec.json", "mosquitto.conf", "said"]);
    let dunlin = dunlin.killed_and_started();
    assert_eq!(let_in(dunlin.address, &connect("a").user("user-19", "secret")), "let in");
    assert_eq!(let_in(dunlin.address, &connect("a").user("user-20", "secret")), "refused");
}

#[test]
fn a_dynsec_file_that_cannot_be_written_keeps_rights_unchanged() {
    let dunlin = Broker::dunlin(&with_admin());
    let mut admin = dunlin.admin();
    let before = fs::read(dunlin.file()).unwrap();
    // of two names of one file, only one would change
    let other = dunlin.dir.path().join("other.json");
    fs::hard_link(dunlin.file(), &other).unwrap();
    let command = json!({"commands": [{"command": "createClient", "username": "x", "password": "x"}]}).to_string();
    let failed = json!({"responses": [{"command": "createClient", "error": "Internal error"}]});
    assert_eq!(ask(&mut admin, &command), failed);
    assert_eq!(fs::read(dunlin.file()).unwrap(), before);
    assert_eq!(let_in(dunlin.address, &connect("a").user("x", "x")), "refused");
    fs::remove_file(other).unwrap();
    // an invalid file is not replaced
    fs::write(dunlin.file(), "{").unwrap();
    assert_eq!(ask(&mut admin, &command), failed);
    assert_eq!(fs::read(dunlin.file()).unwrap(), b"{");
    fs::write(dunlin.file(), before).unwrap();
    assert_eq!(ask(&mut admin, &command), json!({"responses": [{"command": "createClient"}]}));
    assert_eq!(let_in(dunlin.address, &connect("a").user("x", "x")), "let in");
}

#[test]
fn commands_are_for_the_broker_alone() {
    let dunlin = Broker::dunlin(&with_admin());
    let mut admin = dunlin.admin();
    let begin = json!({"commands": [
        {"command": "createClient", "username": "bob", "password": "bobpw"},
        {"command": "setDefaultACLAccess", "acls": [
            {"acltype": "publishClientSend", "allow": true}, {"acltype": "subscribe", "allow": true}]},
    ]});
    ask(&mut admin, &begin.to_string());
    // one that administers too, and listens to everything
    let mut other = connected(dunlin.address, &connect("listens").user("admin", "adminpw")).unwrap();
    other.subscribe(&[("$CONTROL/dynamic-security/#", 1), (COMMANDS, 1)]);
    let command = |name: &str| json!({"commands": [{"command": "createRole", "rolename": name}]}).to_string();
    // what its publisher may not publish is none
    let mut bob = connected(dunlin.address, &connect("bob").user("bob", "bobpw")).unwrap();
    bob.publish(Message::new(COMMANDS, &command("of-bob")).qos(1).id(3));
    admin.send(&Message::new(COMMANDS, &command("of-admin")).qos(1).id(4).retain().frame());
    let answer = other.take();
    assert_eq!((answer.topic.as_str(), answer.text()), (ANSWERS, r#"{"responses":[{"command":"createRole"}]}"#));
    // nothing was retained, and nothing else came
    let mut late = connected(dunlin.address, &connect("late").user("admin", "adminpw")).unwrap();
    assert!(late.subscribe_retained(&[("$CONTROL/dynamic-security/#", 1)], 0).is_empty());
    other.expect_nothing_pending();
    let mut again = dunlin.admin();
    let roles = ask(&mut again, r#"{"commands": [{"command": "listRoles"}]}"#);
    assert_eq!(roles["responses"][0]["data"]["roles"], json!(["admin", "of-admin"]));
    // there is no handler for these, and no subscriber gets them
    again.send(&Message::new("$CONTROL/dynamic-security/other", "x").qos(1).id(5).frame());
    assert_eq!(again.expect_any().bytes(), crate::support::raw::puback(5));
    other.take();
    other.expect_nothing_pending();
}
