//! The state of the connection that a bridge publishes at the other broker: after CONNACK, before DISCONNECT, and by
//! its Will.

use std::net::SocketAddr;

use dunlin::{BridgePhase, Builder};

use super::{bridged, proxy::Proxy, view};
use crate::support::{
    Broker, config,
    mosquitto::Mosquitto,
    raw::{Client, Connect},
    shut_down, start, wait_until,
};

/// Of a bridge to that address, by each version and with each topic.
fn are_told(there: SocketAddr) {
    for (version, has_own_topic) in [("5", false), ("3.1.1", true), ("5", true), ("3.1.1", false)] {
        let id = format!("c-{}-{has_own_topic}", version.len());
        let (topic, own) = match has_own_topic {
            true => (format!("bridges/{id}"), format!("notification_topic = 'bridges/{id}'")),
            false => (format!("$SYS/broker/connection/{id}/state"), String::new()),
        };
        let topic = topic.as_str();
        let proxy = Proxy::new();
        proxy.pass(i64::MAX);
        proxy.to(Some(there));
        let more = format!("protocol = '{version}'\nclient_id = '{id}'\nclean_session = true\n{own}");
        let mut watcher = Client::accepted(there, &Connect::new(&format!("watches-{id}")), 0);
        watcher.subscribe(&[(topic, 1)]);
        let here = start(Builder::new(bridged("b", proxy.address(), &["# out 1"], &more)));
        let mut told = |payload: &str, qos: u8| watcher.expect_message(topic, payload, qos);
        told("1", 0);
        // the Will is of QoS 1
        proxy.cut();
        told("0", 1);
        told("1", 0);
        assert!(here.pause_bridge("b", true));
        told("0", 0);
        wait_until(|| view(&here).phase == BridgePhase::Paused, || format!("{:?}", view(&here)));
        // DISCONNECT: no Will
        watcher.expect_nothing_pending();
        let mut reader = Client::accepted(there, &Connect::new("reads"), 0);
        let retained = reader.subscribe_retained(&[(topic, 1)], 1);
        assert_eq!((retained[0].text(), retained[0].retain), ("0", true));
        shut_down(here);
    }
}

#[test]
fn dunlin_is_told_whether_a_bridge_is_connected() {
    let there = Broker::new(config());
    are_told(there.address());
}

#[test]
fn mosquitto_is_told_whether_a_bridge_is_connected() {
    let dir = tempfile::tempdir().unwrap();
    let Some(there) = Mosquitto::start(dir.path(), "allow_anonymous true\n") else { return };
    are_told(there.address);
}

#[test]
fn notifications_are_local_or_off_if_that_is_asked_for() {
    let there = Broker::new(config());
    let mut watcher = there.client("w");
    watcher.subscribe(&[("bridges/b", 1)]);
    for (notifications, expected) in [("local", vec!["1"]), ("off", vec![])] {
        let more = format!("notifications = '{notifications}'\nnotification_topic = 'bridges/b'");
        let here = start(Builder::new(bridged("b", there.address(), &["# in 1 l/"], &more)));
        super::wait_until_connected(&here);
        let mut reader = Client::accepted(here.local_addrs()[0], &Connect::new("r"), 0);
        let retained = reader.subscribe_retained(&[("bridges/b", 0)], expected.len());
        let told: Vec<_> = retained.iter().map(|message| message.text().to_owned()).collect();
        assert_eq!(told, expected, "{notifications}");
        shut_down(here);
        watcher.expect_nothing_pending();
    }
}
