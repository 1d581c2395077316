//! Token introspection (RFC 7662): the service that is asked about tokens, and what is required of its answers.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        AuthError, files,
        keys::is_loopback,
        tokens::{Now, TokenSettings},
    },
    Answer, Reply, Service, ServiceFormat, ServiceSettings, Yes,
};
use crate::types::{Contents, Secret, percent_encode};

/// The required claims of a token.
#[derive(Clone, Debug)]
pub(super) struct Required {
    issuer: Option<String>,
    audience: Option<String>,
    /// In seconds.
    leeway: f64,
    user_claim: Option<String>,
}

/// The name of the provider in the log and in metrics. A service of `[[auth.http]]` cannot have it.
const NAME: &str = "$introspection";
/// Time limit for an answer.
const WITHIN: Duration = Duration::from_secs(10);
/// How long an answer is cached: of an accepted token (at most until it expires), and of others.
const CACHE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(10)];
/// Largest number of concurrent requests.
const MOST_REQUESTS: usize = 16;

impl Service {
    /// The provider that is asked about tokens. `None`: none is configured.
    pub(in super::super) fn introspection(
        tokens: &TokenSettings,
        warnings: &mut Vec<String>,
        contents: &mut Contents,
    ) -> Result<Option<Self>, AuthError> {
        const KEY: &str = "auth.token_introspection_url";
        let Some(url) = &tokens.introspection_url else { return Ok(None) };
        let missing = |key, write: &str| AuthError::Setting {
            key,
            problem: format!("it is missing, and {KEY} needs it; write {write}"),
        };
        let id = tokens.introspection_id.as_deref();
        let id =
            id.ok_or_else(|| missing("auth.token_introspection_client_id", "the client_id of this broker there"))?;
        const SECRET: &str = "auth.token_introspection_secret_file";
        let file = tokens.introspection_secret_file.as_deref();
        let file =
            file.ok_or_else(|| missing(SECRET, "the name of a file with the client_secret of this broker there"))?;
        tokens.audience.as_ref().ok_or_else(|| {
            missing(
                "auth.token_audience",
                "the audience (aud) of tokens for this broker, such as \"mqtt\", or \"any\" if tokens for any program may \
                 log in",
            )
        })?;
        if !url.https && !is_loopback(&url.host) {
            warnings.push(format!(
                "{KEY} = {url}: without TLS, anybody on the way to this host can read the tokens and the secret, and accept \
                 any token; write https://"
            ));
        }
        let secret = files::read_secret(file, SECRET, warnings)?;
        contents.add("secret of token introspection (auth.token_introspection_secret_file)", &secret);
        let mut basic = String::new();
        percent_encode(id.as_bytes(), &mut basic);
        basic.push(':');
        percent_encode(secret.trim_ascii_end(), &mut basic);
        let headers = [
            format!("Authorization: Basic {}", STANDARD.encode(basic)),
            "Content-Type: application/x-www-form-urlencoded".into(),
            "Accept: application/json".into(),
        ];
        let settings = ServiceSettings {
            name: NAME.into(),
            url: url.to_string(),
            format: ServiceFormat::Introspection,
            superuser_url: None,
            aclcheck_url: None,
            get: false,
            headers: headers.map(Secret).into(),
            body: Some("token=${password}&token_type_hint=access_token".into()),
            timeout: WITHIN,
            max_requests: MOST_REQUESTS,
            cache_yes: CACHE[0],
            cache_no: CACHE[1],
            stale_while_down: Duration::ZERO,
            next_if_down: false,
            authorities: tokens.authorities.clone().filter(|_| url.https),
        };
        let required = Required {
            issuer: tokens.issuer.clone(),
            audience: tokens.named_audience().map(str::to_owned),
            leeway: tokens.leeway.as_secs_f64(),
            user_claim: tokens.user_claim.clone(),
        };
        let service = Self::load_as(KEY, &settings, warnings, contents)?;
        Ok(Some(Self { required: Some(required), ..service }))
    }
}

/// The members of an answer; `username` and `sub` are among `others`.
#[derive(Deserialize)]
struct Body {
    active: bool,
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(all) => all.iter().any(|one| one == name),
        }
    }
}

impl Required {
    /// Decodes an answer about a token. The error says why it is not valid.
    pub(super) fn read(&self, reply: &Reply, now: Now) -> Result<Answer, String> {
        match reply.status {
            200 if reply.is_whole => {}
            200 => return Err("its answer is too long".into()),
            // some providers answer so if what was sent cannot be a token
            400 => return Ok(Answer::Next),
            401 | 403 => return Err(format!("it refuses the credentials of this broker ({})", reply.status)),
            status => return Err(format!("it answered with the status {status}")),
        }
        let wrong = |error| format!("its answer ({}) is not as expected: {error}", reply.kind);
        let body: Body = serde_json::from_slice(&reply.body).map_err(wrong)?;
        match body.active {
            true => Ok(self.decide(body, now).map_or_else(Answer::No, Answer::Yes)),
            // what was sent may be a password
            false => Ok(Answer::Next),
        }
    }

    /// Decides about an active token. The error has the reason for a refusal.
    fn decide(&self, body: Body, now: Now) -> Result<Yes, &'static str> {
        if self.issuer.is_some() && body.iss != self.issuer {
            return Err("the token is by another issuer (iss, auth.token_issuer)");
        }
        if self.audience.as_deref().is_some_and(|name| !body.aud.is_some_and(|aud| aud.has(name))) {
            return Err("the token is for another audience (aud, auth.token_audience)");
        }
        if body.nbf.is_some_and(|nbf| nbf - self.leeway > now.seconds()) {
            return Err("the token is not valid yet (nbf, auth.token_leeway)");
        }
        let end = body.exp.map(|exp| exp + self.leeway);
        if end.is_some_and(|end| now.until(end).is_none()) {
            return Err("the token has ended (exp, auth.token_leeway)");
        }
        let claimed = |claim| body.others.get(claim).and_then(Value::as_str).filter(|user| !user.is_empty());
        let user = match &self.user_claim {
            None => None,
            Some(claim) => Some(claimed(claim).ok_or("the token names no user (auth.token_user_claim)")?.into()),
        };
        Ok(Yes { end, user, ..Yes::default() })
    }

    /// Would it still accept the tokens that it accepted as `then`? Requirements may have been dropped, but not
    /// changed.
    pub(super) fn would_take(&self, then: &Self) -> bool {
        let less = |now: &Option<String>, then: &Option<String>| now.is_none() || now == then;
        less(&self.issuer, &then.issuer)
            && less(&self.audience, &then.audience)
            && less(&self.user_claim, &then.user_claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn required() -> Required {
        let [issuer, audience, user_claim] = ["us", "mqtt", "username"].map(|text| Some(text.into()));
        Required { issuer, audience, leeway: 10.0, user_claim }
    }

    #[test]
    fn an_answer_is_checked_against_the_required_claims() {
        let (required, now) = (required(), Now::of(&Clock::system()));
        let told = |status, body: String| {
            let reply = Reply { status, kind: "text/x".into(), body: body.into(), is_whole: true };
            match required.read(&reply, now) {
                Ok(Answer::Yes(yes)) => format!("yes {}", yes.user.as_deref().unwrap_or("nobody")),
                Ok(Answer::No(why)) => why.into(),
                Ok(Answer::Next) => "next".into(),
                Err(error) => error,
            }
        };
        let good = r#""active": true, "iss": "us", "username": "ann", "aud": ["web", "mqtt"]"#;
        let of = |more: &str| format!("{{{good}{more}}}");
        let seconds = now.seconds();
        let ends = |after: f64| of(&format!(r#", "exp": {}"#, seconds + after));
        let begins = |after: f64| of(&format!(r#", "nbf": {}"#, seconds + after));
        for (body, expected) in [
            (of(""), "yes ann"),
            (of(r#", "exp": null, "scope": "mqtt:read""#), "yes ann"),
            (ends(100.0), "yes ann"),
            (ends(-5.0), "yes ann"),
            (ends(-15.0), "has ended"),
            (begins(5.0), "yes ann"),
            (begins(15.0), "not valid yet"),
            (of("").replace("true", "false"), "next"),
            (r#"{"active": false}"#.into(), "next"),
            (of("").replace("us\"", "them\""), "another issuer"),
            (of("").replace("mqtt", "x"), "another audience"),
            (r#"{"active": true, "iss": "us", "username": "ann"}"#.into(), "another audience"),
            (r#"{"active": true, "aud": "mqtt", "username": "ann"}"#.into(), "another issuer"),
            (r#"{"active": true, "iss": "us", "aud": "mqtt", "sub": "ann"}"#.into(), "names no user"),
            (r#"{"active": true, "iss": "us", "aud": "mqtt", "username": ""}"#.into(), "names no user"),
            ("{}".into(), "is not as expected"),
            (r#"{"active": "true"}"#.into(), "is not as expected"),
            (of(r#", "exp": "tomorrow""#), "is not as expected"),
        ] {
            let told = told(200, body.clone());
            assert!(told.contains(expected), "{body}: {told}");
        }
        assert_eq!(told(400, String::new()), "next");
        assert!(told(401, of("")).contains("refuses the credentials of this broker"));
        assert!(told(500, of("")).contains("the status 500"));
    }

    #[test]
    fn a_token_stays_accepted_if_no_more_is_required() {
        let then = required();
        assert!(Required { leeway: 0.0, ..then.clone() }.would_take(&then));
        assert!(Required { issuer: None, audience: None, ..then.clone() }.would_take(&then));
        assert!(!Required { audience: Some("other".into()), ..then.clone() }.would_take(&then));
        assert!(!then.would_take(&Required { issuer: None, ..then.clone() }));
    }
}
