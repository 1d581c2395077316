//! Subscription Identifiers (MQTT 5) differ by subscriber; the message is in memory and on disk once in any case.

use std::{sync::Arc, time::Duration};

use dunlin::Config;

use crate::support::{
    Broker, Recorder, config,
    five::{Connect, Five, Properties, Publish, property, subscribe},
    shut_down,
};

const CLIENTS: u32 = 50;
const SIZE: usize = 100_000;

/// Which Subscription Identifiers a client has: for the filter of the message, and for one that matches it too.
#[derive(Clone, Copy, Debug)]
enum Has {
    None,
    One,
    Several,
}

/// How the message comes to the clients.
#[derive(Clone, Copy, Debug)]
enum Comes {
    /// While they are away.
    Away,
    /// While they are connected; they do not acknowledge it.
    There,
    /// It is retained, and their subscriptions bring it.
    Retained,
}

fn ask(client: &mut Five, filter: &str, identifier: Option<u32>) {
    let properties = identifier.map_or_else(Properties::new, |identifier| {
        Properties::new().variable(property::SUBSCRIPTION_IDENTIFIER, identifier)
    });
    let id = client.fresh_id();
    client.send(&subscribe(id, &properties, &[(filter, 1)]));
    assert_eq!(client.expect_any().first, 0x90, "SUBACK");
}

fn identifiers(has: Has, n: u32) -> Vec<u32> {
    match has {
        Has::None => vec![],
        Has::One => vec![1 + n],
        Has::Several => vec![1 + n, 1_000_000 + n],
    }
}

fn connect(n: u32) -> Connect {
    Connect::new(&format!("sub{n}")).lasting(1_000)
}

/// Bytes of memory for what waits or is in flight, and bytes of the log that are live. All of it is there after a
/// restart.
fn costs(has: Has, comes: Comes) -> [u64; 2] {
    let directory = tempfile::tempdir().expect("a folder");
    let recorder = Arc::<Recorder>::default();
    let start = || {
        let config = Config { data_dir: Some(directory.path().into()), ..config() };
        Broker::build(config, |builder| builder.observe(recorder.clone()))
    };
    let mut broker = start();
    let mut publisher = Five::accepted(broker.address(), &Connect::new("pub"), 0);
    let publish = Publish::new("t", &"x".repeat(SIZE)).qos(1);
    if let Comes::Retained = comes {
        publisher.publish(&publish.clone().retain());
    }
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = Five::accepted(broker.address(), &connect(n), 0);
        let identifiers = identifiers(has, n);
        ask(&mut client, "t", identifiers.first().copied());
        if let Comes::Retained = comes {
            client.receive();
        } else if let Some(&second) = identifiers.get(1) {
            ask(&mut client, "+", Some(second));
        }
        match comes {
            Comes::Away => client.leave(),
            Comes::There | Comes::Retained => clients.push(client),
        }
    }
    if !matches!(comes, Comes::Retained) {
        publisher.publish(&publish);
    }
    clients.iter_mut().filter(|_| matches!(comes, Comes::There)).for_each(|client| _ = client.receive());
    clients.into_iter().for_each(Five::leave);

    broker.reload(|config| config.sys.interval = Some(Duration::from_secs(3600)));
    broker.turn(Duration::from_secs(1));
    recorder.wait_for("publish (broker) $SYS/broker/load/connections/15min");
    let mut figures = broker.client("reads");
    let read = ["store/queues/memory", "store/disk/bytes kept"].map(|name| {
        let topic = format!("$SYS/broker/{name}");
        let figure = figures.subscribe_retained(&[(&topic, 0)], 1).remove(0);
        figure.text().parse().expect("a number")
    });
    recorder.take();
    shut_down(broker.server);

    let broker = start();
    for n in 0..CLIENTS {
        let mut client = Five::accepted(broker.address(), &connect(n), 1);
        let came = client.take();
        assert_eq!((came.payload.len(), came.dup), (SIZE, !matches!(comes, Comes::Away)));
        let mut expected: Vec<_> = identifiers(has, n).into_iter().map(|id| id as usize).collect();
        if let Comes::Retained = comes {
            expected.truncate(1);
        }
        assert_eq!(came.properties.identifiers(), expected, "{has:?}, {comes:?}");
        client.expect_nothing_pending();
    }
    shut_down(broker.server);
    read
}

#[test]
fn a_message_to_many_with_identifiers_takes_as_much_memory_and_disk_as_without() {
    for comes in [Comes::Away, Comes::There, Comes::Retained] {
        let [memory, disk] = costs(Has::None, comes);
        let once = SIZE as u64..3 * SIZE as u64 / 2;
        assert!(once.contains(&memory) && once.contains(&disk), "{comes:?}: {memory} and {disk} bytes");
        for has in [Has::One, Has::Several] {
            let [with_memory, with_disk] = costs(has, comes);
            assert!(
                with_memory <= memory * 11 / 10 && with_disk <= disk * 11 / 10,
                "{has:?}, {comes:?}: {with_memory} bytes of memory for {memory}, {with_disk} of disk for {disk}"
            );
        }
    }
}
