//! When a batch is taken, and when it is durable.

use super::{super::super::tests::world::session_number, *};

fn cleared(bytes: usize) -> Record {
    Record::RetainedCleared { topic: "t".repeat(bytes).into() }
}

fn lazy() -> Record {
    Record::Completed { session: session_number(1), number: 1, count: 1 }
}

fn push(batches: &mut Batches, record: Record) {
    batches.push(record, || unreachable!("nothing is held back"));
}

fn complete(batches: &mut Batches, numbers: Range<u64>, fsync: Option<Fsync>) -> Option<u64> {
    batches.complete(numbers, fsync, Instant::now())
}

/// The number of the batch that is taken, if one is.
fn take(batches: &mut Batches, may_overlap: bool) -> Option<u64> {
    let mut contents = Contents::default();
    let number = batches.take(&mut contents, may_overlap, Instant::now());
    (!contents.is_empty()).then_some(number)
}

fn fsync(frame: u64, took: Duration) -> Option<Fsync> {
    Some(Fsync { frame, took })
}

#[test]
fn a_batch_is_due_when_a_task_waits_for_it_or_it_is_large() {
    let mut batches = Batches::new();
    assert!(!batches.is_due());
    push(&mut batches, lazy());
    assert!(!batches.is_due());
    batches.want(1);
    assert!(batches.is_due());
    assert_eq!(take(&mut batches, false), Some(1));
    assert_eq!(complete(&mut batches, 1..2, None), Some(1));
    assert!(!batches.is_due());
    while !batches.is_due() {
        push(&mut batches, lazy());
    }
    assert!((ENOUGH..ENOUGH + 1000).contains(&batches.bytes), "{}", batches.bytes);
}

#[test]
fn batches_overlap_on_a_slow_disk_only() {
    for (slow, may_overlap) in [(false, true), (true, false), (true, true)] {
        let overlaps = slow && may_overlap;
        let mut batches = Batches::new();
        batches.slow = SLOW_IN_A_ROW - 1;
        push(&mut batches, cleared(1));
        assert_eq!(take(&mut batches, may_overlap), Some(1));
        let took = if slow { SLOW } else { SLOW / 2 };
        assert_eq!(complete(&mut batches, 1..2, fsync(1, took)), Some(1));
        assert_eq!(batches.overlaps(), overlaps);
        push(&mut batches, cleared(1));
        assert_eq!(take(&mut batches, may_overlap), Some(2));
        push(&mut batches, cleared(1));
        assert_eq!((batches.is_due(), take(&mut batches, may_overlap)), (false, None));
        push(&mut batches, cleared(OVERLAPPING));
        assert_eq!(batches.is_due(), overlaps);
        assert_eq!(take(&mut batches, may_overlap), overlaps.then_some(3));
    }
}

#[test]
fn records_that_arrive_during_a_batch_are_taken_when_it_is_durable() {
    let mut batches = Batches::new();
    batches.slow = SLOW_IN_A_ROW;
    for number in 1..=2 {
        push(&mut batches, cleared(OVERLAPPING));
        assert_eq!(take(&mut batches, true), Some(number));
    }
    push(&mut batches, cleared(1));
    assert!(!batches.is_due());
    // a batch without a write does not measure the disk
    assert_eq!(complete(&mut batches, 1..2, None), Some(1));
    assert!(batches.is_due());
    assert_eq!(take(&mut batches, true), Some(3));
    push(&mut batches, cleared(1));
    assert!(!batches.is_due());
}

#[test]
fn the_number_of_overlapping_batches_is_bounded() {
    let mut batches = Batches::new();
    batches.slow = SLOW_IN_A_ROW;
    for number in 1..=MOST_ON_THE_WAY {
        push(&mut batches, cleared(OVERLAPPING));
        assert_eq!(take(&mut batches, true), Some(number as u64));
    }
    push(&mut batches, cleared(ENOUGH));
    assert_eq!((batches.is_due(), take(&mut batches, true)), (false, None));
    assert_eq!(complete(&mut batches, 1..2, fsync(1, SLOW)), Some(1));
    assert_eq!(take(&mut batches, true), Some(4));
}

#[test]
fn batches_are_durable_in_their_order() {
    let mut batches = Batches::new();
    batches.slow = SLOW_IN_A_ROW;
    for number in 1..=3 {
        push(&mut batches, cleared(OVERLAPPING * number as usize));
        assert_eq!(take(&mut batches, true), Some(number));
    }
    let bytes = batches.bytes();
    assert_eq!(complete(&mut batches, 2..3, fsync(20, SLOW)), None);
    assert_eq!((batches.bytes(), batches.synced()), (bytes, 0));
    assert_eq!(complete(&mut batches, 1..2, fsync(10, SLOW)), Some(2));
    assert_eq!((batches.bytes(), batches.synced()), (size_of_record(&cleared(3 * OVERLAPPING)), 20));
    assert_eq!(complete(&mut batches, 3..4, fsync(30, SLOW)), Some(3));
    assert_eq!((batches.bytes(), batches.synced()), (0, 30));
    // an empty one is none
    assert_eq!(take(&mut batches, true), None);
    assert_eq!(complete(&mut batches, 4..4, None), None);
    push(&mut batches, cleared(1));
    assert_eq!(take(&mut batches, true), Some(4));
}

#[test]
fn a_batch_without_a_frame_brings_no_frame_to_the_disk() {
    let mut batches = Batches::new();
    for (fsync, synced) in [(fsync(7, SLOW), 7), (None, 7), (fsync(9, SLOW), 9)] {
        push(&mut batches, cleared(1));
        let number = take(&mut batches, true).unwrap();
        assert_eq!(complete(&mut batches, number..number + 1, fsync), Some(number));
        assert_eq!(batches.synced(), synced);
    }
}

#[test]
fn a_batch_waits_for_the_clients_of_the_batch_before() {
    let begun = Instant::now();
    let durable = begun + 2 * SLOW;
    let gathering = || {
        let mut batches = Batches::new();
        (0..2).for_each(|_| push(&mut batches, cleared(1)));
        assert_eq!(batches.take(&mut Contents::default(), false, begun), 1);
        push(&mut batches, cleared(1));
        assert_eq!(batches.complete(1..2, fsync(1, 2 * SLOW), durable), Some(1));
        assert_eq!((batches.is_due(), take(&mut batches, false)), (false, None));
        batches
    };
    let mut batches = gathering();
    batches.writer = WriterIs::Waiting;
    assert!(batches.wakes(), "to be awake when the time is over");
    let until = gathering().gathers_until().unwrap();
    assert!(until > durable && until < durable + 2 * SLOW);
    // all are present
    let mut batches = gathering();
    for all in [false, true] {
        push(&mut batches, cleared(1));
        assert_eq!(batches.is_due(), all);
    }
    // or it has waited for long enough
    let mut batches = gathering();
    batches.end_gather(until - Duration::from_nanos(1));
    assert!(!batches.is_due());
    batches.end_gather(until);
    assert!(batches.is_due() && batches.gathers_until().is_none());
    // or there is enough
    batches = gathering();
    push(&mut batches, cleared(OVERLAPPING));
    assert!(batches.is_due());
}

#[test]
fn the_writer_is_woken_once_for_a_due_batch_and_looks_soon_at_others() {
    let mut batches = Batches::new();
    push(&mut batches, cleared(1));
    assert!(!batches.wakes());
    batches.writer = WriterIs::Waiting;
    assert!(batches.wakes() && !batches.wakes());
    assert_eq!(take(&mut batches, false), Some(1));
    push(&mut batches, lazy());
    batches.writer = WriterIs::Idle;
    // a batch is on its way
    assert!(!batches.wakes());
    assert_eq!(complete(&mut batches, 1..2, None), Some(1));
    assert!(batches.wakes() && !batches.wakes());
    batches.writer = WriterIs::Waiting;
    assert!(!batches.wakes());
    batches.closing = true;
    assert!(batches.wakes());
}
