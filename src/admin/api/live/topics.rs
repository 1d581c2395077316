//! [`Topics`]: the last message of each topic, and the number of its messages since the last update.

use std::{
    hash::BuildHasher,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hashbrown::{HashMap, HashSet};
use serde_json::{Value, json};

use super::lane::{Lane, Most};
use crate::inside::Received;

/// Most messages that one update takes.
pub(super) const TAKEN: Most = Most { messages: 20_000, bytes: 64 << 20 };

/// Most topics that one page is told.
const MOST_TOPICS: usize = 50_000;

/// Most topics in one update; the others follow in the next one.
const TOPICS_AN_UPDATE: usize = 2_000;

/// Bytes of a payload that the tree shows: of text, and of other payloads.
const TEXT: usize = 240;
const BYTES: usize = 48;

/// The topics of one page.
pub(super) struct Topics {
    lane: Lane,
    /// Are payloads shown?
    payloads: bool,
    changed: HashMap<Box<str>, Changed>,
    /// Hashes of the topics that were sent to the page.
    known: HashSet<u64, foldhash::fast::RandomState>,
    /// Number of messages of topics beyond [`MOST_TOPICS`] since the last update.
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

    /// Number of messages lost since the last call.
    pub fn lost(&mut self) -> Option<u64> {
        Some(self.lane.missed()).filter(|lost| *lost > 0)
    }

    /// The changes since the last update; `None`: there are none.
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

/// The start of a payload: as text if it is text.
fn begin(payload: &[u8]) -> (Option<&str>, Option<String>) {
    let cut = &payload[..payload.len().min(TEXT)];
    match std::str::from_utf8(cut) {
        Ok(text) => (Some(text), None),
        // it was cut within a character
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
