//! Data directories that are in use, invalid, damaged or incomplete.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::place::{Place, away, refused, text_of};
use crate::support::{
    command::text,
    namespace::{As, alone, ran},
    raw::Message,
};

#[test]
fn a_second_broker_is_refused_with_the_pid_of_the_first() {
    let place = Place::new();
    let broker = place.start();
    let said = place.refused();
    let holder = format!("another dunlin (process {}) uses this data directory", broker.id());
    assert!(said.contains(text_of(&place.data_dir())) && said.contains(&holder), "{said}");
    // also where the lock file is gone
    fs::remove_file(place.data_dir().join("LOCK")).unwrap();
    assert!(place.refused().contains("another dunlin uses this data directory"));
    broker.client("client").expect_nothing_pending();
    broker.stop();
    place.start().stop();
}

#[test]
fn a_removed_data_dir_ends_the_broker() {
    for renamed in [false, true] {
        let place = Place::new();
        let mut broker = place.start();
        let mut publisher = broker.client("publisher");
        publisher.publish(Message::new("kept", "m").qos(1).retain());
        match renamed {
            true => fs::rename(place.data_dir(), place.path().join("elsewhere")).unwrap(),
            // the broker may make a file meanwhile
            false => {
                while place.data_dir().exists() {
                    let _ = fs::remove_dir_all(place.data_dir());
                }
            }
        }
        let removed = Instant::now();
        let said = broker.wait_for("nothing more is acknowledged");
        assert!(said.contains("data_dir: removed, or renamed"), "{said}");
        assert!(removed.elapsed() < Duration::from_secs(5), "{:?}", removed.elapsed());
        assert_eq!(broker.exit_code(), Some(1));
    }
}

#[test]
fn a_lost_end_is_damage_after_an_end_in_order_and_a_lost_segment_after_a_kill_too() {
    for killed in [false, true] {
        let place = Place::new();
        let (file, end) = with_messages(&place);
        if killed {
            // the next start writes no END, and its segment is the second
            let mut broker = place.start();
            broker.client("publisher").publish(Message::new("t", "last").qos(1));
            broker.kill();
        }
        let last = place.segments().pop().unwrap();
        let bytes = fs::read(&last).unwrap();
        let write = |bytes: &[u8]| fs::write(&last, bytes).unwrap();
        let mut damages: Vec<Box<dyn Fn() + '_>> = vec![
            Box::new(|| write(&[])),
            Box::new(|| write(&bytes[..63])),
            Box::new(|| write(&vec![0; bytes.len()])),
            Box::new(|| fs::remove_file(&last).unwrap()),
        ];
        if !killed {
            damages.push(Box::new(|| write(&bytes[..64])));
            damages.push(Box::new(|| write(&[&bytes[..end as usize / 2], &vec![0; bytes.len()][..]].concat())));
            damages.push(Box::new(|| write(&bytes[..end as usize - 1])));
            damages.push(Box::new(|| fs::write(place.data_dir().join("END"), "").unwrap()));
        }
        for (n, damage) in damages.iter().enumerate() {
            damage();
            let said = told(&place, "check", 1);
            assert!(said.contains("damage in 1 place(s)") && !said.contains("acknowledged of it"), "{n}: {said}");
            assert!(place.refused().contains("dunlin store repair"));
            write(&bytes);
        }
        drop(file);
    }
}

#[test]
fn a_copy_that_cannot_be_written_to_is_checked() {
    let place = Place::new();
    with_messages(&place);
    fs::remove_file(place.data_dir().join("LOCK")).unwrap();
    let modes = |files, directory| {
        for entry in fs::read_dir(place.data_dir()).unwrap() {
            fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(files)).unwrap();
        }
        fs::set_permissions(place.data_dir(), fs::Permissions::from_mode(directory)).unwrap();
    };
    modes(0o400, 0o500);
    assert_eq!(told(&place, "check", 0).lines().last(), Some("no damage"));
    assert!(!place.data_dir().join("LOCK").exists(), "root may write everywhere, and does not");
    modes(0o600, 0o700);
}

#[test]
fn a_data_dir_that_is_not_a_directory_is_an_error() {
    let place = Place::new();
    let file = place.path().join("file");
    fs::write(&file, "something of somebody's").unwrap();
    assert!(refused(&file).contains(&format!("{}: is not a directory; change data_dir", file.display())));
    let within = file.join("within");
    let said = refused(&within);
    assert!(said.contains(&format!("{}: cannot make the data directory", within.display())), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "what the system says is printed once: {said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "something of somebody's");
}

#[test]
fn a_read_only_data_dir_is_an_error() {
    let place = Place::new();
    let own = place.path().join("read-only");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o500)).unwrap();
    // root may write to every directory except on a read-only mount
    let is_root = fs::write(own.join("file"), "").is_ok();
    let directory = if is_root { Path::new("/proc/sys") } else { &own };
    let said = refused(directory);
    assert!(said.contains(text_of(directory)) && said.contains("change data_dir"), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "what the system says is printed once: {said}");
}

#[test]
fn files_of_the_store_are_private() {
    let place = Place::new();
    place.start().stop();
    assert_eq!(fs::metadata(place.data_dir()).unwrap().permissions().mode() & 0o777, 0o700);
}

/// Messages that wait for "subscriber", each written on its own.
const MESSAGES: usize = 20;

/// A data directory in which they are, its broker ended; the one segment, and where its zeros begin.
fn with_messages(place: &Place) -> (fs::File, u64) {
    let broker = place.start();
    away(&broker, "subscriber", "t", 1);
    let mut publisher = broker.client("publisher");
    for n in 0..MESSAGES {
        // ends with bytes other than zero
        publisher.publish(Message::new("t", &format!("message {n:>100}!")).qos(1));
    }
    broker.stop();
    let segments = place.segments();
    assert_eq!(segments.len(), 1, "{segments:?}");
    let bytes = fs::read(&segments[0]).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("something was written") as u64 + 1;
    (fs::File::options().read(true).write(true).open(&segments[0]).unwrap(), end)
}

fn flip(file: &fs::File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

#[test]
fn a_torn_end_is_cut_off_and_logged_in_one_line() {
    let place = Place::new();
    let (file, end) = with_messages(&place);
    // as if it had been killed, and the last frame did not come to the disk as a whole
    fs::remove_file(place.data_dir().join("END")).unwrap();
    file.write_all_at(&[0; 7], end - 7).unwrap();
    let broker = place.start();
    let said: Vec<_> = broker.read.iter().filter(|line| line.contains("WARN")).collect();
    assert!(said.len() == 1 && said[0].contains("the log ends within a frame"), "{said:#?}");
    assert!(said[0].contains(text_of(&place.segments()[0])), "{said:#?}");
    broker.stop();
    let broker = place.start();
    assert!(!broker.read.iter().any(|line| line.contains("WARN")), "it is cut off once: {:#?}", broker.read);
    broker.resume("subscriber");
}

#[test]
fn damage_in_the_middle_is_refused_and_named() {
    let place = Place::new();
    let (file, end) = with_messages(&place);
    flip(&file, end / 2);
    let said = place.refused();
    let data_dir = place.data_dir();
    for part in [
        format!("{}, byte ", place.segments()[0].display()),
        format!("`dunlin store check --data-dir {}`", data_dir.display()),
        format!("`dunlin store repair --data-dir {}`", data_dir.display()),
    ] {
        assert!(said.contains(&part), "{part} is not in {said}");
    }
    let offset = said.split(", byte ").nth(1).and_then(|rest| rest.split(':').next()).expect("an offset");
    let offset: u64 = offset.parse().expect("an offset");
    assert!(offset <= end / 2 && offset > end / 2 - 1_000, "{said}: the damage is at {}", end / 2);
    // nothing was changed
    flip(&file, end / 2);
    let broker = place.start();
    let mut subscriber = broker.resume("subscriber");
    for n in 0..MESSAGES {
        subscriber.expect_message("t", &format!("message {n:>100}!"), 1);
    }
}

#[test]
fn the_commands_in_a_damage_error_show_and_repair_it() {
    let place = Place::new();
    let (file, end) = with_messages(&place);
    assert_eq!(told(&place, "check", 0).lines().last(), Some("no damage"));
    assert_eq!(told(&place, "dump", 0).matches("\"record\":\"delivery\"").count(), MESSAGES);
    flip(&file, end / 2);
    let refused = place.refused();
    let segment = place.segments()[0].file_name().and_then(|name| name.to_str().map(str::to_owned)).expect("a name");

    let checked = told(&place, "check", 1);
    let damage = checked.lines().find(|line| line.contains(", byte ")).expect("where it is damaged");
    assert!(refused.contains(damage), "check says {damage:?}, the start {refused:?}");
    let dump = told(&place, "dump", 0);
    for line in dump.lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let repaired = told(&place, "repair", 0);
    assert!(repaired.contains("lost: ") && repaired.contains(damage), "{repaired}");
    let aside = repaired.lines().last().and_then(|line| line.split_once(" is in ")?.1.split(';').next());
    assert!(Path::new(aside.expect("where the log is")).join(segment).exists(), "{repaired}");

    assert_eq!(told(&place, "check", 0).lines().last(), Some("no damage"));
    let broker = place.start();
    let mut subscriber = broker.resume("subscriber");
    let mut publisher = broker.client("publisher");
    publisher.publish(Message::new("t", "after the repair").qos(1));
    let mut got = Vec::new();
    while got.last().is_none_or(|last| last != "after the repair") {
        got.push(subscriber.take().text().to_owned());
    }
    // the one message whose bytes were damaged
    let kept: Vec<String> = (0..MESSAGES).map(|n| format!("message {n:>100}!")).collect();
    let lost: Vec<_> = kept.iter().filter(|message| !got.contains(message)).collect();
    assert!(lost.len() == 1 && got.len() == MESSAGES && got[..MESSAGES - 1].is_sorted(), "{lost:?} of {got:?}");
}

#[test]
fn the_tools_leave_a_directory_alone_that_a_broker_uses() {
    let place = Place::new();
    let broker = place.start();
    let output = place.run(&["store", "repair"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&format!("another dunlin (process {})", broker.id())), "{said}");
    broker.stop();
}

/// Standard output of `dunlin store` with this action, which ends with this exit code.
#[track_caller]
fn told(place: &Place, action: &str, code: i32) -> String {
    let output = place.run(&["store", action]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.data_dir()).unwrap();
    let notes = place.data_dir().join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    let broker = place.start();
    broker.begin("client").expect_nothing_pending();
    broker.stop();
    assert_eq!(fs::read_to_string(notes).unwrap(), "mine");
}

#[test]
fn a_copy_that_can_only_be_read_is_checked() {
    let name = "persistence::directory::a_copy_that_can_only_be_read_is_checked";
    alone(name, As::Anybody, |dir| {
        let place = Place::within(dir);
        with_messages(&place);
        let data_dir = place.data_dir();
        // with the lock file of its broker, and without
        for has_lock in [true, false] {
            if !has_lock {
                fs::remove_file(data_dir.join("LOCK")).unwrap();
            }
            ran(Command::new("mount").arg("--bind").args([&data_dir, &data_dir]));
            ran(Command::new("mount").args(["-o", "remount,ro,bind"]).arg(&data_dir));
            for tool in ["check", "dump"] {
                let output = place.run(&["store", tool]);
                let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| text(bytes));
                assert!(output.status.success(), "{tool}: {said}{errors}");
                assert!(tool == "dump" || said.contains("no damage"), "{said}");
            }
            let output = place.run(&["store", "repair"]);
            assert!(!output.status.success() && text(&output.stderr).contains("Read-only file system"));
            ran(Command::new("umount").arg(&data_dir));
        }
    });
}
