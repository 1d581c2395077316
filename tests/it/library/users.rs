//! Users and rules from the embedding program.

use dunlin::{Builder, Config, QoS, Server, config::AuthConfig, config::Limits, router::Count};

use crate::support::{
    Broker, config, publish_all,
    raw::{Client, Connect, Message},
    reload, run, shut_down, start,
};

fn login(server: &Server, user: &str, password: &str) -> Client {
    Client::accepted(server.local_addrs()[0], &Connect::new(user).user(user, password), 0)
}

#[track_caller]
fn refused(server: &Server, connect: &Connect, code: u8) {
    let mut client = Client::open(server.local_addrs()[0]);
    client.send(&connect.frame());
    client.expect_refused(code);
}

#[test]
fn users_and_rules_of_the_embedding_program_apply_and_change() {
    let builder = Builder::new(config()).add_user("alice", "secret").expect("a user");
    let server = start(builder.rules("user alice\ntopic readwrite a/#\n").expect("rules"));
    refused(&server, &Connect::new("nobody"), 5);
    refused(&server, &Connect::new("alice").user("alice", "wrong"), 4);
    refused(&server, &Connect::new("bob").user("bob", "secret"), 4);
    let mut alice = login(&server, "alice", "secret");
    alice.subscribe(&[("#", 1)]);
    let mut also_alice =
        Client::accepted(server.local_addrs()[0], &Connect::new("also alice").user("alice", "secret"), 0);
    publish_all(&mut also_alice, "b/c", &["she may not"]);
    publish_all(&mut also_alice, "a/b", &["she may"]);
    alice.expect_message("a/b", "she may", 1);

    run(server.add_user("bob", "bobs")).expect("a user");
    let mut bob = login(&server, "bob", "bobs");
    let all = "user alice\ntopic readwrite #\n\nuser bob\ntopic readwrite #\n";
    run(server.set_rules(Some(all))).expect("rules");
    publish_all(&mut bob, "b/c", &["bob may now"]);
    alice.expect_message("b/c", "bob may now", 1);

    // a reload keeps them, and disconnects no client
    assert_eq!(
        reload(&server, &Config { limits: Limits { max_inflight_out: 7, ..Limits::default() }, ..config() })
            .map(|lines| lines.len())
            .ok(),
        Some(1)
    );
    alice.expect_nothing_pending();
    bob.expect_nothing_pending();

    run(server.add_user("bob", "another")).expect("another password");
    bob.expect_closed();
    refused(&server, &Connect::new("bob").user("bob", "bobs"), 4);
    drop(login(&server, "bob", "another"));
    run(server.remove_user("alice")).expect("she is there");
    alice.expect_closed();
    refused(&server, &Connect::new("alice").user("alice", "secret"), 4);
    shut_down(server);
}

#[test]
fn invalid_users_and_rules_are_errors_and_change_nothing() {
    let server = start(Builder::new(config()).add_user("alice", "secret").expect("a user"));
    let said = |result: Result<(), dunlin::ServerError>| result.expect_err("it is refused").to_string();
    for (error, words) in [
        (said(run(server.add_user("", "x"))), "the user name \"\" "),
        (said(run(server.add_user("a:b", "x"))), "the user name \"a:b\" "),
        (said(run(server.add_user("bob", ""))), "the password of \"bob\" is empty"),
        (said(run(server.remove_user("bob"))), "\"bob\" is not one that the program added"),
        (said(run(server.set_rules(Some("topic nonsense a b\n")))), "rules of the program:1: "),
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert!(Builder::new(config()).rules("nonsense").is_err());
    drop(login(&server, "alice", "secret"));
    shut_down(server);
}

#[test]
fn brokers_in_one_process_have_users_clients_and_stores_of_their_own() {
    let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let [one, two] = dirs.each_ref().map(|dir| {
        let auth = AuthConfig { failed_login_delay: None, ..AuthConfig::default() };
        let config = Config { data_dir: Some(dir.path().into()), auth, ..config() };
        Broker::build(config, |builder| builder.add_user("alice", dir.path().display().to_string()).expect("a user"))
    });
    let password = |n: usize| dirs[n].path().display().to_string();
    refused(&one.server, &Connect::new("alice").user("alice", &password(1)), 4);
    let (mut in_one, mut in_two) =
        (login(&one.server, "alice", &password(0)), login(&two.server, "alice", &password(1)));
    let [of_one, of_two] =
        [&one, &two].map(|broker| run(broker.server.subscribe("t", QoS::AtLeastOnce)).expect("a client"));
    in_one.publish(Message::new("t", "one").qos(1).retain());
    publish_all(&mut in_two, "t", &["two"]);
    let next = |client: &dunlin::Client| String::from_utf8(run(client.recv()).expect("it runs").payload().to_vec());
    assert_eq!((next(&of_one), next(&of_two)), (Ok("one".into()), Ok("two".into())));
    assert!(of_one.try_recv().is_none() && of_two.try_recv().is_none());
    shut_down(one.server);
    in_one.expect_closed();
    assert!(run(of_one.recv()).is_none());
    publish_all(&mut in_two, "t", &["still there"]);
    assert_eq!(next(&of_two), Ok("still there".into()));
    assert_eq!(two.count(Count::PublishReceived), 2);
}
