//! Ends the broker and starts it again on the same ports.

use std::{sync::Arc, time::Duration};

use super::{bench::Bench, journal::What, options::TestError, seed::Seed};
use crate::{clock::Stopwatch, store::MemoryDisk};

/// How the broker ends and starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    /// As by SIGTERM: clients are told, Wills are published, everything is written. Otherwise as by `kill -9`: nothing
    /// is sent, and the new broker has exactly what was synced.
    pub gently: bool,
    /// Connections are refused for this time.
    pub down: Duration,
    /// The new broker starts with an empty store.
    pub empty: bool,
}

/// Time limit for another program to release a port.
const PORT_WITHIN: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_millis(10);

impl Bench {
    /// Ends the broker and starts it again. All listeners accept when it returns.
    pub(super) async fn restart(&self, restart: &Restart) -> Result<(), TestError> {
        let from = |disk: &MemoryDisk| match restart.empty {
            true => MemoryDisk::default(),
            false => disk.after_power_cut(),
        };
        self.replace(restart.gently, restart.down, from).await
    }

    /// Saves what a power cut would leave, once the broker is idle, under this name for [`restore`](Self::restore).
    pub(super) async fn snapshot(&self, name: &str, within: Duration) -> Result<(), String> {
        const MOST: usize = 64;
        if !self.is_quiet(within).await {
            return Err("the broker is still busy".into());
        }
        let disk = self.disk.lock().after_power_cut();
        let mut snapshots = self.snapshots.lock();
        if snapshots.len() >= MOST && !snapshots.contains_key(name) {
            return Err(format!("there are {MOST} snapshots, and no more can be"));
        }
        snapshots.insert(name.to_owned(), disk);
        Ok(())
    }

    /// Ends the broker as by `kill -9`, and starts it with a snapshot. `None`: there is no such snapshot.
    pub(super) async fn restore(&self, name: &str) -> Option<Result<(), TestError>> {
        let noted = self.snapshots.lock().get(name).cloned()?;
        Some(self.replace(false, Duration::ZERO, |_| noted.after_power_cut()).await)
    }

    /// Ends the broker as by `kill -9`, and starts it with the state of an export. Its users are only for the start of
    /// the bench. Returns a description of the state.
    pub(super) async fn seed(&self, text: &[u8]) -> Result<(String, Result<(), TestError>), String> {
        let Seed { disk, users, kept } = Seed::parse(text, self.clock.clock().wall())?;
        if !users.is_empty() {
            return Err(format!("it has {} users, which only dunlin test --seed-file accepts", users.len()));
        }
        Ok((kept, self.replace(false, Duration::ZERO, |_| disk).await))
    }

    async fn replace(
        &self,
        gently: bool,
        down: Duration,
        disk: impl FnOnce(&MemoryDisk) -> MemoryDisk,
    ) -> Result<(), TestError> {
        let _one = self.turning.lock().await;
        // waits for tasks that use the server
        let mut place = self.place().await;
        if let Some(server) = place.take() {
            if gently {
                let _ = server.shutdown().await;
            } else {
                self.faults.cut(true);
                self.journal.mute(true);
                // the disk is copied now; later writes of the old threads are lost
                let left = self.disk.lock().after_power_cut();
                *self.disk.lock() = left;
                let ended = tokio::task::spawn_blocking(move || drop(server)).await;
                self.journal.mute(false);
                self.faults.cut(false);
                if ended.is_err() {
                    tracing::error!("the end of the broker panicked");
                }
            }
        }
        let next = disk(&self.disk.lock());
        *self.disk.lock() = next.clone();
        if !down.is_zero() {
            Self::machine().sleep(down).await;
        }
        // actions of the start, such as Wills of clients that were connected, come after that
        self.journal.note(None, None, What::Restarted);
        let watch = Stopwatch::start();
        let server = loop {
            match self.serve(&next).await {
                Err(TestError::Server(error)) if error.is_taken() && watch.took() < PORT_WITHIN => {
                    Self::machine().sleep(TRY_AGAIN).await;
                }
                started => break started?,
            }
        };
        self.behind.store(Some(Arc::new(server.behind_http())));
        *place = Some(server);
        self.journal.tell();
        Ok(())
    }
}
