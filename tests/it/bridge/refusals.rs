//! Other brokers that refuse, or send invalid packets: the bridge retries, and logs the reason once. And
//! configurations that are refused.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use dunlin::{BridgePhase, Builder, Config, ProtocolVersion};

use super::{bridged, view, wait_until_connected};
use crate::support::{Broker, GUARD, config, raw::Message, shut_down, start, wait_until};

/// A server that answers each connection with the next of these, and reports the packets that it received.
fn answering(answers: Vec<Vec<u8>>) -> (std::net::SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers.iter().chain(std::iter::repeat(answers.last().unwrap())) {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut bytes = vec![0; 4096];
            let read = stream.read(&mut bytes).unwrap_or(0);
            bytes.truncate(read);
            if told.send(bytes).is_err() {
                return;
            }
            let _ = stream.write_all(answer);
            if answer.is_empty() {
                continue;
            }
            // until the bridge has gone
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    (address, heard)
}

fn level(connect: &[u8]) -> u8 {
    // a fixed header of two bytes, the length and the name
    connect[2 + 2 + 4]
}

#[test]
fn a_bridge_falls_back_to_3_1_1_and_to_a_plain_client() {
    let unacceptable = vec![0x20, 2, 0, 1];
    let (address, heard) = answering(vec![unacceptable.clone(), unacceptable, vec![0x20, 2, 0, 0]]);
    let here = start(Builder::new(bridged("b", address, &["a in 1"], "client_id = 'c'")));
    let levels: Vec<_> = (0..3).map(|_| level(&heard.recv_timeout(GUARD).unwrap())).collect();
    assert_eq!(levels, [5, 0x84, 4]);
    wait_until(|| view(&here).phase == BridgePhase::Connected, || format!("{:?}", view(&here)));
    assert_eq!(view(&here).version, Some(ProtocolVersion::V311));
    shut_down(here);
}

#[test]
fn an_error_of_the_other_broker_is_logged_and_retried() {
    let table: [(Vec<u8>, &str); 7] = [
        (vec![0x20, 3, 0, 0x87, 0], "0x87"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "another packet before its CONNACK"),
        (vec![0x20, 3, 0, 0, 0, 0x40, 2, 0, 7], "a PUBACK for what it was not sent"),
        (vec![0x20, 3, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "not MQTT"),
        (vec![0x20, 3, 0, 0, 0, 0x90, 4, 0, 9, 0, 0], "a SUBACK for what it was not sent"),
        (vec![0x20, 3, 0, 0, 0, 0xE0, 1, 0x8B], "0x8b"),
        (vec![0x20, 3, 0, 0, 0, 0x10, 0], "not MQTT"),
    ];
    for (answer, expected) in table {
        let (address, heard) = answering(vec![answer]);
        let here = start(Builder::new(bridged("b", address, &["a both 1"], "protocol = '5'")));
        (0..3).for_each(|_| drop(heard.recv_timeout(GUARD).unwrap()));
        let told = || view(&here).error.map_or_else(String::new, |(error, _)| error);
        wait_until(|| told().contains(expected), || format!("{expected}: {:?}", view(&here)));
        // the broker here is not concerned
        let mut client =
            crate::support::raw::Client::accepted(here.local_addrs()[0], &crate::support::raw::Connect::new("p"), 0);
        client.publish(Message::new("a", "x").qos(1));
        shut_down(here);
    }
}

#[test]
fn a_broker_is_not_bridged_to_itself_by_another_name() {
    // a port that is free, as far as can be said
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // a way to write 127.0.0.1 that only the system's look-up understands
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:{port}'\n[[bridge]]\nname = 'b'\naddresses = ['127.1:{port}']\ntopics = ['# \
         both']\nreconnect_min = '10ms'\nreconnect_max = '50ms'\n"
    );
    let parsed = dunlin::config::parse(&text, "test").unwrap();
    let broker = Broker::new(Config { listeners: parsed.listeners, bridges: parsed.bridges, ..config() });
    wait_until(|| view(&broker.server).counts.failures > 1, || format!("{:?}", view(&broker.server)));
    let seen = view(&broker.server);
    assert_eq!(seen.counts.connects, 0);
    let error = seen.error.unwrap();
    assert!(error.0.contains(&format!("127.0.0.1:{port} is an address of this broker")), "{error:?}");
}

#[test]
fn a_bridge_is_paused_and_resumed() {
    let there = Broker::new(config());
    let here = start(Builder::new(bridged("b", there.address(), &["# out 1"], "notifications = 'off'")));
    wait_until_connected(&here);
    assert!(here.pause_bridge("b", true) && !here.pause_bridge("c", true));
    wait_until(|| view(&here).phase == BridgePhase::Paused, || format!("{:?}", view(&here)));
    let mut publisher =
        crate::support::raw::Client::accepted(here.local_addrs()[0], &crate::support::raw::Connect::new("p"), 0);
    let mut subscriber = there.client("s");
    subscriber.subscribe(&[("#", 1)]);
    publisher.publish(Message::new("a", "waits").qos(1));
    subscriber.expect_nothing_pending();
    assert!(here.pause_bridge("b", false));
    subscriber.expect_message("a", "waits", 1);
    shut_down(here);
}

#[test]
fn a_bridge_respects_the_limits_of_the_other_broker() {
    let mut limited = config();
    limited.limits.max_packet_size = 1_000;
    limited.limits.receive_maximum = 2;
    limited.limits.max_qos = 1;
    limited.limits.retain_available = false;
    let there = Broker::new(limited);
    let here = start(Builder::new(bridged("b", there.address(), &["# out 2"], "notifications = 'local'")));
    wait_until_connected(&here);
    let mut subscriber = there.client("s");
    subscriber.subscribe(&[("#", 1)]);
    let mut publisher =
        crate::support::raw::Client::accepted(here.local_addrs()[0], &crate::support::raw::Connect::new("p"), 0);
    publisher.publish(Message::new("a", &"x".repeat(2_000)).qos(1));
    for n in 0..20 {
        publisher.publish(Message::new("a", &n.to_string()).qos(2).retain());
    }
    for n in 0..20 {
        subscriber.expect_message("a", &n.to_string(), 1);
    }
    wait_until(|| view(&here).counts.queued == 0, || format!("{:?}", view(&here)));
    let counts = view(&here).counts;
    assert_eq!((counts.too_large, counts.sent, counts.failures), (1, 20, 0));
    shut_down(here);
}

#[test]
fn the_check_of_a_configuration_names_the_line_of_a_bridge_that_cannot_connect() {
    let certs = crate::support::secure::Certs::new();
    let dir = certs.dir();
    std::fs::write(dir.join("not-pem"), "x").unwrap();
    let to = "addresses = ['mqtts://localhost:8884']";
    let (certificate, key) = ("certificate_file = 'client.pem'", "key_file = 'client.key'");
    let table = [
        (format!("{to}\n{certificate}\nkey_file = 'server.key'"), "9: bridge.key_file", "made together"),
        (format!("{certificate}\n{key}\nca_file = 'not-pem'\n{to}"), "9: bridge.ca_file", "not-pem"),
        ("addresses = ['localhost:8885', '127.0.0.1:1883']".into(), "7: bridge.addresses", "of the other broker"),
    ];
    for (keys, at, expected) in table {
        let text =
            format!("[[listener]]\naddress = '127.0.0.1:1883'\n\n[[bridge]]\nname = 'b'\ntopics = ['# out']\n{keys}\n");
        std::fs::write(dir.join("dunlin.toml"), text).unwrap();
        let told = crate::support::command::refused(dir, &[], &["--check", "-c", "dunlin.toml"], 1);
        assert!(told.contains(&format!("dunlin.toml:{at}: bridge b: ")) && told.contains(expected), "{told}");
    }
    let (ca, certificate, key) = ("bridge_cafile ca.pem", "bridge_certfile client.pem", "bridge_keyfile client.key");
    let table = [
        (
            format!("address localhost:8884\n{ca}\n{certificate}\nbridge_keyfile server.key"),
            "9: bridge_keyfile",
            "made together",
        ),
        (format!("{certificate}\n{key}\nbridge_cafile not-pem\naddress localhost:8884"), "8: bridge_cafile", "not-pem"),
        (format!("address localhost:8884\n{ca}\nbridge_certfile gone\n{key}"), "8: bridge_certfile", "gone"),
        ("addresses localhost:8885 127.0.0.1:1883".into(), "6: addresses", "of the other broker"),
        ("clientid c\naddress localhost".into(), "7: address", "of the other broker"),
    ];
    for (lines, at, expected) in table {
        let text = format!("listener 1883 127.0.0.1\n\nconnection b\ntopic # out\n\n{lines}\n");
        std::fs::write(dir.join("mosquitto.conf"), text).unwrap();
        let told = crate::support::command::refused(dir, &[], &["--check", "-c", "mosquitto.conf"], 1);
        assert!(told.contains(&format!("mosquitto.conf:{at}: bridge b: ")) && told.contains(expected), "{told}");
    }
}
