//! Brokers in a ring: no message circulates for ever.

use dunlin::{Builder, router::Count};

use super::{bridged, view, wait_until_connected};
use crate::support::{
    config,
    raw::{Client, Connect},
    shut_down, start, wait_until,
};

#[test]
fn a_message_in_a_ring_of_bridges_ends_where_it_began() {
    // the addresses have to be known before the bridges begin: each broker but the last gets its bridge by a reload
    let brokers: Vec<_> = (0..3).map(|_| start(Builder::new(config()))).collect();
    let addresses: Vec<_> = brokers.iter().map(|broker| broker.local_addrs()[0]).collect();
    for (n, broker) in brokers.iter().enumerate() {
        let to = addresses[(n + 1) % 3];
        let more = format!("client_id = 'ring-{n}'\nprotocol = '5'\nnotifications = 'off'");
        let config = bridged("next", to, &["# out 2"], &more);
        let config = dunlin::Config { listeners: config_of(addresses[n]).listeners, ..config };
        crate::support::reload(broker, &config).expect("a bridge more");
    }
    brokers.iter().for_each(wait_until_connected);
    let mut clients: Vec<_> =
        addresses.iter().map(|address| Client::accepted(*address, &Connect::new("c"), 0)).collect();
    clients.iter_mut().for_each(|client| client.subscribe(&[("#", 2)]));
    for (n, qos) in (1..).zip([1, 2]) {
        clients[0].publish_apart("a", "x", qos);
        clients.iter_mut().for_each(|client| client.expect_message("a", "x", qos));
        // it ends where it began, and the bridge of the last broker is answered as for any other message
        wait_until(|| view(&brokers[2]).counts.sent == n, || format!("{:?}", view(&brokers[2])));
        for (broker, loops) in brokers.iter().zip([n, 0, 0]) {
            let counts = view(broker).counts;
            let dropped = broker.counters().get(Count::DroppedBridgeLoop);
            assert_eq!((dropped, counts.loops, counts.refused), (loops, 0, 0));
        }
    }
    clients.iter_mut().for_each(|client| client.expect_nothing_pending());
    brokers.into_iter().for_each(shut_down);
}

fn config_of(address: std::net::SocketAddr) -> dunlin::Config {
    let mut config = config();
    config.listeners[0].address = address.into();
    config
}
