//! [`Task`]: one file sink. It appends batches of messages to its file, and acknowledges each batch when it is on the
//! disk.

use std::{
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use super::{file::Recording, options::SinkOptions, rotated, state::Shared};
use crate::{
    clock::Clock,
    hooks::{outlet::Outlet, sending::wait},
    inside::Received,
    outbound::Backoff,
    trace::{properties, put_payload},
};

/// A file sink.
pub(super) struct Task {
    pub options: SinkOptions,
    pub shared: Arc<Shared>,
    pub clock: Clock,
    pub outlet: Arc<Outlet>,
    /// Set when the sink ends: write the queue, then end.
    pub closing: watch::Receiver<bool>,
    /// `None`: it is to be opened.
    pub file: Option<Recording>,
}

/// Bounds of the wait before a write is tried again.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The time between two looks at the age of the file while there are no messages.
const LOOK: Duration = Duration::from_secs(1);

impl Task {
    /// Runs until the sink ends and its queue is empty, or until a write fails after the sink was told to end.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(SHORTEST_WAIT, LONGEST_WAIT);
        let mut compressing = JoinSet::new();
        self.compress_left(&mut compressing);
        let mut told = 0;
        while let Some(batch) = self.next(&mut compressing).await {
            let lost = self.outlet.lost();
            let text = lines(&batch, lost - told, self.clock.wall());
            while let Err(error) = self.write(&text, &mut compressing) {
                self.failed(&error);
                let was_closing = *self.closing.borrow_and_update();
                if was_closing {
                    return;
                }
                tokio::select! {
                    () = self.clock.sleep(backoff.next()) => {}
                    changed = self.closing.changed() => if changed.is_err() { return },
                }
            }
            told = lost;
            backoff.reset();
            self.outlet.acknowledge(batch.iter().filter_map(|one| one.ack));
            if self.shared.works(batch.len(), text.len()) {
                tracing::info!(target: "dunlin::hooks", sink = self.options.name, "the file is written again");
            }
        }
    }

    /// Waits for the next messages. Meanwhile the file is rotated when it is old enough.
    async fn next(&mut self, compressing: &mut JoinSet<()>) -> Option<Vec<Received>> {
        let (outlet, clock) = (self.outlet.clone(), self.clock.clone());
        let mut closing = self.closing.clone();
        let mut next = pin!(outlet.next(&mut closing));
        loop {
            let look: Option<Instant> = self.options.rotation.after.and_then(|_| clock.now().checked_add(LOOK));
            tokio::select! {
                batch = &mut next => return batch,
                () = wait(&clock, look) => {}
            }
            while compressing.try_join_next().is_some() {}
            if let Err(error) = self.rotate_if_due(compressing) {
                self.failed(&error);
            }
        }
    }

    fn write(&mut self, text: &[u8], compressing: &mut JoinSet<()>) -> io::Result<()> {
        if self.file.as_ref().is_none_or(|file| !file.is_in_place()) {
            self.file = Some(Recording::open(&self.options.file, self.clock.wall())?);
        }
        self.rotate_if_due(compressing)?;
        self.file.as_mut().map_or(Ok(()), |file| file.append(text))
    }

    fn rotate_if_due(&mut self, compressing: &mut JoinSet<()>) -> io::Result<()> {
        let (now, rotation) = (self.clock.wall(), self.options.rotation);
        let Some(file) = self.file.as_mut().filter(|file| file.is_due(rotation, now) && file.is_in_place()) else {
            return Ok(());
        };
        let rotated = file.rotate(now)?;
        self.shared.rotated.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(target: "dunlin::hooks", sink = self.options.name, to = %rotated.display(), "file rotated");
        if rotation.compress {
            self.compress_left(compressing);
        }
        rotated::remove_oldest(&self.options.file, rotation.keep)
    }

    /// Compresses rotated files one after the other, unless that is being done. A file that is rotated meanwhile is
    /// compressed behind them.
    fn compress_left(&self, compressing: &mut JoinSet<()>) {
        while compressing.try_join_next().is_some() {}
        if !self.options.rotation.compress || !compressing.is_empty() {
            return;
        }
        let (path, sink) = (self.options.file.clone(), self.options.name.clone());
        compressing.spawn(async move {
            let next = || rotated::all(&path).map(|all| all.into_iter().find(|path| rotated::is_plain(path)));
            loop {
                let (file, compressed) = match next() {
                    Ok(None) => return,
                    Ok(Some(file)) => {
                        let compressed = rotated::compress(&file).await;
                        (file, compressed)
                    }
                    Err(error) => (path.clone(), Err(error)),
                };
                if let Err(error) = compressed {
                    let file = file.display();
                    tracing::warn!(target: "dunlin::hooks", sink, %file, %error, "a rotated file is not compressed");
                    return;
                }
            }
        });
    }

    fn failed(&self, error: &io::Error) {
        let why = format!("{}: {error}", self.options.file.display());
        if self.shared.fails(&why, self.clock.wall()) {
            let sink = &self.options.name;
            tracing::warn!(target: "dunlin::hooks", sink, reason = why, "a write failed: it will be retried");
        }
    }
}

/// Messages as lines of a recording, behind a line with the number of lost ones.
fn lines(batch: &[Received], lost: u64, now: SystemTime) -> Vec<u8> {
    let time = |at| humantime::format_rfc3339_micros(at).to_string();
    let mut text = String::new();
    if lost > 0 {
        text += &format!("{}\n", json!({ "at": time(now), "lost": lost }));
    }
    for one in batch {
        let mut line = json!({
            // of a message from before a restart it is not known
            "at": time(one.at.unwrap_or(now)),
            "topic": one.topic(),
            "qos": one.qos as u8,
            "retain": one.retain,
        });
        put_payload(&mut line, one.payload());
        if let Some(publisher) = &one.publisher {
            line["client"] = publisher.client.as_str().into();
        }
        if !one.properties().is_empty() {
            line["properties"] = properties(one.properties());
        }
        text += &format!("{line}\n");
    }
    text.into_bytes()
}
