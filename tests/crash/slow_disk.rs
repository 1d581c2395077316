//! A broker whose fsyncs take longer: this test binary runs itself again, with dunlin as a library, so that it can be
//! killed like the other.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use dunlin::{
    Config,
    config::{AuthConfig, Limits, ListenerConfig},
    server::Builder,
};

use super::{DATA, PASSWORDS};

/// The main function of the broker's process; does nothing if it runs as a test.
#[test]
fn broker() {
    let Some(place) = env::var_os(PLACE).map(PathBuf::from) else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let number = |variable| env::var(variable).ok().and_then(|text| text.parse().ok());
    let config = Config {
        listeners: vec![ListenerConfig::tcp(([127, 0, 0, 1], 0).into())],
        data_dir: Some(place.join(DATA)),
        allow_anonymous: Some(true),
        auth: AuthConfig { password_file: Some(place.join(PASSWORDS)), ..AuthConfig::default() },
        workers: number(WORKERS),
        limits: Limits { max_queued_messages: 1_000_000_000, ..Limits::default() },
        ..Config::default()
    };
    let delay = Duration::from_micros(number(MICROSECONDS).expect("a number") as u64);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let server = Builder::new(config).sync_delay(delay).start().await.expect("it starts");
        server.failed().await
    });
}

/// The process, with the data directory and the password file of that place: so many worker threads, and so much added
/// to each fsync.
pub fn command(place: &Path, workers: usize, delay: Duration) -> Command {
    let mut command = Command::new(env::current_exe().expect("this test binary"));
    command.args(["--exact", "slow_disk::broker", "--nocapture"]).stdout(Stdio::null());
    let microseconds = delay.as_micros().to_string();
    command.env_clear().env(PLACE, place).env(WORKERS, workers.to_string()).env(MICROSECONDS, microseconds);
    command
}

const PLACE: &str = "DUNLIN_TEST_PLACE";
const WORKERS: &str = "DUNLIN_TEST_WORKERS";
const MICROSECONDS: &str = "DUNLIN_TEST_SYNC_DELAY";
