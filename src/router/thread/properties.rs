//! [`KnownProperties`]: the interpreted properties of the last PUBLISH that had some. Publishers mostly repeat their
//! properties, which then need not be interpreted again.

use std::time::{Duration, Instant};

use crate::{
    codec::{Properties, PropertiesBuf, PropertyId},
    session::Extras,
};

/// Properties that are not forwarded: each subscriber gets its own, or none.
const NOT_PASSED_ON: [PropertyId; 2] = [PropertyId::TopicAlias, PropertyId::MessageExpiryInterval];

/// The properties of a PUBLISH, and their meaning.
#[derive(Debug, Default)]
pub(crate) struct KnownProperties {
    /// As in the packet.
    said: PropertiesBuf,
    /// Those that are forwarded.
    left: PropertiesBuf,
    /// Message Expiry Interval, in seconds.
    expiry: Option<u32>,
}

impl KnownProperties {
    /// As in the packet.
    #[inline]
    pub(crate) fn said(&self) -> Properties<'_> {
        self.said.as_properties()
    }

    /// The parts of a PUBLISH with these properties besides its fields, if it arrives now. The next one is compared
    /// with it.
    #[inline]
    pub(crate) fn extras(&mut self, said: &Properties<'_>, now: Instant) -> Extras<'_> {
        if self.said().as_bytes() != said.as_bytes() {
            self.learn(said);
        }
        let expires = self.expiry.and_then(|seconds| now.checked_add(Duration::from_secs(seconds.into())));
        Extras { properties: self.left.as_properties(), expires }
    }

    fn learn(&mut self, said: &Properties<'_>) {
        self.said.clear();
        said.copy_without(&[], &mut self.said);
        self.left.clear();
        said.copy_without(&NOT_PASSED_ON, &mut self.left);
        self.expiry = said.number(PropertyId::MessageExpiryInterval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_properties_is_cached_for_repeated_ones() {
        let properties = |text: &str, expiry: Option<u32>| {
            let mut all = PropertiesBuf::default();
            all.text(PropertyId::ContentType, text);
            expiry.map(|seconds| all.number(PropertyId::MessageExpiryInterval, seconds));
            all.text(PropertyId::ResponseTopic, text);
            all
        };
        let (now, mut known) = (Instant::now(), KnownProperties::default());
        let long = "x".repeat(1_000);
        for (text, expiry) in
            [("a", Some(5)), ("a", Some(5)), ("a", None), (&*long, Some(7)), ("b", Some(7)), ("b", None)]
        {
            let (said, left) = (properties(text, expiry), properties(text, None));
            let extras = known.extras(&said.as_properties(), now);
            assert_eq!(extras.properties, left.as_properties());
            assert_eq!(extras.expires, expiry.map(|seconds| now + Duration::from_secs(seconds.into())));
            assert_eq!(known.said(), said.as_properties());
        }
    }
}
