//! Users and rules from the embedding program, in addition to those of files.

use super::{Builder, Server, ServerError, access};
use crate::auth::{AuthError, InMemory, OtherLogin};

impl Builder {
    /// Adds a user to those of `auth.password_file`, or replaces the one with the same name. From the first user on,
    /// clients must log in, unless `allow_anonymous` is true. Hashing the password takes some ten milliseconds.
    pub fn add_user(mut self, name: &str, password: impl AsRef<[u8]>) -> Result<Self, ServerError> {
        self.in_memory.add_user(name, password.as_ref())?;
        Ok(self)
    }

    /// Sets rules in the format of an ACL file, in place of `auth.acl_file`.
    pub fn rules(mut self, rules: &str) -> Result<Self, ServerError> {
        self.in_memory.set_rules(Some(rules))?;
        Ok(self)
    }
}

impl Server {
    /// Adds a user to those of `auth.password_file`, or replaces the one with the same name, whose clients are
    /// disconnected if the password changes. No file is written: the user exists until the server ends.
    ///
    /// From the first user on, clients must log in, unless `allow_anonymous` is true. An error if the program
    /// [authenticates clients itself](Builder::authenticate). Hashing the password takes some ten milliseconds on the
    /// calling thread.
    pub async fn add_user(&self, name: &str, password: impl AsRef<[u8]>) -> Result<(), ServerError> {
        self.change_in_memory(|own| own.add_user(name, password.as_ref())).await
    }

    /// Removes a user that was [added](Self::add_user): its clients are disconnected, and their sessions stay. An error
    /// if there is none with this name.
    pub async fn remove_user(&self, name: &str) -> Result<(), ServerError> {
        self.change_in_memory(|own| match own.remove_user(name) {
            true => Ok(()),
            false => Err(AuthError::UserName { name: name.into(), problem: "is not one that the program added" }),
        })
        .await
    }

    /// Sets rules in the format of an ACL file, in place of `auth.acl_file`; `None`: those of the file. They apply to
    /// connected clients too.
    pub async fn set_rules(&self, rules: Option<&str>) -> Result<(), ServerError> {
        self.change_in_memory(|own| own.set_rules(rules)).await
    }

    /// Applies a change completely or not at all. Changes and reloads are done one at a time.
    async fn change_in_memory(
        &self,
        change: impl FnOnce(&mut InMemory) -> Result<(), AuthError>,
    ) -> Result<(), ServerError> {
        let running = self.config.lock().await;
        let plugged_in = |problem: &str| AuthError::Setting { key: "users and rules", problem: problem.into() };
        let Some(auth) = &self.policies.auth else {
            return Err(plugged_in("the program decides itself who may connect and what clients may do").into());
        };
        let before = auth.policy();
        let mut own = before.in_memory().clone();
        change(&mut own)?;
        let decides = before.other_login() == Some(OtherLogin::PlugIn);
        let policy = access::load_with(&running, decides, own)?;
        if decides && policy.summary().0.is_some() {
            return Err(plugged_in("the program decides itself who may connect").into());
        }
        self.policies.replace(&running, &running, auth, policy);
        Ok(())
    }
}
