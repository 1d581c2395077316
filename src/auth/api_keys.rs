//! [`ApiKey`]: keys by which programs log in over HTTP: a file with a line for each, `name:role:SHA-256:expires`. The
//! key itself is in no file. It is random, so that its hash need not be slow.

use std::{path::Path, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use super::{
    AuthError,
    edit::{rewrite, with_line},
    files,
};
use crate::types::{Role, without_mark};

/// A stored key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The name of the key.
    pub name: String,
    /// The role of a program that has it.
    pub role: Role,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// When it expires; `None`: never.
    pub expires: Option<SystemTime>,
}

/// Prefix of every key, by which scanners of sources find a key that was published by mistake.
const PREFIX: &str = "dunlin_";

const SETTING: &str = "http.keys_file";
const NEVER: &str = "never";
const NO_KEYS: &str = "# no keys\n";

impl ApiKey {
    /// The keys of a file.
    pub fn read(path: &Path) -> Result<Vec<Self>, AuthError> {
        Self::parse(&files::read_not_empty(path, SETTING)?, &path.display().to_string())
    }

    /// Makes a key and puts it into a file, which is made if it is missing. Gives the key, which is shown once.
    pub fn add(path: &Path, name: &str, role: Role, expires: Option<SystemTime>) -> Result<(String, Self), AuthError> {
        check_name(name).map_err(|problem| of_name(name, problem))?;
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| AuthError::Unwritable {
            file: path.display().to_string(),
            reason: std::io::Error::other("the system gives no random bytes"),
        })?;
        let key = format!("{PREFIX}{}", BASE64.encode(random));
        let digest = Sha256::digest(key.as_bytes()).into();
        rewrite(path, SETTING, true, |text, file| {
            if Self::parse(text, file)?.iter().any(|known| known.name == name) {
                return Err(AuthError::Exists { file: file.into(), what: format!("key {name:?}") });
            }
            let new = with_line(text, name, Some(&line(name, role, &digest, expires)), NO_KEYS);
            // whole seconds, because the file has no fractions
            let added = Self::parse(new.as_bytes(), file)?.into_iter().find(|known| known.name == name);
            let added = added.ok_or_else(|| of_name(name, "cannot be written"))?;
            Ok((new, (key, added)))
        })
    }

    /// Deletes a key from a file.
    pub fn delete(path: &Path, name: &str) -> Result<(), AuthError> {
        rewrite(path, SETTING, false, |text, file| {
            match Self::parse(text, file)?.iter().any(|known| known.name == name) {
                true => Ok((with_line(text, name, None, NO_KEYS), ())),
                false => Err(AuthError::Unknown { file: file.into(), what: format!("key {name:?}") }),
            }
        })
    }

    fn parse(text: &[u8], file: &str) -> Result<Vec<Self>, AuthError> {
        let mut keys: Vec<Self> = Vec::new();
        for (number, line) in (1..).zip(without_mark(text).split(|byte| *byte == b'\n')) {
            let wrong = |problem: String| AuthError::Line { file: file.to_owned(), line: number, problem };
            let line = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8".into()))?.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = Self::of_line(line).map_err(wrong)?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(wrong(format!(
                    "key {:?} is there already, in a line above; remove one of the two",
                    key.name
                )));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn of_line(line: &str) -> Result<Self, String> {
        let parts: Vec<_> = line.splitn(4, ':').collect();
        let [name, role, digest, expires] = parts[..] else {
            return Err("name:role:SHA-256:expires is expected, as dunlin key add writes it".into());
        };
        check_name(name).map_err(|problem| format!("{name:?} {problem}"))?;
        let known = Role::ALL.into_iter().find(|known| known.name() == role);
        let role = known.ok_or_else(|| format!("{role:?} is not a role; write viewer, operator or admin"))?;
        let digest = hex(digest).ok_or("the SHA-256 of a key has 64 hexadecimal digits")?;
        let expires = match expires {
            NEVER => None,
            time => Some(
                humantime::parse_rfc3339(time)
                    .map_err(|_| format!("{time:?} is not a time such as 2026-01-31T12:00:00Z, nor {NEVER:?}"))?,
            ),
        };
        Ok(Self { name: name.to_owned(), role, digest, expires })
    }
}

fn line(name: &str, role: Role, digest: &[u8; 32], expires: Option<SystemTime>) -> String {
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let expires = expires.map_or_else(|| NEVER.to_owned(), |at| humantime::format_rfc3339_seconds(at).to_string());
    format!("{name}:{}:{digest}:{expires}", role.name())
}

fn of_name(name: &str, problem: &'static str) -> AuthError {
    AuthError::KeyName { name: name.into(), problem }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.', '@'].contains(&c);
    match !name.is_empty() && name.len() <= 100 && name.chars().all(fits) {
        true => Ok(()),
        false => Err("is not a name for a key; take 1 to 100 letters, digits and - _ . @"),
    }
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    #[test]
    fn keys_are_added_and_deleted_and_the_file_has_only_hashes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (first, added) = ApiKey::add(&path, "ci", Role::Viewer, Some(at + Duration::from_millis(900))).unwrap();
        assert_eq!((added.role, added.expires), (Role::Viewer, Some(at)));
        assert!(first.starts_with("dunlin_") && !fs::read_to_string(&path).unwrap().contains(&first));
        fs::write(&path, format!("# programs\n{}", fs::read_to_string(&path).unwrap())).unwrap();
        let (second, _) = ApiKey::add(&path, "ops", Role::Admin, None).unwrap();
        assert_ne!(first, second);
        let keys = ApiKey::read(&path).unwrap();
        assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["ci", "ops"]);
        assert_eq!(keys[0].digest, <[u8; 32]>::from(Sha256::digest(&first)));
        assert!(ApiKey::add(&path, "ops", Role::Viewer, None).is_err(), "another program has it");
        assert_eq!(ApiKey::read(&path).unwrap(), keys);
        for name in ["ci", "ops"] {
            ApiKey::delete(&path, name).unwrap();
            assert!(ApiKey::delete(&path, name).is_err());
        }
        assert_eq!(ApiKey::read(&path).unwrap(), []);
        assert_eq!(fs::read_to_string(&path).unwrap(), "# programs\n");
        for bad in ["", "a:b", "#a", " a", "a\nb", &"a".repeat(101)] {
            assert!(ApiKey::add(&path, bad, Role::Viewer, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told() {
        let digest = "0".repeat(64);
        for (line, words) in [
            ("ci".to_owned(), "name:role:SHA-256:expires is expected"),
            (format!("ci:boss:{digest}:never"), "\"boss\" is not a role"),
            ("ci:admin:00:never".to_owned(), "64 hexadecimal digits"),
            (format!("ci:admin:{digest}:soon"), "is not a time"),
            (format!("c i:admin:{digest}:never"), "is not a name for a key"),
            (format!("a:admin:{digest}:never\na:admin:{digest}:never"), "is there already"),
        ] {
            let error = ApiKey::parse(line.as_bytes(), "keys").unwrap_err().to_string();
            assert!(error.starts_with("keys:") && error.contains(words), "{error}");
        }
    }
}
