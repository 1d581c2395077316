//! [`Broker`]: the interface for tests in Rust.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    bench::Bench,
    clock::{Turn, Turned},
    expect::{Expect, Met, Missed},
    faults::{Fault, Shown},
    forget::Reset,
    http::Front,
    options::{Options, TestError},
    restart::Restart,
    strict::Violation,
};
use crate::server::{Listening, ReadyFile, remove_ready_file};

/// A broker for tests. Dropping it ends the broker.
///
/// ```
/// # async fn example() -> Result<(), dunlin::testing::TestError> {
/// use std::time::Duration;
///
/// let broker = dunlin::testing::Broker::start().await?;
/// println!("connect to {}", broker.address());
/// // sessions and messages expire as if a day had passed
/// broker.advance(Duration::from_secs(25 * 3600)).await;
/// broker.stop().await;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
pub struct Broker {
    bench: Arc<Bench>,
    front: Front,
    addresses: Vec<Listening>,
    _ready_file: Option<ReadyFile>,
}

impl Broker {
    /// Starts a broker on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self, TestError> {
        Self::with(Options::default()).await
    }

    /// Starts a broker.
    pub async fn with(options: Options) -> Result<Self, TestError> {
        options.ready_file.as_deref().map(remove_ready_file).transpose()?;
        let no_http = |error| TestError::Http(options.http, error);
        let bound = std::net::TcpListener::bind(options.http).map_err(no_http)?;
        let http = bound.local_addr().map_err(no_http)?;
        let bench = Arc::new(Bench::start(&options, http).await?);
        let front = Front::start(bench.clone(), bound).map_err(no_http)?;
        let addresses = bench.listening().await;
        let ready_file = match &options.ready_file {
            Some(path) => Some(ReadyFile::write(path, &addresses, &[front.url()])?),
            None => None,
        };
        if options.any_address {
            tracing::warn!("anyone who can reach these addresses controls this broker (--any-address)");
        }
        tracing::info!(http = front.url(), "test bench");
        Ok(Self { bench, front, addresses, _ready_file: ready_file })
    }

    /// Address of the first listener that is not a Unix socket.
    ///
    /// # Panics
    ///
    /// If all listeners are Unix sockets.
    pub fn address(&self) -> SocketAddr {
        let mut all = self.addresses.iter().filter_map(|one| one.endpoint.socket_addr());
        all.next().expect("a listener that has an address")
    }

    /// All listeners.
    pub fn listeners(&self) -> &[Listening] {
        &self.addresses
    }

    /// URL of HTTP: `http://127.0.0.1:40123`.
    pub fn http_url(&self) -> String {
        self.front.url()
    }

    /// Advances the clock and waits until everything that is due has happened. Keep Alive follows real time.
    pub async fn advance(&self, by: Duration) {
        self.turn(Turn { advance: by, ..Turn::default() }).await;
    }

    /// Advances, pauses or resumes the clock.
    pub async fn turn(&self, turn: Turn) {
        let _: Turned = self.bench.turn(turn).await;
    }

    /// Disconnects clients, ends their sessions and removes retained messages: all of them, or those with a prefix.
    pub async fn reset(&self, reset: &Reset) {
        let _ = self.bench.reset(reset).await;
    }

    /// Waits until the broker is idle. `false`: it is still busy after this time.
    pub async fn idle(&self, within: Duration) -> bool {
        self.bench.is_quiet(within).await
    }

    /// Waits until the expectation is met or its time is over.
    pub async fn expect(&self, expect: &Expect) -> Result<Met, Missed> {
        self.bench.expect(expect).await
    }

    /// Ends the broker and starts it again on the same ports, by default as after `kill -9`.
    pub async fn restart(&self, restart: &Restart) -> Result<(), TestError> {
        self.bench.restart(restart).await
    }

    /// Violations of the specification by clients, and legal behaviour that other brokers reject, in strict mode.
    pub fn violations(&self) -> Vec<Violation> {
        self.bench.strict.all()
    }

    /// Sets a fault; returns its number.
    pub fn fault(&self, fault: Fault) -> Result<u64, String> {
        self.bench.faults.set(fault)
    }

    /// The faults that are set, and how often each hit.
    pub fn faults(&self) -> Vec<Shown> {
        self.bench.faults.all()
    }

    /// Removes a fault, or all faults.
    pub fn remove_fault(&self, id: Option<u64>) {
        let _ = self.bench.faults.remove(id);
    }

    /// Ends the broker.
    pub async fn stop(self) {
        let server = self.bench.place().await.take();
        if let Some(server) = server {
            let _ = server.shutdown().await;
        }
        if let Some(junit) = &self.bench.junit
            && let Err(error) = junit.write(&self.violations())
        {
            tracing::error!(%error, "cannot write the report");
        }
    }
}
