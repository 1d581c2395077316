//! Logins that another service decides. The broker asks it over HTTP, with the requests of EMQX or mosquitto-go-auth.
//!
//! | module | owns |
//! |---|---|
//! | `settings` | the options of a service |
//! | `template` | texts with variables |
//! | `call`, `no_http` | requests and answers; the replacement in a build without HTTP |
//! | `answer`, `acl` | answers in the format of EMQX; the rules in them |
//! | `go_auth` | answers in the formats of mosquitto-go-auth |
//! | `introspection` | answers of a provider that is asked about tokens |
//! | `desk` | the queue of logins, the concurrent requests and the cached answers of a service |
//! | `checks`, `asked_rights` | the questions of mosquitto-go-auth about topics; rights that are such answers |
//! | `guess` | logins that a service does not know, for the throttle |

mod acl;
mod answer;
mod asked_rights;
#[cfg(feature = "http")]
mod call;
#[cfg(not(feature = "http"))]
#[path = "no_http.rs"]
mod call;
mod checks;
mod desk;
mod go_auth;
mod guess;
mod introspection;
mod settings;
mod template;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

pub(super) use acl::AclRights;
pub(super) use answer::Yes;
pub(super) use asked_rights::AskedRights;
pub(super) use checks::AllChecks;
pub use desk::ServiceFigures;
pub(super) use desk::{Desks, Outcome};
pub(super) use guess::Open;
pub use settings::{GoAuthAnswer, ServiceFormat, ServiceSettings};

use serde_json::json;

use answer::Answer;
use call::{Call, Caller, Reply, Tls};
use introspection::Required;
use template::{Escaping, FORM, FORM_OF_USER, JSON, JSON_OF_USER, Template};

use super::{AuthError, files, tokens::Now};
use crate::{
    clock::Clock,
    router::{Credentials, Identity},
    types::{Contents, HttpUrl, LOGIN_VARIABLES, ProtocolVersion, percent_encode},
};

/// A login that a service is asked about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: Box<str>,
    pub(super) user: Option<Box<str>>,
    pub(super) password: Vec<u8>,
    pub(super) address: IpAddr,
    pub(super) listener: u16,
    pub(super) version: ProtocolVersion,
    /// It is in Authentication Data, so that it is not a password.
    pub(super) is_token: bool,
    /// The topic of its Will.
    pub(super) will: Option<Box<str>>,
}

impl Asked {
    pub(super) fn about(credentials: &Credentials<'_>, user: Option<&str>, password: &[u8]) -> Self {
        Self {
            client: credentials.client_id.into(),
            user: user.map(Into::into),
            password: password.into(),
            address: credentials.peer.address.ip(),
            listener: credentials.peer.listener,
            version: credentials.version,
            is_token: false,
            will: credentials.will.map(|topic| topic.as_str().into()),
        }
    }
}

/// A service, as configured.
pub(super) struct Service {
    /// The key that configures it.
    key: &'static str,
    settings: ServiceSettings,
    /// URL that is asked about each login.
    login: Endpoint,
    /// URL that is asked about each accepted login.
    superuser: Option<Endpoint>,
    /// URL that is asked about topics.
    aclcheck: Option<Endpoint>,
    headers: Vec<(String, Template)>,
    /// Escaping of variables in a body.
    escaping: Escaping,
    /// With [`ServiceFormat::Introspection`].
    required: Option<Required>,
}

/// One URL of a service.
struct Endpoint {
    url: HttpUrl,
    path: Template,
    body: Template,
    tls: Tls,
    /// Created by the first request.
    caller: OnceLock<Caller>,
}

/// The requests for one login.
struct Calls {
    login: Call,
    superuser: Option<Call>,
}

/// Evidence of a login that a service accepted.
pub(super) struct Shown {
    by: Arc<Service>,
    pub(super) yes: Arc<Yes>,
    /// With a service that is asked about topics: the address of the client.
    address: Option<IpAddr>,
    /// The topic of its Will, if the client may publish it.
    will: Option<Box<str>>,
}

/// Longest path in bytes. Only a client with long names makes a longer one; it is refused.
const LONGEST_PATH: usize = 16 << 10;

/// Would the path lead to another place of the server, because a name in it is empty, `.` or `..`? `url` has a plain
/// word in place of each variable.
fn leaves_its_place(path: &str, url: &HttpUrl) -> bool {
    let segments =
        |path: &'_ str| path.split('?').next().unwrap_or_default().split('/').map(str::to_owned).collect::<Vec<_>>();
    let written = segments(&url.path);
    segments(path).iter().zip(&written).any(|(now, plain)| now != plain && matches!(&**now, "" | "." | ".."))
}

impl Service {
    pub(super) fn load(
        settings: &ServiceSettings,
        warnings: &mut Vec<String>,
        contents: &mut Contents,
    ) -> Result<Self, AuthError> {
        Self::load_as("auth.http", settings, warnings, contents)
    }

    /// The same; this `key` configures it.
    fn load_as(
        key: &'static str,
        settings: &ServiceSettings,
        warnings: &mut Vec<String>,
        contents: &mut Contents,
    ) -> Result<Self, AuthError> {
        if let Some(file) = &settings.authorities {
            let ca_file = if key == "auth.http" { "auth.http.ca_file" } else { "auth.token_ca_file" };
            let bytes = files::read(file, ca_file)?;
            contents.add("authorities of a login service (ca_file)", &bytes);
        }
        let headers = settings.headers.iter().filter_map(|header| header.0.split_once(':'));
        let headers: Vec<_> = headers.map(|(name, value)| (name.trim().to_owned(), value.trim())).collect();
        let is_form = |(name, value): &(String, &str)| {
            let kind = value.split(';').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("content-type") && kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        };
        let is_form = headers.iter().any(is_form);
        let body = |json, form| match (settings.get, is_form) {
            (true, _) => "",
            (false, true) => form,
            (false, false) => json,
        };
        let of_login = settings.body.as_deref().unwrap_or(body(JSON, FORM));
        let login = Endpoint::load(key, &settings.url, of_login, settings, warnings)?;
        let of_user = body(JSON_OF_USER, FORM_OF_USER);
        let superuser = settings.superuser_url.as_deref();
        let superuser =
            superuser.map(|url| Endpoint::load(key, url, of_user, settings, &mut Vec::new())).transpose()?;
        let aclcheck = settings.aclcheck_url.as_deref();
        let aclcheck = aclcheck.map(|url| Endpoint::load(key, url, "", settings, &mut Vec::new())).transpose()?;
        Ok(Self {
            key,
            login,
            superuser,
            aclcheck,
            headers: headers.into_iter().map(|(name, value)| (name, Template::new(value))).collect(),
            escaping: if is_form { Escaping::Url } else { Escaping::Json },
            settings: settings.clone(),
            required: None,
        })
    }

    pub(super) fn settings(&self) -> &ServiceSettings {
        &self.settings
    }

    /// Is it a provider that is asked about tokens?
    pub(super) fn is_introspection(&self) -> bool {
        self.required.is_some()
    }

    /// Would it still accept the logins that it accepted as `other`? Only how it is asked, and for how long answers are
    /// cached, may differ.
    fn decides_as(&self, other: &Self) -> bool {
        let urls = |s: &ServiceSettings| [Some(s.url.clone()), s.superuser_url.clone(), s.aclcheck_url.clone()];
        let about = |Self { settings: s, .. }: &Self| (s.name.clone(), urls(s), s.format);
        let takes = match (&self.required, &other.required) {
            (Some(now), Some(then)) => now.would_take(then),
            (now, then) => now.is_none() && then.is_none(),
        };
        about(self) == about(other) && takes
    }

    /// The requests for a login. `None`: its names cannot be sent.
    fn requests(&self, asked: &Asked) -> Option<Calls> {
        let login = self.request(&self.login, asked)?;
        let superuser = match &self.superuser {
            Some(superuser) => Some(self.request(superuser, asked)?),
            None => None,
        };
        Some(Calls { login, superuser })
    }

    fn request(&self, endpoint: &Endpoint, asked: &Asked) -> Option<Call> {
        let path = endpoint.path.fill(asked, Escaping::Url);
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.fill(asked, Escaping::None)));
        let headers: Vec<_> = headers.collect();
        let is_odd = |(_, value): &(String, String)| value.contains(char::is_control);
        let sent = path.len() <= LONGEST_PATH && !leaves_its_place(&path, &endpoint.url) && !headers.iter().any(is_odd);
        sent.then(|| Call { path, headers, body: endpoint.body.fill(asked, self.escaping) })
    }

    /// Is it asked about topics?
    pub(super) fn checks_topics(&self) -> bool {
        self.aclcheck.is_some()
    }

    /// May this client access the topic in this way? The error says why there is no answer.
    async fn check(&self, asked: &Asked, access: u8, topic: &str, clock: &Clock) -> Result<bool, String> {
        let ServiceFormat::GoAuth(by) = self.settings.format else {
            return Err("its format has no such question".into());
        };
        let endpoint = self.aclcheck.as_ref().ok_or("it has no aclcheck_url")?;
        let mut call = self.request(endpoint, asked).ok_or("the client's names cannot be sent to it")?;
        let user = asked.user.as_deref().unwrap_or_default();
        if self.settings.get || self.escaping == Escaping::Url {
            let mut form = String::new();
            for (name, value) in [("username", user), ("clientid", &asked.client), ("topic", topic)] {
                form += name;
                form.push('=');
                percent_encode(value.as_bytes(), &mut form);
                form.push('&');
            }
            form += &format!("acc={access}");
            if self.settings.get {
                call.path.push(if call.path.contains('?') { '&' } else { '?' });
                call.path += &form;
            } else {
                call.body = form;
            }
        } else {
            let json = json!({ "username": user, "clientid": &asked.client, "topic": topic, "acc": access });
            call.body = json.to_string();
        }
        go_auth::read(&endpoint.call(&call, &self.settings, clock).await?, by)
    }

    /// Asks the service about a login.
    async fn ask(&self, calls: &Calls, asked: &Asked, clock: &Clock) -> Result<Answer, String> {
        let reply = self.login.call(&calls.login, &self.settings, clock).await?;
        let by = match self.settings.format {
            ServiceFormat::Emqx => return answer::read(&reply, &asked.client, asked.user.as_deref()),
            ServiceFormat::GoAuth(by) => by,
            ServiceFormat::Introspection => {
                let required = self.required.as_ref().ok_or("nothing is required of its answers")?;
                return required.read(&reply, Now::of(clock));
            }
        };
        if !go_auth::read(&reply, by)? {
            return Ok(Answer::Next);
        }
        let superuser = match self.superuser.as_ref().zip(calls.superuser.as_ref()) {
            Some((endpoint, call)) => go_auth::read(&endpoint.call(call, &self.settings, clock).await?, by)?,
            None => false,
        };
        Ok(Answer::Yes(Yes { superuser, ..Yes::default() }))
    }
}

impl Endpoint {
    fn load(
        key: &'static str,
        text: &str,
        body: &str,
        settings: &ServiceSettings,
        warnings: &mut Vec<String>,
    ) -> Result<Self, AuthError> {
        let wrong = |key, problem| AuthError::Setting { key, problem };
        let mut plain = text.to_owned();
        LOGIN_VARIABLES.iter().for_each(|name| plain = plain.replace(&format!("${{{name}}}"), "x"));
        let url: HttpUrl = plain.parse().map_err(|problem| wrong(key, problem))?;
        let mut of_tls = Vec::new();
        let tls = call::load(settings, &url, &mut of_tls).map_err(|problem| wrong(key, problem))?;
        warnings.extend(of_tls.into_iter().map(|warning| format!("{key} {}: {warning}", settings.name)));
        // after the host, which has no variables
        let behind = text.split_once("://").map_or("", |(_, rest)| rest);
        let path = behind.find(['/', '?']).map_or("", |at| &behind[at..]);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { url, path: Template::new(&path), body: Template::new(body), tls, caller: OnceLock::new() })
    }

    async fn call(&self, call: &Call, settings: &ServiceSettings, clock: &Clock) -> Result<Reply, String> {
        let caller = self.caller.get_or_init(|| Caller::new(settings, &self.url, &self.tls, clock));
        caller.call(call).await
    }
}

impl Shown {
    pub(super) fn new(by: Arc<Service>, yes: Arc<Yes>) -> Self {
        Self { by, yes, address: None, will: None }
    }

    /// The same login, of a client whose topics the service is asked about. `will`: the topic of its Will, if it may
    /// publish that.
    pub(super) fn checked(&self, address: IpAddr, will: Option<Box<str>>) -> Self {
        Self { by: self.by.clone(), yes: self.yes.clone(), address: Some(address), will }
    }

    /// The service.
    pub(super) fn by(&self) -> &Arc<Service> {
        &self.by
    }

    /// The evidence of this client. `None`: another method accepted it.
    pub(super) fn of(identity: &Identity) -> Option<&Self> {
        identity.evidence.as_ref().and_then(|evidence| evidence.downcast_ref())
    }

    /// Has the login expired?
    pub(super) fn has_ended(&self, now: Now) -> bool {
        self.yes.end.is_some_and(|end| now.until(end).is_none())
    }

    /// The service among these that still accepts it, with its present settings.
    pub(super) fn service(&self, services: &[Arc<Service>]) -> Arc<Service> {
        services.iter().find(|service| service.decides_as(&self.by)).unwrap_or(&self.by).clone()
    }

    /// Does one of these services still accept it?
    pub(super) fn is_by_one_of(&self, services: &[Arc<Service>]) -> bool {
        services.iter().any(|service| service.decides_as(&self.by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_name_cannot_change_the_path_of_a_service() {
        let url: HttpUrl = "https://login.example/mqtt/x?user=x".parse().unwrap();
        for (path, leaves) in [
            ("/mqtt/ann?user=ann", false),
            ("/mqtt/..?user=..", true),
            ("/mqtt/.?user=.", true),
            ("/mqtt/?user=", true),
            ("/mqtt/...?user=..", false),
        ] {
            assert_eq!(leaves_its_place(path, &url), leaves, "{path}");
        }
    }
}
