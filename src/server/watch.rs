//! [`Watch`]: reports when a watched file has changed. The caller decides what to do.
//!
//! Editors replace a file by renaming another over it; Kubernetes redirects a symbolic link to another directory. So
//! the watch is on every directory in which a changed entry may make a path lead to another file. After an event it
//! compares the file at the end of each path with the one before.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

use crate::{clock::Clock, platform::MetadataExt};

/// Watched files, and their state at the last look.
#[derive(Default)]
pub struct Watch {
    seen: BTreeMap<PathBuf, Option<Identity>>,
    /// With the identity of each, so that a directory that was replaced by renaming is noticed.
    directories: BTreeMap<PathBuf, Option<(u64, u64)>>,
    watcher: Option<RecommendedWatcher>,
    happened: Arc<Notify>,
    clock: Clock,
}

/// Differs when a file was written, replaced, or made readable for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device_and_inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    /// Watches these files instead of the previous ones.
    pub fn follow(&mut self, files: &[PathBuf]) {
        self.seen.retain(|file, _| files.contains(file));
        let new: Vec<_> = files.iter().filter(|file| !self.seen.contains_key(*file)).cloned().collect();
        self.seen.extend(new.iter().map(|file| (file.clone(), None)));
        self.arm();
        // their state is read when no event can be missed any more
        self.seen.extend(new.into_iter().map(|file| (Identity::of(&file), file)).map(|(is, file)| (file, is)));
    }

    /// Takes the present state of the files as known.
    pub fn look(&mut self) {
        self.seen.iter_mut().for_each(|(file, seen)| *seen = Identity::of(file));
    }

    /// Completes when a file has changed and nothing more happened for a moment, so that an editor of several files is
    /// not interrupted. A renamed file is complete; one that was written in place counts after a second without
    /// changes.
    pub async fn changed(&mut self) {
        loop {
            self.happened.notified().await;
            let latest = self.clock.now() + AT_MOST;
            while self.has_changed(latest).await {
                if self.clock.now() >= latest || self.is_whole() || self.is_left_alone().await {
                    return self.look();
                }
            }
        }
    }

    /// Has a file changed, after a moment without events?
    async fn has_changed(&mut self, latest: Instant) -> bool {
        while self.clock.timeout(QUIET, pin!(self.happened.notified())).await.is_ok() && self.clock.now() < latest {}
        self.arm();
        self.seen.iter().any(|(file, seen)| *seen != Identity::of(file))
    }

    /// Was every changed file renamed?
    fn is_whole(&self) -> bool {
        self.seen.iter().all(|(file, seen)| {
            let now = Identity::of(file);
            *seen == now || now.is_some_and(|now| now.was_renamed(seen.as_ref()))
        })
    }

    /// Does no file change for [`LEFT_ALONE`]?
    async fn is_left_alone(&self) -> bool {
        let all = || self.seen.keys().map(|file| Identity::of(file)).collect::<Vec<_>>();
        let before = all();
        self.clock.timeout(LEFT_ALONE, pin!(self.happened.notified())).await.is_err() && all() == before
    }

    /// Watches the relevant directories, if they have changed.
    fn arm(&mut self) {
        let paths: BTreeSet<_> = self.seen.keys().flat_map(|file| directories(file)).collect();
        let directories: BTreeMap<_, _> =
            paths.into_iter().map(|path| (inode(&path), path)).map(|(i, p)| (p, i)).collect();
        if directories == self.directories && self.watcher.is_some() {
            return;
        }
        let happened = self.happened.clone();
        let tell = move |event: notify::Result<notify::Event>| {
            // reading is no change; an error, such as too many events at once, may hide one
            let reads = event.is_ok_and(|event| match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
                EventKind::Access(_) => true,
                _ => false,
            });
            if !reads {
                happened.notify_one();
            }
        };
        let mut watcher = match notify::recommended_watcher(tell) {
            Ok(watcher) => watcher,
            Err(error) => return tracing::error!(%error, "cannot watch any file: reload with SIGHUP"),
        };
        for directory in directories.keys() {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::error!(directory = %directory.display(), %error, "cannot watch a directory: reload with SIGHUP");
            }
        }
        // the previous watcher is active until here
        (self.watcher, self.directories) = (Some(watcher), directories);
    }
}

impl Identity {
    /// Was the file written before it was moved here? A rename changes its inode, but not its contents.
    fn was_renamed(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| before.device_and_inode != self.device_and_inode) && self.changed > self.modified
    }

    /// `None`: there is no file.
    fn of(file: &Path) -> Option<Self> {
        let about = fs::metadata(file).ok()?;
        Some(Self {
            device_and_inode: (about.dev(), about.ino()),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        })
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

/// The directories in which a changed entry may make `file` another file: its own, those of the symbolic links on the
/// way to it, and, if it is missing, the last existing one of its path.
fn directories(file: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Ok(absolute) = std::path::absolute(file) else { return found };
    let mut at = root(&absolute);
    let mut rest = steps(&absolute);
    let mut links = 0;
    while let Some(step) = rest.pop_front() {
        if step == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&step);
        let Ok(about) = fs::symlink_metadata(&next) else { break };
        if about.is_symlink() && links < MOST_LINKS {
            found.insert(at.clone());
            links += 1;
            let Ok(target) = fs::read_link(&next) else { break };
            if target.is_absolute() {
                at = root(&target);
            }
            steps(&target).into_iter().rev().for_each(|step| rest.push_front(step));
        } else if rest.is_empty() {
            break;
        } else {
            at = next;
        }
    }
    found.insert(at);
    found
}

fn root(path: &Path) -> PathBuf {
    path.ancestors().last().map(PathBuf::from).unwrap_or_default()
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).collect()
}

/// After this time without events, the writing of files is complete.
const QUIET: Duration = Duration::from_millis(200);
/// After this time without events, a file that was written in place is complete.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// The longest wait for that.
const AT_MOST: Duration = Duration::from_secs(10);
/// Most symbolic links that are followed, as in Linux.
const MOST_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_directory_of_a_path_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["config", "one/deep", "store"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let of = |file: &str| {
            let found = directories(&root.join(file));
            let names = found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        fs::write(root.join("one/deep/key"), "").unwrap();
        assert_eq!(of("one/deep/key"), ["one/deep"]);
        assert_eq!(of("one/../one/deep/key"), ["one/deep"]);
        assert_eq!(of("one/none/key"), ["one"], "where it will be");
        // as Kubernetes mounts a secret
        symlink("../one", root.join("config/..data")).unwrap();
        symlink("..data/deep/key", root.join("config/key")).unwrap();
        assert_eq!(of("config/key"), ["config", "one/deep"]);
        symlink(root.join("config"), root.join("store/current")).unwrap();
        assert_eq!(of("store/current/key"), ["config", "one/deep", "store"]);
        symlink("round", root.join("store/round")).unwrap();
        assert_eq!(of("store/round"), ["store"]);
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_written_file_is_read_after_a_pause_and_a_renamed_one_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("acl"), dir.path().join("other"));
        fs::write(&file, "topic a\n").unwrap();
        let clock = crate::TestClock::new();
        let mut watch = Watch { clock: clock.clock(), ..Watch::default() };
        watch.follow(std::slice::from_ref(&file));
        assert!(watch.is_whole(), "nothing changed");
        // an editor has truncated it, and is about to write
        fs::write(&file, "").unwrap();
        assert!(!watch.is_whole());
        let happened = watch.happened.clone();
        let writes = async {
            fs::write(&file, "topic b\n").unwrap();
            happened.notify_one();
        };
        assert!(!run(async { tokio::join!(watch.is_left_alone(), writes) }).0);
        // an earlier change may be reported late
        let told = async { while clock_is_waited_for(&watch, &clock).await {} };
        run(async { tokio::time::timeout(Duration::from_secs(20), told).await }).unwrap();
        assert!(!watch.is_whole(), "it is another one than was read");
        watch.look();
        // one that was written elsewhere
        fs::write(&other, "topic c\n").unwrap();
        fs::File::options().write(true).open(&other).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(watch.is_whole());
        watch.look();
        // removed: it may be created again
        fs::remove_file(&file).unwrap();
        assert!(!watch.is_whole());
    }

    /// Turns the clock while the files are waited for. `true`: something happened meanwhile.
    async fn clock_is_waited_for(watch: &Watch, clock: &crate::TestClock) -> bool {
        let turns = async { clock.turn(LEFT_ALONE) };
        !tokio::join!(watch.is_left_alone(), turns).0
    }
}
