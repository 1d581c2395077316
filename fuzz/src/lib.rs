//! The bodies of the fuzz targets: functions over bytes that panic if a promise is broken. `fuzz_targets/` calls them
//! from libFuzzer, `tests/it/fuzz_corpus.rs` of the broker from the seed corpus with the stable toolchain.

use std::{collections::BTreeSet, io::IoSlice, time::Instant};

use dunlin::{
    auth,
    codec::{self, Cut, DecodeError, Packet},
    config,
    router::Rights,
    session::{
        Action, Backlog, BufPool, Deferred, Delivery, Expiry, How, LARGE_PAYLOAD, Message, OutBuf, Outgoing, Session,
        SessionLimits, Stored, Turn, Welcome,
    },
    topic::{RetainedTree, SubscriptionTrie, TopicFilter, TopicName},
    types::{PacketId, ProtocolVersion, QoS, QueueFull, SubscriptionOptions},
};

// ---- decode ----

/// Bytes as a client or a server sends them: whatever decodes is encoded to what decodes alike; a limit holds; a frame
/// that is cut is asked for.
pub fn decode(data: &[u8]) {
    for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
        let mut rest = data;
        loop {
            match codec::frame(version, rest, MAX_PACKET) {
                Ok(Cut::Frame(frame)) => {
                    assert!(frame.len <= MAX_PACKET && frame.len <= rest.len() && frame.body.len() < frame.len);
                    let whole = &rest[..frame.len];
                    check_packet(version, frame);
                    check_cuts(version, whole);
                    rest = &rest[frame.len..];
                }
                Ok(Cut::Need(need)) => {
                    assert!(need > rest.len() && need <= MAX_PACKET.max(5), "{need} bytes, with {}", rest.len());
                    break;
                }
                Err(error) => {
                    let too_large = matches!(error, DecodeError::PacketTooLarge { .. });
                    assert!(too_large || error.to_string().contains("[MQTT-"), "{error}");
                    break;
                }
            }
        }
    }
}

const MAX_PACKET: usize = 4_096;

fn check_packet(version: ProtocolVersion, frame: codec::Frame<'_>) {
    let from_client = codec::decode_from_client(version, frame);
    let decoded = codec::decode(version, frame);
    match (&from_client, &decoded) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        (Ok(packet), Err(error)) => panic!("{packet:?} from a client, but {error}"),
        (Err(DecodeError::IdentifierFromClient), Ok(_)) => return,
        (Err(_), Ok(_)) => assert!(!frame.is_from_client()),
        (Err(_), Err(_)) => {}
    }
    let Ok(packet) = decoded else { return };
    if let Packet::Publish(publish) = &packet {
        assert_eq!(codec::decode_publish(version, frame).as_ref(), Ok(publish));
        assert_eq!(codec::publish_topic_bytes(&frame), Some(publish.topic.as_str().as_bytes()));
        assert_eq!(codec::decode_publish_with_topic(version, frame, publish.topic).as_ref(), Ok(publish));
        let known = || publish.properties;
        assert_eq!(codec::decode_publish_again(version, frame, publish.topic, known).as_ref(), Ok(publish));
    }
    // MQTT 3.1 has no Session Present: it is not written
    if matches!(packet, Packet::Connack(_)) && version == ProtocolVersion::V31 {
        return;
    }
    let mut bytes = Vec::new();
    codec::encode(version, &packet, &mut bytes).expect("what was decoded can be encoded");
    let again = match codec::frame(version, &bytes, usize::MAX) {
        Ok(Cut::Frame(frame)) => codec::decode(version, frame),
        other => panic!("{packet:?} was encoded to {bytes:02x?}: {other:?}"),
    };
    assert_eq!(again.as_ref(), Ok(&packet), "encoded to {bytes:02x?}");
}

/// A part of a good frame is no error and no frame.
fn check_cuts(version: ProtocolVersion, whole: &[u8]) {
    for cut in 0..whole.len().min(16) {
        match codec::frame(version, &whole[..cut], MAX_PACKET) {
            Ok(Cut::Need(need)) => assert!(need > cut && need <= whole.len()),
            other => panic!("{cut} of {} bytes: {other:?}", whole.len()),
        }
    }
}

// ---- topic matching ----

/// Lines: `-` and a filter takes a subscription back, anything else is subscribed to if it is a filter and published to
/// if it is a topic. Both indexes find what a plain reading of section 4.7 finds.
pub fn topic_matching(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.split('\n').take(64).collect();
    let mut trie = SubscriptionTrie::new(7);
    let mut retained = RetainedTree::new(7);
    let (mut filters, mut topics) = (BTreeSet::new(), BTreeSet::new());
    for line in &lines {
        if let Some(Ok(filter)) = line.strip_prefix('-').map(TopicFilter::new) {
            let removed = trie.unsubscribe(filter, &1_u8).is_some();
            assert_eq!(removed, filters.remove(filter.as_str()), "{filter:?}");
        } else if let Ok(filter) = TopicFilter::new(line) {
            let new = trie.subscribe(filter, 1_u8, SubscriptionOptions::default()).replaced.is_none();
            assert_eq!(new, filters.insert(filter.as_str()), "{filter:?}");
        }
        if let Ok(topic) = TopicName::new(line) {
            // each topic is forgotten when it comes the second time
            if topics.insert(topic.as_str()) {
                assert_eq!(retained.insert(topic, *line), None);
            } else {
                topics.remove(topic.as_str());
                assert_eq!(retained.remove(topic), Some(*line));
            }
        }
    }
    assert_eq!((trie.len(), trie.filters(), retained.len()), (filters.len(), filters.len(), topics.len()));
    for topic in lines.iter().filter_map(|line| TopicName::new(line).ok()) {
        let expected = filters.iter().filter(|filter| matches(filter, topic.as_str())).count();
        let mut found = 0;
        trie.for_each_match(topic, |_, _| found += 1);
        assert_eq!(found, expected, "{topic:?} among {filters:?}");
    }
    for filter in lines.iter().filter_map(|line| TopicFilter::new(line).ok()) {
        let expected: BTreeSet<&str> = topics.iter().copied().filter(|t| matches(filter.as_str(), t)).collect();
        let mut found = BTreeSet::new();
        retained.for_each_match(filter, |topic| assert!(found.insert(*topic), "{topic:?} twice"));
        assert_eq!(found, expected, "{filter:?}");
        for topic in topics.iter().filter_map(|t| TopicName::new(t).ok()) {
            assert_eq!(filter.matches(topic), matches(filter.as_str(), topic.as_str()), "{filter:?} {topic:?}");
        }
    }
    // all that is taken back is gone
    for filter in std::mem::take(&mut filters) {
        assert!(trie.unsubscribe(TopicFilter::new(filter).expect("a filter before"), &1).is_some());
    }
    assert!(trie.is_empty() && trie.filters() == 0);
}

/// Section 4.7, read aloud.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(f), Some(t)) if f == t => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

// ---- session ----

/// Four bytes of limits, then operations. No identifier is in flight twice, no more than the window is, the queue keeps
/// its limits, all that goes out is whole packets, and after a reconnect all that was in flight comes again.
pub fn session(data: &[u8]) {
    let mut input = data.iter().copied();
    let mut byte = || input.next();
    let (Some(a), Some(b), Some(c), Some(d)) = (byte(), byte(), byte(), byte()) else { return };
    let mut end = End {
        session: Session::new("fuzz".into(), Expiry::Never, None),
        limits: SessionLimits {
            max_inflight_out: 1 + usize::from(a % 8),
            max_inflight_in: 1 + usize::from(a / 8 % 4),
            max_queued_messages: 1 + usize::from(b % 8),
            max_queued_bytes: 1 + usize::from(c) * 8,
            queue_full: match (b & 8 != 0, d & 1 != 0) {
                (true, _) => QueueFull::KeepLast,
                (false, true) => QueueFull::DropOldest,
                (false, false) => QueueFull::DropNewest,
            },
            queue_qos0: d & 2 != 0,
            max_outbound_bytes: 1 + usize::from(d) * 16,
        },
        pool: BufPool::default(),
        inflight: BTreeSet::new(),
        retained: 0,
    };
    while let (Some(operation), Some(argument)) = (byte(), byte()) {
        let qos = QoS::from_bits(argument % 3).expect("0, 1 or 2");
        let size = if argument == 255 { LARGE_PAYLOAD } else { usize::from(argument / 3) };
        let id = PacketId::new(1 + u16::from(argument % 16)).expect("not 0");
        match operation % 12 {
            0 | 1 => end.deliver(qos, size),
            2 => end.deliver_retained(qos, size),
            3 => end.handle(Packet::Puback(id.into())),
            4 => end.handle(Packet::Pubrec(id.into())),
            5 => end.handle(Packet::Pubcomp(id.into())),
            6 => end.handle(Packet::Pubrel(id.into())),
            7 => end.publish(id, size),
            8 => end.detach(),
            9 => end.attach(),
            10 => end.session.set_writing(usize::from(argument) * 64),
            _ => {
                // a packet as it is in the input
                let bytes: Vec<u8> = (0..argument % 32).map_while(|_| byte()).collect();
                if let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, &bytes, MAX_PACKET)
                    && let Ok(packet) = codec::decode_from_client(ProtocolVersion::V311, frame)
                {
                    end.handle(packet);
                }
            }
        }
        end.check();
    }
}

struct End {
    session: Session,
    limits: SessionLimits,
    pool: BufPool,
    inflight: BTreeSet<PacketId>,
    retained: usize,
}

impl End {
    /// The session, and a turn for it.
    fn parts(&mut self) -> (&mut Session, Turn<'_, ()>) {
        let Self { session, limits, pool, .. } = self;
        (session, Turn { now: Instant::now(), limits, pool, journal: () })
    }

    fn attach(&mut self) {
        if self.session.is_connected() {
            return;
        }
        let (session, mut turn) = self.parts();
        session.attach(&Welcome::plain(ProtocolVersion::V311, true), None, &mut turn);
        let before = self.inflight.clone();
        let mut frames = self.take();
        assert_eq!(frames[0], [0x20, 2, 1, 0]);
        // the rest as the socket takes it
        while frames.len() <= before.len() {
            self.session.set_writing(0);
            let (session, mut turn) = self.parts();
            session.fill(&mut turn);
            let more = self.take();
            assert!(!more.is_empty(), "{} packets of {} in flight", frames.len() - 1, before.len());
            frames.extend(more);
        }
        let again = frames[1..].iter().take(before.len()).map(|frame| match parse(frame) {
            Packet::Publish(publish) => publish.packet_id.filter(|_| publish.dup).expect("sent again with DUP"),
            Packet::Pubrel(ack) => ack.packet_id,
            other => panic!("{other:?}"),
        });
        assert_eq!(again.collect::<BTreeSet<_>>(), before);
    }

    fn detach(&mut self) {
        self.take();
        let (session, mut turn) = self.parts();
        assert!(session.detach(&mut turn).is_none());
    }

    fn deliver(&mut self, qos: QoS, size: usize) {
        let payload = vec![0; size];
        let topic = if size.is_multiple_of(2) { "t" } else { "u" };
        let outgoing = Outgoing::new(TopicName::new(topic).expect("a topic"), &payload, qos);
        let connected = self.session.is_connected();
        let (session, mut turn) = self.parts();
        match session.deliver(&outgoing, How::from(qos), &mut turn) {
            Delivery::Sent | Delivery::SentFive => assert!(connected),
            Delivery::NotConnected => assert!(!connected && qos == QoS::AtMostOnce),
            Delivery::OutboundFull => assert!(connected && qos == QoS::AtMostOnce),
            Delivery::Queued => {}
            Delivery::TooLarge => panic!("a client of MQTT 3.1.1 says no size"),
            Delivery::Inside => panic!("its client is not within the process"),
        }
    }

    fn deliver_retained(&mut self, qos: QoS, size: usize) {
        let message = Message::new(TopicName::new("t").expect("a topic"), &vec![0; size], qos);
        let (session, mut turn) = self.parts();
        session.deliver_retained(&message, qos.into(), None, usize::MAX, &mut turn);
        self.retained += 1;
    }

    fn publish(&mut self, id: PacketId, size: usize) {
        let payload = vec![0; size];
        self.handle(Packet::Publish(codec::Publish {
            dup: false,
            qos: QoS::ExactlyOnce,
            retain: false,
            topic: TopicName::new("t").expect("a topic"),
            packet_id: Some(id),
            payload: &payload,
            properties: Default::default(),
        }));
    }

    /// Plays the router, as far as the session needs it.
    fn handle(&mut self, packet: Packet<'_>) {
        if !self.session.is_connected() {
            return;
        }
        let done = match &packet {
            Packet::Puback(ack) | Packet::Pubcomp(ack) => Some(ack.packet_id),
            _ => None,
        };
        let (session, mut turn) = self.parts();
        let stays = match session.handle_packet(packet, &mut turn) {
            Ok(Action::Disconnect) | Err(_) => false,
            Ok(Action::Publish(publish)) => {
                publish.packet_id.into_iter().for_each(|id| _ = session.received(id, Stored::Done, &mut turn));
                true
            }
            Ok(Action::Complete(.., Some(next))) => {
                let _ = session.received(next.packet_id, Stored::Done, &mut turn);
                true
            }
            Ok(Action::Defer(publish)) => {
                let message = Message::new(publish.topic, publish.payload, publish.qos);
                let packet_id = publish.packet_id.expect("QoS 2 has one");
                session.defer(Deferred { packet_id, retain: publish.retain, message, may: None }, &turn).is_ok()
            }
            Ok(_) => true,
        };
        if let Some(id) = done.filter(|_| stays) {
            self.inflight.remove(&id);
        }
        if !stays {
            self.detach();
        }
    }

    fn check(&mut self) {
        if self.session.is_connected() {
            let (session, mut turn) = self.parts();
            session.fill(&mut turn);
            self.take();
        }
        assert!(self.inflight.len() <= self.limits.max_inflight_out);
        let Backlog { messages, bytes, .. } = self.session.backlog();
        assert!(messages <= self.inflight.len() + self.limits.max_queued_messages + self.retained);
        assert!(bytes <= self.limits.max_queued_bytes);
    }

    /// Takes output; keeps the driver's report about the socket.
    fn take(&mut self) -> Vec<Vec<u8>> {
        let writing = self.session.pending();
        let Some(out) = self.session.take_out() else { return Vec::new() };
        self.session.set_writing(writing - out.len());
        let frames = frames(*out);
        for frame in &frames {
            if let Packet::Publish(publish) = parse(frame)
                && let (Some(id), false) = (publish.packet_id, publish.dup)
            {
                assert!(self.inflight.insert(id), "{id} is in flight already");
            }
        }
        frames
    }
}

fn parse(frame: &[u8]) -> Packet<'_> {
    match codec::frame(ProtocolVersion::V311, frame, usize::MAX) {
        Ok(Cut::Frame(frame)) => codec::decode(ProtocolVersion::V311, frame).expect("what is sent can be decoded"),
        other => panic!("{other:?}"),
    }
}

fn frames(mut out: OutBuf) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = out.io_slices(&mut slices, usize::MAX);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        assert!(bytes.len() > before, "bytes left, but nothing to write");
        out.advance(bytes.len() - before);
    }
    let (mut frames, mut rest) = (Vec::new(), &bytes[..]);
    while let Ok(Cut::Frame(frame)) = codec::frame(ProtocolVersion::V311, rest, usize::MAX) {
        frames.push(rest[..frame.len].to_vec());
        rest = &rest[frame.len..];
    }
    assert!(rest.is_empty(), "a packet was cut");
    frames
}

// ---- config ----

/// Any text is answered: with settings that are within their bounds, or with one line that names the file.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match config::parse(&text, "file") {
        Ok(config) => {
            let limits = &config.limits;
            assert!(limits.max_connections > 0 && limits.max_connecting > 0 && limits.max_inflight_out > 0);
            assert!(limits.max_packet_size >= 128 && limits.max_client_id_length >= 23);
            assert!(limits.max_outbound_bytes > 0 && !limits.connect_timeout.is_zero());
            assert!(!config::summary(&config, None).is_empty());
            assert_eq!(config::changes(&config, &config), []);
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("file:") && !line.contains('\n'), "{line:?}");
        }
    }
    if let Ok(address) = text.trim().parse::<config::ListenAddress>() {
        let endpoints = || address.endpoints(address.transport().unwrap_or_default());
        assert!(address.is_host_name() || endpoints().is_ok_and(|endpoints| !endpoints.is_empty()));
    }
}

// ---- the files of users and rules ----

/// Any bytes have a result: users, or an error line with the place.
pub fn passwords(data: &[u8]) {
    match auth::Users::parse(data, "file") {
        Ok(users) => assert!(users.len() <= data.split(|byte| *byte == b'\n').count()),
        Err(error) => assert_located(&error),
    }
}

/// Three lines, a client's identifier, its user name if any, and a topic; then an ACL file. What the rules say is what
/// a plain reading of mosquitto's manual says.
pub fn acl(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || parts.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(client), Some(user), Some(topic)) = (line(), line(), line()) else { return };
    let file = parts.next().unwrap_or_default();
    let rules = match auth::Rules::parse(file, "file") {
        Ok(rules) => rules,
        Err(error) => return assert_located(&error),
    };
    let user = Some(user).filter(|user| !user.is_empty());
    let (Ok(name), Ok(text)) = (TopicName::new(topic), std::str::from_utf8(file)) else { return };
    let rights = rules.rights(client, user);
    assert_eq!(rights.may_publish(name), allows(text, client, user, topic, "write"), "publish {topic:?}");
    assert_eq!(rights.may_receive(name), allows(text, client, user, topic, "read"), "receive {topic:?}");
}

fn assert_located(error: &auth::AuthError) {
    let line = error.to_string();
    let (_, rest) = line.split_once("file:").expect("the file is named");
    let number = rest.split(':').next().map(str::parse::<usize>);
    assert!(matches!(number, Some(Ok(1..))) && !line.contains('\n'), "{line:?}");
}

/// A valid file is parsed as mosquitto's manual describes. A byte order mark before its first line is not
/// part of it, as in the other files that people write.
fn allows(file: &str, client: &str, user: Option<&str>, topic: &str, want: &str) -> bool {
    let (mut own, mut patterns, mut dangerous) = (Vec::new(), Vec::new(), false);
    let mut whose = None;
    let file = file.strip_prefix('\u{FEFF}').unwrap_or(file);
    for line in file.split('\n').map(str::trim_end).filter(|line| !line.starts_with('#')) {
        let Some((word, rest)) = line.trim_start_matches(' ').split_once(' ') else { continue };
        let rest = rest.trim_start_matches(' ');
        if word == "user" {
            whose = Some(rest);
            continue;
        }
        let (access, filter) = rest.split_once(' ').unwrap_or(("readwrite", rest));
        let filter = filter.trim_start_matches(' ');
        if word == "topic" && whose == user {
            own.push((access, filter.to_owned()));
        } else if word == "pattern" {
            let name = |name: Option<&str>| name.is_some_and(|name| name.contains(['+', '#']));
            dangerous = name(user) || name(Some(client));
            if user.is_some() || !filter.contains("%u") {
                patterns.push((access, filled(filter, client, user.unwrap_or_default())));
            }
        }
    }
    let decide = |rules: &[(&str, String)]| {
        let matching = |wanted: &str| {
            let fits = |(access, filter): &&(&str, String)| {
                (*access == wanted || wanted != "deny" && *access == "readwrite") && matches(filter, topic)
            };
            rules.iter().any(|rule| fits(&rule))
        };
        if matching("deny") { Some(false) } else { matching(want).then_some(true) }
    };
    decide(&own).or_else(|| if dangerous { None } else { decide(&patterns) }).unwrap_or(false)
}

/// A pattern with the names put in, which are no patterns themselves.
fn filled(pattern: &str, client: &str, user: &str) -> String {
    let parts = pattern.split("%c").map(|part| part.split("%u").collect::<Vec<_>>().join(user));
    parts.collect::<Vec<_>>().join(client)
}

// ---- PROXY header ----

/// The beginning of a connection: any bytes are answered; a header is as long as it is and no longer, whatever follows
/// it; of a part of one, more is asked for; nobody is asked for more for ever.
pub fn proxy_header(data: &[u8]) {
    match dunlin::proxy_header(data) {
        Ok(Some(header)) => {
            assert!((15..=16 + 4096).contains(&header.length) && header.length <= data.len());
            assert!(header.source.is_none_or(|source| source.port() != 0));
            assert_eq!(dunlin::proxy_header(&data[..header.length]), Ok(Some(header.clone())));
            for part in 0..header.length {
                assert_eq!(dunlin::proxy_header(&data[..part]), Ok(None), "{part} of {} bytes", header.length);
            }
        }
        Ok(None) => assert!(data.len() < 16 + 4096),
        Err(why) => {
            assert!(!why.is_empty());
            let more = [data, b"\r\n\0"].concat();
            assert_eq!(dunlin::proxy_header(&more), Err(why), "what is wrong stays so");
        }
    }
}
