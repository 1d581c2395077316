//! The whole store on a real disk, under real threads.

use std::{
    num::NonZeroU64,
    path::Path,
    sync::{Arc, mpsc},
    task::{Wake, Waker},
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    super::{DiskStore, OpenError, Options, SegmentBytes, Sync, open},
    world::copy,
};
use crate::{
    clock::TestClock,
    router::{Condition, QueuedCopy, Record, Store},
    session::{CommitSeq, Message, RestoredState, SessionChange, SessionNumber, Stored},
    topic::{TopicFilter, TopicName},
    types::{ClientId, PacketId, QoS, SubscriptionOptions},
};

const THREADS: u64 = 4;
const EACH: u64 = 500;
const SESSIONS: u64 = 5;

fn options(path: &Path) -> Options {
    Options { segment_bytes: SegmentBytes::all(64 << 10), ..Options::new(path) }
}

fn number(number: u64) -> SessionNumber {
    SessionNumber(NonZeroU64::new(number).unwrap())
}

fn commit(stored: Stored) -> CommitSeq {
    match stored {
        Stored::By(commit) => commit,
        Stored::Done => panic!("nothing is durable at once"),
    }
}

struct Bell(mpsc::SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.try_send(());
    }
}

/// Waits like a connection.
pub(super) fn wait(store: &DiskStore, stored: Stored) {
    let (ring, rung) = mpsc::sync_channel(1);
    let waker = Waker::from(Arc::new(Bell(ring)));
    while store.done() < commit(stored) {
        store.wake_when_done(commit(stored), &waker);
        rung.recv_timeout(Duration::from_secs(30)).expect("the writer wakes who waits");
        assert_eq!(store.condition(), Condition::Ready);
    }
}

#[test]
fn records_of_concurrent_threads_are_all_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, restored) = open(&options(dir.path())).unwrap();
    assert!(restored.sessions.is_empty());
    let topic = TopicName::new("t").unwrap();
    let first = commit(store.append(Record::RetainedCleared { topic: topic.as_str().into() }));
    wait(&store, Stored::By(first));
    thread::scope(|scope| {
        for thread in 1..=THREADS {
            let store = &store;
            scope.spawn(move || {
                let (session, client) = (number(thread), ClientId::from(format!("client {thread}").as_str()));
                let _ = store.append(Record::SessionStarted { session, client, owner: None, will: None });
                let filter = TopicFilter::new("t").unwrap();
                let options = SubscriptionOptions::from(QoS::AtLeastOnce);
                wait(store, store.append(Record::Subscribed { session, filter: filter.as_str().into(), options }));
                for n in 1..=EACH {
                    let message = Message::new(topic, &n.to_be_bytes(), QoS::AtLeastOnce);
                    let mut stored = Stored::Done;
                    store.together(&mut || {
                        let qos = QoS::AtLeastOnce;
                        let queued = SessionChange::Queued {
                            number: n,
                            message: &message,
                            qos,
                            retain: false,
                            shared: false,
                            identifiers: &[],
                            sent: None,
                        };
                        stored = store.append(Record::of(session, queued));
                        let received = SessionChange::Received { packet_id: PacketId::new(n as u16).unwrap() };
                        let change = store.append(Record::of(session, received));
                        assert_eq!(change, stored, "a group is in one batch");
                    });
                    if n % 50 == 0 {
                        wait(store, stored);
                    }
                    if n > 10 {
                        let change = SessionChange::Completed { number: n - 10, count: 1 };
                        let _ = store.append(Record::of(session, change));
                        let change =
                            SessionChange::ReceiptReleased { packet_id: PacketId::new((n - 10) as u16).unwrap() };
                        let _ = store.append(Record::of(session, change));
                    }
                }
            });
        }
    });
    store.close().unwrap();
    assert!(store.statistics().disk_bytes.get() <= 3 * store.statistics().live_bytes.get() + 14 * (64 << 10));
    drop(store);

    let (store, restored) = open(&options(dir.path())).unwrap();
    assert_eq!(restored.next_session, number(THREADS + 1));
    assert_eq!(restored.sessions.len() as u64, THREADS);
    for session in &restored.sessions {
        assert_eq!(session.subscriptions.len(), 1);
        let numbers: Vec<u64> = session.messages.iter().map(|message| message.number).collect();
        assert_eq!(numbers, (EACH - 9..=EACH).collect::<Vec<_>>());
        assert_eq!(session.received.iter().map(|id| id.get().into()).collect::<Vec<u64>>(), numbers);
        for message in &session.messages {
            let RestoredState::Queued { message: body, .. } = &message.state else { panic!("{message:?}") };
            assert_eq!(body.payload(), message.number.to_be_bytes());
        }
        assert!(session.away < Duration::from_secs(60));
    }
    drop(store);
}

#[test]
fn copies_are_numbered_from_the_first_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&options(dir.path())).unwrap();
    for session in 1..=SESSIONS {
        let client = ClientId::from(format!("client {session}").as_str());
        let _ = store.append(Record::SessionStarted { session: number(session), client, owner: None, will: None });
    }
    // the last number of each session, with the session's lock
    let sessions: Vec<_> = (1..=SESSIONS).map(|session| (session, Mutex::new(0))).collect();
    let (queued, acknowledged) = mpsc::channel();
    thread::scope(|scope| {
        for thread in 0..THREADS as usize {
            let (store, sessions, queued) = (&store, &sessions, queued.clone());
            scope.spawn(move || {
                for n in 0..EACH as usize {
                    let message = Message::new(TopicName::new("t").unwrap(), b"x", QoS::AtLeastOnce);
                    let (mut first, mut copies) = (None, Vec::new());
                    store.together(&mut || {
                        for at in 0..sessions.len() {
                            let (session, last) = &sessions[(thread + n + at) % sessions.len()];
                            let mut last = last.lock();
                            *last += 1;
                            let copy = copy(*session, *last);
                            let QueuedCopy { session, number, qos, retain, shared, .. } = copy;
                            if first.is_some() {
                                copies.push(copy);
                            } else {
                                let change = SessionChange::Queued {
                                    number,
                                    message: &message,
                                    qos,
                                    retain,
                                    shared,
                                    identifiers: &[],
                                    sent: None,
                                };
                                first = Some((copy, store.append(Record::of(session, change))));
                            }
                            queued.send(copy).unwrap();
                        }
                        let (first, stored) = first.unwrap();
                        let copied = store.append_copies(&message, &first, &copies);
                        assert_eq!(copied, stored, "a group is in one batch");
                    });
                    if n % 50 == 0 {
                        wait(store, first.unwrap().1);
                    }
                }
            });
        }
        drop(queued);
        // every other one, as early as possible
        for copy in acknowledged.iter().filter(|copy| copy.number % 2 == 0) {
            let change = SessionChange::Completed { number: copy.number, count: 1 };
            let _ = store.append(Record::of(copy.session, change));
        }
    });
    store.close().unwrap();
    drop(store);
    let (_store, restored) = open(&options(dir.path())).unwrap();
    assert_eq!(restored.sessions.len() as u64, SESSIONS);
    for session in &restored.sessions {
        let numbers: Vec<u64> = session.messages.iter().map(|message| message.number).collect();
        assert_eq!(numbers, (1..=THREADS * EACH).step_by(2).collect::<Vec<_>>());
    }
}

#[test]
fn a_directory_belongs_to_one_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = open(&options(dir.path())).unwrap();
    assert!(matches!(open(&options(dir.path())), Err(OpenError::Locked { pid: Some(_), .. })));
    drop(first);
    open(&options(dir.path())).unwrap();
}

#[test]
fn an_interval_is_done_when_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let sync = Sync::Interval(Duration::from_secs(3600));
    let (store, _) = open(&Options { sync, ..options(dir.path()) }).unwrap();
    let message = Message::new(TopicName::new("t").unwrap(), b"x", QoS::AtLeastOnce);
    wait(&store, store.append(Record::Retained { message, publisher: None }));
    assert_eq!(store.statistics().fsyncs.get(), 0);
    store.close().unwrap();
    drop(store);
    let (_store, restored) = open(&options(dir.path())).unwrap();
    assert_eq!(restored.retained.len(), 1);
}

#[test]
fn an_interval_ends_by_the_clock_that_is_turned() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (dir, test) = (tempfile::tempdir().unwrap(), TestClock::new());
    let options = Options { sync: Sync::Interval(HOUR), clock: test.clock(), ..options(dir.path()) };
    let (store, _) = open(&options).unwrap();
    let append = || {
        let message = Message::new(TopicName::new("t").unwrap(), b"x", QoS::AtLeastOnce);
        wait(&store, store.append(Record::Retained { message, publisher: None }));
    };
    append();
    test.turn(HOUR / 2);
    append();
    assert_eq!(store.statistics().fsyncs.get(), 0);
    test.turn(HOUR / 2);
    // it syncs before it waits for the batch after the one for which it wakes
    append();
    append();
    assert_eq!(store.statistics().fsyncs.get(), 1);
}

#[test]
fn too_much_that_waits_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&Options { max_pending_bytes: 0, ..options(dir.path()) }).unwrap();
    assert_eq!(store.condition(), Condition::Ready);
    let message = Message::new(TopicName::new("t").unwrap(), b"x", QoS::AtLeastOnce);
    let mut busy = false;
    let mut last = Stored::Done;
    // while a group is open, no batch is taken
    store.together(&mut || {
        last = store.append(Record::Retained { message: message.clone(), publisher: None });
        busy = store.condition() == Condition::Busy;
    });
    assert!(busy);
    let (ring, rung) = mpsc::sync_channel(1);
    store.wake_when_done(commit(last), &Waker::from(Arc::new(Bell(ring))));
    rung.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(store.condition(), Condition::Ready);
}
