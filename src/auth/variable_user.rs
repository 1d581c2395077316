//! A user from environment variables, in addition to those of a password file: for a container with one password.

use std::{io::BufReader, path::PathBuf, sync::LazyLock};

use ring::{hmac, rand::SystemRandom};

use super::{AuthError, FirstLine, Users, check_password, files, password::Hash, users::check_name};
use crate::types::Contents;

/// `DUNLIN_USER` and `DUNLIN_USER_PASSWORD_FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableUser {
    /// The user name.
    pub name: String,
    /// A file whose first line is the password.
    pub password_file: PathBuf,
}

impl VariableUser {
    /// Reads the password, and adds the user to the others. Warns if one of them has the same name.
    pub(super) fn add_to(
        &self,
        users: &mut Users,
        contents: &mut Contents,
        warnings: &mut Vec<String>,
    ) -> Result<(), AuthError> {
        let Self { name, password_file } = self;
        check_name(name).map_err(|problem| setting(NAME, format!("the user name {name:?} {problem}")))?;
        // secrets of containers are readable files: no warning
        let file = password_file.display();
        let read = files::open_regular(password_file).and_then(|file| FirstLine::read(BufReader::new(file)));
        let unreadable = |reason| AuthError::Unreadable { key: PASSWORD, file: file.to_string(), reason };
        let password = &*read.map_err(unreadable)?.password;
        contents.add("users (DUNLIN_USER_PASSWORD_FILE)", password);
        check_password(password).map_err(|problem| {
            setting(PASSWORD, format!("the first line of {file} {problem}; write the password there"))
        })?;
        if users.insert(name, Hash::with_salt(password, &salt(name, password))) {
            let both = format!("{NAME}: user {name:?} is in auth.password_file too; the password of {PASSWORD} holds");
            warnings.push(both);
        }
        Ok(())
    }
}

/// The same salt for the same password in this process: a reload that finds it unchanged must not disconnect the
/// clients that logged in with it.
fn salt(name: &str, password: &[u8]) -> [u8; 16] {
    static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the system gives random bytes")
    });
    let mut context = hmac::Context::with_key(&KEY);
    // no name contains a NUL
    [name.as_bytes(), b"\0", password].iter().for_each(|part| context.update(part));
    let mut salt = [0; 16];
    salt.copy_from_slice(&context.sign().as_ref()[..16]);
    salt
}

fn setting(key: &'static str, problem: String) -> AuthError {
    AuthError::Setting { key, problem }
}

const NAME: &str = "DUNLIN_USER";
const PASSWORD: &str = "DUNLIN_USER_PASSWORD_FILE";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn with(text: impl AsRef<[u8]>, users: &mut Users) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let password_file = dir.path().join("p");
        fs::write(&password_file, text).unwrap();
        let (user, mut warnings) = (VariableUser { name: "alice".into(), password_file }, Vec::new());
        let added = user.add_to(users, &mut Contents::default(), &mut warnings);
        added.map(|()| warnings).map_err(|error| error.to_string())
    }

    #[test]
    fn the_password_is_the_first_line_without_its_line_break() {
        for text in ["pass word", "pass word\n", "pass word\r\nmore\n", "\u{feff}pass word\n"] {
            let mut users = Users::parse(b"", "f").unwrap();
            assert_eq!(with(text, &mut users), Ok(Vec::new()));
            assert!(users.hash("alice").0.is_of(b"pass word"), "{text:?}");
            assert!(users.hash("bob").0.cost() == users.hash("alice").0.cost() && users.len() == 1);
        }
        let said = with("\n", &mut Users::parse(b"", "f").unwrap()).unwrap_err();
        assert!(
            said.starts_with("DUNLIN_USER_PASSWORD_FILE: the first line of ") && said.contains("is empty"),
            "{said}"
        );
    }

    #[test]
    fn a_password_is_bytes_and_no_longer_than_a_client_can_send() {
        let mut users = Users::parse(b"", "f").unwrap();
        assert_eq!(with(b"\xFFx\n", &mut users), Ok(Vec::new()));
        assert!(users.hash("alice").0.is_of(b"\xFFx"));
        for (text, said) in [("x".repeat(65_536), "is longer than the 65,535 bytes"), ("a\0".into(), "has a NUL in it")]
        {
            let error = with(&text, &mut users).unwrap_err();
            assert!(error.starts_with("DUNLIN_USER_PASSWORD_FILE: the first line of "), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_user_from_a_variable_overrides_the_file_and_keeps_its_hash() {
        let mut users = Users::parse(format!("alice:{}\n", Hash::make(b"old")).as_bytes(), "f").unwrap();
        let warnings = with("new", &mut users).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("user \"alice\" is in auth.password_file too"));
        let first = users.hash("alice").0;
        assert!(first.is_of(b"new"));
        with("new", &mut users).unwrap();
        assert_eq!(users.hash("alice").0, first);
        with("newer", &mut users).unwrap();
        assert!(users.hash("alice").0 != first && users.len() == 1);
    }
}
