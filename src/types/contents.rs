//! The contents of files: [`Contents`], and [`without_mark`].

use sha2::{Digest, Sha256};

/// Fingerprints of the files that something was made of, to find the files that changed. The contents themselves
/// are not stored: some of them are secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(Vec<(&'static str, [u8; 32])>);

impl Contents {
    /// Adds a file: its name for messages, and its bytes.
    pub fn add(&mut self, what: &'static str, bytes: &[u8]) {
        self.0.push((what, Sha256::digest(bytes).into()));
    }

    /// Adds all files of another.
    pub fn append(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The files that were there `before` and have other contents now. (The setting that names a new file reports
    /// that one.)
    pub fn changed_since(&self, before: &Self) -> Vec<&'static str> {
        let other = |(what, digest): &&(&'static str, [u8; 32])| {
            before.0.iter().any(|(also, other)| what == also && digest != other)
        };
        self.0.iter().filter(other).map(|(what, _)| *what).collect()
    }
}

/// Removes the byte order mark that some editors write at the beginning.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_files_are_listed() {
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
