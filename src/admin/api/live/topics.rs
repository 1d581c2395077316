//! [`Topics`]: the last message of each topic, and how many there were since the last update.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::{
    super::super::feed::{Changed, Published, Tap},
    lane::{Lane, Most},
};

/// Messages that are taken of a lane for one update.
pub(super) const TAKEN: Most = Most { messages: 20_000, bytes: 64 << 20 };

/// Topics in one update; the others come with the next.
const TOPICS_AN_UPDATE: usize = 2_000;

/// Topics that were shown before are shown again at most so often in one update, on average: a reader sees no more.
const AGAIN_AN_UPDATE: usize = 75;

/// Bytes of a payload that are shown in the tree: as text, and of other payloads.
const TEXT: usize = 240;
const BYTES: usize = 48;

/// Bytes of a payload that have to be kept.
pub(super) const KEPT: usize = TEXT;

/// What one page is told of topics.
pub(super) struct Topics {
    tap: Tap,
    /// What is not told to observers comes from here; else it is there until retained messages were taken.
    lane: Option<Lane>,
    stays: bool,
    /// Messages that were lost and are not told yet.
    lost: u64,
    /// Are payloads shown?
    payloads: bool,
    /// Updates in which none is shown, after those that showed many.
    pause: usize,
}

impl Topics {
    /// `stays`: all messages come from the lane.
    pub fn new(tap: Tap, lane: Option<Lane>, stays: bool, payloads: bool) -> Self {
        Self { tap, lane, stays, lost: 0, payloads, pause: 0 }
    }

    /// Messages that were lost since this was asked the last time.
    pub fn lost(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.lost)).filter(|lost| *lost > 0)
    }

    /// What changed, as JSON, if anything did.
    pub fn update(&mut self, now: SystemTime) -> Option<String> {
        self.take_lane(now);
        self.pause = self.pause.saturating_sub(1);
        let (some, beyond) = {
            let mut waits = self.tap.waits(now);
            self.lost += std::mem::take(&mut waits.lost);
            if self.pause > 0 {
                return None;
            }
            waits.take_topics(TOPICS_AN_UPDATE)
        };
        (!some.is_empty() || beyond > 0).then(|| self.show(&some, beyond))
    }

    fn take_lane(&mut self, now: SystemTime) {
        let Self { tap, lane: Some(lane), stays, lost, .. } = self else { return };
        let more = lane.take(|received| {
            if received.at.is_some() && !*stays {
                return;
            }
            let publisher = received.publisher.as_ref().map(|publisher| &publisher.client);
            tap.waits(now).add(Published {
                topic: received.topic(),
                payload: received.payload(),
                qos: received.qos,
                retain: received.retain,
                client: publisher,
                properties: received.properties(),
                at: received.at,
            });
        });
        *lost += lane.missed();
        if !more && !*stays {
            self.lane = None;
        }
    }

    fn show(&mut self, some: &[Changed], beyond: u64) -> String {
        let mut out = String::from("{\"data\":[");
        for (at, one) in some.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            // a row of texts and numbers is always JSON
            out.push_str(&serde_json::to_string(&row(one, self.payloads)).unwrap_or_default());
        }
        self.pause = some.iter().filter(|one| !one.is_new).count() / AGAIN_AN_UPDATE;
        out.push_str("],\"beyond\":");
        out.push_str(&beyond.to_string());
        out.push('}');
        out
    }
}

/// Topic, messages, bytes of the last one, QoS, retained, text, base64, publisher, milliseconds of Unix time if it is
/// known.
type Row<'a> = (&'a str, u32, usize, u8, u8, Option<&'a str>, Option<String>, Option<&'a str>, Option<u64>);

fn row(one: &Changed, payloads: bool) -> Row<'_> {
    let (text, base64) = if payloads { begin(&one.begin, one.size) } else { (None, None) };
    let since = one.at.map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default());
    let at = since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let client = one.publisher.as_ref().map(|client| client.as_str());
    (&one.topic, one.count, one.size, one.qos as u8, u8::from(one.retain), text, base64, client, at)
}

/// The begin of a payload of so many bytes: as text where it is text.
fn begin(kept: &[u8], size: usize) -> (Option<&str>, Option<String>) {
    let cut = &kept[..kept.len().min(TEXT)];
    match std::str::from_utf8(cut) {
        Ok(text) => (Some(text), None),
        // it is cut within a character
        Err(error) if error.error_len().is_none() && cut.len() < size => {
            (std::str::from_utf8(&cut[..error.valid_up_to()]).ok(), None)
        }
        Err(_) => (None, Some(BASE64.encode(&cut[..cut.len().min(BYTES)]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payload: &[u8]) -> (Option<&str>, Option<String>) {
        begin(&payload[..payload.len().min(KEPT)], payload.len())
    }

    #[test]
    fn the_begin_of_a_payload() {
        assert_eq!(of(b""), (Some(""), None));
        assert_eq!(of("ä".as_bytes()), (Some("ä"), None));
        assert_eq!(of(&[0xff, 0x00]), (None, Some("/wA=".into())));
        let long = "a".repeat(TEXT - 1) + "ä and more";
        assert_eq!(of(long.as_bytes()), (Some(&long[..TEXT - 1]), None));
        // it ends within a character
        assert_eq!(of(&[0xc3]), (None, Some("ww==".into())));
    }
}
