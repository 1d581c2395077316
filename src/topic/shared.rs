//! [`SharedFilter`]: the parts of the Topic Filter of a shared subscription (MQTT 5 section 4.8.2): `$share/`, the name
//! of a group, and the filter whose messages its members share.

use thiserror::Error;

use super::name::{SHARE_PREFIX, TopicFilter};

/// A shared subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedFilter<'a> {
    /// The ShareName.
    pub group: &'a str,
    /// The filter for topics.
    pub filter: &'a TopicFilter,
}

/// Why a Topic Filter with the prefix `$share/` is not a shared subscription.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ShareError {
    /// `$share//…`.
    #[error("its group has no name [MQTT-4.8.2-1]")]
    NoName,
    /// `$share/a+/…`.
    #[error("its group's name has a wildcard [MQTT-4.8.2-2]")]
    Wildcard,
    /// `$share/group` or `$share/group/`.
    #[error("it has no Topic Filter behind its group's name [MQTT-4.8.2-2]")]
    NoFilter,
}

impl<'a> SharedFilter<'a> {
    /// `None`: the filter is not shared.
    pub fn of(whole: &'a TopicFilter) -> Option<Result<Self, ShareError>> {
        whole.as_str().strip_prefix(SHARE_PREFIX).map(Self::parse)
    }

    fn parse(behind: &'a str) -> Result<Self, ShareError> {
        let (group, filter) = behind.split_once('/').unwrap_or((behind, ""));
        match () {
            () if group.is_empty() => Err(ShareError::NoName),
            () if group.contains(['+', '#']) => Err(ShareError::Wildcard),
            () if filter.is_empty() => Err(ShareError::NoFilter),
            // the levels behind the name were checked with the whole filter
            () => Ok(Self { group, filter: TopicFilter::from_valid(filter) }),
        }
    }
}

impl TopicFilter {
    /// The filter for topics: that behind `$share/group/`, or itself.
    pub fn behind_share(&self) -> &TopicFilter {
        match SharedFilter::of(self) {
            Some(Ok(shared)) => shared.filter,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each text with its group and filter, or its fault.
    #[test]
    fn each_fault_of_a_shared_filter_is_named() {
        use ShareError::*;
        type Parsed = Result<(&'static str, &'static str), ShareError>;
        let table: &[(&str, Option<Parsed>)] = &[
            ("$share/g/t", Some(Ok(("g", "t")))),
            ("$share/g/#", Some(Ok(("g", "#")))),
            ("$share/g/+/a", Some(Ok(("g", "+/a")))),
            ("$share/g//", Some(Ok(("g", "/")))),
            ("$share/g//t", Some(Ok(("g", "/t")))),
            ("$share/ /t", Some(Ok((" ", "t")))),
            ("$share/ä$/t", Some(Ok(("ä$", "t")))),
            ("$share/g/$SYS/#", Some(Ok(("g", "$SYS/#")))),
            ("$share/g/$share/h/t", Some(Ok(("g", "$share/h/t")))),
            ("$share/", Some(Err(NoName))),
            ("$share//", Some(Err(NoName))),
            ("$share//t", Some(Err(NoName))),
            ("$share///", Some(Err(NoName))),
            ("$share/#", Some(Err(Wildcard))),
            ("$share/+", Some(Err(Wildcard))),
            ("$share/+/t", Some(Err(Wildcard))),
            ("$share/+/#", Some(Err(Wildcard))),
            ("$share/g+/t", Some(Err(Wildcard))),
            ("$share/#g/t", Some(Err(Wildcard))),
            ("$share/g#", Some(Err(Wildcard))),
            ("$share/g", Some(Err(NoFilter))),
            ("$share/g/", Some(Err(NoFilter))),
            ("$share", None),
            ("$Share/g/t", None),
            ("$shared/g/t", None),
            ("/$share/g/t", None),
            ("a/$share/g/t", None),
            ("#", None),
        ];
        for &(text, expected) in table {
            let filter = TopicFilter::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let parsed = SharedFilter::of(filter);
            let parsed = parsed.map(|parsed| parsed.map(|shared| (shared.group, shared.filter.as_str())));
            assert_eq!(parsed, expected, "{text}");
            let behind = expected.and_then(Result::ok).map_or(text, |(_, behind)| behind);
            assert_eq!(filter.behind_share().as_str(), behind);
            assert!(TopicFilter::new(behind).is_ok(), "{text}");
        }
        // the part after the name is a filter, or the whole is invalid
        for text in ["$share/g/a+", "$share/g/#/a", "$share/g/a#", "$share/g+/a#", "$share/#/#/a"] {
            assert!(TopicFilter::new(text).is_err(), "{text}");
        }
    }
}
