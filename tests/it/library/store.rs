//! "Acknowledged means kept", with a store whose commits the test completes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use dunlin::{
    config::Limits,
    router::{Authorize, Condition, Count, Identity, QueuedCopy, Record, Rights, Store, WillLeft},
    session::{self, CommitSeq, SessionNumber, Stored},
    topic::{TopicFilter, TopicName},
    types::ClientId,
};
use parking_lot::{Condvar, Mutex};

use crate::support::{
    Broker, config,
    raw::{
        Client, Connect, Message, PINGREQ, PINGRESP, ack, puback, pubcomp, pubrec, pubrel, suback, subscribe,
        unsubscribe,
    },
};

/// Each record is a commit of its own. All are kept at once, until [`hold`](ByHand::hold).
#[derive(Default)]
struct ByHand(Mutex<State>, Condvar);

#[derive(Default)]
struct State {
    clients: HashMap<SessionNumber, String>,
    records: Vec<String>,
    /// Of the records, those that were asked for.
    seen: usize,
    by_hand: bool,
    done: usize,
    waiting: Vec<(CommitSeq, Waker)>,
    condition: Option<Condition>,
}

impl Store for ByHand {
    fn append(&self, record: Record) -> Stored {
        let mut state = self.0.lock();
        if let Record::SessionStarted { session, client, .. } = &record {
            state.clients.insert(*session, client.to_string());
        }
        let text = describe(&state.clients, record);
        self.appended(&mut state, text)
    }

    fn append_copies(&self, _: &session::Message, first: &QueuedCopy, others: &[QueuedCopy]) -> Stored {
        let mut state = self.0.lock();
        let clients = &state.clients;
        let others: Vec<_> = others.iter().map(|copy| format!("{} {}", clients[&copy.session], copy.number)).collect();
        let text = format!("queued with {} {}: {}", clients[&first.session], first.number, others.join(", "));
        self.appended(&mut state, text)
    }

    fn together(&self, append: &mut dyn FnMut()) {
        append();
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(self.0.lock().done as u64)
    }

    fn wake_when_done(&self, commit: CommitSeq, waker: &Waker) {
        let mut state = self.0.lock();
        let done = commit.0 <= state.done as u64;
        let tells = done || matches!(state.condition, Some(Condition::Stuck | Condition::Failed));
        if !done {
            state.waiting.push((commit, waker.clone()));
        }
        drop(state);
        if tells {
            waker.wake_by_ref();
        }
    }

    fn condition(&self) -> Condition {
        self.0.lock().condition.unwrap_or(Condition::Ready)
    }
}

fn describe(clients: &HashMap<SessionNumber, String>, record: Record) -> String {
    match record {
        Record::SessionStarted { session, will, .. } => {
            let will = will.map_or("no will".into(), |w| format!("will {}", w.message.topic().as_str()));
            format!("started {} {will}", clients[&session])
        }
        Record::Attached { session, .. } => format!("attached {}", clients[&session]),
        Record::Detached { session, will: WillLeft::Gone } => format!("detached {}", clients[&session]),
        Record::WillDue { session, number, will } => {
            format!("due {} {number} will {}", clients[&session], will.message.topic().as_str())
        }
        Record::WillPublished { session, number } => format!("published {} will {number}", clients[&session]),
        Record::WillKept { number, client, will, .. } => {
            format!("will {number} of {client} {}", will.message.topic().as_str())
        }
        Record::WillGone { number } => format!("will {number} gone"),
        Record::SessionEnded { session } => format!("ended {}", clients[&session]),
        Record::Subscribed { session, filter, options } => {
            format!("subscribed {} {} {}", clients[&session], filter, options.qos as u8)
        }
        Record::Unsubscribed { session, filter } => format!("unsubscribed {} {}", clients[&session], filter),
        Record::Queued { message, copy: QueuedCopy { session, number, qos, retain, .. }, sent, .. } => {
            let sent = sent.map_or(String::new(), |sent| format!(" sent {sent}"));
            let retain = if retain { " retain" } else { "" };
            format!(
                "{} queued {number} {} {} {}{retain}{sent}",
                clients[&session],
                message.topic().as_str(),
                text(message.payload()),
                qos as u8
            )
        }
        Record::Sent { session, number, sent, count } => {
            format!("{} {} sent {}", clients[&session], span(number, count), span(sent, count))
        }
        Record::Released { session, number } => format!("{} {number} released", clients[&session]),
        Record::Completed { session, number, count } => {
            format!("{} {} completed", clients[&session], span(number, count))
        }
        Record::Received { session, packet_id } => format!("{} received {packet_id}", clients[&session]),
        Record::ReceiptReleased { session, packet_id } => format!("{} receipt {packet_id} released", clients[&session]),
        Record::Retained { message, .. } => {
            format!("retained {} {}", message.topic().as_str(), text(message.payload()))
        }
        Record::RetainedCleared { topic } => format!("cleared {topic}"),
        other => format!("{other:?}"),
    }
}

/// Numbers that follow one another: the first and the last.
fn span(first: u64, count: u32) -> String {
    match count {
        1 => first.to_string(),
        _ => format!("{first}-{}", first + u64::from(count) - 1),
    }
}

impl ByHand {
    /// One more record.
    fn appended(&self, state: &mut State, record: String) -> Stored {
        state.records.push(record);
        self.1.notify_all();
        if !state.by_hand {
            state.done = state.records.len();
        }
        Stored::By(CommitSeq(state.records.len() as u64))
    }

    /// Later commits complete when the test says so.
    fn hold(&self) {
        self.0.lock().by_hand = true;
    }

    /// So many more records are kept.
    fn keep(&self, more: usize) {
        let mut state = self.0.lock();
        state.done += more;
        assert!(state.done <= state.records.len(), "{:?}", state.records);
        let done = CommitSeq(state.done as u64);
        let ready: Vec<_> = state.waiting.extract_if(.., |(commit, _)| *commit <= done).collect();
        drop(state);
        ready.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Everything so far is kept.
    fn keep_all(&self) {
        let more = {
            let state = self.0.lock();
            state.records.len() - state.done
        };
        self.keep(more);
    }

    /// From now on it is so.
    fn set_condition(&self, condition: Condition) {
        let mut state = self.0.lock();
        state.condition = Some(condition);
        if matches!(condition, Condition::Stuck | Condition::Failed) {
            let wakers = state.waiting.clone();
            drop(state);
            wakers.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }

    /// Waits until so many came since [`records`](Self::records) were last asked for.
    fn expect_records(&self, count: usize) {
        let mut state = self.0.lock();
        let mut late = |s: &mut State| s.records.len() - s.seen < count;
        let waited = self.1.wait_while_for(&mut state, &mut late, Duration::from_secs(10));
        assert!(!waited.timed_out(), "{:?}", &state.records[state.seen..]);
    }

    /// Waits until this comes.
    fn wait_for(&self, record: &str) {
        let mut state = self.0.lock();
        let mut late = |s: &mut State| s.records.last().is_none_or(|last| last != record);
        let waited = self.1.wait_while_for(&mut state, &mut late, Duration::from_secs(10));
        assert!(!waited.timed_out(), "{:?}", state.records);
    }

    /// What came since this was last asked.
    fn records(&self) -> Vec<String> {
        let mut state = self.0.lock();
        let new = state.records[state.seen..].to_vec();
        state.seen = state.records.len();
        new
    }
}

fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(payload).expect("a payload in UTF-8")
}

fn broker() -> (Broker, Arc<ByHand>) {
    let store = Arc::<ByHand>::default();
    let port = store.clone();
    (Broker::build(config(), |b| b.store(port)), store)
}

/// A client with a persistent session, subscribed to `t` and `u`. Later commits complete when the test says so.
fn keeper(broker: &Broker, store: &ByHand) -> Client {
    let mut keeper = broker.begin("keeper");
    assert_eq!(store.records(), ["started keeper no will"]);
    store.hold();
    keeper.send(&[&subscribe(1, &[("t", 2), ("u", 1)])[..], PINGREQ].concat());
    store.expect_records(2);
    assert_eq!(store.records(), ["subscribed keeper t 2", "subscribed keeper u 1"]);
    // SUBACK is the first answer, and waits for both; a client on each thread shows that the broker has had its turns
    let mut others = ["other", "another"].map(|id| broker.client(id));
    for kept in [0, 1] {
        store.keep(kept);
        others.iter_mut().for_each(Client::expect_nothing_pending);
        keeper.expect_no_bytes();
    }
    others.into_iter().for_each(Client::disconnect);
    store.keep(1);
    keeper.expect(&suback(1, &[2, 1]));
    keeper.expect(PINGRESP);
    keeper
}

/// The same, beside a client that began before.
fn keeper_beside(broker: &Broker, store: &ByHand) -> Client {
    store.records();
    keeper(broker, store)
}

#[test]
fn a_session_is_accepted_when_it_is_durable() {
    let (broker, store) = broker();
    store.hold();
    let mut keeper = broker.open();
    // more comes with it, some of which waits for nothing
    let connect = Connect::new("keeper").persistent().will(&Message::new("w", "gone").qos(1)).frame();
    let impatient = Message::new("nobody", "").qos(1).id(9).frame();
    keeper.send(&[connect, subscribe(1, &[("t", 1)]), PINGREQ.to_vec(), impatient].concat());
    store.expect_records(2);
    assert_eq!(store.records(), ["started keeper will w", "subscribed keeper t 1"]);
    // others on its thread get theirs, and messages for it come meanwhile
    let mut publisher = broker.client("pub");
    publisher.send(&Message::new("t", "x").qos(1).id(1).frame());
    publisher.expect_nothing_pending();
    store.keep(1);
    keeper.expect(&[0x20, 2, 0, 0]);
    store.keep_all();
    keeper.expect(&suback(1, &[1]));
    keeper.expect_message("t", "x", 1);
    keeper.expect(PINGRESP);
    keeper.expect(&puback(9));
    publisher.expect(&puback(1));
}

#[test]
fn a_reconnecting_client_waits_for_the_same_commit() {
    let (broker, store) = broker();
    store.hold();
    let connect = Connect::new("keeper").persistent().frame();
    let mut keeper = broker.open();
    keeper.send(&connect);
    store.expect_records(1);
    keeper.abort();
    // the session exists, but is not durable
    let mut keeper = broker.open();
    keeper.send(&connect);
    store.wait_for("attached keeper");
    keeper.send(PINGREQ);
    store.keep_all();
    keeper.expect(&[0x20, 2, 1, 0]);
    keeper.expect(PINGRESP);
    // one that replaces it, twice
    let clean = Connect::new("keeper").frame();
    let mut replacing = broker.open();
    replacing.send(&clean);
    store.wait_for("ended keeper");
    replacing.abort();
    let mut replacing = broker.open();
    replacing.send(&[clean, PINGREQ.to_vec()].concat());
    store.keep_all();
    replacing.expect(&[0x20, 2, 0, 0]);
    replacing.expect(PINGRESP);
}

#[test]
fn a_message_for_many_away_clients_takes_two_records() {
    let (broker, store) = broker();
    let away = ["first", "second", "third"];
    for client in away {
        let mut connected = broker.begin(client);
        connected.subscribe(&[("t", 1), (&format!("only/{client}"), 1)]);
        connected.disconnect();
    }
    let mut publisher = broker.client("pub");
    store.records();
    publisher.publish(Message::new("t", "x").qos(1));
    let records = store.records();
    let [first, others] = &records[..] else { panic!("{records:?}") };
    // in any order
    let whose = |text: &str| away.into_iter().position(|client| text.contains(client)).expect("one of them");
    let rest: Vec<_> = others.split(": ").nth(1).expect("names").split(", ").map(whose).collect();
    assert_eq!(*first, format!("{} queued 1 t x 1", away[whose(first)]));
    assert!(others.starts_with(&format!("queued with {} 1: ", away[whose(first)])), "{others}");
    let mut all = [vec![whose(first)], rest].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
    // for a single one there is no further record
    publisher.publish(Message::new("only/second", "y").qos(1));
    assert_eq!(store.records(), ["second queued 2 only/second y 1"]);
}

#[test]
fn consecutive_sends_and_acknowledgements_are_merged_into_one_record() {
    let (broker, store) = broker();
    let mut away = broker.begin("away");
    away.subscribe(&[("t", 1)]);
    away.disconnect();
    let mut publisher = broker.client("pub");
    let payloads = ["one", "two", "three", "four", "five"];
    payloads.into_iter().for_each(|payload| publisher.publish(Message::new("t", payload).qos(1)));
    store.records();
    let mut back = broker.open();
    back.send(&Connect::new("away").persistent().frame());
    back.expect(&[0x20, 2, 1, 0]);
    for (payload, id) in payloads.into_iter().zip(1..) {
        back.expect(&Message::new("t", payload).qos(1).id(id).frame());
    }
    back.send(&[puback(1), puback(2), puback(3), puback(5), puback(4), PINGREQ.to_vec()].concat());
    back.expect(PINGRESP);
    let completed = ["away 1-3 completed", "away 5 completed", "away 4 completed"];
    assert_eq!(store.records()[1..], [&["away 1-5 sent 1-5"][..], &completed].concat());
}

/// Panics when it is asked for the last of so many times whether a client may receive a message.
#[derive(Clone)]
struct Panics(Arc<AtomicUsize>);

impl Authorize for Panics {
    fn rights(&self, _: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        Some(Arc::new(self.clone()))
    }
}

impl Rights for Panics {
    fn may_publish(&self, _: &TopicName) -> bool {
        true
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        true
    }

    fn may_receive(&self, _: &TopicName) -> bool {
        let left = self.0.fetch_sub(1, Ordering::Relaxed);
        assert_ne!(left, 1, "on purpose");
        true
    }

    fn limits_reading(&self) -> bool {
        true
    }
}

#[test]
fn deliveries_before_a_panic_of_a_plug_in_are_recorded() {
    let away = ["first", "second", "third", "fourth", "fifth"];
    for had in 0..away.len() {
        let store = Arc::<ByHand>::default();
        let port = store.clone();
        let panics = Panics(Arc::new((had + 1).into()));
        let broker = Broker::build(config(), |b| b.store(port).authorize(Arc::new(panics)));
        for client in away {
            let mut connected = broker.begin(client);
            connected.subscribe(&[("t", 1)]);
            connected.disconnect();
        }
        let mut publisher = broker.client("pub");
        store.records();
        publisher.send(&Message::new("t", "x").qos(1).id(1).frame());
        publisher.expect_closed();
        let records = store.records().join("\n");
        assert_eq!(records.contains("queued with"), had > 1, "{records}");
        assert_eq!(away.iter().filter(|client| records.contains(**client)).count(), had, "{records}");
        for client in away {
            let mut client_back = broker.resume(client);
            if records.contains(client) {
                client_back.expect_message("t", "x", 1);
            } else {
                client_back.expect_nothing_pending();
            }
        }
    }
}

#[test]
fn a_repeated_unsubscribe_waits_for_the_first_commit() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    keeper.send(&unsubscribe(2, &["u"]));
    keeper.expect_nothing_pending();
    keeper.abort();
    let mut keeper = broker.resume("keeper");
    keeper.send(&unsubscribe(3, &["u"]));
    keeper.expect_nothing_pending();
    store.keep_all();
    keeper.expect(&ack(0xB0, 3));
}

#[test]
fn qos_0_is_not_read_faster_than_it_is_stored() {
    let (broker, store) = broker();
    store.hold();
    let mut publisher = broker.client("pub");
    publisher.publish(Message::new("r", "1").retain());
    publisher.expect_nothing_pending();
    store.set_condition(Condition::Busy);
    publisher.send(&Message::new("r", "2").retain().frame());
    let mut other = broker.client("other");
    other.publish(Message::new("nobody", "").qos(1));
    assert_eq!(store.records(), ["retained r 1"]);
    store.set_condition(Condition::Ready);
    store.keep_all();
    publisher.expect_nothing_pending();
    assert_eq!(store.records(), ["retained r 2"]);
}

#[test]
fn subscriptions_are_acknowledged_when_they_are_durable() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    keeper.send(&unsubscribe(2, &["never", "u"]));
    keeper.expect_nothing_pending();
    assert_eq!(store.records(), ["unsubscribed keeper never", "unsubscribed keeper u"]);
    store.keep_all();
    keeper.expect(&ack(0xB0, 2));
    // those of a session that ends with its connection are not kept
    let mut clean = broker.client("clean");
    clean.subscribe(&[("t", 1)]);
    clean.unsubscribe(&["t"]);
    assert_eq!(store.records(), [""; 0]);
    // nor is anything of a session that is replaced by such a one, which is accepted when that is kept
    let mut replacing = broker.open();
    replacing.send(&Connect::new("keeper").frame());
    keeper.expect_closed();
    assert_eq!(store.records(), ["ended keeper"]);
    store.keep_all();
    replacing.expect(&[0x20, 2, 0, 0]);
}

#[test]
fn messages_are_acknowledged_in_order_when_they_are_durable() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let (mut publisher, mut other) = (broker.client("pub"), broker.client("other"));
    let message = |payload, qos, id| Message::new("t", payload).qos(qos).id(id).frame();
    publisher.send(&message("one", 1, 1));
    publisher.send(&message("two", 2, 2));
    publisher.send(&message("three", 1, 3));
    // without subscribers: nothing is stored, but it keeps its place in the order
    publisher.send(&Message::new("nobody", "").qos(1).id(4).frame());
    publisher.expect_nothing_pending();
    // a QoS 1 message does not wait, unless it is behind one of QoS 2; others do not wait either
    keeper.expect_message("t", "one", 1);
    keeper.expect_nothing_pending();
    other.publish(Message::new("nobody", "").qos(1));
    let records = [
        "keeper queued 1 t one 1 sent 1",
        "keeper 1 completed",
        "keeper queued 2 t two 2 sent 2",
        "keeper queued 3 t three 1 sent 3",
    ];
    let mut seen = store.records();
    // when the client answers is its own affair
    seen.sort_by_key(|record| record.contains("completed"));
    let mut expected = records.map(str::to_owned);
    expected.sort_by_key(|record| record.contains("completed"));
    assert_eq!(seen, expected);

    store.keep_all();
    publisher.expect(&puback(1));
    publisher.expect(&pubrec(2));
    publisher.expect(&puback(3));
    publisher.expect(&puback(4));
    publisher.send(&pubrel(2));
    publisher.expect(&pubcomp(2));
    publisher.expect_nothing_pending();
    // QoS 2: not before its place in the order of sending is kept
    keeper.expect(&Message::new("t", "two").qos(2).id(2).frame());
    keeper.expect_message("t", "three", 1);
}

/// The SUBACK of a session that is not persistent waits only for earlier acknowledgements.
#[test]
fn messages_published_while_a_suback_waits_follow_it() {
    let (broker, store) = broker();
    let _keeper = keeper(&broker, &store);
    let (mut clean, mut others) = (broker.client("clean"), ["other", "another"].map(|id| broker.client(id)));
    for (id, filter, topic) in [(1, "news", "news"), (3, "$share/group/jobs", "jobs")] {
        store.records();
        // that of the message waits for the store, since it is queued for one that is kept
        clean.send(&[Message::new("t", "x").qos(2).id(id).frame(), subscribe(id + 1, &[(filter, 2)])].concat());
        store.expect_records(1);
        // a client on each thread shows that the broker has had its turns
        others.iter_mut().for_each(Client::expect_nothing_pending);
        others[0].publish(Message::new(topic, "early").qos(1));
        others.iter_mut().for_each(Client::expect_nothing_pending);
        clean.expect_no_bytes();
        store.keep_all();
        clean.expect(&pubrec(id));
        clean.expect(&suback(id + 1, &[2]));
        clean.expect_message(topic, "early", 1);
    }
}

#[test]
fn acknowledgements_leave_commit_by_commit() {
    let (broker, store) = broker();
    store.hold();
    let mut publisher = broker.client("pub");
    for id in 1..=3 {
        publisher.send(&Message::new("r", "x").qos(1).retain().id(id).frame());
    }
    publisher.expect_nothing_pending();
    for id in 1..=3 {
        store.keep(1);
        publisher.expect(&puback(id));
        publisher.expect_nothing_pending();
    }
}

#[test]
fn both_sides_of_qos_2_are_durable_before_the_next_step() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let mut publisher = broker.open();
    publisher.send(&Connect::new("pub").persistent().frame());
    store.expect_records(1);
    store.keep_all();
    publisher.expect(&[0x20, 2, 0, 0]);
    assert_eq!(store.records(), ["started pub no will"]);

    publisher.send(&Message::new("t", "x").qos(2).id(7).frame());
    publisher.expect_nothing_pending();
    // the message, and that it was taken
    assert_eq!(store.records(), ["keeper queued 1 t x 2 sent 1", "pub received 7"]);
    store.keep(1);
    publisher.expect_nothing_pending();
    keeper.expect(&Message::new("t", "x").qos(2).id(1).frame());
    store.keep(1);
    publisher.expect(&pubrec(7));

    publisher.send(&pubrel(7));
    publisher.expect_nothing_pending();
    assert_eq!(store.records(), ["pub receipt 7 released"]);
    store.keep_all();
    publisher.expect(&pubcomp(7));
    // once more: it is known to be released
    publisher.send(&pubrel(7));
    publisher.expect(&pubcomp(7));

    keeper.send(&pubrec(1));
    keeper.expect_nothing_pending();
    assert_eq!(store.records(), ["keeper 1 released"]);
    // on another connection neither
    keeper.abort();
    let mut keeper = broker.resume("keeper");
    keeper.expect_nothing_pending();
    store.keep_all();
    keeper.expect(&pubrel(1));
    store.records();
    keeper.send(&pubcomp(1));
    keeper.expect_nothing_pending();
    assert_eq!(store.records(), ["keeper 1 completed"]);
}

#[test]
fn a_queued_qos_2_message_is_sent_when_its_identifier_is_durable() {
    let (broker, store) = broker();
    let keeper = keeper(&broker, &store);
    keeper.disconnect();
    store.expect_records(1);
    assert_eq!(store.records(), ["detached keeper"]);
    let mut publisher = broker.client("pub");
    publisher.send(&Message::new("t", "x").qos(2).id(1).frame());
    store.expect_records(1);
    store.keep_all();
    publisher.expect(&pubrec(1));
    assert_eq!(store.records(), ["keeper queued 1 t x 2"]);
    let mut keeper = broker.resume("keeper");
    keeper.expect_nothing_pending();
    assert_eq!(store.records(), ["attached keeper", "keeper 1 sent 1"]);
    // it was not sent, so it is not sent again either
    keeper.abort();
    let mut keeper = broker.resume("keeper");
    keeper.expect_nothing_pending();
    store.keep_all();
    keeper.expect(&Message::new("t", "x").qos(2).id(1).frame());
}

#[test]
fn a_repeated_publish_is_acknowledged_with_the_first() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let mut publisher = broker.client("pub");
    let message = Message::new("t", "x").qos(2).id(1);
    publisher.send(&message.frame());
    publisher.send(&message.clone().dup().frame());
    publisher.expect_nothing_pending();
    store.keep_all();
    publisher.expect(&pubrec(1));
    publisher.expect(&pubrec(1));
    keeper.expect(&message.frame());
    keeper.expect_nothing_pending();
}

#[test]
fn a_publish_repeated_after_a_reconnect_is_acknowledged_with_the_first() {
    let (broker, store) = broker();
    let mut publisher = broker.begin("pub");
    let _keeper = keeper_beside(&broker, &store);
    let message = Message::new("t", "x").qos(2).id(1);
    publisher.send(&message.frame());
    publisher.expect_nothing_pending();
    publisher.abort();
    let mut publisher = broker.resume("pub");
    publisher.send(&message.dup().frame());
    publisher.expect_nothing_pending();
    let queued = store.records().iter().filter(|r| r.contains("queued")).count();
    assert_eq!(queued, 1);
    store.keep_all();
    publisher.expect(&pubrec(1));
}

#[test]
fn retained_messages_are_acknowledged_when_they_are_durable() {
    let (broker, store) = broker();
    store.hold();
    let mut publisher = broker.client("pub");
    for (id, payload, record) in [(1, "x", "retained r x"), (2, "", "cleared r")] {
        publisher.send(&Message::new("r", payload).qos(1).retain().id(id).frame());
        publisher.expect_nothing_pending();
        assert_eq!(store.records(), [record]);
        store.keep_all();
        publisher.expect(&puback(id));
    }
}

#[test]
fn retained_messages_are_cleared_or_shortened_while_the_store_is_full() {
    let (broker, store) = broker();
    // its session is kept, and it is away
    let mut keeper = keeper(&broker, &store);
    keeper.send(&subscribe(9, &[("r/#", 1)]));
    store.expect_records(1);
    store.keep_all();
    keeper.expect(&suback(9, &[1]));
    keeper.disconnect();
    store.expect_records(1);
    let mut publisher = broker.client("pub");
    let topics = ["r/0", "r/1", "r/2", "alone", "other"];
    for topic in topics {
        publisher.publish(Message::new(topic, "12345").retain());
    }
    store.records();
    store.set_condition(Condition::Full);
    // without persistent subscribers: it replaces the existing one, at every QoS
    for (qos, payload) in [(0, "abcde"), (1, "abcd"), (2, "abc")] {
        publisher.send(&Message::new("alone", payload).qos(qos).id(qos.into()).retain().frame());
        store.expect_records(1);
        assert_eq!(store.records(), [format!("retained alone {payload}")]);
        store.keep_all();
        match qos {
            0 => {}
            1 => publisher.expect(&puback(1)),
            _ => publisher.expect(&pubrec(2)),
        }
    }
    // one that is longer needs room, and one that is new
    for topic in ["alone", "new"] {
        publisher.publish(Message::new(topic, "longer").retain());
        assert_eq!(store.records(), [""; 0]);
        let mut refused = broker.client("refused");
        refused.send(&Message::new(topic, "longer").qos(1).id(1).retain().frame());
        refused.expect_closed();
    }
    // a message for a persistent session needs room too
    let mut refused = broker.client("refused");
    refused.send(&Message::new("r/1", "abc").qos(1).id(1).retain().frame());
    refused.expect_closed();
    assert_eq!(store.records(), [""; 0]);
    // but for what clears: once
    for (qos, topic) in [(0, "r/0"), (1, "r/1"), (2, "r/2")] {
        publisher.send(&Message::new(topic, "").qos(qos).id(u16::from(qos) * 10).retain().frame());
        // at a QoS it is queued for the keeper too
        store.expect_records(if qos == 0 { 1 } else { 2 });
        assert_eq!(store.records()[0], format!("cleared {topic}"));
        store.keep_all();
        match qos {
            0 => {}
            1 => publisher.expect(&puback(10)),
            _ => publisher.expect(&pubrec(20)),
        }
    }
    let mut refused = broker.client("refused");
    refused.send(&Message::new("r/1", "").qos(1).id(1).retain().frame());
    refused.expect_closed();
    assert_eq!(broker.retained("#", 2), [("alone".into(), "abc".into()), ("other".into(), "12345".into())]);
    // a Will that clears is published as well
    broker.connect(&Connect::new("gone").will(&Message::new("other", "").retain()), 0).abort();
    store.expect_records(1);
    assert_eq!(store.records(), ["cleared other"]);
    store.set_condition(Condition::Stuck);
    refused = broker.client("refused");
    refused.send(&Message::new("alone", "a").qos(1).id(1).retain().frame());
    refused.expect_closed();
}

#[test]
fn qos_0_waits_for_no_commit() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let (mut publisher, mut clean) = (broker.client("pub"), broker.client("clean"));
    clean.subscribe(&[("t", 2)]);
    publisher.publish(Message::new("t", "0"));
    keeper.expect_message("t", "0", 0);
    clean.expect_message("t", "0", 0);
    assert_eq!(store.records(), [""; 0]);
    // nor do messages for a client without a persistent session
    publisher.send(&Message::new("t", "1").qos(1).id(1).frame());
    publisher.publish(Message::new("t", "0"));
    clean.expect_message("t", "1", 1);
    keeper.expect_message("t", "1", 1);
    clean.expect_message("t", "0", 0);
    store.keep_all();
    publisher.expect(&puback(1));
    broker.expect_counts(&[(Count::PublishReceived, 3), (Count::PublishSent, 6)]);
}

#[test]
fn a_full_store_acknowledges_only_what_needs_no_room() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let (mut waiting, mut publisher) = (broker.client("waiting"), broker.client("pub"));
    let mut clean = broker.client("clean");
    clean.subscribe(&[("c", 2)]);
    waiting.send(&Message::new("t", "1").qos(1).id(1).frame());
    waiting.expect_nothing_pending();
    store.set_condition(Condition::Full);
    // records that were handed over may still become durable
    waiting.expect_nothing_pending();
    store.set_condition(Condition::Stuck);
    // it is not acknowledged, and its client is told in the only possible way
    waiting.expect_closed();
    keeper.expect_message("t", "1", 1);
    // packets that need no disk work
    publisher.publish(Message::new("c", "2").qos(2));
    clean.expect_message("c", "2", 2);
    publisher.publish(Message::new("t", "3"));
    keeper.expect_message("t", "3", 0);
    // retained at QoS 0: delivered, not retained
    publisher.publish(Message::new("c", "4").retain());
    clean.expect_message("c", "4", 0);
    broker.expect_counts(&[(Count::DroppedStoreFull, 1)]);
    // a subscription that cannot be kept is refused, a session too
    keeper.send(&subscribe(9, &[("v", 1)]));
    keeper.expect(&suback(9, &[0x80]));
    let mut refused = broker.open();
    refused.send(&Connect::new("new").persistent().frame());
    refused.expect(&[0x20, 2, 0, 3]);
    refused.expect_closed();
    // a message that cannot be stored closes the connection, and reaches no subscriber; at QoS 2 it may be repeated
    publisher.send(&Message::new("t", "5").qos(2).id(5).frame());
    publisher.expect_closed();
    keeper.expect_nothing_pending();
    store.set_condition(Condition::Ready);
    store.keep_all();
    let mut publisher = broker.client("pub");
    publisher.send(&Message::new("t", "5").qos(1).id(5).frame());
    keeper.expect_message("t", "5", 1);
    store.keep_all();
    publisher.expect(&puback(5));
}

/// Records that end things are accepted without room for others: no client is closed for them.
#[test]
fn a_full_store_completes_exchanges_in_flight() {
    let (broker, store) = broker();
    let mut publisher = broker.begin("pub");
    let mut keeper = keeper_beside(&broker, &store);
    publisher.send(&Message::new("t", "x").qos(2).id(7).frame());
    publisher.expect_nothing_pending();
    store.set_condition(Condition::Full);
    // handed over before
    publisher.expect_nothing_pending();
    store.keep_all();
    publisher.expect(&pubrec(7));
    keeper.expect(&Message::new("t", "x").qos(2).id(1).frame());
    publisher.send(&pubrel(7));
    keeper.send(&pubrec(1));
    publisher.expect_nothing_pending();
    keeper.expect_nothing_pending();
    store.keep_all();
    publisher.expect(&pubcomp(7));
    keeper.expect(&pubrel(1));
    keeper.send(&pubcomp(1));
    keeper.send(&unsubscribe(2, &["u"]));
    keeper.expect_nothing_pending();
    store.keep_all();
    keeper.expect(&ack(0xB0, 2));
    // a client that connects now waits for the stuck commit too, and is closed
    store.set_condition(Condition::Stuck);
    keeper.send(&unsubscribe(3, &["t"]));
    keeper.expect_closed();
    // clients that wait for nothing stay
    publisher.expect_nothing_pending();
}

#[test]
fn a_will_without_room_is_published_once_there_is_room() {
    let (broker, store) = broker();
    let will = |topic: &str| Message::new(topic, "gone").qos(1);
    let mut gone = broker.open();
    gone.send(&Connect::new("gone").persistent().will(&will("t")).frame());
    gone.expect(&[0x20, 2, 0, 0]);
    let mut clean = broker.open();
    clean.send(&Connect::new("clean").will(&will("u")).frame());
    clean.expect(&[0x20, 2, 0, 0]);
    let mut beacon = broker.open();
    beacon.send(&Connect::new("beacon").will(&Message::new("r", "gone").retain()).frame());
    beacon.expect(&[0x20, 2, 0, 0]);
    let mut keeper = keeper_beside(&broker, &store);
    let mut watcher = broker.client("watcher");
    watcher.subscribe(&[("r", 1)]);
    store.set_condition(Condition::Full);
    gone.abort();
    store.wait_for("due gone 3 will t");
    assert_eq!(store.records(), ["detached gone", "due gone 3 will t"]);
    // it is due, whichever client reconnects
    let mut gone = broker.open();
    gone.send(&Connect::new("gone").persistent().will(&will("t")).frame());
    store.wait_for("attached gone");
    gone.send(PINGREQ);
    gone.expect(&[0x20, 2, 1, 0]);
    gone.expect(PINGRESP);
    // and if its session is another's by then
    gone.abort();
    store.wait_for("due gone 4 will t");
    for (n, client) in [clean, beacon].into_iter().enumerate() {
        client.abort();
        broker.wait_for_count(Count::Disconnects, n as u64 + 5);
    }
    keeper.expect_nothing_pending();
    watcher.expect_nothing_pending();
    store.records();

    store.set_condition(Condition::Ready);
    keeper.expect_message("t", "gone", 1);
    keeper.expect_message("t", "gone", 1);
    keeper.expect_message("u", "gone", 1);
    watcher.expect_message("r", "gone", 0);
    let mut records = store.records();
    records.retain(|record| !record.contains("completed"));
    let expected = [
        "keeper queued 1 t gone 1 sent 1",
        "published gone will 3",
        "keeper queued 2 t gone 1 sent 2",
        "published gone will 4",
        "keeper queued 3 u gone 1 sent 3",
        "will 1 gone",
        "retained r gone",
        "will 2 gone",
    ];
    assert_eq!(records, expected);
    broker.wait_for_count(Count::Wills, 4);
    keeper.expect_nothing_pending();
}

#[test]
fn only_a_will_with_stored_effects_is_recorded() {
    let (broker, store) = broker();
    let (mut keeper, mut observer) = (broker.begin("keeper"), broker.client("observer"));
    keeper.subscribe(&[("awaited", 1), ("at qos 0", 0)]);
    store.records();
    broker.client("without").disconnect();
    let at_qos_0 = broker.connect(&Connect::new("at qos 0").will(&Message::new("awaited", "gone")), 0);
    at_qos_0.disconnect();
    observer.expect_nothing_pending();
    assert_eq!(store.records(), [""; 0]);

    // a record that no client waits for yet is written too, because one may wait later
    store.hold();
    let mut early = broker.connect(&Connect::new("early").will(&Message::new("later", "gone").qos(1)), 0);
    let mut low = broker.connect(&Connect::new("low").will(&Message::new("at qos 0", "gone").qos(1)), 0);
    assert_eq!(store.records(), ["will 1 of early later", "will 2 of low at qos 0"]);
    for will in [Message::new("awaited", "gone").qos(1), Message::new("kept", "gone").retain()] {
        let mut client = broker.open();
        client.send(&Connect::new("client").will(&will).frame());
        store.expect_records(1);
        client.expect_no_bytes();
        store.keep_all();
        client.expect(&[0x20, 2, 0, 0]);
        client.disconnect();
        store.expect_records(2);
        store.records();
    }
    for client in [&mut early, &mut low] {
        client.send(&[0xE0, 0]);
        client.expect_closed();
    }
    assert_eq!(store.records(), ["will 1 gone", "will 2 gone"]);
}

#[test]
fn waiting_wills_precede_messages_once_there_is_room() {
    let (broker, store) = broker();
    let mut lamp = broker.open();
    lamp.send(&Connect::new("lamp").will(&Message::new("lamp", "off").qos(1).retain()).frame());
    lamp.expect(&[0x20, 2, 0, 0]);
    let (mut watcher, mut other) = (broker.client("watcher"), broker.client("other"));
    watcher.subscribe(&[("lamp", 0)]);
    store.set_condition(Condition::Full);
    lamp.abort();
    broker.wait_for_count(Count::Disconnects, 1);
    store.set_condition(Condition::Ready);
    // refused, as long as the Will waits
    other.send(&Message::new("lamp", "on").qos(1).id(1).retain().frame());
    watcher.expect_message("lamp", "off", 0);
    broker.client("another").publish(Message::new("lamp", "on").qos(1).retain());
    watcher.expect_message("lamp", "on", 0);
    assert_eq!(broker.retained("lamp", 1), [("lamp".to_owned(), "on".to_owned())]);
}

#[test]
fn wills_that_wait_for_room_are_bounded() {
    let store = Arc::<ByHand>::default();
    let (port, limits) = (store.clone(), Limits { max_queued_bytes: 1, ..Limits::default() });
    // one thread: a Will waits before the next connection is seen to end
    let broker = Broker::build(dunlin::Config { limits, workers: Some(1), ..config() }, |b| b.store(port));
    let vanishing = ["first", "second"].map(|id| {
        let mut client = broker.open();
        client.send(&Connect::new(id).will(&Message::new("r", id).qos(1).retain()).frame());
        client.expect(&[0x20, 2, 0, 0]);
        client
    });
    let mut watcher = broker.client("watcher");
    watcher.subscribe(&[("r", 0)]);
    store.set_condition(Condition::Full);
    for (n, client) in vanishing.into_iter().enumerate() {
        client.abort();
        broker.wait_for_count(Count::Disconnects, n as u64 + 1);
        broker.wait_for_count(Count::DroppedStoreFull, n as u64);
    }
    store.set_condition(Condition::Ready);
    watcher.expect_message("r", "first", 0);
    broker.wait_for_count(Count::Wills, 1);
    watcher.expect_nothing_pending();
}

#[test]
fn a_client_with_much_undurable_output_is_not_read() {
    let (broker, store) = broker();
    let _keeper = keeper(&broker, &store);
    let (mut busy, mut other) = (broker.client("busy"), broker.client("other"));
    busy.send(&Message::new("t", "1").qos(1).id(1).frame());
    store.expect_records(1);
    store.set_condition(Condition::Busy);
    busy.send(&Message::new("nobody", "2").qos(1).id(2).frame());
    // one that has nothing there is
    other.publish(Message::new("nobody", "").qos(1));
    broker.expect_counts(&[(Count::PublishReceived, 2)]);
    store.set_condition(Condition::Ready);
    store.keep_all();
    busy.expect(&puback(1));
    busy.expect(&puback(2));
}

#[test]
fn acknowledgements_that_wait_for_the_store_are_bounded() {
    let store = Arc::<ByHand>::default();
    let (port, limits) = (store.clone(), Limits { max_outbound_bytes: 200, ..Limits::default() });
    let broker = Broker::build(dunlin::Config { limits, ..config() }, |b| b.store(port));
    store.hold();
    let (mut eager, mut patient) = (broker.client("eager"), broker.client("patient"));
    let message = Message::new("r", "x").qos(1).retain().id(1).frame();
    patient.send(&message);
    // the same identifier again and again: nothing that MQTT allows
    eager.send(&message.repeat(100));
    eager.expect_closed();
    broker.expect_counts(&[(Count::ProtocolErrors, 1), (Count::Disconnects, 1)]);
    patient.expect_nothing_pending();
    store.keep_all();
    patient.expect(&puback(1));
}

#[test]
fn acknowledgements_end_with_the_connection_that_is_owed_them() {
    let (broker, store) = broker();
    let mut publisher = broker.begin("pub");
    let keeper = keeper_beside(&broker, &store);
    publisher.send(&Message::new("t", "x").qos(1).id(1).frame());
    publisher.expect_nothing_pending();
    publisher.disconnect();
    let mut publisher = broker.resume("pub");
    store.keep_all();
    publisher.expect_nothing_pending();
    drop(keeper);
}
