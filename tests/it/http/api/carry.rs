//! Export from one broker, and import into another running one.

use dunlin::{
    Config,
    auth::{ApiKey, PasswordChange, edit},
    config::AuthConfig,
    types::Role,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{done, status_and_code};
use crate::{
    http::{Answer, address, ask, http, send},
    support::{
        Broker, config,
        raw::{Client, Connect, Message},
        shut_down,
    },
};

/// A broker with a data directory, one user and an administrator's key.
struct Place {
    config: Config,
    broker: Broker,
    login: String,
    _dir: TempDir,
}

impl Place {
    fn new(user: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [users, keys] = ["users", "keys"].map(|name| dir.path().join(name));
        edit(&users, user, PasswordChange::Set(b"secret")).unwrap();
        let (key, _) = ApiKey::add(&keys, "ops", Role::Admin, None).unwrap();
        let auth = AuthConfig { password_file: Some(users), failed_login_delay: None, ..AuthConfig::default() };
        let data_dir = Some(dir.path().join("data"));
        let config = Config { auth, data_dir, http: http(&format!("keys_file = {keys:?}")), ..config() };
        let broker = Broker::new(config.clone());
        Self { config, broker, login: format!("Authorization: Bearer {key}"), _dir: dir }
    }

    fn ask(&self, method: &str, path: &str) -> Answer {
        ask(address(&self.broker), method, &format!("/api/v1/{path}"), &[&self.login, "Content-Length: 0"])
    }

    fn export(&self) -> String {
        let answer = self.ask("GET", "export");
        assert_eq!(answer.status, 200, "{answer:?}");
        // in chunks (RFC 9112, section 7.1)
        let (mut text, mut rest) = (String::new(), answer.body.as_str());
        if !answer.headers.contains("transfer-encoding: chunked") {
            return answer.body;
        }
        while let Some((size, after)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            text += &after[..size];
            rest = &after[size + 2..];
        }
        text
    }

    fn import(&self, query: &str, lines: &str) -> Answer {
        let (at, login) = (address(&self.broker), &self.login);
        let head = format!("POST /api/v1/import{query} HTTP/1.1\r\nHost: {at}\r\n{login}\r\nConnection: close\r\n");
        send(at, format!("{head}Content-Length: {}\r\n\r\n{lines}", lines.len()).as_bytes())
    }

    fn connect(&self, id: &str, user: &str, present: u8) -> Client {
        self.broker.connect(&Connect::new(id).persistent().user(user, "secret"), present)
    }

    fn restart(self) -> Self {
        let Self { config, broker, login, _dir } = self;
        shut_down(broker.server);
        Self { broker: Broker::new(config.clone()), config, login, _dir }
    }
}

#[test]
fn an_export_is_imported_and_stored_by_another_broker() {
    let from = Place::new("ann");
    let mut away = from.connect("away/1", "ann", 0);
    away.subscribe(&[("home/#", 2), ("$share/g/work", 1)]);
    away.disconnect();
    let mut publisher = from.connect("publisher", "ann", 0);
    publisher.publish(Message::new("home/door", "open").qos(1).retain());
    publisher.publish(Message::new("home/door", "shut").qos(2));
    let text = from.export();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["record"], &lines[lines.len() - 1]["record"]), (&json!("begin"), &json!("end")));
    assert_eq!(lines[lines.len() - 1]["lines"], lines.len() - 1);
    assert!(lines.iter().any(|line| line["line"].as_str().is_some_and(|line| line.starts_with("ann:"))), "{text}");

    let to = Place::new("bob");
    let counts = |imported: u64, existed: u64| json!({ "imported": imported, "existed": existed, "refused": 0 });
    let users = done(&to.import("?only=users", &text));
    assert_eq!(users["users"], counts(1, 0));
    assert_eq!((&users["sessions"], &users["retained"]), (&counts(0, 0), &counts(0, 0)));
    let all = done(&to.import("", &text));
    let rest = json!({
        "users": counts(0, 1), "sessions": counts(2, 0), "retained": counts(1, 0), "refusal": null,
    });
    assert_eq!(all, rest);
    let again = done(&to.import("", &text));
    assert_eq!((&again["sessions"], &again["retained"]), (&counts(0, 2), &counts(0, 1)));

    // as if it had been there from the beginning, also after a restart
    let to = to.restart();
    let shown: Value = serde_json::from_str(&to.ask("GET", "clients/away%2F1").body).unwrap();
    assert_eq!((&shown["queued"], &shown["subscriptions"]), (&json!(2), &json!(2)), "{shown}");
    let mut away = to.connect("away/1", "ann", 1);
    away.expect_message("home/door", "open", 1);
    away.expect_message("home/door", "shut", 2);
    let mut publisher = to.connect("publisher", "ann", 1);
    publisher.publish(Message::new("home/lamp", "on").qos(1));
    away.expect_message("home/lamp", "on", 1);
    publisher.publish(Message::new("work", "1").qos(1));
    away.expect_message("work", "1", 1);
    let retained = publisher.subscribe_retained(&[("home/door", 0)], 1);
    assert_eq!(retained[0].text(), "open");
    // a session belongs to the user that created it
    let bob = to.ask("GET", "clients?user=ann&state=connected");
    assert!(bob.body.contains("away/1"), "{bob:?}");
}

#[test]
fn an_import_with_invalid_lines_changes_nothing() {
    let place = Place::new("ann");
    let text = place.export();
    let message = r#"{"record":"message","message":1,"topic":"a","payload":"1","qos":0,"retained":true}"#;
    for (lines, expected) in [
        ("nonsense".to_owned(), "line 1"),
        (format!("{message}\n{{\"record\":\"nothing\"}}\n"), "line 2"),
        (format!("{message}\n{{\"record\":\"end\",\"lines\":2}}\n"), "line 2"),
        (format!("{message}\n{{\"record\":\"user\"}}\n"), "line 2"),
    ] {
        let wrong = place.import("", &lines);
        assert_eq!(status_and_code(&wrong), (400, "invalid".to_owned()), "{lines}");
        assert!(wrong.body.contains(expected), "{wrong:?}");
    }
    assert!(place.ask("GET", "retained").body.contains("\"data\":[]"));
    assert_eq!(place.import("", &format!("{message}\n")).status, 200);
    assert!(place.ask("GET", "retained").body.contains("\"topic\":\"a\""));
    assert!(text.len() < place.export().len());
    assert_eq!(status_and_code(&place.import("?only=all", "")), (400, "unknown".to_owned()));
}

#[test]
fn a_broker_without_a_disk_has_nothing_to_export() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let (key, _) = ApiKey::add(&keys, "ops", Role::Admin, None).unwrap();
    let broker = Broker::new(Config { http: http(&format!("keys_file = {keys:?}")), ..config() });
    let login = format!("Authorization: Bearer {key}");
    for (method, path) in [("GET", "export"), ("POST", "import")] {
        let answer = ask(address(&broker), method, &format!("/api/v1/{path}"), &[&login, "Content-Length: 0"]);
        assert_eq!(status_and_code(&answer), (409, "not-configured".to_owned()));
    }
}
