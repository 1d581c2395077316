//! Authentication and authorization, behind the router's [`Authenticate`] and [`Authorize`] ports. Users, rules and
//! tokens are read from files together, and replaced together while the broker runs.
//!
//! | module | owns |
//! |---|---|
//! | `settings` | the options of all this |
//! | `users`, `password` | a password file in mosquitto's format; one hash of it |
//! | `in_memory` | users and rules from the embedding program |
//! | `variable_user` | a user from environment variables |
//! | `rules`, `rights` | an ACL file in mosquitto's format; the rights of one client |
//! | `tokens`, `signatures` | JSON Web Tokens as passwords |
//! | `jwks`, `keys` | JSON Web Key Sets; those that a provider publishes |
//! | `scram`, `scram_proof`, `scram_exchange` | SCRAM logins: keys; comparison of proofs; messages |
//! | `login`, `known` | the steps of a login; a cache of recent logins |
//! | `http` | logins that services decide, which are asked over HTTP |
//! | `hashing`, `queue`, `throttle` | threads that compare passwords; their fair queue; delays for guesses |
//! | `dynsec` | mosquitto's dynamic security, from its JSON file |
//! | `own` | users and rules of one listener |
//! | `warnings` | valid but unlikely users and rules |
//! | `edit`, `edit_rules`, `first_line` | edits of files, `dunlin passwd`; passwords as lines of files |
//! | `api_keys`, `guesses` | keys of programs over HTTP; delays for wrong ones |
//! | `replace` | files that are replaced as one |
//! | `explain` | `dunlin explain` |
//! | `files`, `filters`, `error` | reading files; relations of two filters; errors |

mod api_keys;
mod dynsec;
mod edit;
mod edit_rules;
mod error;
mod explain;
mod files;
mod filters;
mod first_line;
mod guesses;
mod hashing;
mod http;
mod in_memory;
mod jwks;
mod keys;
mod known;
mod login;
mod own;
mod password;
mod queue;
mod replace;
mod rights;
mod rules;
mod scram;
mod scram_exchange;
mod scram_proof;
mod settings;
mod signatures;
mod throttle;
mod tokens;
mod users;
mod variable_user;
mod warnings;

pub use api_keys::ApiKey;
pub use dynsec::{Converted, Edit as DynsecEdit, convert as convert_dynsec};
pub use edit::{Edited, PasswordChange, UserLine, add_users, edit, edit_user, read_users, user_lines};
pub use edit_rules::{RuleLine, RuleOf, RulesChange, edit_rules, read_rules};
pub use error::AuthError;
pub use explain::{Explanation, Question};
pub use first_line::{FirstLine, check_password, check_scram};
pub use guesses::Guesses;
pub use http::{GoAuthAnswer, ServiceFigures, ServiceFormat, ServiceSettings};
pub use in_memory::InMemory;
pub use keys::TokenKeyFigures;
pub use own::{OfListener, OwnFiles};
pub use replace::replace_file;
pub use rules::Rules;
pub use settings::{OtherLogin, Settings};
pub use tokens::{Audience, TokenSettings};
pub use users::Users;
pub use variable_user::VariableUser;

use std::sync::Arc;

use arc_swap::ArcSwap;

use dynsec::Dynsec;
use http::{AclRights, Service};
use known::Wrong;
use login::Logins;
use password::Hash;
use rights::ClientRights;
use scram::Mechanism;
use tokens::{Now, Shown, Tokens};
use users::Line;
use warnings::{
    warn_of_empty_passwords, warn_of_names_in_patterns, warn_of_scram_from_passwords, warn_of_unknown_users,
};

use crate::{
    clock::Clock,
    codec::ReasonCode,
    router::{
        Authenticate, Authentication, Authorize, Credentials, Identity, Login, Origin, Proof, Refusal, Rights,
        SessionOwner, Verdict,
    },
    types::{ClientId, Contents, LoginWay},
};

/// Users, rules and tokens, completely read and valid.
pub struct Policy {
    settings: Settings,
    users: Option<Users>,
    rules: Option<Rules>,
    tokens: Option<Tokens>,
    dynsec: Option<Dynsec>,
    services: Vec<Arc<Service>>,
    /// The provider that is asked about tokens.
    introspection: Option<Arc<Service>>,
    warnings: Vec<String>,
    contents: Contents,
    /// The policies of listeners with their own files.
    own: Vec<(OwnFiles, Arc<Policy>)>,
}

impl Policy {
    /// Reads all files.
    pub fn load(settings: &Settings) -> Result<Self, AuthError> {
        Self::load_with(settings, None)
    }

    /// The same, with `dynsec` instead of the content of `auth.dynsec_file`.
    pub fn load_with(settings: &Settings, dynsec: Option<&[u8]>) -> Result<Self, AuthError> {
        const PASSWORDS: &str = "auth.password_file";
        const ACL: &str = "auth.acl_file";
        let (mut warnings, mut contents) = (Vec::new(), Contents::default());
        let users = settings.password_file.as_deref().map(|path| {
            let text = files::read_not_empty(path, PASSWORDS)?;
            files::warn_of_others(path, PASSWORDS, &mut warnings);
            contents.add("users (auth.password_file)", &text);
            let (file, mut lines) = (path.display().to_string(), Vec::new());
            let each = |line: Line<'_>| lines.push((line.number, Box::from(line.name), line.hash.clone()));
            let users = Users::parse_lines(&text, &file, each)?;
            warn_of_empty_passwords(&file, &lines, &mut warnings);
            Ok(users)
        });
        let rules = settings.acl_file.as_deref().map(|path| {
            let text = files::read_not_empty(path, ACL)?;
            contents.add("rules (auth.acl_file)", &text);
            Rules::parse(&text, &path.display().to_string())
        });
        let (mut users, mut rules) = (users.transpose()?, rules.transpose()?);
        settings.in_memory.add_to(&mut users, &mut contents)?;
        if let Some(own) = settings.in_memory.rules(&mut contents)? {
            rules = Some(own);
        }
        if let Some(user) = &settings.variable_user {
            user.add_to(users.get_or_insert_default(), &mut contents, &mut warnings)?;
        }
        let text = dynsec;
        let dynsec = settings.dynsec_file.as_deref();
        let dynsec = dynsec.map(|path| Dynsec::load(path, text, &mut warnings, &mut contents)).transpose()?;
        if let Some(dynsec) = &dynsec {
            if rules.is_some() {
                let problem =
                    "auth.acl_file is set too, and only one of them can say what clients may do: take one away";
                return Err(AuthError::Setting { key: dynsec::KEY, problem: problem.into() });
            }
            let users = users.get_or_insert_default();
            dynsec.users().for_each(|(name, hash)| _ = users.insert(name, hash.clone()));
        }
        if let Some(users) = &mut users
            && let Some((lines, least)) = users.serve_scram(settings.scram_from_password_file)
        {
            warn_of_scram_from_passwords(lines, least, &mut warnings);
        }
        let tokens = Tokens::load(&settings.tokens, &mut warnings, &mut contents)?;
        warnings.extend(rules.iter().flat_map(Rules::warnings).cloned());
        let load = |service| Service::load(service, &mut warnings, &mut contents).map(Arc::new);
        let services = settings.services.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let introspection = Service::introspection(&settings.tokens, &mut warnings, &mut contents)?.map(Arc::new);
        // tokens, certificates and services have other names
        let by_tokens = tokens.is_some() || introspection.is_some();
        let others = by_tokens || settings.other_login.is_some() || !services.is_empty();
        if let (Some(users), Some(rules), false) = (&users, &rules, others) {
            warn_of_unknown_users(users, rules, &mut warnings);
        }
        if let (Some(users), Some(rules)) = (&users, &rules) {
            warn_of_names_in_patterns(users, rules, &mut warnings);
        }
        let mut own = Vec::new();
        for files in &settings.own {
            let of_listener = Settings {
                password_file: files.password_file.clone().or_else(|| settings.password_file.clone()),
                acl_file: files.acl_file.clone().or_else(|| settings.acl_file.clone()),
                own: Vec::new(),
                ..settings.clone()
            };
            let policy = Self::load_with(&of_listener, text)?;
            contents.append(&policy.contents);
            let new: Vec<_> = policy.warnings.iter().filter(|warning| !warnings.contains(warning)).cloned().collect();
            warnings.extend(new);
            own.push((files.clone(), Arc::new(policy)));
        }
        let proven = users.is_some() || others;
        if !proven && rules.as_ref().is_some_and(Rules::names_users) {
            warnings.push(NAMES_UNPROVEN.into());
        }
        let settings = settings.clone();
        Ok(Self { settings, users, rules, tokens, dynsec, services, introspection, warnings, contents, own })
    }

    /// The contents of the files.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Is `other` the same?
    pub fn is_same(&self, other: &Self) -> bool {
        self.settings == other.settings && self.contents == other.contents
    }

    /// Warnings about valid but unlikely settings, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Is there an `auth.dynsec_file`?
    pub fn has_dynsec(&self) -> bool {
        self.dynsec.is_some()
    }

    /// Are there no users, no tokens and no services, so that a user name needs no proof?
    pub fn is_open(&self) -> bool {
        self.users.is_none() && !self.takes_tokens() && self.services.is_empty()
    }

    /// Are tokens accepted?
    fn takes_tokens(&self) -> bool {
        self.tokens.is_some() || self.introspection.is_some()
    }

    /// The first service that this method asks about a login. `None`: the broker decides it.
    fn asks(&self, way: LoginWay, password: &[u8]) -> Option<&Arc<Service>> {
        let here = || Tokens::is_one(password) && self.tokens.as_ref().is_some_and(|tokens| tokens.may_check(password));
        match way {
            LoginWay::Files => None,
            LoginWay::Token => self.introspection.as_ref().filter(|_| !here()),
            LoginWay::Http => self.services.first(),
        }
    }

    /// The first way at or behind this place of the order that decides about a login, or may do so.
    fn way(&self, from: usize, user: Option<&str>, password: &[u8]) -> Option<(usize, LoginWay)> {
        let in_files = || self.users.as_ref().zip(user).is_some_and(|(users, user)| users.contains(user));
        let mut ways = self.settings.order.into_iter().enumerate().skip(from);
        ways.find(|(_, way)| match way {
            LoginWay::Token => {
                // the password of a user of this broker is not sent to a provider
                let sent = || self.introspection.is_some() && !in_files() && Tokens::may_be_opaque(password);
                Tokens::is_one(password) && self.takes_tokens() || sent()
            }
            LoginWay::Files => in_files(),
            LoginWay::Http => !self.services.is_empty(),
        })
    }

    /// Number of services that are asked about logins.
    pub fn services(&self) -> usize {
        self.services.len()
    }

    /// Is any login configured? Then anonymous clients are accepted only if the configuration allows them.
    pub fn has_login(&self) -> bool {
        !self.is_open() || self.settings.other_login.is_some()
    }

    /// Users and rules without a file.
    pub fn in_memory(&self) -> &InMemory {
        &self.settings.in_memory
    }

    /// A login that is checked elsewhere.
    pub fn other_login(&self) -> Option<OtherLogin> {
        self.settings.other_login
    }

    /// Number of users and of rules, if there are files for them, and whether tokens are accepted.
    pub fn summary(&self) -> (Option<usize>, Option<usize>, bool) {
        (self.users.as_ref().map(Users::len), self.rules.as_ref().map(Rules::len), self.takes_tokens())
    }

    /// May a client without a proved user name connect here? `listener`: the listener's own setting, which has
    /// precedence.
    fn anonymous(&self, origin: Origin, listener: Option<bool>) -> Result<(), Refusal> {
        let open = self.is_open();
        let why = match listener.or(self.settings.allow_anonymous) {
            Some(true) => return Ok(()),
            None if self.has_login() => {
                "anonymous clients are refused, as a login is configured; `allow_anonymous = true` would let it in"
            }
            None if origin.loopback_listener => return Ok(()),
            None => {
                "no users are configured, and it is not local (its listener is not on loopback, or it came through a \
                 proxy or from a web page); `allow_anonymous = true` would let it in"
            }
            Some(false) if listener.is_some() => {
                "its listener has `allow_anonymous = false`, and it proves no user name"
            }
            Some(false) if open => "no users are configured and `allow_anonymous = false`",
            Some(false) => "it gives no user name and `allow_anonymous = false`",
        };
        Err(Refusal::new(ReasonCode::NotAuthorized, why))
    }

    /// The rights of a client by the rules of this broker.
    fn rights(&self, client: &ClientId, identity: &Identity) -> Option<Arc<dyn Rights>> {
        if let Some(dynsec) = &self.dynsec {
            return Some(Arc::new(dynsec.rights(client.as_str(), identity.user.as_deref())));
        }
        let rules = self.rules.as_ref()?;
        Some(Arc::new(ClientRights::new(rules, client.as_str(), identity.user.as_deref())))
    }

    /// A refusal by dynamic security that no proof can change.
    fn refuses(&self, credentials: &Credentials<'_>, username: Option<&str>) -> Option<Refusal> {
        let (dynsec, user) = (self.dynsec.as_ref()?, credentials.certificate_name.or(username)?);
        let why = if dynsec.is_disabled(user) {
            "its user is disabled (auth.dynsec_file)"
        } else if credentials.certificate_name.is_none() && dynsec.locks_out(user) {
            "its user has no password (auth.dynsec_file)"
        } else if !dynsec.allows_client_id(user, credentials.client_id) {
            "its user has another Client Identifier (auth.dynsec_file)"
        } else {
            return None;
        };
        Some(Refusal::new(ReasonCode::BadUserNameOrPassword, why))
    }

    /// The name of the user from environment variables.
    fn variable_user(&self) -> Option<&str> {
        self.settings.variable_user.as_ref().map(|user| user.name.as_str())
    }

    /// Compares credentials; slow by design.
    fn check(&self, way: LoginWay, user: Option<&str>, password: &[u8], clock: &Clock) -> Result<Identity, Wrong> {
        let wrong = |why| Wrong { why, compared: None };
        if let Some(tokens) = self.tokens.as_ref().filter(|_| way == LoginWay::Token) {
            return tokens.check(password, user, clock).map_err(wrong);
        }
        if self.takes_tokens() && self.users.is_none() {
            return Err(wrong("the password is not a token (auth.token_…)"));
        }
        let (Some(user), Some(users)) = (user, &self.users) else {
            return Err(wrong("it gives no user name, and the password is not a token (auth.token_…)"));
        };
        let (hash, known) = users.hash(user);
        // an unknown user takes as long as a wrong password, and gets the same answer
        let why = match (hash.is_of(password), known) {
            (true, true) => return Ok(proven_by_password(user, hash)),
            (false, true) if self.settings.in_memory.has_user(user) => "wrong password (of a user of the program)",
            (false, true) if self.variable_user() == Some(user) => "wrong password (DUNLIN_USER_PASSWORD_FILE)",
            (false, true) => "wrong password (auth.password_file)",
            (_, false) if self.dynsec.is_some() => "no such user (auth.dynsec_file)",
            (_, false) if self.settings.password_file.is_none() => match self.variable_user() {
                Some(_) => "no such user (DUNLIN_USER)",
                None => "no such user (among those of the program)",
            },
            (_, false) => "no such user (auth.password_file)",
        };
        Err(Wrong { why, compared: Some(hash) })
    }
}

/// The identity of a user with this hash.
fn proven_by_password(user: &str, hash: Arc<Hash>) -> Identity {
    Identity { user: Some(user.into()), proof: Proof::Password, evidence: Some(hash), ..Identity::default() }
}

/// The settings of each listener, by [`Peer::listener`](crate::router::Peer::listener).
pub type Listeners = Arc<ArcSwap<Vec<OfListener>>>;

/// The policy in force.
pub struct Auth {
    policy: ArcSwap<Policy>,
    listeners: Listeners,
    logins: Arc<Logins>,
}

impl Auth {
    /// With this policy and these settings of listeners. `clock`: for the expiry of tokens and the delay of refusals.
    pub fn new(policy: Policy, listeners: Listeners, clock: Clock) -> Self {
        let policy = ArcSwap::from_pointee(policy);
        Self { policy, listeners, logins: Arc::new(Logins::new(clock)) }
    }

    /// Replaces the whole policy. A password that is being compared is still decided by the old one, and the router
    /// then checks the result again. Call [`Router::permissions_changed`](crate::router::Router::permissions_changed)
    /// after it.
    pub fn replace(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// By this policy and the listener's own setting.
    fn anonymous(&self, policy: &Policy, origin: Origin) -> Result<(), Refusal> {
        let listeners = self.listeners.load();
        policy.anonymous(origin, listeners.get(usize::from(origin.listener)).and_then(|one| one.allow_anonymous))
    }

    /// The policy in force for the clients of a listener.
    fn policy_of(&self, listener: u16) -> Arc<Policy> {
        let policy = self.policy();
        match self.listeners.load().get(usize::from(listener)) {
            Some(one) => policy.of_listener(&one.files),
            None => policy,
        }
    }

    /// A client with an Authentication Method must authenticate with it, even if it has another proof.
    fn by_method(
        &self,
        policy: Arc<Policy>,
        credentials: &Credentials<'_>,
        Authentication { method, data }: Authentication<'_>,
    ) -> Verdict {
        let data = data.unwrap_or_default();
        let refused = |code, why| Err(Refusal::new(code, why)).into();
        match Mechanism::named(method) {
            Some(mechanism) => scram_exchange::begin(&self.logins, policy, mechanism, credentials, data),
            None if method != JWT || !policy.takes_tokens() => {
                refused(ReasonCode::BadAuthenticationMethod, "its Authentication Method is not served")
            }
            None if !Tokens::is_one(data) && (policy.introspection.is_none() || !Tokens::may_be_opaque(data)) => {
                refused(ReasonCode::NotAuthorized, "its Authentication Data is not a token, which OAUTH2-JWT requires")
            }
            None if !self.logins.clock().is_set() => refused(ReasonCode::ServerUnavailable, CLOCK_NOT_SET),
            None => {
                let user = credentials.username.filter(|user| !user.is_empty());
                self.logins.verdict_on_token(policy, credentials, user, data)
            }
        }
    }

    /// The figures of the services that are asked about logins.
    pub fn service_figures(&self) -> Vec<ServiceFigures> {
        self.logins.service_figures(&self.policy())
    }

    /// The figures of the keys of tokens that are fetched. `None`: there are none.
    pub fn token_key_figures(&self) -> Option<TokenKeyFigures> {
        self.logins.token_key_figures(&self.policy())
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }
}

type Checked = Result<Identity, Refusal>;

/// The Authentication Method for tokens.
const JWT: &str = "OAUTH2-JWT";
const CLOCK_NOT_SET: &str =
    "it gives a token, and the clock of this machine is not set: the token's expiry cannot be checked";
const NAMES_UNPROVEN: &str = "auth.acl_file has rules for users, but logins are not checked: without \
                              auth.password_file or tokens, the user name in CONNECT is not verified";

impl Authenticate for Auth {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let Credentials { password, peer, .. } = credentials;
        let policy = self.policy_of(peer.listener);
        if let Some(authentication) = credentials.authentication {
            return self.by_method(policy, credentials, authentication);
        }
        // an empty user name means anonymous, as in mosquitto
        let username = credentials.username.filter(|user| !user.is_empty());
        if let Some(refusal) = policy.refuses(credentials, username) {
            return Err(refusal).into();
        }
        if let Some(name) = credentials.certificate_name {
            // the listener has verified it
            return Ok(Identity { user: Some(name.into()), proof: Proof::Certificate, ..Identity::default() }).into();
        }
        let by_services = policy.services() > 0;
        let asked = by_services || if username.is_some() { !policy.is_open() } else { policy.takes_tokens() };
        match (username, password) {
            (_, Some(password))
                if policy.takes_tokens() && Tokens::is_one(password) && !self.logins.clock().is_set() =>
            {
                Err(Refusal::new(ReasonCode::ServerUnavailable, CLOCK_NOT_SET)).into()
            }
            // a line with the hash of an empty password locks the user out, as in mosquitto
            (_, Some(b"")) if asked => {
                let why = "it gives an empty password (auth.password_file, auth.token_…)";
                Err(Refusal::new(ReasonCode::BadUserNameOrPassword, why)).into()
            }
            (user, Some(password)) if asked => self.logins.verdict(policy, credentials, user, password),
            (Some(_), None) if asked => {
                let why = "it gives a user name and no password (auth.password_file, auth.token_…)";
                Err(Refusal::new(ReasonCode::BadUserNameOrPassword, why)).into()
            }
            (None, Some(_)) if credentials.username.is_none() && policy.has_login() => {
                let why = "it gives a password without a user name, and the password is not a token (auth.token_…)";
                Err(Refusal::new(ReasonCode::BadUserNameOrPassword, why)).into()
            }
            (Some(_), _) if credentials.names_in_certificates => {
                let why = "its listener takes user names from certificates (identity), and it gives one without";
                Err(Refusal::new(ReasonCode::NotAuthorized, why)).into()
            }
            _ => {
                let identity = Identity { user: username.map(Into::into), ..Identity::default() };
                self.anonymous(&policy, (*peer).into()).map(|()| identity).into()
            }
        }
    }

    fn serves(&self, method: &str) -> bool {
        let policy = self.policy.load();
        let by_scram = |mechanism| {
            policy.all().any(|one| one.users.as_ref().is_some_and(|users| !users.scram_costs(mechanism).is_empty()))
        };
        if method == JWT { policy.takes_tokens() } else { Mechanism::named(method).is_some_and(by_scram) }
    }

    fn waiting(&self) -> usize {
        self.logins.waiting()
    }

    fn knows(&self, identity: &Identity) -> bool {
        let policy = self.policy_of(identity.origin.listener);
        let user = identity.user.as_deref();
        match identity.proof {
            // a name that was never proved is not valid any more
            Proof::None => (user.is_none() || policy.is_open()) && self.anonymous(&policy, identity.origin).is_ok(),
            Proof::Password => {
                let proved = identity.evidence.as_ref().and_then(|evidence| evidence.downcast_ref::<Hash>());
                let now = policy.users.as_ref().zip(user).and_then(|(users, user)| users.get(user));
                proved.is_some() && proved == now
            }
            Proof::Token => {
                if let Some(shown) = http::Shown::of(identity) {
                    let provider = policy.introspection.as_slice();
                    return shown.is_by_one_of(provider) && !shown.has_ended(Now::of(self.logins.clock()));
                }
                let shown = identity.evidence.as_ref().and_then(|evidence| evidence.downcast_ref::<Shown>());
                let now = Now::of(self.logins.clock());
                let holds = |(tokens, shown): (&Tokens, &Shown)| tokens.would_take(shown) && shown.until(now).is_some();
                policy.tokens.as_ref().zip(shown).is_some_and(holds)
            }
            Proof::Http => http::Shown::of(identity).is_some_and(|shown| shown.is_by_one_of(&policy.services)),
            Proof::Certificate => true,
        }
    }

    fn login(&self, identity: &Identity) -> Option<Login> {
        match identity.proof {
            Proof::None => None,
            Proof::Password => Some(Login::PasswordFile),
            Proof::Token => Some(Login::Token),
            Proof::Certificate => Some(Login::Certificate),
            Proof::Http => Some(Login::Http),
        }
    }

    fn is_configured(&self, owner: &SessionOwner) -> bool {
        let policy = self.policy.load();
        match owner.login {
            Login::PasswordFile => {
                policy.all().any(|one| one.users.as_ref().is_some_and(|users| users.contains(owner.user.as_str())))
            }
            Login::Token => policy.takes_tokens(),
            Login::Certificate => policy.settings.certificate_names,
            Login::Http => policy.services() > 0,
            Login::PlugIn => false,
        }
    }
}

impl Authorize for Auth {
    fn rights(&self, client: &ClientId, identity: &Identity) -> Option<Arc<dyn Rights>> {
        let policy = self.policy_of(identity.origin.listener);
        match http::Shown::of(identity).map(|shown| &*shown.yes) {
            Some(yes) if yes.superuser => None,
            Some(_) if http::Shown::of(identity).is_some_and(|shown| shown.by().checks_topics()) => {
                self.logins.asked_rights(&policy, client, identity)
            }
            Some(yes) => match yes.acl.clone() {
                Some(acl) => Some(Arc::new(AclRights::new(acl, policy.rights(client, identity)))),
                None => policy.rights(client, identity),
            },
            None => policy.rights(client, identity),
        }
    }

    fn denied_publish_disconnects(&self) -> bool {
        self.policy.load().settings.denied_publish_disconnects
    }
}

#[cfg(test)]
mod tests;
