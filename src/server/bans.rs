//! Bans of a server: stored in `bans.json` in `data_dir`, or in memory without one. Adds bans of clients that reconnect
//! too often.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Server;
use crate::{
    auth::replace_file,
    clock::Clock,
    router::{
        Router,
        inspect::{Ban, BanTarget, MOST_BANS, TooManyBans},
    },
};

/// Why a client is not banned, or still is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BanError {
    /// The target is empty.
    #[error("a ban names a client, a user or a network, or several of them")]
    Nobody,
    /// It would be over before it began.
    #[error("the ban would end in the past")]
    Over,
    /// There are too many.
    #[error(transparent)]
    TooMany(#[from] TooManyBans),
    /// `bans.json` cannot be written. Nothing changed.
    #[error("{}: cannot be written: {error}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// At the start: `bans.json` cannot be read, so banned clients would be accepted.
#[derive(Debug, Error)]
#[error("{}: {problem}; mend the file, or move it away to start without bans", .path.display())]
pub struct BansFileError {
    path: PathBuf,
    problem: String,
}

/// The bans of one server.
pub(super) struct BanDesk {
    router: Arc<Router>,
    clock: Clock,
    /// `None`: nothing is kept.
    path: Option<PathBuf>,
    /// Held for as long as one change takes, the writing of the file too. No connection waits for it.
    turn: Mutex<()>,
}

/// Duration of such a ban (`limits.reconnects`).
const FLAPPING: Duration = Duration::from_secs(5 * 60);
const FILE: &str = "bans.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    bans: Vec<WrittenBan>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct WrittenBan {
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    reason: Box<str>,
    by: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl BanDesk {
    /// Loads the bans of `bans.json` before clients are accepted.
    pub(super) fn open(router: Arc<Router>, clock: Clock, data_dir: Option<&Path>) -> Result<Arc<Self>, BansFileError> {
        let path = data_dir.map(|directory| directory.join(FILE));
        let desk = Arc::new(Self { router, clock, path, turn: Mutex::new(()) });
        if let Some(path) = &desk.path {
            let wrong = |problem| BansFileError { path: path.clone(), problem };
            let bans = match fs::read(path) {
                Ok(bytes) => read(&bytes).map_err(wrong)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
            };
            let now = desk.clock.now();
            for ban in bans {
                let Ok(ends) = desk.ends(&ban) else { continue };
                desk.router.add_ban(ban, ends, now).map_err(|error| wrong(error.to_string()))?;
            }
        }
        let flapping = Arc::downgrade(&desk);
        desk.router.on_flapping(Box::new(move |target| {
            if let Some(desk) = flapping.upgrade() {
                desk.ban_flapping(target);
            }
        }));
        Ok(desk)
    }

    /// Bans, and closes the connections that it concerns: how many. Writes a file.
    pub(super) fn ban(&self, ban: Ban) -> Result<usize, BanError> {
        if ban.target == BanTarget::default() {
            return Err(BanError::Nobody);
        }
        let ends = self.ends(&ban)?;
        let turn = self.turn.lock();
        let mut bans = self.all();
        bans.retain(|other| other.target != ban.target);
        if bans.len() >= MOST_BANS {
            return Err(TooManyBans.into());
        }
        bans.push(ban.clone());
        self.write(&bans)?;
        let said = (ban.target.to_string(), ban.by.clone(), ban.reason.clone(), ban.until.map(shown));
        let closed = self.router.ban(ban, ends, self.clock.now())?;
        drop(turn);
        let (target, by, reason, until) = said;
        tracing::info!(target, by, reason, until, closed, "banned");
        Ok(closed)
    }

    /// Ends a ban: was there one? Writes a file.
    pub(super) fn unban(&self, target: &BanTarget) -> Result<bool, BanError> {
        let turn = self.turn.lock();
        let mut bans = self.all();
        let before = bans.len();
        bans.retain(|ban| ban.target != *target);
        if bans.len() == before {
            return Ok(false);
        }
        self.write(&bans)?;
        let found = self.router.unban(target, self.clock.now());
        drop(turn);
        tracing::info!(target = %target, "not banned any more");
        Ok(found)
    }

    pub(super) fn all(&self) -> Vec<Ban> {
        self.router.bans(self.clock.now())
    }

    /// Bans a client that reconnects too often. Called on a worker thread: another thread writes the file.
    fn ban_flapping(self: Arc<Self>, target: BanTarget) {
        let until = self.clock.wall() + FLAPPING;
        let reason = "it connects more often than limits.reconnects allows";
        let ban = Ban { target: target.clone(), reason: reason.into(), by: "dunlin".into(), until: Some(until) };
        let now = self.clock.now();
        match self.router.ban(ban, Some(now + FLAPPING), now) {
            Ok(_) => tracing::warn!(target = %target, until = shown(until), reason, "banned"),
            Err(error) => return tracing::error!(target = %target, %error, "not banned (limits.reconnects)"),
        }
        if self.path.is_none() {
            return;
        }
        let written = std::thread::Builder::new().name("bans".into()).spawn(move || {
            let _turn = self.turn.lock();
            if let Err(error) = self.write(&self.all()) {
                tracing::error!(%error, "a ban is in memory alone");
            }
        });
        if let Err(error) = written {
            tracing::error!(%error, "no thread to write bans: a ban is in memory alone");
        }
    }

    /// End of a ban by the monotonic clock.
    fn ends(&self, ban: &Ban) -> Result<Option<Instant>, BanError> {
        let Some(until) = ban.until else { return Ok(None) };
        let left = until.duration_since(self.clock.wall()).ok().filter(|left| !left.is_zero());
        // one that ends later than the clock can tell never does
        left.map(|left| self.clock.now().checked_add(left)).ok_or(BanError::Over)
    }

    fn write(&self, bans: &[Ban]) -> Result<(), BanError> {
        let Some(path) = &self.path else { return Ok(()) };
        let bans = bans.iter().map(|ban| WrittenBan {
            client: ban.target.client.clone(),
            user: ban.target.user.clone(),
            network: ban.target.network.map(|network| network.to_string()),
            reason: ban.reason.clone(),
            by: ban.by.clone(),
            until: ban.until.map(shown),
        });
        let written = Written { version: VERSION, bans: bans.collect() };
        let json = serde_json::to_string_pretty(&written).map_err(io::Error::other);
        let json = json.map(|json| json + "\n").and_then(|json| replace_file(path, json.as_bytes()));
        json.map_err(|error| BanError::Unwritable { path: path.clone(), error })
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Ban>, String> {
    let Written { version, bans } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("it is of version {version}, and this dunlin reads version {VERSION}"));
    }
    let ban = |ban: WrittenBan| {
        let WrittenBan { client, user, network, reason, by, until } = ban;
        let network = network.map(|text| text.parse().map_err(|error| format!("network {text:?} is {error}")));
        let target = BanTarget { client, user, network: network.transpose()? };
        if target == BanTarget::default() {
            return Err("a ban has neither client nor user nor network".into());
        }
        let time = |text: String| humantime::parse_rfc3339(&text).map_err(|error| format!("until {text:?}: {error}"));
        Ok(Ban { target, reason, by, until: until.map(time).transpose()? })
    };
    bans.into_iter().map(ban).collect()
}

fn shown(at: SystemTime) -> String {
    humantime::format_rfc3339_nanos(at).to_string()
}

impl Server {
    /// Refuses the clients that the ban concerns, and closes their connections: gives how many. A ban
    /// of the same target is replaced. With a `data_dir`, the ban is on disk when this returns.
    pub async fn ban(&self, ban: Ban) -> Result<usize, BanError> {
        let desk = self.bans.clone();
        apart(move || desk.ban(ban)).await
    }

    /// Ends a ban: was there one?
    pub async fn unban(&self, target: &BanTarget) -> Result<bool, BanError> {
        let (desk, target) = (self.bans.clone(), target.clone());
        apart(move || desk.unban(&target)).await
    }

    /// The bans that are in force.
    pub fn bans(&self) -> Vec<Ban> {
        self.bans.all()
    }
}

/// Runs a function that may wait for the disk on a thread of its own.
async fn apart<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = done.send(act());
    });
    result.await.expect("what is done there does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Ports, RouterLimits};

    fn desk(path: &Path, clock: &crate::clock::TestClock) -> Result<Arc<BanDesk>, BansFileError> {
        let router = Arc::new(Router::new(RouterLimits::default(), Ports::default(), 1));
        BanDesk::open(router, clock.clock(), Some(path))
    }

    #[test]
    fn bans_outlive_the_process_and_those_that_ended_go() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), crate::clock::TestClock::new());
        let hour = Duration::from_secs(3600);
        let first = desk(dir.path(), &clock).unwrap();
        assert!(!dir.path().join(FILE).exists(), "nothing is written for nothing");
        let until = Some(clock.clock().wall() + hour);
        let network = BanTarget::network("10.0.0.0/8".parse().unwrap());
        let both = BanTarget { user: Some("eve \u{201C}".into()), ..BanTarget::client("a/b") };
        for (target, until) in [(network.clone(), None), (both.clone(), until)] {
            first.ban(Ban { target, reason: "noise".into(), by: "ann".into(), until }).unwrap();
        }
        let second = desk(dir.path(), &clock).unwrap();
        assert_eq!(second.all(), first.all());
        clock.turn(hour);
        assert_eq!(desk(dir.path(), &clock).unwrap().all().len(), 1);
        assert!(second.unban(&network).unwrap() && !second.unban(&network).unwrap() && !second.unban(&both).unwrap());
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains("eve") && !text.contains("10.0.0.0"), "{text}");
    }

    #[test]
    fn what_is_no_ban_is_refused_and_changes_nothing() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), crate::clock::TestClock::new());
        let desk = desk(dir.path(), &clock).unwrap();
        let ban = |target, until| Ban { target, reason: "".into(), by: "ann".into(), until };
        let nobody = desk.ban(ban(BanTarget::default(), None));
        assert!(matches!(nobody, Err(BanError::Nobody)));
        let over = desk.ban(ban(BanTarget::client("a"), Some(clock.clock().wall())));
        assert!(matches!(over, Err(BanError::Over)));
        fs::create_dir(dir.path().join(FILE)).unwrap();
        let unwritable = desk.ban(ban(BanTarget::client("a"), None));
        assert!(
            matches!(&unwritable, Err(BanError::Unwritable { path, .. }) if path.ends_with(FILE)),
            "{unwritable:?}"
        );
        assert_eq!(desk.all(), []);
    }

    #[test]
    fn a_file_that_is_none_stops_the_start() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), crate::clock::TestClock::new());
        let table = [
            ("", "EOF"),
            ("{\"version\": 2, \"bans\": []}", "version 2"),
            ("{\"version\": 1, \"bans\": [{}]}", "neither client nor user nor network"),
            ("{\"version\": 1, \"bans\": [{\"network\": \"x\"}]}", "network \"x\" is neither"),
            ("{\"version\": 1, \"bans\": [{\"client\": \"x\", \"until\": \"soon\"}]}", "until \"soon\""),
        ];
        for (text, said) in table {
            fs::write(dir.path().join(FILE), text).unwrap();
            let Err(error) = desk(dir.path(), &clock) else { panic!("{text}") };
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
    }
}
