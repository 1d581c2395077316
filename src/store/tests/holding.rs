//! Messages that clients acknowledge before they are written: when they are done, with and without threads.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    super::{
        commit::{
            batches::{Batches, Fsync, WriterIs},
            contents::{Contents, size_of_record},
        },
        recovery::recover::recover,
    },
    driving::{Driven, rings, until},
    simulated::{Rng, Simulated},
    world::{copy, session_number},
};
use crate::{
    router::{QueuedCopy, Record},
    session::{CommitSeq, Message, SessionChange, SessionNumber},
    topic::TopicName,
    types::{ClientId, QoS},
};

/// Batches with a measured duration. The next functions make records of a message that was sent to a client, or
/// acknowledged.
fn holding() -> Batches {
    let mut batches = Batches::new();
    batches.push(cleared(), Instant::now);
    let mut contents = Contents::default();
    let number = batches.take(&mut contents, false, Instant::now());
    let durable = Instant::now() + Duration::from_micros(100);
    assert_eq!((number, batches.complete(1..2, fsync(1), durable)), (1, Some(1)));
    batches
}

fn cleared() -> Record {
    Record::RetainedCleared { topic: "t".into() }
}

fn fsync(frame: u64) -> Option<Fsync> {
    Some(Fsync { frame, took: Duration::from_micros(100) })
}

/// The number of the batch, if one is taken.
fn take(batches: &mut Batches) -> Option<u64> {
    let mut contents = Contents::default();
    let number = batches.take(&mut contents, false, Instant::now());
    (!contents.is_empty()).then_some(number)
}

fn sent(number: u64) -> Record {
    let message = Message::new(TopicName::new("t").unwrap(), b"x", QoS::AtLeastOnce);
    message.set_store_number(number.try_into().unwrap());
    Record::Queued { message, copy: copy(1, number), identifiers: None, sent: Some(number) }
}

fn acknowledged(number: u64) -> Record {
    Record::Completed { session: session_number(1), number, count: 1 }
}

#[test]
fn a_message_acknowledged_during_its_delay_is_done_and_leaves_no_record() {
    let (mut batches, now) = (holding(), Instant::now());
    batches.push(acknowledged(9), || now);
    batches.push(sent(10), || now);
    batches.want(2);
    assert!(!batches.is_due());
    assert_eq!(batches.take(&mut Contents::default(), false, now), 2);
    assert_eq!(batches.held_until(), Some(now + batches.hold_time()));
    assert_eq!(batches.settle(), None);
    batches.push(acknowledged(10), || now);
    assert!(batches.may_settle());
    assert_eq!((batches.settle(), batches.settle()), (Some(2), None));
    // of the earlier messages only the acknowledgement is left, and no task waits for it
    assert_eq!(
        (batches.number, batches.contents.list.len(), batches.bytes()),
        (3, 1, size_of_record(&acknowledged(9)))
    );
    assert!(!batches.is_due() && batches.held_until().is_none());
}

#[test]
fn delayed_messages_of_a_cumulative_acknowledgement_leave_no_record() {
    let (mut batches, now) = (holding(), Instant::now());
    for number in [3, 4, 6] {
        batches.push(sent(number), || now);
    }
    let gone = batches.push(Record::Completed { session: session_number(1), number: 1, count: 6 }, || now);
    let numbers = gone.iter().map(|record| match record {
        Record::Queued { copy, .. } => copy.number,
        other => panic!("{other:?}"),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [3, 4, 6]);
    let left = [(1, 2), (5, 1)].map(|(number, count)| Record::Completed { session: session_number(1), number, count });
    assert_eq!(format!("{:?}", batches.contents.list), format!("{left:?}"));
    assert_eq!(batches.bytes(), left.iter().map(size_of_record).sum::<usize>());
    assert_eq!((batches.settle(), batches.is_due()), (Some(2), false));
}

#[test]
fn a_message_not_acknowledged_in_time_is_due() {
    let (mut batches, now) = (holding(), Instant::now());
    batches.push(sent(1), || now);
    batches.push(sent(2), || now);
    batches.push(acknowledged(1), || now);
    let until = batches.held_until().unwrap();
    batches.end_hold(until - Duration::from_nanos(1));
    assert!(!batches.is_due());
    batches.end_hold(until);
    assert!(batches.is_due() && !batches.may_settle());
    let mut contents = Contents::default();
    assert_eq!(batches.take(&mut contents, false, until), 2);
    assert!(matches!(contents.held[0][..], [None, Some(Record::Queued { copy: QueuedCopy { number: 2, .. }, .. })]));
    assert!(contents.list.is_empty());
    // a message in a batch that is being written is done only by the disk
    batches.push(acknowledged(2), || now);
    assert!(!batches.may_settle());
    assert_eq!(batches.complete(2..3, fsync(2), Instant::now()), Some(2));
    // and for a while no write is delayed
    batches.push(sent(3), || now);
    assert!(batches.is_due());
}

#[test]
fn a_record_that_must_be_written_is_due_with_all_delayed_ones() {
    for record in [cleared(), queued(2)] {
        let (mut batches, now) = (holding(), Instant::now());
        batches.push(sent(1), || now);
        batches.push(record, || now);
        assert!(batches.is_due());
        batches.push(acknowledged(1), || now);
        assert!(!batches.may_settle());
        assert_eq!((batches.settle(), take(&mut batches)), (None, Some(2)));
    }
}

/// For a client that is away.
fn queued(number: u64) -> Record {
    match sent(number) {
        Record::Queued { message, copy, .. } => Record::Queued { message, copy, identifiers: None, sent: None },
        other => other,
    }
}

#[test]
fn the_record_of_a_sent_message_is_written_if_a_task_waits_for_it() {
    let (mut batches, now) = (holding(), Instant::now());
    batches.push(sent(1), || now);
    // after the delayed record, a task waits
    batches.push(Record::Sent { session: session_number(1), number: 0, sent: 1, count: 1 }, || now);
    batches.push(acknowledged(1), || now);
    assert!(!batches.may_settle());
    assert_eq!(take(&mut batches), Some(2));
    assert_eq!(batches.complete(2..3, fsync(2), now), Some(2));
    batches.push(Record::Sent { session: session_number(1), number: 0, sent: 1, count: 1 }, || now);
    assert!(!batches.is_due());
    batches.want(3);
    assert!(batches.is_due());
    // and later records are not delayed
    batches.push(sent(2), || now);
    assert_eq!((batches.held_until(), take(&mut batches)), (None, Some(3)));
}

#[test]
fn an_acknowledgement_during_a_batch_is_in_time_however_long_the_batch_takes() {
    let (mut batches, now) = (holding(), Instant::now());
    batches.push(cleared(), || now);
    assert_eq!(take(&mut batches), Some(2));
    batches.push(sent(1), || now);
    batches.push(acknowledged(1), || now);
    assert_eq!(batches.held_until(), None);
    let late = now + 2 * batches.hold_time();
    batches.push(sent(2), || late);
    assert_eq!(batches.held_until(), Some(late + batches.hold_time()));
    batches.end_hold(late);
    assert!(batches.held_until().is_some() && !batches.is_due());
    assert_eq!(batches.complete(2..3, fsync(2), late), Some(3));
}

#[test]
fn a_message_acknowledged_during_overlapping_batches_is_done_after_them_all() {
    let (mut batches, now) = (holding(), Instant::now());
    let slow = |frame| Some(Fsync { frame, took: Duration::from_millis(1) });
    let large = || Record::RetainedCleared { topic: "t".repeat(128 << 10).into() };
    let take = |batches: &mut Batches| batches.take(&mut Contents::default(), true, now);
    for number in 2..6 {
        batches.push(cleared(), || now);
        assert_eq!(take(&mut batches), number);
        assert_eq!(batches.complete(number..number + 1, slow(number), now), Some(number));
    }
    for number in [6, 7] {
        batches.push(large(), || now);
        assert_eq!((take(&mut batches), batches.number), (number, number + 1));
    }
    batches.push(sent(1), || now);
    batches.push(acknowledged(1), || now);
    assert_eq!(batches.complete(7..8, slow(7), now), None);
    assert_eq!((batches.may_settle(), batches.settle()), (false, None));
    assert_eq!(batches.complete(6..7, slow(6), now), Some(8));
}

#[test]
fn a_record_without_a_waiting_task_is_due_in_time_beside_delayed_ones() {
    let (mut batches, now) = (holding(), Instant::now());
    batches.push(sent(5), || now);
    batches.end_linger();
    assert!(!batches.is_due());
    batches.push(acknowledged(4), || now);
    batches.end_linger();
    assert!(batches.is_due());
}

#[test]
fn a_message_acknowledged_during_a_batch_is_done_with_it() {
    let (mut batches, now) = (holding(), Instant::now());
    batches.push(cleared(), || now);
    assert_eq!(take(&mut batches), Some(2));
    for number in [1, 2] {
        batches.push(sent(number), || now);
        batches.push(acknowledged(number), || now);
    }
    assert_eq!((batches.may_settle(), batches.settle()), (false, None));
    assert_eq!(batches.complete(2..3, fsync(2), Instant::now()), Some(4));
    assert!(batches.contents.list.is_empty() && !batches.is_due());
}

#[test]
fn the_writer_is_told_that_something_is_held_back_unless_it_looks_by_itself() {
    let (mut batches, now) = (holding(), Instant::now());
    batches.writer = WriterIs::Waiting;
    batches.push(sent(1), || now);
    assert!(batches.wakes() && !batches.wakes());
    batches.writer = WriterIs::Patrolling;
    batches.push(sent(2), || now);
    assert!(!batches.wakes());
    batches.push(cleared(), || now);
    assert!(batches.wakes());
    // a task that waits for a batch that is being written is woken for the delayed record, but not for each record that
    // makes nothing due
    assert_eq!(take(&mut batches), Some(2));
    for writer in [WriterIs::Waiting, WriterIs::Idle] {
        batches.writer = writer;
        batches.push(acknowledged(1), || now);
        assert!(!batches.wakes());
        batches.push(sent(4), || now);
        assert!(batches.wakes());
        // acknowledged, it waits only for the batch
        batches.writer = writer;
        batches.push(acknowledged(4), || now);
        assert!(!batches.wakes());
    }
    for writer in [WriterIs::Waiting, WriterIs::Idle] {
        batches.writer = writer;
        batches.push(cleared(), || now);
        batches.push(sent(3), || now);
        assert!(!batches.wakes());
    }
}

proptest! {
    /// Random events in random order: a message is done when its client has acknowledged it, or when its batch and all
    /// earlier ones are durable, and only then. If all delayed messages are acknowledged and no batch is being written,
    /// it can be done; in the end all are.
    #[test]
    fn done_is_acknowledged_or_on_the_disk(overlaps: bool, steps in proptest::collection::vec((0..14_u8, 0..8_usize), 1..300)) {
        let (mut batches, mut now) = (holding(), Instant::now());
        // by number: its commit
        let (mut waits, mut taken, mut durable) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (mut next, mut done, mut frame) = (1, 1, 1);
        // since the last batch or the last "all done": whether a message was delayed, and which of these are not
        // acknowledged
        let (mut held_any, mut held) = (false, BTreeSet::new());
        for (step, which) in steps {
            let mut last = None;
            match step {
                // to a client that is connected or away
                0..=4 => {
                    let listed = batches.contents.list.len();
                    batches.push(if step < 4 { sent(next) } else { queued(next) }, || now);
                    if batches.contents.list.len() == listed {
                        held_any = true;
                        held.insert(next);
                    }
                    waits.insert(next, batches.number);
                    next += 1;
                }
                // acknowledged once, early or late
                5..=7 => {
                    if let Some(&number) = waits.keys().nth(which) {
                        batches.push(acknowledged(number), || now);
                        waits.remove(&number);
                        held.remove(&number);
                    }
                }
                8 if which == 0 => drop(batches.push(Record::Sent { session: session_number(1), number: next, sent: 1, count: 1 }, || now)),
                8 if which < 4 => batches.want(batches.number),
                // so large that the next batch does not wait for those that are being written
                8 => drop(batches.push(Record::RetainedCleared { topic: "t".repeat(128 << 10).into() }, || now)),
                // the writer looks for a due batch
                9 | 10 => {
                    now += Duration::from_micros(300);
                    batches.end_hold(now);
                    batches.end_gather(now);
                    let mut contents = Contents::default();
                    let number = batches.take(&mut contents, overlaps, now);
                    if !contents.is_empty() {
                        prop_assert!(taken.insert(number, contents).is_none());
                        held_any = false;
                        held.clear();
                    }
                }
                11 => now += Duration::from_millis(30),
                // one of the batches that are being written is durable
                12 => {
                    if let Some(&number) = taken.keys().nth(which % taken.len().max(1)) {
                        let contents = taken.remove(&number).unwrap();
                        durable.extend(contents.held.iter().flatten().flatten().chain(&contents.list).filter_map(|record| match record {
                            Record::Queued { copy, .. } => Some(copy.number),
                            _ => None,
                        }));
                        frame += 1;
                        let fsync = Fsync { frame, took: Duration::from_millis(1) };
                        last = batches.complete(number..number + 1, Some(fsync), now);
                    }
                }
                _ => last = batches.settle(),
            }
            if let Some(last) = last {
                prop_assert!(last > done);
                done = last;
                // all is done and has a number below the collecting batch
                held_any &= last + 1 < batches.number || !held.is_empty();
            }
            for (number, &commit) in &waits {
                prop_assert!(commit > done || durable.contains(number), "{} is said to be done", number);
            }
            let is_owed = held_any && held.is_empty() && batches.none_on_the_way();
            prop_assert!(!is_owed || batches.may_settle() || batches.is_due() || batches.gathers_until().is_some());
        }
        // nothing remains
        batches.closing = true;
        loop {
            let mut contents = Contents::default();
            let number = batches.take(&mut contents, false, now);
            if !contents.is_empty() {
                taken.insert(number, contents);
            }
            let Some((number, _)) = taken.pop_first() else { break };
            done = batches.complete(number..number + 1, None, now).unwrap_or(done);
        }
        prop_assert!(waits.values().all(|&commit| commit <= done), "{:?} of {}", waits, done);
    }
}

const SESSION: SessionNumber = SessionNumber(NonZeroU64::MIN);

/// A store with a slow disk, and a connected client.
fn connected(files: &Simulated) -> Driven {
    let store = Driven::slow(files);
    let client = ClientId::from("client");
    store.wait(store.append(Record::SessionStarted { session: SESSION, client, owner: None, will: None }));
    store.learn();
    store
}

fn send(store: &Driven, number: u64) -> CommitSeq {
    let message = &Message::new(TopicName::new("t").unwrap(), b"x", QoS::AtLeastOnce);
    let change = SessionChange::Queued {
        number,
        message,
        qos: QoS::AtLeastOnce,
        retain: false,
        shared: false,
        identifiers: &[],
        sent: Some(number),
    };
    store.append(Record::of(SESSION, change))
}

fn acknowledge(store: &Driven, number: u64) {
    store.append(Record::of(SESSION, SessionChange::Completed { number, count: 1 }));
}

/// A message is sent and acknowledged. Then `told` reports whether that completed it: waiting threads are woken, and
/// without the disk, if this thread was in time.
fn done_without_the_disk(told: impl Fn(&Driven) -> bool) {
    let files = Simulated::default();
    let store = connected(&files);
    let mut number = 0;
    until(|| {
        let records = store.shared.statistics.records.get();
        number += 1;
        let commit = send(&store, number);
        let bell = store.ask(commit);
        acknowledge(&store, number);
        let told = told(&store);
        rings(&bell);
        assert!(store.shared.done() >= commit);
        told && store.shared.statistics.records.get() == records
    });
}

#[test]
fn a_message_acknowledged_in_time_is_done_without_the_disk() {
    done_without_the_disk(|store| {
        let mut wakes = Vec::new();
        store.shared.settle(&mut wakes);
        let settled = wakes.len() == 1;
        wakes.into_iter().for_each(|waker| waker.wake());
        settled
    });
}

#[test]
fn an_acknowledged_message_is_done_without_a_call() {
    done_without_the_disk(|_| true);
}

#[test]
fn an_unacknowledged_message_is_durable_before_it_is_done() {
    let files = Simulated::default();
    let store = connected(&files);
    for number in 1..=20 {
        let commit = send(&store, number);
        let bell = store.ask(commit);
        rings(&bell);
        assert!(store.shared.done() >= commit);
        // a power cut at this moment
        let left = files.copy();
        left.power_cut(&mut Rng::new(number));
        let index = recover(&left, &mut |_, _| {}).unwrap().index;
        let kept = index.sessions.iter().flat_map(|(_, session)| session.live_entries()).count();
        assert_eq!(kept as u64, number);
    }
}
