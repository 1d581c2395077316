//! [`Choice`]: selects the events that a webhook sends.

use super::options::Options;
use crate::{
    router::{EventKinds, inspect::Happened},
    topic::{TopicFilter, TopicName},
    types::{PayloadForm, Told},
};

/// Selects the events that a webhook sends.
pub(super) struct Choice {
    events: Vec<Told>,
    filter: Vec<String>,
    clients: String,
}

impl Choice {
    pub(super) fn new(options: &Options) -> Self {
        let Options { events, filter, clients, durable, .. } = options;
        // messages of a durable webhook come from its session
        let is_of_session = |told: Told| durable.is_some() && told == Told::MessagePublished;
        let events = events.iter().copied().filter(|told| is_of_stream(*told) && !is_of_session(*told)).collect();
        Self { events, filter: filter.clone(), clients: clients.clone() }
    }

    /// These events of all clients.
    pub(super) fn of_all(events: impl Iterator<Item = Told>) -> Self {
        Self { events: events.filter(|told| is_of_stream(*told)).collect(), filter: Vec::new(), clients: "*".into() }
    }

    /// The kinds of events that the selected events are made of.
    pub(super) fn kinds(&self, payload: PayloadForm) -> EventKinds {
        let kinds = self.events.iter().fold(EventKinds::NONE, |all, told| all | EventKinds::of(*told));
        let has_payload = kinds.have(EventKinds::PUBLISH | EventKinds::WILL) && payload != PayloadForm::None;
        if has_payload { kinds | EventKinds::PAYLOADS } else { kinds }
    }

    /// The name under which this event is sent; `None`: it is not sent.
    pub(super) fn told(&self, happened: &Happened) -> Option<Told> {
        let told = happened.told().filter(|told| self.events.contains(told))?;
        let client = happened.client.as_ref().map(|client| client.as_str());
        // clients within the process are not reported, but messages that they publish are; no client of the network
        // that is refused is one of them
        let is_always = matches!(told, Told::MessagePublished | Told::ClientRefused | Told::ClientBanned);
        let is_own = !is_always && client.is_some_and(|client| client.starts_with('$'));
        let is_of_client = match client {
            Some(client) => is_match(&self.clients, client),
            None => self.clients == "*" || told.is_of_broker(),
        };
        let is_of_topic = happened.topic().is_none_or(|topic| self.has_topic(topic));
        (!is_own && is_of_client && is_of_topic).then_some(told)
    }

    fn has_topic(&self, topic: &str) -> bool {
        let Ok(name) = TopicName::new(topic) else { return false };
        let matches = |filter: &String| TopicFilter::new(filter).is_ok_and(|filter| filter.matches(name));
        !topic.starts_with('$') && self.filter.iter().any(matches)
    }
}

/// Does the event come from a stream? The others are passed to [`Hooks::tell`](super::Hooks::tell).
fn is_of_stream(told: Told) -> bool {
    !matches!(told, Told::BrokerStarted | Told::BrokerStopping)
}

/// Does the pattern, in which `*` means any characters, match the whole text?
fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_comes_from_its_own_kind_and_no_other() {
        let names = [
            (EventKinds::CONNECT, "client.connected"),
            (EventKinds::DISCONNECT, "client.disconnected"),
            (EventKinds::REFUSE, "client.refused"),
            (EventKinds::BAN, "client.banned"),
            (EventKinds::SUBSCRIBE, "client.subscribed"),
            (EventKinds::UNSUBSCRIBE, "client.unsubscribed"),
            (EventKinds::SESSION_EXPIRED, "session.expired"),
            (EventKinds::PUBLISH, "message.published"),
            (EventKinds::DELIVER, "message.delivered"),
            (EventKinds::ACKNOWLEDGE, "message.acknowledged"),
            (EventKinds::DROP, "message.dropped"),
            (EventKinds::WILL, "will.published"),
            (EventKinds::STORE, "store.condition"),
            (EventKinds::BRIDGE, "bridge.up"),
            (EventKinds::BRIDGE, "bridge.down"),
        ];
        for (name, told) in Told::WORDS.iter().filter(|(_, told)| is_of_stream(*told)) {
            let expected = names.iter().find(|(_, known)| known == name).map(|(kind, _)| *kind);
            assert_eq!(Some(Choice::of_all([*told].into_iter()).kinds(PayloadForm::None)), expected, "{name}");
        }
    }

    #[test]
    fn a_star_in_a_pattern_matches_any_characters_of_a_client_identifier() {
        let table = [
            ("*", "", true),
            ("*", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("ab*ba", "aba", false),
            ("*x*y*", "1x2y3", true),
            ("*x*y*", "1y2x3", false),
            ("a**b", "ab", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }
}
