//! Section 6: MQTT 5 over WebSocket.

use std::io::{Read, Write};

use dunlin::Config;

use crate::{
    support::{
        Broker, config,
        five::{Connect, Properties, Publish, ack_with, suback, subscribe},
        raw::PINGREQ,
        secure::{expect, rest, tcp},
    },
    transports::websocket::{BINARY, Frames, frame, listener, upgrade},
};

fn broker() -> Broker {
    Broker::new(Config { listeners: vec![listener()], ..config() })
}

/// Reads the frame of a CONNACK of success.
fn expect_connack(socket: &mut impl Read) {
    let mut head = [0; 6];
    socket.read_exact(&mut head).expect("a CONNACK");
    let [BINARY, length, 0x20, body, 0, 0] = head else { panic!("another frame: {head:02x?}") };
    assert_eq!(length, body + 2);
    let mut rest = vec![0; usize::from(body) - 2];
    socket.read_exact(&mut rest).expect("the properties of CONNACK");
}

#[test]
fn packets_of_mqtt_5_are_in_binary_frames_cut_anywhere() {
    let broker = broker();
    // it answers that it speaks "mqtt", and not another protocol
    let mut socket = upgrade(tcp(broker.address()));
    let connect = Connect::new("cut").frame();
    for byte in &connect {
        socket.write_all(&frame(BINARY, &[*byte])).expect("it is read");
    }
    expect_connack(&mut socket);
    let packets = [subscribe(1, &Properties::new(), &[("t", 0)]), Publish::new("none", "m").qos(1).id(2).frame()];
    socket.write_all(&frame(BINARY, &[packets.concat(), PINGREQ.to_vec()].concat())).expect("it is read");
    let answers = [&suback(1, &[0])[..], &ack_with(0x40, 2, 0x10), &[0xD0, 0]];
    let framed = answers.map(|answer| [&[BINARY, answer.len() as u8], answer].concat());
    expect(&mut socket, &framed.concat());
    // as a stream
    let mut frames = Frames::new(socket);
    let publish = Publish::new("t", "to itself").with(Properties::new().user("a", "b")).frame();
    frames.write_all(&publish).expect("it is read");
    let mut came = vec![0; publish.len()];
    frames.read_exact(&mut came).expect("a PUBLISH");
    assert_eq!(came, publish);
}

#[test]
fn a_text_frame_ends_the_connection() {
    let broker = broker();
    let mut socket = upgrade(tcp(broker.address()));
    socket.write_all(&frame(BINARY, &Connect::new("text").frame())).expect("it is read");
    expect_connack(&mut socket);
    socket.write_all(&frame(0x81, PINGREQ)).expect("it is read");
    // WebSocket has a reason; nothing may follow it
    assert_eq!(rest(&mut socket), [&[0x88, 2][..], &1003_u16.to_be_bytes()].concat());
}
