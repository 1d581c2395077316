//! Limits of one listener.

use dunlin::{Config, ListenerConfig, ProtocolVersion, router::Count};

use crate::support::{
    Broker, config,
    five::{self, Five, Properties, Publish, property},
    raw::{self, Client, Connect, Message},
};

/// A listener on a port that the system picks.
fn listener(max_connections: Option<usize>, max_qos: Option<u8>) -> ListenerConfig {
    ListenerConfig { max_connections, max_qos, ..ListenerConfig::tcp(([127, 0, 0, 1], 0).into()) }
}

#[test]
fn a_full_listener_closes_a_further_connection_and_others_continue() {
    let listeners = vec![listener(Some(2), None), listener(None, None)];
    let mut broker = Broker::new(Config { listeners, ..config() });
    let [bounded, free] = [0, 1].map(|n| broker.server.local_addrs()[n]);
    let connect = |id: &str| Connect::new(id);
    let (first, second) = (Client::accepted(bounded, &connect("1"), 0), Client::accepted(bounded, &connect("2"), 0));
    for _ in 0..3 {
        Client::open(bounded).expect_closed();
    }
    let others = ["3", "4", "5"].map(|id| Client::accepted(free, &connect(id), 0));
    broker.expect_counts(&[(Count::RefusedConnections, 3), (Count::Connects, 5)]);
    // a place that is given up is another's
    second.disconnect();
    Client::accepted(bounded, &connect("6"), 0).disconnect();
    Client::open(bounded).disconnect();
    // connections from before a reload count
    broker.reload(|config| config.listeners[0].max_connections = Some(1));
    Client::open(bounded).expect_closed();
    first.disconnect();
    let seventh = Client::accepted(bounded, &connect("7"), 0);
    broker.reload(|config| config.listeners[1].max_connections = Some(3));
    Client::open(free).expect_closed();
    broker.expect_counts(&[(Count::RefusedConnections, 5)]);
    broker.reload(|config| (config.listeners[0].max_connections, config.listeners[1].max_connections) = (None, None));
    for (n, address) in [bounded, free].into_iter().enumerate() {
        Client::accepted(address, &connect(&format!("more-{n}")), 0).disconnect();
    }
    others.into_iter().for_each(Client::disconnect);
    seventh.disconnect();
}

#[test]
fn a_listener_has_a_highest_qos_of_its_own() {
    let listeners = vec![listener(None, Some(1)), listener(None, Some(0)), listener(None, None)];
    let mut broker = Broker::new(Config { listeners, ..config() });
    let [one, zero, free] = [0, 1, 2].map(|n| broker.server.local_addrs()[n]);
    let (mut watcher, connack) = Five::connect(free, &five::Connect::new("watcher"));
    assert_eq!(connack.properties.number(property::MAXIMUM_QOS), None);
    assert_eq!(watcher.ask(&Properties::new(), &[("t", 2)]), [2]);
    for (address, most) in [(one, 1), (zero, 0)] {
        let (mut client, connack) = Five::connect(address, &five::Connect::new("c"));
        assert_eq!(connack.properties.number(property::MAXIMUM_QOS), Some(u32::from(most)));
        assert_eq!(client.ask(&Properties::new(), &[("a", 2), ("b", 0)]), [most, 0]);
        client.publish(&Publish::new("t", "m").qos(most));
        assert_eq!(watcher.take().qos, most);
        client.send(&Publish::new("t", "above").qos(most + 1).id(1).frame());
        client.expect_disconnect(0x9B);
        let mut old = Client::accepted(address, &Connect::new("old"), 0);
        old.send(&raw::subscribe(1, &[("a", 2)]));
        old.expect(&raw::suback(1, &[most]));
        old.send(&Message::new("t", "above").qos(2).id(1).frame());
        old.expect_closed();
        // a Will too
        let mut client = Client::open(address);
        client.send(&Connect::new("w").will(&Message::new("t", "w").qos(2)).frame());
        client.expect_refused(2);
    }
    watcher.expect_nothing_pending();
    broker.expect_counts(&[(Count::RefusedQos, 6)]);
    // connected clients keep the value in their CONNACK; others get the new one
    let (mut before, _) = Five::connect(one, &five::Connect::new("before"));
    broker.reload(|config| config.listeners[0].max_qos = None);
    before.send(&Publish::new("t", "above").qos(2).id(1).frame());
    before.expect_disconnect(0x9B);
    let (_, connack) = Five::connect(one, &five::Connect::new("after"));
    assert_eq!(connack.properties.number(property::MAXIMUM_QOS), None);
}

#[test]
fn a_listener_gives_identifiers_and_serves_versions_of_its_own() {
    let mut listeners = vec![listener(None, None), listener(None, None)];
    listeners[0].auto_id_prefix = Some("door-".into());
    listeners[0].protocol_versions = vec![ProtocolVersion::V311, ProtocolVersion::V5];
    listeners[1].protocol_versions = vec![ProtocolVersion::V31];
    let broker = Broker::new(Config { listeners, ..config() });
    let [own, old] = [0, 1].map(|n| broker.server.local_addrs()[n]);
    let (_, connack) = Five::connect(own, &five::Connect::new(""));
    let given = connack.properties.string(property::ASSIGNED_CLIENT_IDENTIFIER).unwrap();
    assert!(given.starts_with("door-"), "{given}");
    Client::accepted(own, &Connect::new("c"), 0).disconnect();
    Client::accepted(old, &Connect::new("c").protocol("MQIsdp", 3), 0).disconnect();
    let mut refused = Client::open(own);
    refused.send(&Connect::new("c").protocol("MQIsdp", 3).frame());
    refused.expect_refused(1);
    let mut refused = Client::open(old);
    refused.send(&Connect::new("c").frame());
    refused.expect_refused(1);
    let mut refused = Client::open(old);
    refused.send(&five::Connect::new("c").frame());
    refused.expect(&five::refused(0x84));
    refused.expect_closed();
}
