//! Damaged logs: cut anywhere, changed anywhere. An incomplete end is cut off; every other change is found, or makes no
//! difference.

use super::{
    super::{
        commit::writer::Progress,
        log::{format, names},
        recovery::recover::recover,
    },
    model::Model,
    simulated::{Fault, Rng, Simulated},
    world::{World, copy, look, message, open, session_number, settings, time, when_old},
};
use crate::{
    router::{Login, Publisher, QueuedCopy, Record, SessionOwner, WillLeft},
    session::StoredWill,
    types::{ClientId, PacketId, QoS, SubscriptionOptions, UserName},
};

const SEGMENT: u64 = 4096;

/// A log that allows each kind of record, and one batch of each kind.
fn each_kind() -> (Vec<Record>, Vec<Vec<Record>>) {
    let (session, qos) = (session_number(1), QoS::ExactlyOnce);
    let gone = StoredWill::plain(message(90, "will", b"gone"), true);
    let (will, delayed) = (Some(gone.clone()), StoredWill { delay: 300, expiry: Some(60), ..gone.clone() });
    let packet_id = PacketId::new(7).unwrap();
    let queued = |number, message| {
        let copy = QueuedCopy { qos, ..copy(1, number) };
        Record::Queued { message, copy, identifiers: None, sent: None }
    };
    let options = SubscriptionOptions::from(qos);
    let (client, user) = (ClientId::from("third"), Some(UserName::from("maria")));
    let publisher = Some(Publisher { client: client.clone(), user: user.clone() });
    let kept_will = gone.clone();
    let kept =
        |number| Record::WillKept { number, client: client.clone(), user: user.clone(), will: kept_will.clone() };
    let owner = |user: &str| Some(Box::new(SessionOwner { user: user.into(), login: Login::Token }));
    // as in a broker, a message is one object for all its deliveries
    let (one, three, both) = (message(1, "t", b"one"), message(3, "r", b"three"), message(4, "t", b"both"));
    let base = vec![
        Record::SessionStarted { session, client: ClientId::from("first"), owner: owner("maria"), will: will.clone() },
        Record::Subscribed { session, filter: "old/#".into(), options },
        queued(1, one.clone()),
        queued(2, message(2, "t", b"two")),
        Record::Sent { session, number: 2, sent: 1, count: 1 },
        Record::Received { session, packet_id: PacketId::MIN },
        Record::Retained { message: three.clone(), publisher: None },
        Record::WillDue { session, number: 1, will: gone.clone() },
        Record::RetainedDue { session, topic: "old".into() },
        kept(5),
    ];
    let batches = vec![
        vec![Record::SessionStarted {
            session: session_number(2),
            client: ClientId::from("second"),
            owner: None,
            will,
        }],
        vec![Record::Attached { session, owner: None, will: None }],
        vec![Record::Detached { session, will: WillLeft::Gone }],
        vec![Record::Detached { session, will: WillLeft::Until(when_old(5_000)) }],
        vec![Record::Attached { session, owner: None, will: Some(delayed.clone()) }],
        vec![Record::WillDue { session, number: 3, will: delayed }],
        vec![Record::WillDue { session, number: 2, will: gone }],
        vec![Record::WillPublished { session, number: 1 }],
        vec![kept(6)],
        vec![Record::WillGone { number: 5 }],
        vec![Record::Attached { session, owner: owner("jon"), will: None }],
        vec![Record::Retained { message: message(4, "r", b"published by a user"), publisher: publisher.clone() }],
        vec![Record::SessionEnded { session }],
        vec![Record::Subscribed { session, filter: "new/+".into(), options }],
        vec![Record::Unsubscribed { session, filter: "old/#".into() }],
        vec![Record::RetainedDue { session, topic: "new".into() }],
        vec![Record::RetainedDue { session, topic: "".into() }],
        vec![Record::RetainedSent { session, topic: "old".into() }],
        vec![queued(3, message(4, "t", b"a message that is longer than its record"))],
        vec![queued(3, three)],
        // three in a row
        (3..6).map(|n| queued(n, message(n + 1, "t", b"in a row"))).collect(),
        vec![Record::Sent { session, number: 1, sent: 2, count: 1 }],
        vec![Record::Released { session, number: 2 }],
        vec![Record::Completed { session, number: 1, count: 1 }],
        vec![Record::Received { session, packet_id }],
        vec![Record::ReceiptReleased { session, packet_id: PacketId::MIN }],
        vec![Record::Retained { message: message(4, "r", b"another"), publisher: None }],
        vec![Record::Retained { message: one, publisher: None }],
        vec![Record::RetainedCleared { topic: "r".into() }],
        vec![queued(3, both.clone()), Record::Retained { message: both, publisher: None }],
    ];
    (base, batches)
}

fn commit(world: &mut World, records: Vec<Record>) {
    records.iter().for_each(|record| world.model.apply(record));
    assert_eq!(world.commit(records), Ok(Progress::Done));
}

/// The last segment, and the beginning and end of its last frame.
fn last_frame(files: &Simulated) -> (String, usize, usize) {
    let found = look(files).segments.pop().unwrap();
    let name = names::segment(found.id);
    let bytes = files.bytes(&name);
    let key = format::Key::new(settings(SEGMENT).salt, found.id, format::VERSION);
    let (mut at, mut start) = (format::HEADER, 0);
    while let Some(frame) = format::frame_at(&bytes, at, key) {
        (start, at) = (at, frame.end);
    }
    (name, start, at)
}

#[test]
fn each_kind_of_record_may_be_cut_at_any_byte() {
    let (base, batches) = each_kind();
    for (kind, batch) in batches.into_iter().enumerate() {
        let mut world = World::new(0, settings(SEGMENT));
        commit(&mut world, base.clone());
        let before = world.model.clone();
        commit(&mut world, batch);
        assert_ne!(before, world.model, "kind {kind} changes something");
        let (name, start, end) = last_frame(&world.files);
        for cut in start..end {
            // after the cut are the earlier contents: zeros, or the remains of an older segment
            for filler in [0, 0xA5] {
                let files = world.files.copy();
                let mut bytes = files.bytes(&name);
                bytes[cut..].fill(filler);
                let whole = bytes[cut..end] == world.files.bytes(&name)[cut..end];
                files.set_bytes(&name, bytes);
                let (mut writer, torn) = open(&files, &world.settings);
                let expected = if whole { &world.model } else { &before };
                assert_eq!(Model::from(writer.index()), *expected, "kind {kind} cut at {cut} of {start}..{end}");
                if cut >= start + format::PREFIX && !whole {
                    assert_eq!(torn.unwrap().offset, start as u64);
                }
                // none of it reappears
                assert_eq!(files.bytes(&name).len(), if whole { end } else { start });
                let mut expected = expected.clone();
                let record = Record::Received { session: session_number(1), packet_id: PacketId::new(99).unwrap() };
                expected.apply(&record);
                writer.commit(&mut vec![record].into(), time(5)).unwrap();
                assert_eq!(Model::from(&look(&files).index), expected);
            }
        }
    }
}

/// Segments with different contents: many frames, cleaned, the last one, closed.
fn log() -> World {
    let mut world = World::new(5, settings(SEGMENT));
    (world.payload, world.drains) = (200, 2);
    for _ in 0..120 {
        assert_eq!(world.commit_random(), Ok(Progress::Done));
        world.writer.clean(2048).unwrap();
    }
    world.writer.mark(time(world.now)).unwrap();
    world.writer.sync().unwrap();
    assert!(world.files.segments().len() >= 3, "{:?}", world.files.segments());
    world
}

#[test]
fn a_changed_bit_is_found_or_makes_no_difference() {
    let world = log();
    let (mut found, mut harmless) = (0, 0);
    let mut rng = Rng::new(1);
    let names = world.files.segments();
    let last = names.last().unwrap().clone();
    let ends: Vec<_> = look(&world.files).segments;
    for name in &names {
        let original = world.files.bytes(name);
        let end = ends.iter().find(|s| names::segment(s.id) == *name).map_or(0, |s| s.end as usize);
        for at in 0..original.len() {
            // after the last frame only some bytes are tried, in frames every third
            if (at > end + 64 && !rng.one_in(64)) || (at > format::HEADER && !rng.one_in(3)) {
                continue;
            }
            let files = world.files.copy();
            let mut bytes = original.clone();
            bytes[at] ^= 1 << rng.below(8);
            files.set_bytes(name, bytes);
            match recover(&files, &mut |_, _| {}) {
                Ok(recovered) if recovered.damage.is_empty() => {
                    assert_eq!(Model::from(&recovered.index), world.model, "byte {at} of {name}");
                    // only the bytes after the frames, and the last frame, which is empty
                    let (_, start, _) = last_frame(&world.files);
                    assert!(at >= end || (*name == last && at >= start), "byte {at} of {name} is not looked at");
                    harmless += 1;
                }
                Ok(_) | Err(_) => found += 1,
            }
        }
    }
    assert!(found > 1000 && harmless > 10, "{found} {harmless}");
}

/// Without `END`, damage to the last frame looks like an incomplete write: only its batch is lost.
#[test]
fn damage_in_the_last_frame_looks_like_a_torn_end() {
    let mut world = World::new(3, settings(SEGMENT));
    for _ in 0..5 {
        assert_eq!(world.commit_random(), Ok(Progress::Done));
    }
    let before = world.model.clone();
    commit(
        &mut world,
        vec![Record::SessionStarted {
            session: session_number(50),
            client: ClientId::from("last"),
            owner: None,
            will: None,
        }],
    );
    let (name, start, end) = last_frame(&world.files);
    for at in start..end {
        let files = world.files.copy();
        let mut bytes = files.bytes(&name);
        bytes[at] ^= 0x10;
        files.set_bytes(&name, bytes);
        let recovered = look(&files);
        assert_eq!(recovered.damage, []);
        assert_eq!(Model::from(&recovered.index), before);
    }
}

#[test]
fn a_bad_frame_before_a_whole_one_is_damage_at_its_place() {
    let mut world = World::new(3, settings(SEGMENT));
    for _ in 0..5 {
        assert_eq!(world.commit_random(), Ok(Progress::Done));
    }
    let ((name, start, _), number) = (last_frame(&world.files), world.writer.last_frame());
    assert_eq!(world.commit_random(), Ok(Progress::Done));
    let mut bytes = world.files.bytes(&name);
    bytes[start + 20] ^= 1;
    world.files.set_bytes(&name, bytes);
    let damage = look(&world.files).damage;
    assert_eq!(damage.len(), 1);
    assert_eq!((&damage[0].file, damage[0].offset), (&name, start as u64));
    assert!(damage[0].what.starts_with(&format!("frame {number} is damaged: ")), "{}", damage[0]);
}

#[test]
fn a_missing_segment_is_damage_wherever_it_was() {
    let world = log();
    let names = world.files.segments();
    let needed = look(&world.files).segments.len();
    for name in &names[names.len() - needed..names.len() - 1] {
        let files = world.files.copy();
        super::super::log::files::Files::remove(&files, name).unwrap();
        let damage = look(&files).damage;
        assert_eq!(&damage[0].file, name);
        assert!(damage[0].what.contains("missing"), "{}", damage[0]);
    }
}

#[test]
fn a_segment_of_another_log_is_damage() {
    let world = log();
    let names = world.files.segments();
    let mut other = World::new(7, super::super::commit::writer::Settings { salt: 99, ..settings(SEGMENT) });
    other.payload = 200;
    while other.files.segments().len() < 6 {
        other.commit_random().unwrap();
    }
    let name = names.iter().rev().nth(1).unwrap();
    world.files.set_bytes(name, other.files.bytes(&other.files.segments()[2]));
    assert_eq!(look(&world.files).damage[0].file, *name);
}

/// A silently wrong write is found at the next start at the latest, or was the last one.
#[test]
fn a_bit_that_a_write_changes_is_found() {
    let mut found = 0;
    for n in 1..120 {
        let mut world = World::new(n, settings(SEGMENT));
        world.files.break_at(n, Fault::Flip);
        while world.files.is_to_break() {
            world.commit_random().unwrap();
            world.writer.clean(512).unwrap();
        }
        for _ in 0..3 {
            world.commit_random().unwrap();
        }
        match recover(&world.files, &mut |_, _| {}) {
            Ok(recovered) if recovered.damage.is_empty() => {
                assert_eq!(Model::from(&recovered.index), world.model);
            }
            Ok(_) | Err(_) => found += 1,
        }
    }
    assert!(found > 30, "{found}");
}
