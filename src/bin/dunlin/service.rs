//! The process as a service of systemd: takes the sockets that systemd passes (sd_listen_fds(3)), and reports that it
//! starts, serves, reloads, stops, and that its threads are alive (sd_notify(3)). Does nothing without systemd.

use std::{
    env,
    ffi::OsString,
    io,
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use dunlin::{Clock, server::Pulse};
use sd_notify::NotifyState;

/// The sockets that systemd passes, with their names. To be called once, before anything is opened.
pub fn passed_sockets() -> anyhow::Result<Vec<(String, OwnedFd)>> {
    const FAILED: &str = "cannot take the sockets that systemd passes (LISTEN_FDS)";
    if sd_notify::listen_fds().context(FAILED)?.len() == 0 {
        // names without sockets are those of another process that this one has inherited the environment of
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names().context(FAILED)?;
    // SAFETY: systemd opened these descriptors for this process (LISTEN_PID). They are open, and as the process has
    // opened nothing yet, nothing else has them.
    #[allow(unsafe_code)]
    let sockets = passed.map(|(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) }));
    Ok(sockets.collect())
}

/// The service manager that started the process, if one wants to be told.
pub struct Manager {
    thread: Option<Sender<State>>,
}

/// What is reported from time to time.
enum State {
    /// Progress, while there is some: what was counted.
    Starting(Arc<AtomicU64>),
    /// That the threads serve, and how many clients there are, if the status is not that any more.
    Serving { pulse: Pulse, error: Option<String>, status: String },
    /// Nothing more than that the process lives, until then.
    Stopping(Instant),
}

/// How long a start may take after each sign of progress, at least, and a stop beyond the grace.
const LONGER: Duration = Duration::from_secs(30);

impl Manager {
    /// Reports, from now on, that the process starts, as long as `progress` is made.
    pub fn starting(progress: Arc<AtomicU64>) -> anyhow::Result<Self> {
        if notify_socket().is_none() {
            return Ok(Self { thread: None });
        }
        let (states, told) = channel();
        let clock = Clock::system();
        let watchdog = sd_notify::watchdog_enabled().filter(|time| !time.is_zero());
        let reports = Reports { began: clock.now(), clock, watchdog, records: 0, is_silent: false, is_logged: false };
        thread::Builder::new()
            .name("dunlin-systemd".into())
            .spawn(move || reports.run(State::Starting(progress), &told))
            .context("cannot start the thread that reports to systemd")?;
        Ok(Self { thread: Some(states) })
    }

    /// All listeners accept; `error`: why the last reload left the configuration as it was.
    pub fn serving(&self, pulse: Pulse, error: Option<String>) {
        self.tell(|| {
            let status = status(&pulse, error.as_deref());
            notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
            State::Serving { pulse, error, status }
        });
    }

    /// The configuration is read again, until [`serving`](Self::serving).
    pub fn reloading(&self) {
        if self.thread.is_some() {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => notify(&[NotifyState::Reloading, now]),
                Err(error) => tracing::warn!(%error, "cannot read the monotonic clock"),
            }
        }
    }

    /// The process ends within `grace`, and little more.
    pub fn stopping(&self, grace: Duration) {
        self.tell(|| {
            let time = grace + LONGER;
            notify(&[NotifyState::Stopping, longer(time), NotifyState::Status("stopping")]);
            State::Stopping(Clock::system().now() + time)
        });
    }

    fn tell(&self, state: impl FnOnce() -> State) {
        if let Some(thread) = &self.thread {
            // the thread runs until this sender is dropped
            let _ = thread.send(state());
        }
    }
}

/// The thread that reports what is true for a while only.
struct Reports {
    clock: Clock,
    began: Instant,
    /// Within what time a sign of life has to follow another.
    watchdog: Option<Duration>,
    /// The progress that was reported.
    records: u64,
    /// The worker threads did not answer the last time.
    is_silent: bool,
    /// That was logged.
    is_logged: bool,
}

impl Reports {
    /// Runs until the manager is dropped.
    fn run(mut self, mut state: State, told: &Receiver<State>) {
        loop {
            let pause = self.report(&mut state);
            state = match told.recv_timeout(pause) {
                Ok(next) => next,
                Err(RecvTimeoutError::Timeout) => {
                    // those that end with a shutdown do not answer either, and the next state is there then
                    self.log_silence();
                    state
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
        }
    }

    /// Reports what is due. Gives the time until it has to be called again.
    fn report(&mut self, state: &mut State) -> Duration {
        const WHILE_STARTING: Duration = Duration::from_millis(100);
        const WHILE_SERVING: Duration = Duration::from_secs(10);
        let half = self.watchdog.map_or(WHILE_SERVING, |time| WHILE_SERVING.min(time / 2));
        match state {
            State::Starting(progress) => {
                self.progress(progress.load(Ordering::Relaxed));
                WHILE_STARTING
            }
            State::Serving { pulse, error, status: reported } => {
                let began = self.clock.now();
                self.is_silent = !pulse.threads_answer(half);
                self.feed_watchdog(!self.is_silent);
                let status = status(pulse, error.as_deref());
                if status != *reported {
                    notify(&[NotifyState::Status(&status)]);
                    *reported = status;
                }
                half.saturating_sub(self.clock.now() - began)
            }
            State::Stopping(until) => {
                self.is_silent = false;
                self.feed_watchdog(self.clock.now() < *until);
                half
            }
        }
    }

    /// A start that reads much from the disk may take longer while it goes on. What follows the reading takes about as
    /// long as that did, and has no signs of its own.
    fn progress(&mut self, records: u64) {
        if records > self.records {
            self.records = records;
            let time = LONGER.max(2 * (self.clock.now() - self.began));
            notify(&[longer(time), NotifyState::Status(&format!("restoring: {records} records were read"))]);
        }
    }

    fn feed_watchdog(&self, is_alive: bool) {
        if is_alive && self.watchdog.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
    }

    fn log_silence(&mut self) {
        if self.is_silent && !self.is_logged {
            tracing::error!(
                "worker threads do not answer: systemd restarts the broker unless they recover (WatchdogSec)"
            );
        }
        self.is_logged = self.is_silent;
    }
}

fn status(pulse: &Pulse, error: Option<&str>) -> String {
    let connected = pulse.connected();
    let clients = if connected == 1 { "client" } else { "clients" };
    let failed = error.map(|error| format!("; the last reload failed: {error}")).unwrap_or_default();
    // a new line would begin another report
    format!("{connected} {clients} connected{failed}").replace(char::is_control, " ")
}

fn longer(time: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = send(states) {
        tracing::warn!(%error, "cannot report to systemd (NOTIFY_SOCKET)");
    }
}

/// One datagram with a line for each state, as sd_notify(3) says. Where nobody takes it, the broker does not wait for
/// long: it has to stop and to reload also then.
fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(path) = notify_socket() else { return Ok(()) };
    let address = match path.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(LONGEST_SEND))?;
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    socket.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

fn notify_socket() -> Option<OsString> {
    env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// How long a report waits for room in the socket of systemd.
const LONGEST_SEND: Duration = Duration::from_secs(1);
