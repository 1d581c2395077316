//! What files have in them: [`Contents`], and [`without_mark`].

use sha2::{Digest, Sha256};

/// The files that something was made of, as far as is needed to say which of them have other contents than another
/// time. Not the contents themselves, some of which are secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(Vec<(&'static str, [u8; 32])>);

impl Contents {
    /// One more file: what it is, in words for people, and its bytes.
    pub fn add(&mut self, what: &'static str, bytes: &[u8]) {
        self.0.push((what, Sha256::digest(bytes).into()));
    }

    /// All files of another.
    pub fn append(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// What was there `before` already and has other contents now. (What was not is told by the setting that names it.)
    pub fn changed_since(&self, before: &Self) -> Vec<&'static str> {
        let other = |(what, digest): &&(&'static str, [u8; 32])| {
            before.0.iter().any(|(also, other)| what == also && digest != other)
        };
        self.0.iter().filter(other).map(|(what, _)| *what).collect()
    }
}

/// A text without the byte order mark that some editors put in front of it.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told() {
        let of = |files: &[(&'static str, &str)]| {
            let mut contents = Contents::default();
            files.iter().for_each(|(what, text)| contents.add(what, text.as_bytes()));
            contents
        };
        let before = of(&[("users", "a"), ("rules", "b")]);
        assert_eq!(before.changed_since(&before), [""; 0]);
        assert_eq!(of(&[("users", "a"), ("rules", "c"), ("key", "d")]).changed_since(&before), ["rules"]);
        assert_ne!(of(&[("users", "a")]), before);
    }
}
