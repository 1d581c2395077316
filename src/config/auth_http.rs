//! The `[[auth.http]]` tables: the login services ([`AuthHttpConfig`]), the forms of their texts with variables, and
//! their consistency ([`check`]).

use std::{path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::{
    forms::{Form, Misfit, OptionalText, quoted},
    lists::{List, Text, texts},
    variables,
};
use crate::types::{HttpUrl, LOGIN_VARIABLES, LoginWay, Secret};

/// A service that decides logins over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthHttpConfig {
    /// Its name, which is unique.
    pub name: String,
    /// Format of its answers.
    pub format: AuthHttpFormat,
    /// With [`AuthHttpFormat::GoAuth`]: how it accepts a login.
    pub answers: GoAuthAnswers,
    /// With [`AuthHttpFormat::GoAuth`]: the URL that is asked whether a user is a superuser; `None`: no user is.
    pub superuser_url: Option<String>,
    /// With [`AuthHttpFormat::GoAuth`]: the URL that is asked about topics; `None`: the rules of the broker decide.
    pub aclcheck_url: Option<String>,
    /// Its URL; path and query may contain variables of the login.
    pub url: String,
    /// The method of the requests.
    pub method: AuthHttpMethod,
    /// Headers as `Name: value`; the values may contain variables of the login.
    pub headers: Vec<Secret>,
    /// The body, with variables of the login; `None`: names, password and address in JSON, or nothing with GET.
    pub body: Option<String>,
    /// Time limit for an answer.
    pub timeout: Duration,
    /// Largest number of concurrent requests.
    pub max_requests: usize,
    /// How long an accepted login is cached.
    pub cache_yes: Duration,
    /// How long a refused login is cached.
    pub cache_no: Duration,
    /// How much longer an accepted login is cached while the service is down.
    pub stale_while_down: Duration,
    /// What happens to a login while the service is down.
    pub on_error: OnServiceError,
    /// TLS: the authorities that sign its certificate, PEM.
    pub ca_file: Option<PathBuf>,
}

/// Format of a service's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthHttpFormat {
    /// EMQX.
    #[default]
    Emqx,
    /// mosquitto-go-auth.
    GoAuth,
}

/// How a service for mosquitto-go-auth accepts a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GoAuthAnswers {
    /// With a status 2xx.
    #[default]
    Status,
    /// With `{"ok": true}`.
    Json,
    /// With the text `ok`.
    Text,
}

/// The method of requests to a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthHttpMethod {
    /// POST.
    #[default]
    Post,
    /// GET.
    Get,
}

/// What happens to a login while a service is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnServiceError {
    /// The client is told that the broker is unavailable.
    #[default]
    Refuse,
    /// The next service or login method decides.
    Next,
}

impl Default for AuthHttpConfig {
    fn default() -> Self {
        Self {
            name: "http".into(),
            format: AuthHttpFormat::default(),
            answers: GoAuthAnswers::default(),
            superuser_url: None,
            aclcheck_url: None,
            url: String::new(),
            method: AuthHttpMethod::default(),
            headers: Vec::new(),
            body: None,
            timeout: Duration::from_secs(5),
            max_requests: 16,
            cache_yes: Duration::from_secs(60),
            cache_no: Duration::from_secs(10),
            stale_while_down: Duration::ZERO,
            on_error: OnServiceError::default(),
            ca_file: None,
        }
    }
}

/// `auth.order`: all three login methods, each once.
pub(super) struct Order;

const WAYS: [(&str, LoginWay); 3] = [("token", LoginWay::Token), ("files", LoginWay::Files), ("http", LoginWay::Http)];

impl Form for Order {
    type Value = [LoginWay; 3];

    fn expected(&self) -> String {
        "a list, in brackets, of \"files\", \"token\" and \"http\", each once".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<[LoginWay; 3], Misfit> {
        let ways = texts(written)?.into_iter().map(|word| {
            let known = WAYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
            known
                .map(|(_, way)| *way)
                .ok_or_else(|| Misfit::Said(format!("{} is not a way; write {}", quoted(word), self.expected())))
        });
        let ways = ways.collect::<Result<Vec<_>, _>>()?;
        let all = WAYS.iter().all(|(_, way)| ways.contains(way));
        let ways = ways.try_into().ok().filter(|_| all);
        ways.ok_or_else(|| Misfit::Said(format!("it must contain each method once; write {}", self.expected())))
    }

    fn write(&self, value: &[LoginWay; 3]) -> String {
        let word = |way| WAYS.iter().find(|(_, known)| known == way).map_or("", |(word, _)| *word).to_owned();
        List(Text("")).write(&value.iter().map(word).collect())
    }
}

/// A text with variables of a login, such as `${username}`, which are filled in at each login; an empty text means
/// none.
pub(super) struct Template;

impl Form for Template {
    type Value = Option<String>;

    const TEMPLATE: bool = true;
    const SECRET: bool = true;

    fn expected(&self) -> String {
        OptionalText.expected()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        OptionalText.read(written)
    }

    fn write(&self, value: &Self::Value) -> String {
        super::forms::digest(value, value.is_none())
    }
}

/// The URL of a service, with variables of a login.
pub(super) struct ServiceUrl;

impl Form for ServiceUrl {
    type Value = String;

    const TEMPLATE: bool = true;

    fn expected(&self) -> String {
        "a URL such as \"https://login.example.org/mqtt\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<String, Misfit> {
        let text = written.as_str().ok_or(Misfit::Kind)?;
        let mut plain = text.to_owned();
        LOGIN_VARIABLES.iter().for_each(|name| plain = plain.replace(&format!("${{{name}}}"), "x"));
        let url: HttpUrl = plain.parse().map_err(Misfit::Said)?;
        match text.find("${").is_some_and(|at| !text[..at].contains(&url.authority())) {
            true => Err(Misfit::Said(format!("{} has a variable in its host; write the host itself", quoted(text)))),
            false => Ok(text.into()),
        }
    }

    fn write(&self, value: &String) -> String {
        Text("").write(value)
    }
}

/// A URL with variables; an empty text means none.
pub(super) struct OptionalServiceUrl;

impl Form for OptionalServiceUrl {
    type Value = Option<String>;

    const TEMPLATE: bool = true;

    fn expected(&self) -> String {
        format!("{}, or \"\" for none", ServiceUrl.expected())
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        if written.as_str() == Some("") { Ok(None) } else { ServiceUrl.read(written).map(Some) }
    }

    fn write(&self, value: &Self::Value) -> String {
        OptionalText.write(value)
    }
}

/// A list of headers, which are never shown.
pub(super) struct Headers;

impl Form for Headers {
    type Value = Vec<Secret>;

    const SECRET: bool = true;

    fn expected(&self) -> String {
        "a list, in brackets, of headers such as \"Authorization: Bearer ${TOKEN}\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Vec<Secret>, Misfit> {
        let headers = written.as_array().ok_or(Misfit::Kind)?.iter().map(|one| {
            let text = one.get_ref().as_str().ok_or(Misfit::Kind)?;
            let filled = variables::fill_around(text, true, LOGIN_VARIABLES).map_err(Misfit::Said)?;
            let header = filled.unwrap_or_else(|| text.to_owned());
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
            };
            match header.split_once(':') {
                Some((name, value)) if is_name(name) && !value.contains(char::is_control) => Ok(Secret(header)),
                _ => Err(Misfit::Said("a header is not of the form \"Name: value\"".into())),
            }
        });
        headers.collect()
    }

    fn write(&self, value: &Vec<Secret>) -> String {
        super::forms::digest(value, value.is_empty())
    }
}

/// Checks the settings for conflicts. Returns the first key and what to do.
pub(super) fn check(service: &AuthHttpConfig) -> Result<(), (&'static str, &'static str)> {
    let checks = [
        (service.name.is_empty(), "name", "a service needs a name; write one such as name = \"http\""),
        (
            service.url.is_empty(),
            "url",
            "the URL of the service is missing; write url = \"https://login.example.org/mqtt\"",
        ),
        (
            service.method == AuthHttpMethod::Get && service.body.is_some(),
            "body",
            "a GET has no body; write the variables into the query of url, or method = \"post\"",
        ),
        (
            service.format == AuthHttpFormat::Emqx && service.superuser_url.is_some(),
            "superuser_url",
            "it is for format = \"go-auth\"; with \"emqx\", the answer contains is_superuser",
        ),
        (
            service.format == AuthHttpFormat::Emqx && service.aclcheck_url.is_some(),
            "aclcheck_url",
            "it is for format = \"go-auth\"; with \"emqx\", the answer contains acl",
        ),
        (
            service.format == AuthHttpFormat::Emqx && service.answers != GoAuthAnswers::Status,
            "answers",
            "it is for format = \"go-auth\"; remove it",
        ),
        (
            service.ca_file.is_some() && service.url.starts_with("http://"),
            "ca_file",
            "it is for TLS; write url with https://",
        ),
    ];
    checks.into_iter().find(|(wrong, ..)| *wrong).map_or(Ok(()), |(_, key, problem)| Err((key, problem)))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};
    use crate::types::LoginWay;

    fn error(text: &str) -> String {
        parse(text, "f").unwrap_err().to_string()
    }

    #[test]
    fn a_login_service_is_read_from_its_table() {
        let text = "[auth]\norder = [\"files\", \"token\", \"http\"]\n[[auth.http]]\nname = \"a\"\n\
                    url = \"https://a.example/x?u=${username}\"\nmethod = \"get\"\nheaders = [\"X-Key: ${clientid}\"]\n\
                    [[auth.http]]\nname = \"b\"\nurl = \"http://[::1]:81/\"\nbody = '{\"u\": \"${username}\"}'\n\
                    timeout = \"1s\"\non_error = \"next\"\n";
        let config = parse(text, "f").unwrap();
        assert_eq!(config.auth.order, [LoginWay::Files, LoginWay::Token, LoginWay::Http]);
        let [a, b] = &config.auth.services[..] else { panic!("{:?}", config.auth.services) };
        assert_eq!(
            (a.url.as_str(), a.headers[0].0.as_str()),
            ("https://a.example/x?u=${username}", "X-Key: ${clientid}")
        );
        assert_eq!(b.body.as_deref(), Some("{\"u\": \"${username}\"}"));
        assert!(config.has_login() && !Config::default().has_login());
    }

    #[test]
    fn an_invalid_login_service_is_refused_with_the_reason() {
        let of = |keys: &str| error(&format!("[[auth.http]]\n{keys}\n"));
        let url = "url = \"http://a/\"\n";
        for (keys, expected) in [
            (String::new(), "auth.http.url: the URL of the service is missing"),
            (
                "url = \"http://${username}/\"".into(),
                "auth.http.url: \"http://${username}/\" has a variable in its host",
            ),
            ("url = \"http://a/${NO_SUCH_VARIABLE}\"".into(), "environment variable NO_SUCH_VARIABLE is not set"),
            ("url = \"ftp://a/\"".into(), "is not a URL"),
            (format!("{url}method = \"get\"\nbody = \"x\""), "auth.http.body: a GET has no body"),
            (format!("{url}answers = \"json\""), "auth.http.answers: it is for format"),
            (format!("{url}superuser_url = \"http://a/\""), "auth.http.superuser_url: it is for format"),
            (format!("{url}aclcheck_url = \"http://a/\""), "auth.http.aclcheck_url: it is for format"),
            (format!("{url}ca_file = \"x\""), "auth.http.ca_file: it is for TLS"),
            (format!("{url}headers = [\"no colon\"]"), "a header is not of the form"),
            (format!("{url}[[auth.http]]\n{url}"), "is already the name of a service above"),
            (format!("{url}hedaers = []"), "did you mean \"headers\"?"),
        ] {
            let told = of(&keys);
            assert!(told.contains(expected), "{keys}: {told}");
        }
        assert!(error("[auth.http]\nurl = \"http://a/\"").contains("with two brackets"));
        for order in ["[\"files\"]", "[\"files\", \"files\", \"http\"]"] {
            assert!(error(&format!("[auth]\norder = {order}")).contains("each method once"), "{order}");
        }
        assert!(error("[auth]\norder = [\"files\", \"ldap\", \"http\"]").contains("\"ldap\" is not a way"));
    }
}
