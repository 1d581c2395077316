//! [`Topics`]: the last message of each topic, and how many there were since the last update.

use std::{
    hash::BuildHasher,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hashbrown::{HashMap, HashSet};
use serde_json::{Value, json};

use super::lane::{Lane, Most};
use crate::inside::Received;

/// Messages that are taken for one update.
pub(super) const TAKEN: Most = Most { messages: 20_000, bytes: 64 << 20 };

/// Topics that one page is told of.
const MOST_TOPICS: usize = 50_000;

/// Topics in one update; the others come with the next.
const TOPICS_AN_UPDATE: usize = 2_000;

/// Bytes of a payload that are shown in the tree: as text, and of other payloads.
const TEXT: usize = 240;
const BYTES: usize = 48;

/// What one page is told of topics.
pub(super) struct Topics {
    lane: Lane,
    /// Are payloads shown?
    payloads: bool,
    changed: HashMap<Box<str>, Changed>,
    /// Hashes of the topics that the page was told of.
    known: HashSet<u64, foldhash::fast::RandomState>,
    /// Messages of topics beyond [`MOST_TOPICS`] since the last update.
    beyond: u64,
}

/// A topic with messages since the last update.
struct Changed {
    count: u32,
    last: Received,
}

impl Topics {
    pub fn new(lane: Lane, payloads: bool) -> Self {
        let (changed, known) = (HashMap::default(), HashSet::default());
        Self { lane, payloads, changed, known, beyond: 0 }
    }

    /// Messages that were lost since this was asked the last time.
    pub fn lost(&mut self) -> Option<u64> {
        Some(self.lane.missed()).filter(|lost| *lost > 0)
    }

    /// What changed, if anything did.
    pub fn update(&mut self, now: SystemTime) -> Option<Value> {
        let Self { lane, changed, known, beyond, payloads } = self;
        lane.take(|received| {
            if let Some(one) = changed.get_mut(received.topic()) {
                one.count += 1;
                one.last = received.clone();
                return;
            }
            let hash = known.hasher().hash_one(received.topic());
            if known.len() >= MOST_TOPICS && !known.contains(&hash) {
                *beyond += 1;
                return;
            }
            known.insert(hash);
            changed.insert(received.topic().into(), Changed { count: 1, last: received.clone() });
        });
        if changed.is_empty() && *beyond == 0 {
            return None;
        }
        let mut data = Vec::new();
        let mut show = |one: &Changed| data.push(row(one, *payloads, now));
        if changed.len() <= TOPICS_AN_UPDATE {
            changed.drain().for_each(|(_, one)| show(&one));
        } else {
            let mut room = TOPICS_AN_UPDATE;
            changed.retain(|_, one| {
                let stays = room == 0;
                if !stays {
                    room -= 1;
                    show(one);
                }
                stays
            });
        }
        Some(json!({ "data": data, "beyond": std::mem::take(beyond) }))
    }
}

/// Topic, messages, bytes of the last one, QoS, retained, text, base64, publisher, milliseconds of Unix time.
fn row(Changed { count, last }: &Changed, payloads: bool, now: SystemTime) -> Value {
    let (text, base64) = if payloads { begin(last.payload()) } else { (None, None) };
    let client = last.publisher.as_ref().map(|publisher| publisher.client.as_str());
    let since = last.at.unwrap_or(now).duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let size = last.payload().len();
    json!([last.topic(), count, size, last.qos as u8, u8::from(last.retain), text, base64, client, at])
}

/// The begin of a payload: as text where it is text.
fn begin(payload: &[u8]) -> (Option<&str>, Option<String>) {
    let cut = &payload[..payload.len().min(TEXT)];
    match std::str::from_utf8(cut) {
        Ok(text) => (Some(text), None),
        // it is cut within a character
        Err(error) if error.error_len().is_none() && cut.len() < payload.len() => {
            (std::str::from_utf8(&cut[..error.valid_up_to()]).ok(), None)
        }
        Err(_) => (None, Some(BASE64.encode(&cut[..cut.len().min(BYTES)]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_payload_is_cut_between_characters() {
        assert_eq!(begin(b""), (Some(""), None));
        assert_eq!(begin("ä".as_bytes()), (Some("ä"), None));
        assert_eq!(begin(&[0xff, 0x00]), (None, Some("/wA=".into())));
        let long = "a".repeat(TEXT - 1) + "ä and more";
        assert_eq!(begin(long.as_bytes()), (Some(&long[..TEXT - 1]), None));
        // it ends within a character
        assert_eq!(begin(&[0xc3]), (None, Some("ww==".into())));
    }
}
