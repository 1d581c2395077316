//! [`Policies`]: puts users, rules and tokens in force while the broker runs.

use std::{path::Path, sync::Arc};

use super::{access, http::Admits};
use crate::{
    auth::{Auth, AuthError, OtherLogin, Policy, replace_file},
    config::Config,
    router::Router,
};

/// Puts users, rules and tokens in force.
#[derive(Clone)]
pub(super) struct Policies {
    /// `None`: the embedding program decides logins and rights.
    pub auth: Option<Arc<Auth>>,
    pub router: Arc<Router>,
    pub admits: Admits,
}

impl Policies {
    /// Gives what changed, a line each.
    pub fn replace(&self, running: &Config, config: &Config, auth: &Auth, policy: Policy) -> Vec<String> {
        let mut lines = Vec::new();
        let before = auth.policy();
        let known = access::lines(&before, running);
        let now = access::lines(&policy, config);
        if !policy.is_same(&before) {
            lines.extend(policy.contents().changed_since(before.contents()).into_iter().map(Into::into));
            auth.replace(policy);
            self.router.permissions_changed();
            self.admits.logins_changed();
        }
        now.iter().filter(|line| !known.contains(line)).for_each(access::Line::log);
        lines
    }

    /// Puts an edited file in force, by reading all files again. If that fails, the file gets its old text.
    pub fn edited(&self, config: &Config, auth: &Auth, path: &Path, old: &[u8]) -> Result<(), AuthError> {
        let before = auth.policy();
        let plugged_in = before.other_login() == Some(OtherLogin::PlugIn);
        match access::load_with(config, plugged_in, before.in_memory().clone()) {
            Ok(policy) => {
                self.replace(config, config, auth, policy);
                Ok(())
            }
            Err(error) => {
                if let Err(reason) = replace_file(path, old) {
                    tracing::error!(file = %path.display(), error = %reason, "cannot undo an edit");
                }
                Err(error)
            }
        }
    }
}
