//! Clients within the process and kill -9: this test binary runs itself again, with two clients. A durable client
//! writes each received message to a file before it acknowledges it. The other writes each acknowledged publication. No
//! acknowledged message is lost, from the network or from within the process.
//!
//! 20 rounds; 200 with `DUNLIN_LONG=1`.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use dunlin::{
    Bound, Builder, Client, Config, InsideClient, Publication, QoS, Received,
    config::{Limits, ListenerConfig},
};

use super::{
    DATA,
    inbox::END,
    number,
    publisher::{Publisher, Stream},
    support::{
        random::Random,
        raw::{self, Connect, connack},
        running::Running,
    },
    wire::Broker,
};

/// How many messages each publisher has in flight.
const WINDOWS: [usize; 2] = [1, 20];

#[test]
fn nothing_acknowledged_is_lost_to_a_durable_client_within_the_process_by_kill_9() {
    let long = env::var("DUNLIN_LONG").is_ok_and(|long| long == "1");
    let rounds = if long { 200 } else { 20 };
    let seed = number("DUNLIN_CRASH_SEED").unwrap_or(0x1D5E_ED01);
    println!("DUNLIN_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut publishers: Vec<_> = WINDOWS.iter().enumerate().map(|(n, &window)| Publisher::new(n, window)).collect();
    for round in 0..rounds {
        let broker = Broker::new(start(place.path(), 1 + random.below(40)));
        if random.once_in(4) {
            settle(broker, place.path(), &mut publishers, round);
            continue;
        }
        broker.kill_after(1 + random.below(2_000));
        thread::scope(|scope| {
            for publisher in &mut publishers {
                let (broker, random) = (&broker, random.fork());
                scope.spawn(move || publisher.send(broker, random));
            }
        });
    }
    settle(Broker::new(start(place.path(), 1)), place.path(), &mut publishers, rounds);
}

/// Its clients exist when this returns.
fn start(place: &Path, patience: usize) -> Running {
    let mut command = Command::new(env::current_exe().expect("this test binary"));
    command.args(["--exact", "inside::broker", "--nocapture"]).stdout(Stdio::null());
    command.env_clear().env(PLACE, place).env(PATIENCE, patience.to_string());
    let mut process = Running::run(&mut command);
    process.wait_until_ready();
    process.wait_for(READY);
    process
}

/// Publishers complete their messages; then the client must have received all of them.
fn settle(broker: Broker, place: &Path, publishers: &mut [Publisher], round: usize) {
    publishers.iter_mut().for_each(|publisher| publisher.finish(&broker));
    let mut process = broker.into_process();
    let end = format!("end of round {round}");
    let mut client = raw::Client::open(process.addresses[0]);
    client.send(&Connect::new("ends").frame());
    client.expect(&connack(0, 0));
    // those that are acknowledged from now on may be behind the end, and not received when the process ends
    let file = place.join(PUBLISHED);
    let published = if file.exists() { read(&file).get(WITHIN).copied().unwrap_or(0) } else { 0 };
    client.publish(raw::Message::new(END, &end).qos(1));
    process.wait_for(&end);
    process.kill();

    let received = read(&place.join(RECEIVED));
    for (stream, sent) in publishers.iter().flat_map(Publisher::sent) {
        assert_eq!(received.get(&key(stream)).copied().unwrap_or(0), sent, "the last of {stream:?} is lost");
    }
    let last = received.get(WITHIN).copied().unwrap_or(0);
    assert!(last >= published, "{published} were published within the process, and {last} received");
}

fn key(stream: Stream) -> String {
    format!("{}-{}", stream.publisher, stream.qos)
}

/// Messages from within the process.
const WITHIN: &str = "within";

/// The last number of each stream in a file: none is left out in front of it.
fn read(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).expect("the file is there");
    let mut last = BTreeMap::<String, u64>::new();
    for line in text.lines() {
        let (stream, number) = line.split_once(' ').expect("a stream and a number");
        let (number, last) = (number.parse::<u64>().expect("a number"), last.entry(stream.to_owned()).or_default());
        assert!(number <= *last + 1, "{stream}: {number} came after {last}: lost, or out of order");
        *last = number.max(*last);
    }
    last
}

/// The main function of the broker's process; does nothing if it runs as a test.
#[test]
fn broker() {
    let Some(place) = env::var_os(PLACE).map(PathBuf::from) else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let patience = number(PATIENCE).expect("a number") as usize;
    let config = Config {
        listeners: vec![ListenerConfig::tcp(([127, 0, 0, 1], 0).into())],
        data_dir: Some(place.join(DATA)),
        limits: Limits { max_queued_messages: 1_000_000_000, ..Limits::default() },
        ..Config::ephemeral()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let server = Builder::new(config).start().await.expect("it starts");
        let client = |asked| async { server.client(asked).await.expect("a client") };
        let sink = client(InsideClient {
            id: "$sink".into(),
            filters: vec!["t/#".into(), WITHIN.into(), END.into()],
            qos: QoS::ExactlyOnce,
            queue: Bound { messages: 1_000_000_000, ..Bound::default() },
            durable: true,
            ..InsideClient::default()
        });
        let sink = sink.await;
        let source = client(InsideClient { id: "$source".into(), ..InsideClient::default() }).await;
        tracing::info!("{READY}");
        let (received, published) = (place.join(RECEIVED), place.join(PUBLISHED));
        tokio::join!(receive(&sink, &received, patience), publish(&source, &published), server.failed())
    });
}

/// Writes received messages to the file before it acknowledges them, several at a time.
async fn receive(sink: &Client, path: &Path, patience: usize) {
    let (mut file, mut owed) = (append(path), Vec::new());
    while let Some(received) = sink.recv().await {
        match received.topic() {
            END => tracing::info!("{}", text(&received)),
            WITHIN => write(&mut file, WITHIN, text(&received).parse().expect("a number")),
            topic => {
                let message = raw::Message::new(topic, text(&received));
                let (stream, number) = Stream::of(&message);
                assert_eq!(received.qos as u8, stream.qos);
                write(&mut file, &key(stream), number);
            }
        }
        owed.push(received);
        if owed.len() >= patience {
            owed.drain(..).for_each(|received| assert!(sink.ack(&received)));
        }
    }
}

/// Goes on where it was told that it is kept.
async fn publish(source: &Client, path: &Path) {
    let mut file = append(path);
    let first = 1 + read(path).get(WITHIN).copied().unwrap_or(0);
    for number in first.. {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let published = source.publish(Publication::new(WITHIN, number.to_string()).qos(qos)).await;
        assert_eq!(published.expect("it is published").subscribers, 1);
        write(&mut file, WITHIN, number);
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("the file can be written")
}

/// Writes in one call, so that a kill leaves all of it or nothing.
fn write(file: &mut File, stream: &str, number: u64) {
    file.write_all(format!("{stream} {number}\n").as_bytes()).expect("the file can be written");
}

fn text(received: &Received) -> &str {
    std::str::from_utf8(received.payload()).expect("text")
}

const PLACE: &str = "DUNLIN_TEST_PLACE";
const PATIENCE: &str = "DUNLIN_TEST_PATIENCE";
const READY: &str = "clients within the process are there";
const RECEIVED: &str = "received";
const PUBLISHED: &str = "published";
