//! "Acknowledged means kept", with a store whose commits are done when the test says so.

use std::{sync::Arc, task::Waker};

use dunlin::{
    config::Limits,
    router::{Count, Record, Store},
    session::{CommitSeq, Stored},
};
use parking_lot::Mutex;

use crate::support::{
    Broker, config,
    raw::{Client, Connect, Message, ack, puback, pubcomp, pubrec, pubrel, suback, subscribe, unsubscribe},
};

/// Each record is a commit of its own.
#[derive(Default)]
struct ByHand(Mutex<State>);

#[derive(Default)]
struct State {
    records: Vec<String>,
    done: u64,
    waiting: Vec<(CommitSeq, Waker)>,
}

impl Store for ByHand {
    fn append(&self, record: Record<'_>) -> Stored {
        let mut state = self.0.lock();
        state.records.push(match record {
            Record::SessionEnded { client } => format!("ended {client}"),
            Record::Subscribed { client, filter, options } => {
                format!("subscribed {client} {} {}", filter.as_str(), options.qos as u8)
            }
            Record::Unsubscribed { client, filter } => format!("unsubscribed {client} {}", filter.as_str()),
            Record::Queued { client, message, qos } => {
                format!("queued {client} {} {} {}", message.topic().as_str(), text(message.payload()), qos as u8)
            }
            Record::Retained { message } => {
                format!("retained {} {}", message.topic().as_str(), text(message.payload()))
            }
            Record::RetainedCleared { topic } => format!("cleared {}", topic.as_str()),
            other => format!("{other:?}"),
        });
        Stored::By(CommitSeq(state.records.len() as u64))
    }

    fn done(&self) -> CommitSeq {
        CommitSeq(self.0.lock().done)
    }

    fn wake_when_done(&self, commit: CommitSeq, waker: &Waker) {
        let mut state = self.0.lock();
        if commit.0 <= state.done {
            drop(state);
            waker.wake_by_ref();
        } else {
            state.waiting.push((commit, waker.clone()));
        }
    }
}

impl ByHand {
    /// The first `done` records are kept.
    fn keep(&self, done: usize) {
        let mut state = self.0.lock();
        assert!(done <= state.records.len(), "{:?}", state.records);
        state.done = done as u64;
        let done = CommitSeq(state.done);
        let ready: Vec<_> = state.waiting.extract_if(.., |(commit, _)| *commit <= done).collect();
        drop(state);
        ready.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Everything so far is kept.
    fn keep_all(&self) {
        let all = self.0.lock().records.len();
        self.keep(all);
    }

    fn take_records(&self, from: usize) -> Vec<String> {
        self.0.lock().records[from..].to_vec()
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

/// A client whose session is kept, subscribed to `t` and `u`; two records.
fn keeper(broker: &Broker, store: &ByHand) -> Client {
    let mut keeper = broker.begin("keeper");
    keeper.send(&subscribe(1, &[("t", 2), ("u", 1)]));
    // the connection is alive whatever the store does: nothing but the answer to the ping comes
    keeper.expect_nothing_pending();
    assert_eq!(store.take_records(0), ["subscribed keeper t 2", "subscribed keeper u 1"]);
    store.keep(1);
    keeper.expect_nothing_pending();
    store.keep(2);
    keeper.expect(&suback(1, &[2, 1]));
    keeper
}

#[test]
fn subscriptions_are_acknowledged_when_they_are_kept() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    keeper.send(&unsubscribe(2, &["never", "u"]));
    keeper.expect_nothing_pending();
    assert_eq!(store.take_records(2), ["unsubscribed keeper u"]);
    store.keep_all();
    keeper.expect(&ack(0xB0, 2));
    // those of a session that ends with its connection are not kept
    let mut clean = broker.client("clean");
    clean.subscribe(&[("t", 1)]);
    clean.unsubscribe(&["t"]);
    assert_eq!(store.take_records(3), [""; 0]);
    // nor is anything of a session that is replaced by such a one
    broker.client("keeper").expect_nothing_pending();
    assert_eq!(store.take_records(3), ["ended keeper"]);
}

#[test]
fn messages_are_acknowledged_when_they_are_kept_and_in_their_order() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let (mut publisher, mut other) = (broker.client("pub"), broker.client("other"));
    let message = |payload, qos, id| Message::new("t", payload).qos(qos).id(id).frame();
    publisher.send(&message("one", 1, 1));
    publisher.send(&message("two", 2, 2));
    publisher.send(&message("three", 1, 3));
    // for nobody: nothing is kept, and yet it is not first
    publisher.send(&Message::new("nobody", "").qos(1).id(4).frame());
    publisher.expect_nothing_pending();
    // those who get them do not wait, and others neither
    for (payload, qos) in [("one", 1), ("two", 2), ("three", 1)] {
        keeper.expect_message("t", payload, qos);
    }
    other.publish(Message::new("nobody", "").qos(1));
    let records = ["queued keeper t one 1", "queued keeper t two 2", "queued keeper t three 1"];
    assert_eq!(store.take_records(2), records);

    store.keep(3);
    publisher.expect(&puback(1));
    publisher.expect_nothing_pending();
    store.keep(4);
    publisher.expect(&pubrec(2));
    publisher.expect_nothing_pending();
    store.keep(5);
    publisher.expect(&puback(3));
    publisher.expect(&puback(4));
    publisher.send(&pubrel(2));
    publisher.expect(&pubcomp(2));
    publisher.expect_nothing_pending();
}

#[test]
fn a_repeated_message_is_acknowledged_no_sooner_than_the_first() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let mut publisher = broker.client("pub");
    let message = Message::new("t", "x").qos(2).id(1);
    publisher.send(&message.frame());
    publisher.send(&message.dup().frame());
    publisher.expect_nothing_pending();
    store.keep_all();
    publisher.expect(&pubrec(1));
    publisher.expect(&pubrec(1));
    keeper.expect_message("t", "x", 2);
    keeper.expect_nothing_pending();
}

#[test]
fn a_message_that_is_repeated_after_a_reconnect_is_acknowledged_no_sooner_than_the_first() {
    let (broker, store) = broker();
    let _keeper = keeper(&broker, &store);
    let mut publisher = broker.begin("pub");
    let message = Message::new("t", "x").qos(2).id(1);
    publisher.send(&message.frame());
    publisher.expect_nothing_pending();
    publisher.abort();
    let mut publisher = broker.resume("pub");
    publisher.send(&message.dup().frame());
    publisher.expect_nothing_pending();
    store.keep_all();
    publisher.expect(&pubrec(1));
    assert_eq!(store.take_records(2), ["queued keeper t x 2"]);
}

#[test]
fn retained_messages_are_acknowledged_when_they_are_kept() {
    let (broker, store) = broker();
    let mut publisher = broker.client("pub");
    for (id, payload, record) in [(1, "x", "retained r x"), (2, "", "cleared r")] {
        publisher.send(&Message::new("r", payload).qos(1).retain().id(id).frame());
        publisher.expect_nothing_pending();
        assert_eq!(store.take_records(usize::from(id) - 1), [record]);
        store.keep_all();
        publisher.expect(&puback(id));
    }
}

#[test]
fn qos_0_waits_for_nothing() {
    let (broker, store) = broker();
    let mut keeper = keeper(&broker, &store);
    let (mut publisher, mut clean) = (broker.client("pub"), broker.client("clean"));
    clean.subscribe(&[("t", 2)]);
    publisher.publish(Message::new("t", "0"));
    keeper.expect_message("t", "0", 0);
    clean.expect_message("t", "0", 0);
    assert_eq!(store.take_records(2), [""; 0]);
    // nor does what a client that is sent something answers
    publisher.send(&Message::new("t", "1").qos(2).id(1).frame());
    publisher.publish(Message::new("t", "0"));
    clean.expect_message("t", "1", 2);
    keeper.expect_message("t", "1", 2);
    clean.expect_message("t", "0", 0);
    store.keep_all();
    publisher.expect(&pubrec(1));
    broker.expect_counts(&[(Count::PublishReceived, 3), (Count::PublishSent, 6)]);
}

#[test]
fn what_waits_for_the_store_is_bounded() {
    let store = Arc::<ByHand>::default();
    let (port, limits) = (store.clone(), Limits { max_outbound_bytes: 200, ..Limits::default() });
    let broker = Broker::build(dunlin::Config { limits, ..config() }, |b| b.store(port));
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
    let keeper = keeper(&broker, &store);
    let mut publisher = broker.connect(&Connect::new("pub").persistent(), 0);
    publisher.send(&Message::new("t", "x").qos(1).id(1).frame());
    publisher.expect_nothing_pending();
    publisher.disconnect();
    let mut publisher = broker.resume("pub");
    store.keep_all();
    publisher.expect_nothing_pending();
    drop(keeper);
}
