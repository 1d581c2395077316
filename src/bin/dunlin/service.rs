//! The process as a service of systemd: takes over the sockets that systemd passes (sd_listen_fds(3)), and reports
//! start, readiness, reload, stop, and signs of life (sd_notify(3)). Does nothing without systemd.

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

/// The sockets that systemd passes, with their names. Call it once, before anything is opened.
pub fn passed_sockets() -> anyhow::Result<Vec<(String, OwnedFd)>> {
    const FAILED: &str = "cannot take the sockets that systemd passes (LISTEN_FDS)";
    if sd_notify::listen_fds().context(FAILED)?.len() == 0 {
        // names without sockets were inherited with the environment of another process
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names().context(FAILED)?;
    // SAFETY: systemd opened these descriptors for this process (LISTEN_PID). They are open, and as the process has
    // opened nothing yet, nothing else has them.
    #[allow(unsafe_code)]
    let sockets = passed.map(|(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) }));
    Ok(sockets.collect())
}

/// The service manager that started the process, if there is one.
pub struct Manager {
    thread: Option<Sender<State>>,
}

/// The state that is reported regularly.
enum State {
    /// Starting: reports progress as long as this counter rises.
    Starting(Arc<AtomicU64>),
    /// Serving: reports that the threads answer, and a status line when it has changed.
    Serving { pulse: Pulse, error: Option<String>, status: String },
    /// Stopping: reports only that the process is alive, until this time.
    Stopping(Instant),
}

/// The least time that a start may take after each sign of progress, and a stop beyond the grace.
const LONGER: Duration = Duration::from_secs(30);

impl Manager {
    /// Reports from now on that the process starts, as long as `progress` rises.
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

    /// All listeners accept. `error`: the reason why the last reload failed.
    pub fn serving(&self, pulse: Pulse, error: Option<String>) {
        self.tell(|| {
            let status = status(&pulse, error.as_deref());
            notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
            State::Serving { pulse, error, status }
        });
    }

    /// The configuration is being read again, until [`serving`](Self::serving).
    pub fn reloading(&self) {
        if self.thread.is_some() {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => notify(&[NotifyState::Reloading, now]),
                Err(error) => tracing::warn!(%error, "cannot read the monotonic clock"),
            }
        }
    }

    /// The process ends within `grace`, or little later.
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

/// The state of the thread that reports regularly.
struct Reports {
    clock: Clock,
    began: Instant,
    /// The longest time between two signs of life.
    watchdog: Option<Duration>,
    /// The progress that was reported last.
    records: u64,
    /// The worker threads did not answer the last time.
    is_silent: bool,
    /// The missing answer was logged.
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
                    // worker threads that end with a shutdown do not answer either; the next state has arrived by then
                    self.log_silence();
                    state
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
        }
    }

    /// Sends the reports that are due. Returns the time until the next call.
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

    /// A start that reads much from the disk gets more time while it makes progress. The steps after reading take about
    /// as long as reading, and report no progress.
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
    // a line break would begin another report
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

/// Sends one datagram with a line for each state (sd_notify(3)). Waits only briefly if systemd does not read it: the
/// broker must stop and reload in that case too.
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

/// How long a report waits for room in systemd's socket.
const LONGEST_SEND: Duration = Duration::from_secs(1);
