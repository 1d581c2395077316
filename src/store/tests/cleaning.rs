//! Cleaning: each record is written once, and the log stays within its bound on the disk.

use proptest::prelude::*;

use super::{
    super::{
        commit::writer::{Progress, Settings},
        log::{Time, sizes::SegmentBytes},
        recovery::{
            recover::recover,
            restore::{down_time, restored},
        },
    },
    model::Model,
    world::{World, copy, look, message, open, session_number, settings, when_old},
};
use crate::{
    codec::Properties,
    router::{Record, RestoredSession, WillLeft},
    session::{Extras, Message, RestoredState, StoredWill},
    topic::TopicName,
    types::{ClientId, PacketId, QoS},
};

const SEGMENT: u64 = 4096;

fn start(session: u64) -> Record {
    Record::SessionStarted {
        session: session_number(session),
        client: ClientId::from(format!("client {session}").as_str()),
        owner: None,
        will: None,
    }
}

fn queued(session: u64, number: u64, body: u64, payload: &[u8]) -> Record {
    Record::Queued { message: message(body, "t", payload), copy: copy(session, number), identifiers: None, sent: None }
}

fn commit(world: &mut World, records: Vec<Record>) -> u64 {
    records.iter().for_each(|record| world.model.apply(record));
    let before = world.files.operations();
    assert_eq!(world.commit(records), Ok(Progress::Done));
    world.files.operations() - before
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Random traffic, restarts and power cuts: the log has the content of the model, within its bound on the disk.
    #[test]
    fn the_log_is_the_model_and_stays_within_its_bound(
        seed: u64,
        payload in 1usize..400,
        drains in 0usize..=10,
        (first, most) in prop_oneof![Just((4096u64, 4096u64)), Just((16384, 16384)), Just((4096, 16384))],
        steps in prop::collection::vec(0u8..20, 50..300),
    ) {
        let segment_bytes = SegmentBytes { first, most };
        let mut world = World::new(seed, Settings { segment_bytes, ..settings(first) });
        (world.payload, world.drains) = (payload, drains);
        for step in steps {
            match step {
                0 => world.power_cut(),
                1 => world.restart(),
                2 => {
                    let sessions: Vec<_> = world.model.sessions.keys().copied().collect();
                    commit(&mut world, sessions.into_iter().map(|session| Record::SessionEnded { session }).collect());
                }
                _ => prop_assert_eq!(world.commit_random(), Ok(Progress::Done)),
            }
            while world.writer.clean(1024).unwrap() {}
            prop_assert_eq!(&Model::from(world.writer.index()), &world.model);
            prop_assert!(
                world.files.used() <= world.bound(),
                "{} bytes for {} live ones", world.files.used(), world.writer.index().live_bytes
            );
        }
    }
}

#[test]
fn a_thing_that_ends_in_its_batch_is_not_written() {
    let mut world = World::new(0, settings(SEGMENT));
    commit(&mut world, vec![start(1)]);
    let records = vec![
        queued(1, 1, 1, b"payload"),
        Record::Sent { session: session_number(1), number: 1, sent: 1, count: 1 },
        Record::Received { session: session_number(1), packet_id: PacketId::MIN },
        Record::Completed { session: session_number(1), number: 1, count: 1 },
        Record::ReceiptReleased { session: session_number(1), packet_id: PacketId::MIN },
        start(2),
        Record::SessionEnded { session: session_number(2) },
        Record::Retained { message: message(2, "r", b"x"), publisher: None },
        Record::RetainedCleared { topic: "r".into() },
    ];
    assert_eq!(commit(&mut world, records), 0);
    assert_eq!(commit(&mut world, vec![]), 0);
}

#[test]
fn a_message_is_written_once_for_all_its_sessions() {
    let mut world = World::new(0, settings(64 << 10));
    commit(&mut world, (1..=100).map(start).collect());
    let before = look(&world.files).segments[0].end;
    let body = message(1, "t", &[7; 5000]);
    let queue =
        |session| Record::Queued { message: body.clone(), copy: copy(session, 1), identifiers: None, sent: None };
    commit(&mut world, (1..=50).map(queue).collect());
    commit(&mut world, (51..=100).map(queue).collect());
    let written = look(&world.files).segments[0].end - before;
    assert!(written < 5000 + 100 * 10, "{written}");
    // nor is it in memory twice, now or after a restart
    world.restart();
    assert_eq!(world.writer.index().bodies.iter().count(), 1);
}

#[test]
fn a_topic_retained_twice_is_written_once() {
    let mut world = World::new(0, settings(64 << 10));
    let retained = |number| Record::Retained { message: message(number, "r", &[number as u8; 1000]), publisher: None };
    commit(&mut world, (1..=20).map(retained).collect());
    assert!(look(&world.files).segments[0].end < 1200);
}

#[test]
fn a_retained_message_replaced_and_cleared_in_one_batch_stays_cleared() {
    let mut world = World::new(0, settings(SEGMENT));
    commit(&mut world, vec![Record::Retained { message: message(1, "r", b"old"), publisher: None }]);
    let records = vec![
        Record::Retained { message: message(2, "r", b"new"), publisher: None },
        Record::RetainedCleared { topic: "r".into() },
    ];
    commit(&mut world, records);
    assert!(world.model.retained.is_empty());
    world.power_cut();
}

#[test]
fn sessions_that_end_free_their_space() {
    let mut world = World::new(0, settings(SEGMENT));
    commit(&mut world, vec![start(1), start(2)]);
    for number in 1..=200 {
        commit(&mut world, vec![queued(1, number, number, &[1; 500]), queued(2, number, 1000 + number, &[2; 500])]);
    }
    assert!(world.files.used() > 200_000);
    commit(&mut world, vec![Record::SessionEnded { session: session_number(1) }]);
    while world.writer.clean(1024).unwrap() {}
    assert!(world.files.used() <= world.bound());
    commit(&mut world, vec![Record::SessionEnded { session: session_number(2) }]);
    while world.writer.clean(1024).unwrap() {}
    assert!(world.files.used() <= 8 * SEGMENT, "{}", world.files.used());
    world.power_cut();
}

#[test]
fn no_number_is_reused_after_cleaning() {
    let mut world = World::new(0, settings(SEGMENT));
    for session in 1..=300 {
        commit(&mut world, vec![start(session), queued(session, 1, session, &[0; 100])]);
        commit(&mut world, vec![Record::SessionEnded { session: session_number(session) }]);
        while world.writer.clean(1024).unwrap() {}
    }
    assert!(!world.files.segments().contains(&super::super::log::names::segment(1)));
    world.power_cut();
    assert_eq!((world.writer.index().next_session, world.writer.index().next_message), (301, 301));
}

/// A message that is never acknowledged, before all others.
#[test]
fn one_live_message_does_not_keep_its_segment() {
    let mut world = World::new(0, settings(SEGMENT));
    commit(&mut world, vec![start(1), queued(1, 1, 1, b"stays")]);
    for number in 2..2000 {
        commit(&mut world, vec![queued(1, number, number, b"goes")]);
        commit(&mut world, vec![Record::Completed { session: session_number(1), number, count: 1 }]);
        while world.writer.clean(1024).unwrap() {}
    }
    let (_, session) = world.writer.index().sessions.iter().next().unwrap();
    assert!(session.entries.len() < 200);
    world.power_cut();
}

#[test]
fn a_frame_larger_than_a_segment_has_its_own() {
    let mut world = World::new(0, settings(SEGMENT));
    commit(&mut world, vec![start(1), queued(1, 1, 1, b"before")]);
    commit(&mut world, vec![queued(1, 2, 2, &vec![3; 100_000])]);
    commit(&mut world, vec![queued(1, 3, 3, b"after")]);
    world.power_cut();
    assert_eq!(world.model.sessions[&session_number(1)].messages.len(), 3);
    commit(&mut world, vec![Record::Completed { session: session_number(1), number: 2, count: 1 }]);
    while world.writer.clean(1024).unwrap() {}
    assert!(world.files.used() <= world.bound());
    world.power_cut();
}

#[test]
fn after_a_kill_a_client_counts_as_away_since_the_last_frame() {
    let mut world = World::new(0, settings(SEGMENT));
    world.now = 10_000;
    commit(&mut world, vec![start(1), start(2)]);
    world.now = 20_000;
    commit(&mut world, vec![Record::Detached { session: session_number(1), will: WillLeft::Gone }]);
    world.now = 30_000;
    commit(&mut world, vec![start(3)]);
    let away = |world: &World, now| {
        let mut sessions = restored(world.writer.index(), now, std::time::Instant::now()).sessions;
        sessions.sort_by_key(|session| session.session);
        sessions.into_iter().map(|session| session.away.as_millis()).collect::<Vec<_>>()
    };
    world.restart();
    assert_eq!(away(&world, 40_001), [20_000, 10_000, 10_000]);
    // a clock that was set back
    assert_eq!(away(&world, 25_001), [5_000, 0, 0]);
    // the next start finds the same, despite later writes
    world.now = 50_000;
    commit(&mut world, vec![Record::Attached { session: session_number(3), owner: None, will: None }]);
    world.restart();
    assert_eq!(away(&world, 60_001), [40_000, 30_000, 10_000]);
}

#[test]
fn a_will_delay_continues_over_a_restart() {
    let mut world = World::new(0, settings(SEGMENT));
    let will = |delay| Some(StoredWill { delay, ..StoredWill::plain(message(90, "will", b"gone"), false) });
    let attached = |n, delay| Record::Attached { session: session_number(n), owner: None, will: will(delay) };
    let detached = |n, will| Record::Detached { session: session_number(n), will };
    world.now = 10_000;
    commit(&mut world, (1..=5).map(start).collect());
    commit(&mut world, (1..=5).map(|n| attached(n, 60)).collect());
    world.now = 20_000;
    commit(&mut world, vec![detached(1, WillLeft::Until(when_old(80_000)))]);
    commit(&mut world, vec![detached(2, WillLeft::FromNextStart)]);
    commit(&mut world, vec![detached(3, WillLeft::Until(when_old(80_000))), attached(3, 7)]);
    commit(&mut world, vec![detached(4, WillLeft::Until(when_old(80_000))), detached(4, WillLeft::Gone)]);
    let wills = |world: &World, now| {
        let mut sessions = restored(world.writer.index(), now, std::time::Instant::now()).sessions;
        sessions.sort_by_key(|session| session.session);
        let will =
            |session: RestoredSession| Some((session.will?.delay, session.will_left.map(|left| left.as_millis())));
        sessions.into_iter().map(will).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        world.restart();
        let [from_start, from_its_start] = [60, 7].map(|delay| Some((delay, None)));
        let expected = |left| [Some((60, Some(left))), from_start, from_its_start, None, from_start];
        assert_eq!(wills(&world, 30_000), expected(50_000));
        // no broker ran meanwhile
        assert_eq!(wills(&world, 100_000), expected(0));
        // each is written once more
        while world.writer.clean(1024).unwrap() {}
        commit(&mut world, vec![start(6)]);
        commit(&mut world, vec![Record::SessionEnded { session: session_number(6) }]);
    }
    // the delay of one Will began
    commit(&mut world, vec![detached(5, WillLeft::Until(when_old(90_000)))]);
    world.restart();
    assert_eq!(wills(&world, 40_000)[4], Some((60, Some(50_000))));
}

/// A machine without a battery-backed clock: it is 1970 until the network sets the time.
#[test]
fn setting_the_clock_does_not_change_how_long_a_session_is_away() {
    const NOW: u64 = 1_800_000_000_000;
    let mut world = World::new(0, settings(SEGMENT));
    let mut at = |wall, age, record| {
        let mut contents = vec![record].into();
        world.writer.commit(&mut contents, Time { wall, age }).unwrap();
        world.writer.sync().unwrap();
    };
    at(1_000, 0, start(1));
    at(2_000, 1_000, Record::Detached { session: session_number(1), will: WillLeft::Gone });
    at(NOW, 6_000, queued(1, 1, 1, b"acknowledged when the clock was set"));
    let recovered = look(&world.files);
    assert_eq!(recovered.last, Time { wall: NOW, age: 6_000 });
    // it restarts three seconds later
    let age = recovered.last.age + down_time(recovered.last, NOW + 3_000);
    assert_eq!(restored(&recovered.index, age, std::time::Instant::now()).sessions[0].away.as_millis(), 8_000);
}

#[test]
fn restored_messages_have_their_states() {
    let mut world = World::new(0, settings(SEGMENT));
    commit(&mut world, vec![start(1)]);
    commit(&mut world, (1..=3).map(|number| queued(1, number, number, b"x")).collect());
    commit(
        &mut world,
        (2..=3).map(|number| Record::Sent { session: session_number(1), number, sent: number + 7, count: 1 }).collect(),
    );
    commit(&mut world, vec![Record::Released { session: session_number(1), number: 3 }]);
    world.restart();
    let restored = restored(world.writer.index(), 0, std::time::Instant::now());
    let states: Vec<_> = restored.sessions[0].messages.iter().map(|message| (message.number, &message.state)).collect();
    assert!(matches!(
        states[..],
        [
            (1, RestoredState::Queued { qos: QoS::AtLeastOnce, retain: false, .. }),
            (2, RestoredState::Sent { sent: 9, .. }),
            (3, RestoredState::Released { sent: 10 }),
        ]
    ));
    // the restored receipt does not keep the released message
    assert_eq!(world.writer.index().bodies.iter().count(), 2);
}

/// Early format 2: a message had the Subscription Identifiers of its one session.
#[test]
fn identifiers_that_an_earlier_version_stored_with_a_message_are_its_deliverys() {
    let mut world = World::new(0, settings(SEGMENT));
    let stored = b"\x26\0\x01n\0\x01v\x0B\x07\x0B\x80\x01";
    let (own, identifiers) = stored.split_at(7);
    let properties = Properties::of_stored(stored).unwrap();
    let extras = Extras { properties, expires: None };
    let message = Message::with(TopicName::new("t").unwrap(), b"x", QoS::AtLeastOnce, extras);
    message.set_store_number(std::num::NonZeroU64::new(5).unwrap());
    let queued = Record::Queued { message, copy: copy(1, 1), identifiers: None, sent: None };
    commit(&mut world, vec![start(1), queued]);
    let has = |index: &crate::store::index::Index| {
        let session = index.sessions.get(0).unwrap();
        let entry = session.entry(1).unwrap();
        let message = &index.bodies.get(entry.body().unwrap()).unwrap().message;
        assert_eq!((message.stored_properties(), message.payload()), (own, &b"x"[..]));
        session.identifiers_of(entry) == identifiers
    };
    assert!(has(&look(&world.files).index));
    // the next frame has them in the delivery: the message may be written again without them
    let (mut writer, _) = open(&world.files, &world.settings);
    for number in 2..200 {
        let noise = super::world::message(100 + number, "noise", &[1; 100]);
        let copy = copy(1, number);
        let queued = Record::Queued { message: noise, copy, identifiers: None, sent: None };
        let completed = Record::Completed { session: session_number(1), number, count: 1 };
        for record in [queued, completed] {
            writer.commit(&mut vec![record].into(), Time::default()).unwrap();
        }
        while writer.clean(1024).unwrap() {}
    }
    writer.sync().unwrap();
    assert!(!world.files.segments().contains(&super::super::log::names::segment(1)));
    assert!(has(writer.index()) && has(&look(&world.files).index));
    let restored = restored(writer.index(), 0, std::time::Instant::now());
    let RestoredState::Queued { identifiers: restored, .. } = &restored.sessions[0].messages[0].state else {
        panic!("it waits")
    };
    assert_eq!(restored[..], *identifiers);
}

/// A start that is interrupted at any operation can be repeated.
#[test]
fn opening_may_be_interrupted() {
    let mut world = World::new(9, settings(SEGMENT));
    for round in 0..200 {
        for _ in 0..world.rng.below(10) {
            world.commit_random().unwrap();
            world.writer.clean(512).unwrap();
        }
        world.files.power_cut(&mut world.rng);
        world.files.break_at(1 + round % 11, super::simulated::Fault::Broken);
        let recovered = recover(&world.files, &mut |_, _| {}).unwrap();
        let statistics = Default::default();
        let _ = super::super::commit::writer::Writer::open(
            std::sync::Arc::new(world.files.clone()),
            recovered,
            world.settings.clone(),
            statistics,
        );
        world.power_cut();
    }
    drop(open(&world.files, &world.settings));
}
