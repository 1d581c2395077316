//! Messages that are published over HTTP: after an answer of 200, a message survives SIGKILL.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::support::running::Running;

/// Messages that are answered before the kill, at least.
const ANSWERED: u64 = 1_000;

/// Clients that publish at a time.
const PUBLISHERS: u64 = 8;

#[test]
fn messages_published_over_http_survive_kill_9() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let (socket, file) = (place.path().join("admin.sock"), place.path().join("dunlin.toml"));
    let data = place.path().join("data");
    let text = format!(
        "data_dir = {data:?}\n[http]\nlisten = \"unix:{}\"\n[limits]\nmax_queued_messages = 100000\n",
        socket.display()
    );
    fs::write(&file, text).expect("a configuration");
    let start = || Running::start(&["--config", file.to_str().expect("UTF-8")]);
    let mut broker = start();
    let mut subscriber = broker.begin("subscriber");
    subscriber.subscribe(&[("http/#", 1)]);
    subscriber.disconnect();

    let count = AtomicU64::new(0);
    let answered: BTreeSet<String> = thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (socket, count) = (&socket, &count);
                scope.spawn(move || publish(socket, publisher, count))
            })
            .collect();
        while count.load(Ordering::Acquire) < ANSWERED {
            assert!(!publishers.iter().all(|publisher| publisher.is_finished()), "nothing is answered any more");
            thread::yield_now();
        }
        broker.kill();
        publishers.into_iter().flat_map(|publisher| publisher.join().expect("it ends")).collect()
    });
    assert!(answered.len() as u64 >= ANSWERED);

    let broker = start();
    let mut subscriber = broker.resume("subscriber");
    let mut missing = answered;
    while !missing.is_empty() {
        // one that was not answered may be there
        missing.remove(subscriber.take().text());
    }
    broker.stop();
}

/// Until the broker does not answer any more; those that it answered with 200.
fn publish(socket: &Path, publisher: u64, count: &AtomicU64) -> Vec<String> {
    let mut answered = Vec::new();
    loop {
        let payload = format!("{publisher}-{}", answered.len());
        if ask(socket, &payload).is_none_or(|answer| !answer.starts_with("HTTP/1.0 200")) {
            return answered;
        }
        answered.push(payload);
        count.fetch_add(1, Ordering::AcqRel);
    }
}

/// `None`: there is no broker.
fn ask(socket: &Path, payload: &str) -> Option<String> {
    let mut socket = UnixStream::connect(socket).ok()?;
    let body = format!("{{\"topic\":\"http/a\",\"qos\":1,\"payload\":\"{payload}\"}}");
    let head = format!("POST /api/v1/publish HTTP/1.0\r\nHost: a\r\nContent-Length: {}\r\n", body.len());
    socket.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}
