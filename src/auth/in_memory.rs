//! Users and rules from the embedding program, in addition to those of files.

use std::{collections::BTreeMap, fmt};

use super::{AuthError, Rules, Users, check_password, password::Hash, users::check_name};
use crate::types::Contents;

/// Users and rules without a file. Users are kept as hashes, so that a reload that finds them unchanged disconnects no
/// client.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct InMemory {
    /// The text of a hash, by name.
    users: BTreeMap<String, String>,
    /// The text of an ACL file.
    rules: Option<String>,
}

impl InMemory {
    /// Adds a user with this password, or replaces the one with the same name. Hashing takes some ten milliseconds.
    pub fn add_user(&mut self, name: &str, password: &[u8]) -> Result<(), AuthError> {
        let wrong = |problem| AuthError::UserName { name: name.into(), problem };
        check_name(name).map_err(wrong)?;
        check_password(password).map_err(|problem| AuthError::Setting {
            key: USERS,
            problem: format!("the password of {name:?} {problem}"),
        })?;
        self.users.insert(name.into(), Hash::make(password));
        Ok(())
    }

    /// Removes a user. `false`: there is none with this name here.
    pub fn remove_user(&mut self, name: &str) -> bool {
        self.users.remove(name).is_some()
    }

    /// Sets rules in the format of an ACL file, in place of `auth.acl_file`; `None`: those of the file.
    pub fn set_rules(&mut self, rules: Option<&str>) -> Result<(), AuthError> {
        if let Some(text) = rules {
            Rules::parse(text.as_bytes(), RULES)?;
        }
        self.rules = rules.map(str::to_owned);
        Ok(())
    }

    /// Does it have this user?
    pub(super) fn has_user(&self, name: &str) -> bool {
        self.users.contains_key(name)
    }

    /// Adds the users to the others.
    pub(super) fn add_to(&self, users: &mut Option<Users>, contents: &mut Contents) -> Result<(), AuthError> {
        for (name, hash) in &self.users {
            let wrong = |problem| AuthError::Setting { key: USERS, problem };
            users.get_or_insert_default().insert(name, Hash::parse(hash).map_err(wrong)?);
        }
        let lines: Vec<_> = self.users.iter().map(|(name, hash)| format!("{name}:{hash}")).collect();
        contents.add("users (of the program)", lines.join("\n").as_bytes());
        Ok(())
    }

    /// The rules that replace those of a file.
    pub(super) fn rules(&self, contents: &mut Contents) -> Result<Option<Rules>, AuthError> {
        let Some(text) = &self.rules else { return Ok(None) };
        contents.add("rules (of the program)", text.as_bytes());
        Rules::parse(text.as_bytes(), RULES).map(Some)
    }
}

/// Without hashes.
impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.users.keys().collect();
        f.debug_struct("InMemory").field("users", &users).field("rules", &self.rules).finish()
    }
}

/// Their names in errors.
const USERS: &str = "users of the program";
const RULES: &str = "rules of the program";
