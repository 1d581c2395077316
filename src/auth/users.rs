//! [`Users`]: a password file in mosquitto's format. A line is a user name, a colon and a hash (see `password`). Empty
//! lines and those that begin with `#` are ignored.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::{
    AuthError,
    password::Hash,
    scram::{Cost, Mechanism},
};
use crate::types::without_mark;

/// The users of a password file.
#[derive(Debug)]
pub struct Users {
    by_name: HashMap<Box<str>, Arc<Hash>>,
    /// Hashes for unknown users: one for each user, and a name always gets the same one. So unknown names take as long
    /// as known ones, also in a file with several forms of hashes.
    decoys: Vec<Arc<Hash>>,
    /// The costs of SCRAM logins, without repetition: with SCRAM-SHA-256, and with SCRAM-SHA-512.
    scram: [Vec<Cost>; 2],
    /// `$7$` lines serve SCRAM-SHA-512.
    takes_pbkdf2: bool,
    hasher: RandomState,
}

impl Users {
    /// Parses a whole file. Errors name it `file`.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, AuthError> {
        Self::parse_lines(text, file, |_| {})
    }

    /// The same, and calls `each` for every user's line.
    pub(super) fn parse_lines(text: &[u8], file: &str, mut each: impl FnMut(Line<'_>)) -> Result<Self, AuthError> {
        let text = without_mark(text);
        let mut by_name = HashMap::new();
        let mut hashes = Vec::new();
        for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let wrong = |problem: String| AuthError::Line { file: file.into(), line, problem };
            let text = std::str::from_utf8(bytes).map_err(|_| wrong("not UTF-8".into()))?;
            let text = text.trim_end();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, hash) = text.split_once(':').ok_or_else(|| wrong(NO_COLON.into()))?;
            let name = name.trim_matches(' ');
            check_name(name).map_err(|problem| wrong(format!("the user name {problem}")))?;
            // mosquitto also stops at a second colon
            let hash = hash.split(':').next().unwrap_or_default().trim_matches(' ');
            let hash = Hash::parse(hash).map_err(|problem| wrong(format!("user {name:?}: {problem}")))?;
            let hash = Arc::new(hash);
            match by_name.entry(Box::from(name)) {
                Entry::Occupied(_) => {
                    return Err(wrong(format!("user {name:?} already exists in a line above; remove one of the two")));
                }
                Entry::Vacant(vacant) => _ = vacant.insert(hash.clone()),
            }
            each(Line { number: line, name, hash: &hash });
            hashes.push(hash);
        }
        if hashes.is_empty() {
            return Ok(Self::default());
        }
        // decoys with the same cost are shared
        let mut of_cost = HashMap::new();
        let decoy = |hash: &Arc<Hash>| of_cost.entry(hash.cost()).or_insert_with(|| Arc::new(hash.decoy())).clone();
        let decoys = hashes.iter().map(decoy).collect();
        Ok(Self { by_name, decoys, ..Self::default() })
    }

    /// Adds a user, or replaces its password. `true`: it existed.
    pub(super) fn insert(&mut self, name: &str, hash: Hash) -> bool {
        if self.by_name.is_empty() {
            self.decoys.clear();
        }
        self.decoys.push(Arc::new(hash.decoy()));
        self.by_name.insert(name.into(), Arc::new(hash)).is_some()
    }

    /// Computes the costs of SCRAM logins. Call it after all users were added. Returns the number of `$7$` lines that
    /// serve SCRAM, and the fewest iterations of one.
    pub(super) fn serve_scram(&mut self, takes_pbkdf2: bool) -> Option<(usize, u32)> {
        self.takes_pbkdf2 = takes_pbkdf2;
        self.scram = [Mechanism::Sha256, Mechanism::Sha512].map(|mechanism| {
            let costs = self.by_name.values().filter_map(|hash| hash.scram_cost(mechanism, takes_pbkdf2));
            costs.collect::<BTreeSet<_>>().into_iter().collect()
        });
        let pbkdf2 = self.by_name.values().filter_map(|hash| hash.pbkdf2_iterations());
        let (count, least) =
            pbkdf2.fold((0, u32::MAX), |(count, least), iterations| (count + 1, least.min(iterations)));
        (takes_pbkdf2 && count > 0).then_some((count, least))
    }

    /// The costs of SCRAM logins, without repetition; empty: there are none.
    pub(super) fn scram_costs(&self, mechanism: Mechanism) -> &[Cost] {
        &self.scram[usize::from(mechanism == Mechanism::Sha512)]
    }

    /// Do `$7$` lines serve SCRAM-SHA-512?
    pub(super) fn takes_pbkdf2(&self) -> bool {
        self.takes_pbkdf2
    }

    /// The hash of a user; for an unknown one, a decoy with the same cost. `true`: the user is known.
    pub(super) fn hash(&self, name: &str) -> (Arc<Hash>, bool) {
        let decoy = || self.decoys[(self.hasher.hash_one(name) % self.decoys.len() as u64) as usize].clone();
        self.by_name.get(name).map_or_else(|| (decoy(), false), |hash| (hash.clone(), true))
    }

    /// The hash of a user, if it is known.
    pub(super) fn get(&self, name: &str) -> Option<&Hash> {
        self.by_name.get(name).map(|hash| &**hash)
    }

    /// Is there such a user?
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The names, in any order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Are there no users?
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl Default for Users {
    fn default() -> Self {
        Self {
            by_name: HashMap::new(),
            decoys: vec![Arc::default()],
            scram: Default::default(),
            takes_pbkdf2: false,
            hasher: RandomState::new(),
        }
    }
}

/// A user's line.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) name: &'a str,
    pub(super) hash: &'a Arc<Hash>,
}

/// Why a password file cannot have this name, as the end of a sentence.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("is empty"),
        _ if name.len() > 65_535 => Err("is longer than the 65,535 bytes that MQTT has for it"),
        _ if name.contains(':') => Err("has a colon in it, which ends it in a password file"),
        _ if name.contains(['\n', '\r', '\0']) => Err("has a line end or NUL in it"),
        _ if name.starts_with('#') => Err("begins with #, which makes its line a comment"),
        _ if name.trim() != name => Err("begins or ends with a blank, which the file does not keep"),
        _ => Ok(()),
    }
}

const NO_COLON: &str = "no colon: a line is a user name, a colon and a hash; \"dunlin passwd\" writes such lines";

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str =
        "$6$8i/CLoA4ubpWFm3c$K2lpHhSlOfCTRBnAo3a9bx2FbeoBP7RRBU3MkxghvXkH+Cv5BsJxo+Qw00yMnZ7mxD7rLxE1fW0J6NmHrcKjPw==";

    #[test]
    fn a_file_as_mosquitto_passwd_writes_it() {
        let text = format!("# people\n\nbob:{HASH}\r\n  eve smith : {HASH}:more\nlast:{HASH}");
        let users = Users::parse(text.as_bytes(), "f").unwrap();
        assert_eq!((users.len(), users.is_empty()), (3, false));
        for name in ["bob", "eve smith", "last"] {
            let (hash, known) = users.hash(name);
            assert!(known && hash.is_of(b"secret2") && users.contains(name), "{name}");
        }
        let (hash, known) = users.hash("Bob");
        assert!(!known && !hash.is_of(b"secret2") && hash.cost() == users.hash("bob").0.cost());
        assert!(Users::parse(b"", "f").unwrap().is_empty());
    }

    #[test]
    fn an_unknown_user_name_takes_as_long_as_a_known_one() {
        let other = crate::auth::password::Hash::make(b"x");
        let users = Users::parse(format!("a:{HASH}\nb:{HASH}\nc:{other}\n").as_bytes(), "f").unwrap();
        let costs = ["a", "c"].map(|name| users.hash(name).0.cost());
        let of = |name: &str| users.hash(name).0.cost();
        let names: Vec<_> = (0..300).map(|n| format!("nobody {n}")).collect();
        let counts = [0, 1].map(|i| names.iter().filter(|name| of(name) == costs[i]).count());
        assert_eq!(counts.iter().sum::<usize>(), 300);
        assert!(counts[0] > counts[1] && counts[1] > 50, "{counts:?}: two to one");
        assert!(names.iter().all(|name| of(name) == of(name)), "always the same");
    }

    #[test]
    fn an_invalid_line_is_reported_and_no_user_is_loaded() {
        let table = [
            ("bob", 2, "no colon"),
            (":$6$AAAA$AAAA", 2, "the user name is empty"),
            ("bob:secret", 2, "user \"bob\": no hash of a password"),
            ("eve:$6$AAAA", 2, "user \"eve\": the hash ends"),
            ("one:HASH", 2, "user \"one\" already exists"),
        ];
        for (text, at, said) in table {
            let text = format!("one:{HASH}\n{}\ntwo:{HASH}\n", text.replace("HASH", HASH));
            match Users::parse(text.as_bytes(), "f").unwrap_err() {
                AuthError::Line { file, line, problem } => {
                    assert_eq!((&*file, line), ("f", at), "{text}");
                    assert!(problem.starts_with(said), "{problem}");
                    assert!(!problem.contains("secret"), "{problem}");
                }
                other => panic!("{other}"),
            }
        }
        assert!(Users::parse(b"\xFF:\n", "f").unwrap_err().to_string().starts_with("f:1: not UTF-8"));
    }
}
