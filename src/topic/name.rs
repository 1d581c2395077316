//! [`TopicName`] and [`TopicFilter`]: text that is valid by type.

use thiserror::Error;

/// The most bytes of a Topic Name or Topic Filter: its length field has two bytes.
pub const MAX_LENGTH: usize = 65_535;

/// The prefix of the Topic Filter of a shared subscription (MQTT 5 section 4.8.2).
pub const SHARE_PREFIX: &str = "$share/";

/// A valid Topic Name: what a message is published to. No wildcards, at least one character, no U+0000.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TopicName(str);

/// A valid Topic Filter: what a client subscribes to. Wildcards stand alone in their level, `#` in the last one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TopicFilter(str);

/// The levels of a topic or filter: the texts between the separators.
#[derive(Clone, Debug)]
pub struct Levels<'a>(Option<&'a str>);

impl<'a> Levels<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self(Some(text))
    }
}

impl<'a> Iterator for Levels<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        // for levels of a few bytes much cheaper than `str::split`
        let text = self.0?;
        let (level, rest) = match memchr::memchr(b'/', text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        self.0 = rest;
        Some(level)
    }
}

/// Why a text is not a Topic Name or Topic Filter.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TopicError {
    /// Zero characters.
    #[error("is empty [MQTT-4.7.3-1]")]
    Empty,
    /// U+0000 inside.
    #[error("contains U+0000 [MQTT-4.7.3-2]")]
    Null,
    /// More than 65,535 bytes.
    #[error("is longer than 65,535 bytes [MQTT-4.7.3-3]")]
    TooLong,
    /// A Topic Name with `+` or `#`.
    #[error("has a wildcard, which only a Topic Filter may have [MQTT-3.3.2-2]")]
    WildcardInName,
    /// `#` that is not a whole level, or not the last.
    #[error("has a `#` that is not the whole last level [MQTT-4.7.1-2]")]
    MultiLevel,
    /// `+` that is not a whole level.
    #[error("has a `+` that is not a whole level [MQTT-4.7.1-3]")]
    SingleLevel,
}

/// The rules for both kinds of topic text.
fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > MAX_LENGTH {
        return Err(TopicError::TooLong);
    }
    Ok(())
}

impl TopicName {
    /// Checks `text` by sections 4.7.1 and 4.7.3.
    pub fn new(text: &str) -> Result<&Self, TopicError> {
        check_text(text)?;
        match memchr::memchr3(0, b'+', b'#', text.as_bytes()) {
            None => Ok(Self::from_valid(text)),
            Some(at) if text.as_bytes()[at] == 0 => Err(TopicError::Null),
            Some(_) => Err(TopicError::WildcardInName),
        }
    }

    /// For text that was a [`TopicName`] before: the caller is responsible.
    pub(crate) fn from_valid(text: &str) -> &Self {
        // SAFETY: `TopicName` is a transparent wrapper of `str`.
        #[allow(unsafe_code)]
        unsafe {
            &*(std::ptr::from_ref(text) as *const Self)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels: the texts between the separators, including empty ones (section 4.7.1.1).
    pub fn levels(&self) -> Levels<'_> {
        Levels::of(&self.0)
    }

    /// Begins with `$`: filters that begin with a wildcard do not match it [MQTT-4.7.2-1].
    pub fn is_dollar(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl TopicFilter {
    /// Checks `text` by sections 4.7.1 and 4.7.3. [`SharedFilter`](super::SharedFilter) checks the group name behind
    /// `$share/`, which is not a level of the topic.
    pub fn new(text: &str) -> Result<&Self, TopicError> {
        check_text(text)?;
        if memchr::memchr(0, text.as_bytes()).is_some() {
            return Err(TopicError::Null);
        }
        let behind_name = text.strip_prefix(SHARE_PREFIX).map(|name| name.split_once('/').map_or("", |(_, rest)| rest));
        let mut levels = behind_name.unwrap_or(text).split('/').peekable();
        while let Some(level) = levels.next() {
            match level {
                "+" => {}
                "#" if levels.peek().is_none() => {}
                _ if level.contains('#') => return Err(TopicError::MultiLevel),
                _ if level.contains('+') => return Err(TopicError::SingleLevel),
                _ => {}
            }
        }
        Ok(Self::from_valid(text))
    }

    /// For text that was a [`TopicFilter`] before: the caller is responsible.
    pub(crate) fn from_valid(text: &str) -> &Self {
        // SAFETY: `TopicFilter` is a transparent wrapper of `str`.
        #[allow(unsafe_code)]
        unsafe {
            &*(std::ptr::from_ref(text) as *const Self)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels, wildcards included.
    pub fn levels(&self) -> Levels<'_> {
        Levels::of(&self.0)
    }

    /// Does it have a `+` or a `#`? A filter without them is a Topic Name.
    pub fn has_wildcard(&self) -> bool {
        memchr::memchr2(b'+', b'#', self.0.as_bytes()).is_some()
    }

    /// Does `topic` match, as section 4.7 defines it? The indexes answer this for many filters at once; this is the
    /// definition they are tested against.
    pub fn matches(&self, topic: &TopicName) -> bool {
        if topic.is_dollar() && self.0.starts_with(['+', '#']) {
            return false;
        }
        let (mut filter, mut name) = (self.levels(), topic.levels());
        loop {
            match (filter.next(), name.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(f), Some(n)) if f == n => {}
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each text with what becomes of it as a Topic Name and as a Topic Filter.
    #[test]
    fn each_fault_is_named() {
        use TopicError::*;
        type Verdict = Result<(), TopicError>;

        let longest = "x".repeat(MAX_LENGTH);
        let too_long = "x".repeat(MAX_LENGTH + 1);
        // Two bytes a character: the limit counts bytes.
        let too_long_in_bytes = "ä".repeat(MAX_LENGTH / 2 + 1);
        let table: &[(&str, Verdict, Verdict)] = &[
            ("", Err(Empty), Err(Empty)),
            ("a\0b", Err(Null), Err(Null)),
            ("\0", Err(Null), Err(Null)),
            ("\0/+", Err(Null), Err(Null)),
            (&too_long, Err(TooLong), Err(TooLong)),
            (&too_long_in_bytes, Err(TooLong), Err(TooLong)),
            (&longest, Ok(()), Ok(())),
            ("a", Ok(()), Ok(())),
            ("/", Ok(()), Ok(())),
            ("//", Ok(()), Ok(())),
            ("/finance", Ok(()), Ok(())),
            ("Accounts payable", Ok(()), Ok(())),
            ("$SYS/", Ok(()), Ok(())),
            ("a$b/$", Ok(()), Ok(())),
            ("\u{FEFF}a", Ok(()), Ok(())),
            // Section 4.7.1.2.
            ("sport/tennis/player1/#", Err(WildcardInName), Ok(())),
            ("sport/#", Err(WildcardInName), Ok(())),
            ("#", Err(WildcardInName), Ok(())),
            ("sport/tennis/#", Err(WildcardInName), Ok(())),
            ("sport/tennis#", Err(WildcardInName), Err(MultiLevel)),
            ("sport/tennis/#/ranking", Err(WildcardInName), Err(MultiLevel)),
            ("#/", Err(WildcardInName), Err(MultiLevel)),
            ("##", Err(WildcardInName), Err(MultiLevel)),
            ("+#", Err(WildcardInName), Err(MultiLevel)),
            // Section 4.7.1.3.
            ("+", Err(WildcardInName), Ok(())),
            ("+/tennis/#", Err(WildcardInName), Ok(())),
            ("sport+", Err(WildcardInName), Err(SingleLevel)),
            ("+a", Err(WildcardInName), Err(SingleLevel)),
            ("++", Err(WildcardInName), Err(SingleLevel)),
            ("sport/+/player1", Err(WildcardInName), Ok(())),
            ("/+", Err(WildcardInName), Ok(())),
            ("+/", Err(WildcardInName), Ok(())),
            ("$SYS/#", Err(WildcardInName), Ok(())),
        ];
        for &(text, name, filter) in table {
            let shown: String = text.chars().take(40).collect();
            assert_eq!(TopicName::new(text).map(|name| assert_eq!(name.as_str(), text)), name, "{shown:?}");
            assert_eq!(TopicFilter::new(text).map(|filter| assert_eq!(filter.as_str(), text)), filter, "{shown:?}");
        }
    }

    /// The examples of section 4.7, and what lies beside them.
    #[test]
    fn filters_match_as_section_4_7_requires() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "sport/tennis/player1/#",
                &["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"],
                &["sport/tennis", "sport/tennis/player2", "sport/tennis/player10", "Sport/tennis/player1"],
            ),
            ("sport/#", &["sport", "sport/", "sport//", "sport/a/b"], &["sports", "/sport", "sport2/a"]),
            ("#", &["a", "/", "a/b/c", "/finance", "a/$b"], &["$SYS", "$SYS/monitor/Clients", "$"]),
            (
                "sport/tennis/+",
                &["sport/tennis/player1", "sport/tennis/player2", "sport/tennis/"],
                &["sport/tennis/player1/ranking", "sport/tennis"],
            ),
            ("sport/+", &["sport/", "sport/a"], &["sport", "sport/a/", "sport/a/b"]),
            ("sport/+/player1", &["sport/tennis/player1", "sport//player1"], &["sport/player1", "sport/a/b/player1"]),
            ("+", &["finance", "a"], &["/finance", "/", "$SYS"]),
            ("+/+", &["/finance", "/", "a/b"], &["finance", "a/b/c", "$SYS/a"]),
            ("/+", &["/finance", "/"], &["finance", "//", "/a/b"]),
            ("+/tennis/#", &["a/tennis", "/tennis", "a/tennis/b/c"], &["tennis", "a/b/tennis", "$a/tennis"]),
            ("$SYS/#", &["$SYS", "$SYS/", "$SYS/monitor/Clients"], &["SYS", "$SYSTEM/a", "a/$SYS"]),
            ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor", "$SYS/monitor/Clients/a"]),
            ("+/monitor/Clients", &["a/monitor/Clients"], &["$SYS/monitor/Clients"]),
            // Section 4.7.3: case, spaces and leading and trailing separators tell topics apart.
            ("ACCOUNTS", &["ACCOUNTS"], &["Accounts", "/ACCOUNTS", "ACCOUNTS/"]),
            ("Accounts payable", &["Accounts payable"], &["Accounts", "Accountspayable"]),
            ("a//b", &["a//b"], &["a/b", "a///b"]),
            ("a/+/b", &["a//b", "a/b/b"], &["a/b"]),
            // A byte order mark is a character like any other [MQTT-1.5.3-3].
            ("\u{FEFF}a", &["\u{FEFF}a"], &["a"]),
        ];
        for &(filter, matching, others) in table {
            let filter = TopicFilter::new(filter).unwrap();
            for topic in matching {
                assert!(TopicName::new(topic).is_ok_and(|topic| filter.matches(topic)), "{filter:?} {topic}");
            }
            for topic in others {
                assert!(TopicName::new(topic).is_ok_and(|topic| !filter.matches(topic)), "{filter:?} {topic}");
            }
        }
    }

    #[test]
    fn empty_levels_are_kept() {
        let levels = |text| TopicName::new(text).unwrap().levels().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(levels("a"), ["a"]);
        assert_eq!(levels("/"), ["", ""]);
        assert_eq!(levels("/a//b/"), ["", "a", "", "b", ""]);
        let long = "x".repeat(40);
        assert_eq!(levels(&format!("{long}/{long}/")), [&long, &long, ""]);
        assert!(TopicFilter::new("a/+").unwrap().has_wildcard());
        assert!(TopicFilter::new("a/#").unwrap().has_wildcard());
        assert!(!TopicFilter::new("a/b").unwrap().has_wildcard());
    }
}
