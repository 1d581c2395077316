//! Rate limits of publishing clients. Above the limit the broker pauses reading, so that nothing is lost and TCP's
//! back-pressure slows the client; or it disconnects the client, as configured.

use std::{
    task::Context,
    time::{Duration, Instant},
};

use super::{
    super::{
        transport::Stream,
        worker::{SMALLEST_PUBLISH, Worker},
    },
    task::{Connection, Phase, keep_alive_deadline},
};
use crate::{
    codec::{self, Cut, PacketType},
    router::Count,
    session::CloseReason,
    types::ProtocolVersion,
};

/// A paused client is looked at this often, because limits may change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl<S: Stream> Connection<S> {
    /// Number of bytes that may be read now. `None`: none; the task is woken when that changes.
    #[cold]
    pub(crate) fn paced_room(&mut self, worker: &mut Worker, cx: &Context<'_>, now: Instant) -> Option<usize> {
        let (Phase::Open(open), Some(key), false) = (&self.phase, self.deadline, worker.draining) else {
            return Some(usize::MAX);
        };
        let (rates, disconnects) = {
            let limits = worker.shared.limits.load();
            (worker.shared.rates.of(self.caller.listener(), &limits), limits.publish_disconnects)
        };
        let paced = worker.paced.entry(key).or_default();
        let room = match paced.room(rates, now) {
            // one message beyond the limit is read, to detect that the client exceeds it
            Ok(room) if disconnects => room.saturating_add(SMALLEST_PUBLISH),
            Ok(room) => room,
            Err(_) if disconnects => SMALLEST_PUBLISH,
            Err(wait) => {
                if paced.waits_until.is_none_or(|until| until <= now) {
                    let until = now + wait.min(LOOK_AGAIN);
                    paced.waits_until = Some(until);
                    let (clock, waker) = (worker.shared.clock.clone(), cx.waker().clone());
                    tokio::spawn(async move {
                        clock.sleep_until(until).await;
                        waker.wake();
                    });
                }
                // the client is not silent: the server does not read from it
                self.read_by = keep_alive_deadline(worker, open.keep_alive, now);
                return None;
            }
        };
        if paced.waits_until.is_some() {
            // from here on its silence counts
            self.read_by = keep_alive_deadline(worker, open.keep_alive, now);
        }
        // a packet that has begun is read to its end
        let held = self.reader.held();
        Some(self.reader.need().max(held.saturating_add(room)))
    }

    /// Bytes were read. If the client was paused, it had sent too much.
    #[cold]
    pub(crate) fn note_waited(&mut self, worker: &mut Worker, bytes: usize, now: Instant) {
        let (Phase::Open(open), Some(key)) = (&self.phase, self.deadline) else { return };
        let Some(paced) = worker.paced.get_mut(&key) else { return };
        let waited = paced.waits_until.take().is_some() && bytes > 0;
        if waited && paced.slowed(now) {
            worker.local.count(Count::PublishRate, 1);
            worker.shared.lines.slowed(&self.caller.peer(), &(&open.client).into());
        }
    }

    /// Counts packets that were handled.
    #[cold]
    pub(crate) fn note_published(
        &mut self,
        worker: &mut Worker,
        packets: &[u8],
        now: Instant,
    ) -> Result<(), CloseReason> {
        let (Phase::Open(open), Some(key), false) = (&self.phase, self.deadline, worker.draining) else {
            return Ok(());
        };
        let (messages, bytes) = published(open.client.version(), packets);
        if messages == 0 {
            return Ok(());
        }
        let limits = worker.shared.limits.load();
        let rates = worker.shared.rates.of(self.caller.listener(), &limits);
        let is_within = worker.paced.entry(key).or_default().take(rates, messages, bytes, now);
        if is_within || !limits.publish_disconnects {
            return Ok(());
        }
        worker.local.count(Count::PublishRate, 1);
        Err(CloseReason::PublishRate)
    }
}

/// Number and bytes of the PUBLISH packets among these whole packets.
fn published(version: ProtocolVersion, mut packets: &[u8]) -> (u32, usize) {
    let (mut messages, mut bytes) = (0, 0);
    while let Ok(Cut::Frame(frame)) = codec::frame(version, packets, packets.len()) {
        if frame.first >> 4 == PacketType::Publish as u8 {
            messages += 1;
            bytes += frame.len;
        }
        packets = &packets[frame.len..];
    }
    (messages, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_among_packets_are_counted() {
        let packets = [&[0x30, 3, 0, 1, b't'][..], &[0xC0, 0], &[0x32, 6, 0, 1, b't', 0, 1, b'x'], &[0x40, 2, 0, 1]];
        assert_eq!(published(ProtocolVersion::V311, &packets.concat()), (2, 5 + 8));
        assert_eq!(published(ProtocolVersion::V311, &[]), (0, 0));
    }
}
