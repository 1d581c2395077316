//! An operator's changes of a client's session: subscriptions and queued messages.

use dunlin::{Config, Publication, QoS};
use serde_json::{Value, json};

use super::{address, api, broker, client, column, done, get, http, status_and_code};
use crate::support::{
    Broker, config,
    raw::{Connect, Message},
    run,
};

#[test]
fn a_client_is_subscribed_and_unsubscribed_by_an_operator() {
    let broker = broker("");
    let at = address(&broker);
    let mut other = client(&broker, "other");
    other.publish(Message::new("home/door", "open").qos(1).retain());
    let mut lamp = client(&broker, "lamp");
    let put = |body: &Value| api(at, "PUT", "clients/lamp/subscriptions", Some(body));
    let made = done(&put(&json!({ "filter": "home/#", "qos": 1 })));
    assert_eq!((&made["client_id"], &made["filter"], &made["qos"]), (&json!("lamp"), &json!("home/#"), &json!(1)));
    // the retained message, and later messages
    lamp.expect_message("home/door", "open", 1);
    other.publish(Message::new("home/lamp", "on").qos(1));
    lamp.expect_message("home/lamp", "on", 1);
    assert_eq!(column(&get(at, "clients/lamp/subscriptions"), "filter"), ["home/#"]);
    // as the client may end it, too
    done(&put(&json!({ "filter": "x", "retain_handling": 2 })));
    let end = |filter: &str| api(at, "DELETE", &format!("clients/lamp/subscriptions?filter={filter}"), None);
    assert_eq!(done(&end("home/%23")), json!({ "filter": "home/#" }));
    assert_eq!(status_and_code(&end("home/%23")), (404, "no-subscription".into()));
    other.publish(Message::new("home/lamp", "off").qos(1));
    other.publish(Message::new("x", "last").qos(1));
    lamp.expect_message("x", "last", 0);

    for (body, code) in [
        (json!({}), "body"),
        (json!({ "filter": "a#" }), "filter"),
        (json!({ "filter": "a", "qos": 3 }), "body"),
        (json!({ "filter": "a", "no_local": 1 }), "body"),
        (json!({ "filter": "a", "identifier": 0 }), "body"),
        (json!({ "filter": "a", "level": 1 }), "unknown"),
        (json!({ "filter": "$share/g/a" }), "shared"),
    ] {
        assert_eq!(status_and_code(&put(&body)), (400, code.to_owned()), "{body}");
    }
    let unknown = api(at, "PUT", "clients/nobody/subscriptions", Some(&json!({ "filter": "a" })));
    assert_eq!(status_and_code(&unknown), (404, "no-client".into()));
    assert_eq!(end("").code(), "filter");
    assert_eq!(end("$share/g/a").code(), "shared");
}

#[test]
fn an_operator_s_changes_to_an_away_client_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config { data_dir: Some(dir.path().join("data")), http: http(""), ..config() };
    let broker = Broker::new(config());
    let at = address(&broker);
    broker.connect(&Connect::new("away").persistent(), 0).disconnect();
    let publish = |broker: &Broker, topic: &str| {
        run(broker.server.publish(Publication::new(topic, b"m".to_vec()).qos(QoS::AtLeastOnce))).unwrap();
    };
    for filter in ["a", "b"] {
        done(&api(at, "PUT", "clients/away/subscriptions", Some(&json!({ "filter": filter, "qos": 1 }))));
    }
    done(&api(at, "DELETE", "clients/away/subscriptions?filter=b", None));
    ["a", "a", "b"].iter().for_each(|topic| publish(&broker, topic));
    assert_eq!(get(at, "clients/away/queue")["data"].as_array().unwrap().len(), 2);
    assert_eq!(done(&api(at, "DELETE", "clients/away/queue", None)), json!({ "messages": 2 }));
    assert_eq!(done(&api(at, "DELETE", "clients/away/queue", None)), json!({ "messages": 0 }));
    assert_eq!(status_and_code(&api(at, "DELETE", "clients/nobody/queue", None)), (404, "no-client".into()));
    publish(&broker, "a");
    drop(broker);

    let broker = Broker::new(config());
    let at = address(&broker);
    assert_eq!(column(&get(at, "clients/away/subscriptions"), "filter"), ["a"]);
    assert_eq!(get(at, "clients/away/queue")["data"].as_array().unwrap().len(), 1);
    let mut away = broker.connect(&Connect::new("away").persistent(), 1);
    away.expect_message("a", "m", 1);
    away.expect_nothing_pending();
}
