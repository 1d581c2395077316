//! The rights that a file gives, question by question.

use super::*;

const FILE: &str = r#"{
    "defaultACLAccess": {"publishClientSend": false, "publishClientReceive": true, "subscribe": false, "unsubscribe": true},
    "CLIENTS": [
        {"username": "meter", "clientid": "m-1", "encoded_password": "$7$101$c2FsdHNhbHRzYWx0$HASH",
         "roles": [{"rolename": "low"}, {"rolename": "high", "priority": 5}, {"rolename": "none"}]},
        {"username": "off", "disabled": true, "encoded_password": "$7$101$c2FsdHNhbHRzYWx0$HASH"},
        {"username": "without"},
        {"username": "narrow", "roles": [{"rolename": "narrow"}]}
    ],
    "groups": [
        {"groupname": "guests", "roles": [{"rolename": "reader"}]},
        {"groupname": "meters", "roles": [{"rolename": "own"}], "clients": [{"username": "meter"}]}
    ],
    "anonymousGroup": "guests",
    "roles": [
        {"rolename": "low", "acls": [
            {"acltype": "publishClientSend", "topic": "in/#", "allow": true},
            {"acltype": "PUBLISHCLIENTRECEIVE", "topic": "secret/#", "allow": false}]},
        {"rolename": "high", "acls": [
            {"acltype": "publishClientSend", "topic": "in/closed", "priority": 1},
            {"acltype": "publishClientSend", "topic": "in/closed/#", "priority": 2, "allow": true},
            {"acltype": "subscribeLiteral", "topic": "all/#", "allow": false},
            {"acltype": "subscribePattern", "topic": "all/#", "allow": true}]},
        {"rolename": "own", "acls": [
            {"acltype": "publishClientSend", "topic": "of/%u/%c", "allow": true},
            {"acltype": "publishClientSend", "topic": "$CONTROL/x", "allow": true}]},
        {"rolename": "narrow", "allowwildcardsubs": false, "acls": [
            {"acltype": "subscribePattern", "topic": "n/#", "allow": true}]},
        {"rolename": "reader", "acls": [
            {"acltype": "subscribePattern", "topic": "news/#", "allow": true},
            {"acltype": "inventedType", "topic": "x", "allow": true}]}
    ]
}"#;

fn dynsec() -> (Dynsec, Vec<String>) {
    let mut warnings = Vec::new();
    let text = FILE.replace("HASH", &format!("{}==", "A".repeat(86)));
    (Dynsec::parse(text.as_bytes(), &mut warnings).unwrap(), warnings)
}

#[test]
fn the_first_role_with_a_matching_acl_decides() {
    let (dynsec, _) = dynsec();
    let publishes = |user, id, topic| dynsec.rights(id, user).may_publish(TopicName::new(topic).unwrap());
    for (user, topic, allowed) in [
        (Some("meter"), "in/a", true),
        // a higher priority first, among ACLs and among roles
        (Some("meter"), "in/closed", true),
        (Some("meter"), "of/meter/m-1", true),
        (Some("meter"), "of/meter/m-2", false),
        (Some("meter"), "$CONTROL/x", true),
        (Some("meter"), "other", false),
        (Some("narrow"), "in/a", false),
        (Some("nobody"), "in/a", false),
        (None, "in/a", false),
    ] {
        assert_eq!(publishes(user, "m-1", topic), allowed, "{user:?} {topic}");
    }
    let subscribes = |user, filter| dynsec.rights("m-1", user).may_subscribe(TopicFilter::new(filter).unwrap());
    for (user, filter, allowed) in [
        (Some("meter"), "all/#", false),
        (Some("meter"), "all/a", true),
        (Some("meter"), "all/+/b", true),
        (Some("meter"), "news/a", false),
        (None, "news/a", true),
        (None, "news/#", true),
        (None, "#", false),
        (Some("narrow"), "n/a", true),
        (Some("narrow"), "n/+", false),
    ] {
        assert_eq!(subscribes(user, filter), allowed, "{user:?} {filter}");
    }
    let receives = |user, topic| dynsec.rights("m-1", user).may_receive(TopicName::new(topic).unwrap());
    assert!(!receives(Some("meter"), "secret/a") && receives(Some("meter"), "a") && receives(None, "secret/a"));
    assert!(!receives(None, "$CONTROL/dynamic-security/v1"));
}

#[test]
fn a_login_needs_an_enabled_client_and_its_password() {
    let (dynsec, warnings) = dynsec();
    assert_eq!(dynsec.users().map(|(name, _)| name).collect::<Vec<_>>(), ["meter"]);
    assert!(dynsec.locks_out("off") && dynsec.locks_out("without") && !dynsec.locks_out("meter"));
    assert!(!dynsec.locks_out("unknown"));
    assert!(dynsec.allows_client_id("meter", "m-1") && !dynsec.allows_client_id("meter", "m-2"));
    assert!(dynsec.allows_client_id("narrow", "any"));
    assert_eq!(warnings, ["role \"reader\": there is no ACL type \"inventedType\""]);
}

#[test]
fn an_invalid_dynsec_file_is_refused_with_the_reason() {
    for (text, expected) in [
        ("{", "EOF while parsing"),
        ("[]", "an object, in braces"),
        ("{\"clients\": [{}]}", "missing field `username`"),
        (
            "{\"roles\": [{\"rolename\": \"r\", \"acls\": [{\"acltype\": \"subscribePattern\", \"topic\": \"a#\"}]}]}",
            "\"a#\"",
        ),
    ] {
        let error = Dynsec::parse(text.as_bytes(), &mut Vec::new()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let mut warnings = Vec::new();
    let text = "{\"clients\": [{\"username\": \"a\", \"password\": \"x\", \"salt\": \"y\"}]}";
    assert!(Dynsec::parse(text.as_bytes(), &mut warnings).unwrap().locks_out("a"));
    assert!(warnings[0].starts_with("client \"a\" cannot log in: "), "{warnings:?}");
}
