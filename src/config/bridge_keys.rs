//! The keys of `[[bridge]]`: a part of the table in `keys`.

use std::time::Duration;

use super::{
    bridge::{
        BridgeConfig, BridgeProtocol, BridgeStart, BridgeTopic, Name, Notifications, OwnAddress, Parsed, RemoteAddress,
    },
    forms::{self, Choice, Form, OptionalPath, OptionalSecret, OptionalString, OrWord, Size, Switch, Whole},
    keys::{
        CENTURY, DAY, EXPIRY, HOUR, Key, LARGEST_PACKET, LONGEST_STRING, MILLISECOND, MOST_BYTES, SECOND, Table, count,
        keys, span,
    },
};
use crate::types::QueueFull;

/// `[[bridge]]`
pub(super) const BRIDGE: Table<BridgeConfig> = Table {
    name: "bridge",
    help: "A bridge: a connection to another broker, over which messages pass; may be repeated.",
    keys: keys! { BridgeConfig, bridge => bridge;
        name: Name, "The name of the bridge in the log, in $SYS and in the API; it must be unique.";
        addresses: Parsed::<RemoteAddress>::of("mqtts://broker.example.org:8883"),
            "Where the other broker is; of several addresses the next one is tried when one fails. In front of the host \
             name: nothing or mqtt:// for TCP, mqtts:// for TLS, ws:// or wss:// for WebSocket. Default ports: 1883, \
             8883, 8083, 8084.";
        topics: Parsed::<BridgeTopic>::of("sensors/# out 1 local/ remote/"),
            "What passes, in the syntax of mosquitto: a pattern, then out, in or both (default out), then the highest QoS \
             (default 0), then a prefix of the topics here and one of those there. Two quotation marks stand for an empty word.";
        client_id: OptionalString { most: LONGEST_STRING },
            "The Client Identifier at the other broker. Unset: the name of this machine, a dot, and the bridge's name.";
        username: OptionalString { most: LONGEST_STRING }, "The user name at the other broker.";
        password: OptionalSecret, "The password at the other broker, preferably as \"${NAME}\".";
        password_file: OptionalPath,
            "A file with that password, which is read at each connect; blanks and the line's end behind it do not count.";
        protocol: Choice(&[
            ("auto", BridgeProtocol::Auto),
            ("5", BridgeProtocol::V5),
            ("3.1.1", BridgeProtocol::V311),
        ]),
            "The version of MQTT. \"auto\": 5; if the other broker refuses it, 3.1.1.";
        clean_session: Switch,
            "Whether each connection begins with a new session at the other broker. What it sent meanwhile is lost then.";
        session_expiry: OrWord { form: span(Duration::ZERO, CENTURY), word: "never", zero: false },
            "MQTT 5: how long the other broker is asked to keep the session while the bridge is away.";
        ca_file: OptionalPath,
            "TLS: the authorities of the other broker's certificate, in PEM: a file, or a directory of files named \
             by \"openssl rehash\", or else *.pem and *.crt. Unset: those of this machine.";
        certificate_file: OptionalPath, "TLS: the certificate chain of the bridge as a client, in PEM.";
        key_file: OptionalPath, "TLS: the private key of that certificate, in PEM.";
        alpn: OptionalString { most: 255 },
            "TLS: the protocol name that is offered by ALPN, as some services ask for (\"x-amzn-mqtt-ca\").";
        insecure: Switch,
            "TLS: whether the host name in the other broker's certificate is not compared. Its signature is verified in \
             any case.";
        keep_alive: span(SECOND, Duration::from_secs(u16::MAX as u64)),
            "The Keep Alive. A connection without an answer for 1.5 times as long is closed.";
        queue_messages: count(1), "Messages that wait for the other broker; as many may be in flight.";
        queue_bytes: Size { min: 1, max: MOST_BYTES }, "Bytes (topics and payloads) of those messages.";
        queue_full: Choice(&[("drop-newest", QueueFull::DropNewest), ("drop-oldest", QueueFull::DropOldest)]),
            "Which message is dropped if as many wait: the new one or the oldest.";
        start: Choice(&[
            ("automatic", BridgeStart::Automatic),
            ("lazy", BridgeStart::Lazy),
            ("once", BridgeStart::Once),
        ]),
            "When the bridge connects: at the start and after each loss of the connection; when threshold messages \
             wait, until idle_timeout; or at the start alone.";
        threshold: count(1), "Lazy bridges: messages that wait until the bridge connects.";
        idle_timeout: span(SECOND, DAY), "Lazy bridges: how long nothing passes until the bridge disconnects.";
        reconnect_min: span(MILLISECOND, HOUR),
            "The shortest wait before the bridge connects again. It grows, at random, up to reconnect_max.";
        reconnect_max: span(MILLISECOND, DAY), "The longest wait before the bridge connects again.";
        round_robin: Switch,
            "Of several addresses: whether the bridge stays with one that works. If false, it returns to the first.";
        notifications: Choice(&[
            ("both", Notifications::Both),
            ("local", Notifications::Local),
            ("off", Notifications::Off),
        ]),
            "Where a retained \"1\" or \"0\" is published for the state of the connection: at both brokers (at the other one \
             with a Will), here alone, or nowhere.";
        notification_topic: OptionalString { most: LONGEST_STRING },
            "The topic of that message. Unset: $SYS/broker/connection/CLIENT-ID/state.";
        expiry: EXPIRY, "MQTT 5: the longest Message Expiry Interval of messages that are sent.";
        rate: OrWord { form: Whole { min: 1, max: 1_000_000_000 }, word: "off", zero: false },
            "Messages that are sent in a second, at most: what piled up while the line was down does not come at once.";
        outgoing_retain: Switch, "Whether messages that are sent keep their RETAIN flag.";
        clear_missing_retained: Switch,
            "Whether, at each connect, retained messages are cleared here that came from the other broker, and that it does \
             not send any more when the bridge subscribes. A broker that has lost them clears them here.";
        max_packet_size: OrWord { form: Size { min: 128, max: LARGEST_PACKET }, word: "off", zero: false },
            "Largest packet that is sent, in bytes. A larger message is dropped and counted.";
        bind_address: OwnAddress, "The address of this machine from which the bridge connects.";
        try_private: Switch,
            "MQTT 3.1.1: whether CONNECT marks this client as a bridge, as mosquitto and dunlin understand it. If \
             it refuses that, the bridge connects without it.";
    },
};
