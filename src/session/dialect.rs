//! [`Dialect`]: how packets to an MQTT 5 client are encoded: the properties of its CONNECT, and its Topic Aliases.
//! Clients of MQTT 3.1 and 3.1.1 have none.

use std::{collections::BTreeMap, sync::Arc};

use super::close::ProtocolError;
use crate::{
    codec::{Alias, MAX_REMAINING_LENGTH, Properties, PropertyId, Publish, PublishProperties, publish_len_5},
    types::QoS,
};

/// The properties of an MQTT 5 CONNECT that concern packets to the client (section 3.1.2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSays {
    /// Receive Maximum: QoS 1 and 2 messages that may be in flight to it.
    pub receive_maximum: u16,
    /// Maximum Packet Size, in bytes.
    pub maximum_packet_size: u32,
    /// Topic Alias Maximum: the number of aliases that the server may use.
    pub topic_alias_maximum: u16,
}

impl Default for ClientSays {
    fn default() -> Self {
        Self { receive_maximum: u16::MAX, maximum_packet_size: u32::MAX, topic_alias_maximum: 0 }
    }
}

/// The encoding for one connection.
#[derive(Debug)]
pub(super) struct Dialect {
    says: ClientSays,
    /// The server's Receive Maximum and Topic Alias Maximum from the CONNACK. They hold for the whole connection, even
    /// if the limits change.
    receive_maximum: u16,
    topic_alias_maximum: u16,
    /// In a box, because most clients allow none.
    aliases: Option<Box<Aliases>>,
    /// The topics of the client's own aliases. In a box, because most clients use none.
    known: Option<Box<KnownTopics>>,
}

impl Dialect {
    /// `told`: the properties of its CONNACK.
    pub(super) fn new(says: ClientSays, told: &Properties<'_>) -> Self {
        Self {
            says,
            receive_maximum: told.short(PropertyId::ReceiveMaximum).unwrap_or(u16::MAX),
            topic_alias_maximum: told.short(PropertyId::TopicAliasMaximum).unwrap_or_default(),
            aliases: None,
            known: None,
        }
    }

    /// Number of messages in flight that the client accepts, at most `most` [MQTT-3.3.4-9].
    #[inline]
    pub(super) fn window(&self, most: usize) -> usize {
        most.min(self.says.receive_maximum.into())
    }

    /// Number of its own QoS 1 and 2 messages that may be unacknowledged.
    pub(super) fn receive_maximum(&self) -> usize {
        self.receive_maximum.into()
    }

    /// The topic of the Topic Alias in a PUBLISH.
    pub(super) fn resolve(&mut self, publish: &Publish<'_>) -> Result<Option<Arc<str>>, ProtocolError> {
        let Some(number) = publish.properties.short(PropertyId::TopicAlias) else { return Ok(None) };
        if number > self.topic_alias_maximum {
            return Err(ProtocolError::TopicAliasTooLarge(number));
        }
        self.known.get_or_insert_default().resolve(publish, number).map(Some)
    }

    /// Calls `each` with all Topic Aliases: whether it is one of the client's, its number, its topic.
    pub(super) fn agreed(&self, each: &mut dyn FnMut(bool, u16, &str)) {
        let theirs = self.known.iter().flat_map(|known| known.places.iter().map(Option::as_deref));
        for (alias, topic) in (1..).zip(theirs) {
            topic.into_iter().for_each(|topic| each(true, alias, topic));
        }
        for (topic, alias) in self.aliases.iter().flat_map(|aliases| &aliases.numbers) {
            str::from_utf8(topic).into_iter().for_each(|topic| each(false, *alias, topic));
        }
    }

    /// Bytes of memory for the topics of its own aliases.
    pub(super) fn memory(&self) -> usize {
        let known = self.known.as_ref();
        known.map_or(0, |known| known.places.capacity() * size_of::<Option<Arc<str>>>() + known.texts)
    }

    /// Does it accept packets of any size?
    #[inline]
    pub(super) fn takes_all(&self) -> bool {
        self.says.maximum_packet_size as usize >= MAX_REMAINING_LENGTH + 5
    }

    /// Does it accept a packet of this size [MQTT-3.1.2-24]?
    pub(super) fn takes_bytes(&self, bytes: usize) -> bool {
        bytes <= self.says.maximum_packet_size as usize
    }

    /// Does it accept a PUBLISH with this topic, these properties and this payload length [MQTT-3.1.2-24]?
    pub(super) fn takes(&self, topic: &[u8], qos: QoS, properties: &PublishProperties<'_>, payload: usize) -> bool {
        self.takes_bytes(publish_len_5(topic.len(), qos, properties, payload))
    }

    /// May a PUBLISH to this topic have a Topic Alias?
    #[inline]
    pub(super) fn has_alias(&self, topic: &[u8]) -> bool {
        self.says.topic_alias_maximum > 0 && topic.len() > ALIAS_LEN
    }

    /// The Topic Alias for a PUBLISH that is sent now.
    pub(super) fn alias(
        &mut self,
        topic: &[u8],
        qos: QoS,
        properties: &PublishProperties<'_>,
        payload: usize,
    ) -> Option<Alias> {
        if !self.has_alias(topic) {
            return None;
        }
        // a new alias makes the packet longer
        let with_new = PublishProperties { alias: Some(Alias { number: 1, is_new: true }), ..*properties };
        let may_be_new = self.takes(topic, qos, &with_new, payload);
        self.aliases.get_or_insert_default().of(topic, self.says.topic_alias_maximum, may_be_new)
    }
}

/// Bytes of the property Topic Alias. A topic that is not longer gets no alias.
const ALIAS_LEN: usize = 3;

/// The topics that a client knows by an alias. If there are more topics than aliases, the most used topics keep theirs.
#[derive(Debug, Default)]
struct Aliases {
    numbers: BTreeMap<Box<[u8]>, u16>,
    /// Index: the alias minus 1.
    used: Vec<Used>,
    /// Where the search for an alias for the next topic begins.
    hand: usize,
    /// Bytes of the topics with an alias.
    bytes: usize,
}

/// Topics get no alias beyond these bytes, which are few enough not to be counted.
const MOST_BYTES: usize = 16 << 10;

#[derive(Debug)]
struct Used {
    topic: Box<[u8]>,
    /// Rises with each use, falls when another topic needs an alias. It begins with 1: otherwise topics that take
    /// turns, one more than there are aliases, would lose theirs before they use them.
    uses: u32,
}

/// The largest count of uses, so that a topic that is not sent any more loses its alias eventually.
const MOST_USES: u32 = 100;

impl Aliases {
    fn of(&mut self, topic: &[u8], most: u16, may_be_new: bool) -> Option<Alias> {
        if let Some(&number) = self.numbers.get(topic) {
            let used = &mut self.used[usize::from(number) - 1];
            used.uses = (used.uses + 1).min(MOST_USES);
            return Some(Alias { number, is_new: false });
        }
        if !may_be_new {
            return None;
        }
        let at = if self.used.len() < usize::from(most) && self.bytes + topic.len() <= MOST_BYTES {
            self.used.push(Used { topic: topic.into(), uses: 1 });
            self.used.len() - 1
        } else if self.used.is_empty() {
            return None;
        } else {
            let at = self.hand;
            self.hand = (at + 1) % self.used.len();
            let used = &mut self.used[at];
            if used.uses > 0 {
                used.uses -= 1;
                return None;
            }
            let others = self.bytes - used.topic.len();
            if others + topic.len() > MOST_BYTES {
                return None;
            }
            self.bytes = others;
            self.numbers.remove(&used.topic);
            *used = Used { topic: topic.into(), uses: 1 };
            at
        };
        self.bytes += topic.len();
        let number = u16::try_from(at + 1).ok()?;
        self.numbers.insert(topic.into(), number);
        Some(Alias { number, is_new: true })
    }
}

/// The topics of a client's own Topic Aliases. Index: the alias minus 1.
#[derive(Debug, Default)]
struct KnownTopics {
    places: Vec<Option<Arc<str>>>,
    /// Bytes of memory for their texts.
    texts: usize,
}

/// Bytes of a topic besides its text: the reference counts.
const TEXT_COST: usize = 2 * size_of::<usize>();

impl KnownTopics {
    /// The topic of a PUBLISH with the alias `number`. A topic in the PUBLISH is remembered.
    fn resolve(&mut self, publish: &Publish<'_>, number: u16) -> Result<Arc<str>, ProtocolError> {
        let Self { places, texts } = self;
        let at = usize::from(number) - 1;
        let topic = publish.topic.as_str();
        if topic.is_empty() {
            return places.get(at).cloned().flatten().ok_or(ProtocolError::TopicAliasUnknown(number));
        }
        if places.len() <= at {
            places.resize(at + 1, None);
        }
        let place = &mut places[at];
        if let Some(same) = place.as_ref().filter(|known| ***known == *topic) {
            return Ok(same.clone());
        }
        *texts += TEXT_COST + topic.len();
        let topic: Arc<str> = topic.into();
        if let Some(before) = place.replace(topic.clone()) {
            *texts -= TEXT_COST + before.len();
        }
        Ok(topic)
    }
}

/// An idle connection of MQTT 5 has this more than one of 3.1.1.
const _: () = assert!(size_of::<Dialect>() == 32);

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's side: what each number stands for, as the PUBLISH packets said.
    fn resolve(known: &mut BTreeMap<u16, String>, topic: &str, alias: Option<Alias>) {
        match alias {
            None => {}
            Some(Alias { number, is_new: true }) => _ = known.insert(number, topic.to_owned()),
            Some(Alias { number, is_new: false }) => assert_eq!(known[&number], topic),
        }
    }

    #[test]
    fn the_most_used_topics_keep_their_aliases() {
        let says = ClientSays { topic_alias_maximum: 2, ..ClientSays::default() };
        let (mut dialect, mut known) = (Dialect::new(says, &Properties::default()), BTreeMap::new());
        let mut send = |topic: &str| {
            let alias = dialect.alias(topic.as_bytes(), QoS::AtMostOnce, &PublishProperties::default(), 1);
            assert!(alias.is_none_or(|alias| (1..=2).contains(&alias.number)));
            resolve(&mut known, topic, alias);
            alias.is_some_and(|alias| !alias.is_new)
        };
        assert!(!send("often/1") && !send("often/2"));
        let mut short = 0;
        for n in 0..1_000 {
            short += usize::from(send("often/1")) + usize::from(send("often/2"));
            send(&format!("rare/{n}"));
        }
        assert!(short > 1_900, "{short} of 2000");
        assert!(!send("abc"), "a short topic needs none");
    }

    #[test]
    fn an_unused_topic_loses_its_alias() {
        let says = ClientSays { topic_alias_maximum: 2, ..ClientSays::default() };
        let mut dialect = Dialect::new(says, &Properties::default());
        let mut send = |topic: &str| dialect.alias(topic.as_bytes(), QoS::AtMostOnce, &PublishProperties::default(), 1);
        for _ in 0..100_000 {
            assert!(send("before/1").is_some() && send("before/2").is_some());
        }
        let waits = (0..100_000).take_while(|_| send("now/1").is_none()).count();
        assert!(waits < 500, "{waits} messages");
    }

    #[test]
    fn long_topics_have_aliases_up_to_a_bound_in_all() {
        let says = ClientSays { topic_alias_maximum: 1_000, ..ClientSays::default() };
        let mut dialect = Dialect::new(says, &Properties::default());
        let mut known = BTreeMap::new();
        for round in 0..50 {
            for n in 0..100 {
                let topic = format!("{n}/{}", "x".repeat(100 * (1 + (n + round) % 30)));
                let alias = dialect.alias(topic.as_bytes(), QoS::AtMostOnce, &PublishProperties::default(), 1);
                resolve(&mut known, &topic, alias);
                let aliases = dialect.aliases.as_deref().expect("the first topic got an alias");
                let used: usize = aliases.used.iter().map(|used| used.topic.len()).sum();
                assert!(used == aliases.bytes && used <= MOST_BYTES, "{used} bytes");
                assert_eq!(aliases.used.len(), aliases.numbers.len());
            }
        }
        assert!(known.len() > 5, "{}", known.len());
        let longest = [b'x'; MOST_BYTES + 1];
        let mut dialect = Dialect::new(says, &Properties::default());
        assert_eq!(dialect.alias(&longest, QoS::AtMostOnce, &PublishProperties::default(), 1), None);
    }

    #[test]
    fn the_maximum_packet_size_is_counted_to_the_byte() {
        for payload in 0..300 {
            let properties = PublishProperties { expiry: Some(1), ..PublishProperties::default() };
            let length = publish_len_5(3, QoS::AtLeastOnce, &properties, payload);
            let says = |maximum_packet_size| ClientSays { maximum_packet_size, ..ClientSays::default() };
            let takes = |most| {
                Dialect::new(says(most), &Properties::default()).takes(b"a/b", QoS::AtLeastOnce, &properties, payload)
            };
            assert!(takes(length as u32) && !takes(length as u32 - 1));
        }
    }

    #[test]
    fn a_new_alias_does_not_make_a_packet_too_long() {
        let properties = PublishProperties::default();
        let length = publish_len_5(7, QoS::AtMostOnce, &properties, 5) as u32;
        let says = ClientSays { maximum_packet_size: length, topic_alias_maximum: 9, ..ClientSays::default() };
        assert_eq!(Dialect::new(says, &Properties::default()).alias(b"a/b/c/d", QoS::AtMostOnce, &properties, 5), None);
        let says = ClientSays { maximum_packet_size: length + 3, ..says };
        let alias = Dialect::new(says, &Properties::default()).alias(b"a/b/c/d", QoS::AtMostOnce, &properties, 5);
        assert_eq!(alias, Some(Alias { number: 1, is_new: true }));
    }
}
