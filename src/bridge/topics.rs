//! [`Topics`]: the mapping of topics between both brokers. The first topic of the configuration that matches decides,
//! as with mosquitto.

use super::options::Topic;
use crate::{
    topic::{TopicFilter, TopicName},
    types::QoS,
};

/// The topics of a bridge.
pub(super) struct Topics {
    out: Vec<Mapping>,
    into: Vec<Mapping>,
}

/// One of them, in one direction.
struct Mapping {
    /// The Topic Filter at the broker from which a message comes.
    filter: String,
    /// The same at the broker to which it goes.
    other: String,
    /// The prefix that is removed, and the one that replaces it; whole topics if there is no pattern.
    from: String,
    to: String,
    is_whole: bool,
    qos: QoS,
}

impl Topics {
    pub(super) fn new(topics: &[Topic]) -> Self {
        let out = topics.iter().filter(|topic| topic.passes.out);
        let into = topics.iter().filter(|topic| topic.passes.into);
        Self {
            out: out.map(|topic| Mapping::new(topic, &topic.local, &topic.remote)).collect(),
            into: into.map(|topic| Mapping::new(topic, &topic.remote, &topic.local)).collect(),
        }
    }

    /// The filters of outgoing messages with their highest QoS, each once.
    pub(super) fn out_filters(&self) -> Vec<(&str, QoS)> {
        once(&self.out)
    }

    /// The same of incoming messages.
    pub(super) fn in_filters(&self) -> Vec<(&str, QoS)> {
        once(&self.into)
    }

    /// The highest QoS of a message that goes to the other broker. `None`: no topic of the bridge matches.
    pub(super) fn qos_there(&self, here: &TopicName) -> Option<QoS> {
        self.out.iter().find(|mapping| mapping.matches(here)).map(|mapping| mapping.qos)
    }

    /// Writes a topic's name at the other broker to `there`. `false`: no topic of the bridge matches.
    pub(super) fn to_there(&self, here: &TopicName, there: &mut String) -> bool {
        mapped(&self.out, here, there)
    }

    /// Writes the name of the other broker's topic at this broker to `here`. `false`: no topic of the bridge matches.
    pub(super) fn to_here(&self, there: &TopicName, here: &mut String) -> bool {
        mapped(&self.into, there, here)
    }
}

impl Topics {
    /// May a message with this topic, as it is called here, have come from the other broker?
    pub(super) fn comes_from_there(&self, here: &TopicName) -> bool {
        self.into.iter().any(|mapping| {
            // cheaper than the filter, and it decides in most cases
            here.as_str().starts_with(&mapping.to)
                && TopicFilter::new(&mapping.other).is_ok_and(|filter| filter.matches(here))
        })
    }
}

fn once(mappings: &[Mapping]) -> Vec<(&str, QoS)> {
    let mut all: Vec<(&str, QoS)> = Vec::new();
    for mapping in mappings {
        match all.iter_mut().find(|(filter, _)| *filter == mapping.filter) {
            Some((_, qos)) => *qos = mapping.qos.max(*qos),
            None => all.push((&mapping.filter, mapping.qos)),
        }
    }
    all
}

fn mapped(mappings: &[Mapping], topic: &TopicName, out: &mut String) -> bool {
    let found = mappings.iter().find(|mapping| mapping.matches(topic));
    if let Some(mapping) = found {
        out.clear();
        out.push_str(&mapping.to);
        if !mapping.is_whole {
            out.push_str(topic.as_str().get(mapping.from.len()..).unwrap_or_default());
        }
    }
    found.is_some_and(|_| TopicName::new(out).is_ok())
}

impl Mapping {
    fn new(topic: &Topic, from: &str, to: &str) -> Self {
        Self {
            filter: format!("{from}{}", topic.pattern),
            other: format!("{to}{}", topic.pattern),
            from: from.into(),
            to: to.into(),
            is_whole: topic.pattern.is_empty(),
            qos: topic.qos,
        }
    }

    fn matches(&self, topic: &TopicName) -> bool {
        TopicFilter::new(&self.filter).is_ok_and(|filter| filter.matches(topic))
            // `a/#` matches `a`, which the prefix `a/` is not in front of
            && topic.as_str().starts_with(&self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::options::Passes, *};

    fn topic(pattern: &str, local: &str, remote: &str) -> Topic {
        let passes = Passes { out: true, into: true };
        Topic { pattern: pattern.into(), passes, qos: QoS::AtLeastOnce, local: local.into(), remote: remote.into() }
    }

    #[test]
    fn topics_have_their_names_on_both_sides() {
        let topics = Topics::new(&[topic("", "here", "there"), topic("+/t", "l/", "r/"), topic("#", "", "all/")]);
        let table = [("here", "there"), ("l/a/t", "r/a/t"), ("l/a/b", "all/l/a/b"), ("x", "all/x")];
        for (here, there) in table {
            let mut mapped = String::new();
            assert!(topics.to_there(TopicName::new(here).unwrap(), &mut mapped));
            assert_eq!(mapped, there);
            assert!(topics.to_here(TopicName::new(there).unwrap(), &mut mapped));
            assert_eq!(mapped, here);
        }
        let mut mapped = String::new();
        assert!(!topics.to_here(TopicName::new("else").unwrap(), &mut mapped));
        assert!(!topics.to_there(TopicName::new("$SYS/a").unwrap(), &mut mapped));
    }

    #[test]
    fn a_topic_that_is_only_the_prefix_does_not_pass() {
        let topics = Topics::new(&[topic("#", "l/", "r/")]);
        let mut mapped = String::new();
        assert!(!topics.to_there(TopicName::new("l").unwrap(), &mut mapped));
        assert!(topics.to_there(TopicName::new("l/").unwrap(), &mut mapped));
        assert_eq!(mapped, "r/");
    }

    #[test]
    fn a_filter_is_subscribed_once_at_its_highest_qos() {
        let low = Topic { qos: QoS::AtMostOnce, ..topic("a", "", "") };
        let topics = Topics::new(&[low, topic("a", "", ""), topic("b", "", "x/")]);
        assert_eq!(topics.out_filters(), [("a", QoS::AtLeastOnce), ("b", QoS::AtLeastOnce)]);
        assert_eq!(topics.in_filters(), [("a", QoS::AtLeastOnce), ("x/b", QoS::AtLeastOnce)]);
    }
}
