//! Brokers in a ring: no message goes round it for ever.

use dunlin::Builder;

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
        let config = bridged("next", to, &["# out 1"], &more);
        let config = dunlin::Config { listeners: config_of(addresses[n]).listeners, ..config };
        crate::support::reload(broker, &config).expect("a bridge more");
    }
    brokers.iter().for_each(wait_until_connected);
    let mut clients: Vec<_> =
        addresses.iter().map(|address| Client::accepted(*address, &Connect::new("c"), 0)).collect();
    clients.iter_mut().for_each(|client| client.subscribe(&[("#", 1)]));
    clients[0].publish_apart("a", "x", 1);
    clients.iter_mut().for_each(|client| client.expect_message("a", "x", 1));
    // where it began it ends
    let loops = |n: usize| view(&brokers[n]).counts.loops;
    wait_until(|| loops(0) == 1, || format!("{} loops", loops(0)));
    assert_eq!((loops(1), loops(2)), (0, 0));
    clients[0].expect_message("a", "x", 1);
    clients.iter_mut().for_each(|client| client.expect_nothing_pending());
    brokers.into_iter().for_each(shut_down);
}

fn config_of(address: std::net::SocketAddr) -> dunlin::Config {
    let mut config = config();
    config.listeners[0].address = address.into();
    config
}
