//! [`Tokens`]: JSON Web Tokens (RFC 7519) as passwords: HS256, RS256 and ES256 (RFC 7518). The kind of a key determines
//! its algorithm; the token's header cannot change it.
//!
//! `exp` is required; it and `nbf` may have fractions of seconds (NumericDate). `nbf` is checked if it is present,
//! `iss` and `aud` if they are configured. A claim `acl`, with lists of Topic Filters `publish` and `subscribe`,
//! restricts the rights by the rules; a missing list is empty.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, errors::ErrorKind};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{
    AuthError, files,
    filters::covers,
    jwks::{self, Named, SetKey},
    keys::{KeySource, Keys, NeedsKeys},
    signatures,
};
use crate::{
    clock::Clock,
    router::{Identity, Proof, Rights},
    topic::{TopicFilter, TopicName},
    types::{Contents, HttpUrl, Secret, without_mark},
};

/// Which tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// `auth.token_secret`.
    pub secret: Option<Secret>,
    /// `auth.token_secret_file`.
    pub secret_file: Option<PathBuf>,
    /// `auth.token_key_file`.
    pub key_file: Option<PathBuf>,
    /// `auth.token_jwks_file`.
    pub jwks_file: Option<PathBuf>,
    /// `auth.token_jwks_url`.
    pub jwks_url: Option<HttpUrl>,
    /// `auth.token_introspection_url`.
    pub introspection_url: Option<HttpUrl>,
    /// `auth.token_introspection_client_id`.
    pub introspection_id: Option<String>,
    /// `auth.token_introspection_secret_file`.
    pub introspection_secret_file: Option<PathBuf>,
    /// `auth.token_ca_file`: the authorities of the certificates of services; `None`: those of this machine.
    pub authorities: Option<PathBuf>,
    /// `auth.token_issuer`; `None`: any.
    pub issuer: Option<String>,
    /// `auth.token_audience`; `None`: not configured.
    pub audience: Option<Audience>,
    /// `auth.token_leeway`.
    pub leeway: Duration,
    /// `auth.token_user_claim`; `None`: the user name is not checked.
    pub user_claim: Option<String>,
}

/// For whom a token must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// For anybody.
    Any,
    /// For this name.
    Named(String),
}

impl Audience {
    /// What its key says; `any` is a word.
    pub fn written(text: String) -> Self {
        if text == "any" { Self::Any } else { Self::Named(text) }
    }
}

impl TokenSettings {
    /// The name that a token must have as its audience.
    pub(super) fn named_audience(&self) -> Option<&str> {
        match &self.audience {
            Some(Audience::Named(name)) => Some(name),
            Some(Audience::Any) | None => None,
        }
    }
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            secret: None,
            secret_file: None,
            key_file: None,
            jwks_file: None,
            jwks_url: None,
            introspection_url: None,
            introspection_id: None,
            introspection_secret_file: None,
            authorities: None,
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            user_claim: Some("sub".into()),
        }
    }
}

const NO_ISSUER: &str = "it is missing, and auth.token_jwks_url needs it; write the issuer of the tokens (their claim \
                         iss), such as \"https://login.example.org/realms/main\"";
const NO_AUDIENCE: &str = "it is missing, and auth.token_jwks_url needs it: a provider issues tokens for other programs \
                           too; write the audience (the claim aud) of tokens for this broker, such as \"mqtt\", or \"any\" \
                           if tokens for any program may log in";

/// Keys, and requirements for the claims.
pub(super) struct Tokens {
    keys: Vec<Key>,
    /// Where further keys are fetched.
    source: Option<Arc<KeySource>>,
    fetched: Mutex<Fetched>,
    settings: TokenSettings,
}

/// The keys that were fetched last.
#[derive(Default)]
struct Fetched {
    of: Option<Arc<Keys>>,
    keys: Arc<[Key]>,
}

#[derive(Clone)]
struct Key {
    /// `kid` of a JWKS.
    id: Option<Box<str>>,
    key: DecodingKey,
    verified: Arc<Verified>,
}

/// The key and the requirements by which a token was accepted.
#[derive(PartialEq, Eq)]
pub(super) struct Verified {
    algorithm: Algorithm,
    /// The key, as configured.
    material: Box<[u8]>,
    /// From where it was fetched.
    from: Option<HttpUrl>,
    /// The required claims.
    issuer: Option<String>,
    audience: Option<String>,
    user_claim: Option<String>,
}

impl Verified {
    fn is_of(&self, key: &SetKey) -> bool {
        self.algorithm == key.algorithm && self.material == key.material
    }

    fn new(algorithm: Algorithm, material: &[u8], from: Option<&HttpUrl>, settings: &TokenSettings) -> Arc<Self> {
        let TokenSettings { issuer, user_claim, .. } = settings.clone();
        let audience = settings.named_audience().map(str::to_owned);
        Arc::new(Self { algorithm, material: material.into(), from: from.cloned(), issuer, audience, user_claim })
    }
}

impl Key {
    fn new(algorithm: Algorithm, key: DecodingKey, material: &[u8], settings: &TokenSettings) -> Self {
        Self { id: None, key, verified: Verified::new(algorithm, material, None, settings) }
    }

    fn of_set(key: &SetKey, from: Option<&HttpUrl>, settings: &TokenSettings) -> Self {
        let SetKey { id, algorithm, key, material } = key;
        Self { id: id.clone(), key: key.clone(), verified: Verified::new(*algorithm, material, from, settings) }
    }

    fn fits(&self, header: &Header) -> bool {
        let named = || self.id.is_none() || header.kid.is_none() || self.id.as_deref() == header.kid.as_deref();
        self.verified.algorithm == header.alg && named()
    }
}

/// The claims with a meaning beyond the required ones.
#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "given")]
    exp: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    acl: Option<Acl>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

/// An accepted token: the evidence for checking its client again.
pub(super) struct Shown {
    by: Arc<Verified>,
    /// When it expires, including leeway, in seconds since 1970.
    end: f64,
}

/// The same time by two clocks: that of tokens and that of connections.
#[derive(Clone, Copy)]
pub(super) struct Now {
    wall: SystemTime,
    monotonic: Instant,
}

impl Now {
    pub(super) fn of(clock: &Clock) -> Self {
        Self { wall: clock.wall(), monotonic: clock.now() }
    }

    #[cfg(test)]
    pub(super) fn at(monotonic: Instant) -> Self {
        Self { wall: Clock::system().wall(), monotonic }
    }

    pub(super) fn monotonic(self) -> Instant {
        self.monotonic
    }

    /// Since 1970; negative before.
    pub(super) fn seconds(self) -> f64 {
        self.wall.duration_since(UNIX_EPOCH).map_or_else(|e| -e.duration().as_secs_f64(), |since| since.as_secs_f64())
    }
}

impl Now {
    /// The moment that is so many seconds since 1970. `None`: it has passed. `Some(None)`: beyond the range of the
    /// clock.
    pub(super) fn until(self, end: f64) -> Option<Option<Instant>> {
        let left = end - self.seconds();
        let until = || Duration::try_from_secs_f64(left).ok().and_then(|left| self.monotonic.checked_add(left));
        (left > 0.0).then(until)
    }
}

impl Shown {
    /// When the token expires: the wall clock may have been set since it was accepted. `None`: it has expired.
    /// `Some(None)`: beyond the range of the clock.
    pub(super) fn until(&self, now: Now) -> Option<Option<Instant>> {
        now.until(self.end)
    }
}

/// Restrictions of a client's rights.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Acl {
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl Tokens {
    /// `None`: no key is configured.
    pub(super) fn load(
        settings: &TokenSettings,
        warnings: &mut Vec<String>,
        contents: &mut Contents,
    ) -> Result<Option<Self>, AuthError> {
        signatures::install();
        let mut urls = [&settings.jwks_url, &settings.introspection_url].into_iter().flatten();
        if settings.authorities.is_some() && !urls.any(|url| url.https) {
            let problem = "it is for TLS; write token_jwks_url or token_introspection_url with https://".into();
            return Err(AuthError::Setting { key: "auth.token_ca_file", problem });
        }
        let mut keys = Vec::new();
        if let Some(secret) = &settings.secret {
            keys.push(of_secret(secret.0.as_bytes(), "auth.token_secret", settings)?);
        }
        if let Some(path) = &settings.secret_file {
            const KEY: &str = "auth.token_secret_file";
            let bytes = files::read_secret(path, KEY, warnings)?;
            contents.add("secret of tokens (auth.token_secret_file)", &bytes);
            keys.push(of_secret(bytes.trim_ascii_end(), KEY, settings)?);
        }
        if let Some(path) = &settings.key_file {
            let bytes = files::read(path, "auth.token_key_file")?;
            contents.add("key of tokens (auth.token_key_file)", &bytes);
            keys.push(of_pem(&bytes, path, settings)?);
        }
        if let Some(path) = &settings.jwks_file {
            const KEY: &str = "auth.token_jwks_file";
            let bytes = files::read(path, KEY)?;
            contents.add("keys of tokens (auth.token_jwks_file)", &bytes);
            let of_set = jwks::of_file(&bytes, path)?;
            // public keys may be read by all, secrets may not
            if of_set.iter().any(|key| key.algorithm == Algorithm::HS256) {
                files::warn_of_others(path, KEY, warnings);
            }
            keys.extend(of_set.iter().map(|key| Key::of_set(key, None, settings)));
        }
        let source = match &settings.jwks_url {
            Some(url) => {
                let wrong = |key, problem: &str| AuthError::Setting { key, problem: problem.into() };
                settings.issuer.as_ref().ok_or_else(|| wrong("auth.token_issuer", NO_ISSUER))?;
                settings.audience.as_ref().ok_or_else(|| wrong("auth.token_audience", NO_AUDIENCE))?;
                Some(Arc::new(KeySource::load(url, settings.authorities.as_deref(), warnings, contents)?))
            }
            None => None,
        };
        let is_one = !keys.is_empty() || source.is_some();
        Ok(is_one.then(|| Self { keys, source, fetched: Mutex::default(), settings: settings.clone() }))
    }

    fn fetched(&self) -> Arc<[Key]> {
        self.fetched.lock().keys.clone()
    }

    /// Does a password look like a token? (A header in JSON begins with `{"`, in base64 `eyJ`.)
    pub(super) fn is_one(password: &[u8]) -> bool {
        password.starts_with(b"eyJ") && password.iter().filter(|byte| **byte == b'.').count() == 2
    }

    /// May it be a token that is not a JWT (RFC 6750 section 2.1)?
    pub(super) fn may_be_opaque(password: &[u8]) -> bool {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        !password.is_empty() && password.iter().all(is_token)
    }

    /// Is there a key for this token, or may there be one at the provider? A key that the token does not name is for it
    /// if the token is signed by that key.
    pub(super) fn may_check(&self, token: &[u8]) -> bool {
        let signed = |key: &&Key| {
            let decoded = jsonwebtoken::decode::<Claims>(token, &key.key, &self.validation(key.verified.algorithm));
            !decoded.is_err_and(|error| *error.kind() == ErrorKind::InvalidSignature)
        };
        let is_for =
            |header: &Header, key: &Key| key.fits(header) && (key.id.is_some() && header.kid.is_some() || signed(&key));
        let header = jsonwebtoken::decode_header(token);
        self.source.is_some() || header.is_ok_and(|header| self.keys.iter().any(|key| is_for(&header, key)))
    }

    /// The identity of a client with this token, and this user name if any. The error has the reason for a refusal.
    pub(super) fn check(&self, token: &[u8], user: Option<&str>, clock: &Clock) -> Result<Identity, &'static str> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| why_no_header(token, error.kind()))?;
        // critical extensions (RFC 7515 section 4.1.11), none of which is supported
        if header.crit.is_some() {
            return Err("the token's header asks for extensions that are not understood (crit)");
        }
        let fetched = self.fetched();
        let mut all = self.keys.iter().chain(&*fetched);
        let mut refused = match all.any(|key| key.verified.algorithm == header.alg) {
            true => "the token names a key that is not configured (kid, auth.token_…)",
            false => "the token is of an algorithm for which no key is configured (alg, auth.token_…)",
        };
        for key in self.keys.iter().chain(&*fetched).filter(|key| key.fits(&header)) {
            match jsonwebtoken::decode::<Claims>(token, &key.key, &self.validation(key.verified.algorithm)) {
                Ok(decoded) => return self.identity(decoded.claims, user, key, Now::of(clock)),
                Err(error) => refused = told(error.kind()),
            }
        }
        Err(refused)
    }

    /// Was this token accepted by one of the present keys?
    pub(super) fn has(&self, shown: &Shown) -> bool {
        self.keys.iter().chain(&*self.fetched()).any(|key| Arc::ptr_eq(&key.verified, &shown.by))
    }

    /// Would this token still be accepted, apart from its expiry? Requirements for claims may have been dropped, but
    /// not changed. A key that was fetched may be gone from where it was: its provider takes it away when it issues no
    /// more tokens by it, and the tokens are valid until they expire.
    pub(super) fn would_take(&self, shown: &Shown) -> bool {
        let by = &*shown.by;
        let less = |now: Option<&str>, then: &Option<String>| now.is_none() || now == then.as_deref();
        let TokenSettings { issuer, user_claim, .. } = &self.settings;
        let same = match (&by.from, &self.source) {
            (Some(from), Some(source)) => from == source.url(),
            (Some(_), None) => false,
            (None, _) => {
                let is_it = |now: &Verified| (now.algorithm, &now.material) == (by.algorithm, &by.material);
                self.keys.iter().any(|key| is_it(&key.verified))
            }
        };
        same && less(issuer.as_deref(), &by.issuer)
            && less(self.settings.named_audience(), &by.audience)
            && less(user_claim.as_deref(), &by.user_claim)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        // `end` checks it by the broker's clock, and with fractions
        validation.validate_exp = false;
        let audience = self.settings.named_audience();
        validation.validate_aud = audience.is_some();
        let mut required = Vec::new();
        if let Some(audience) = audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// When it expires, in seconds since 1970, if it is valid already. The leeway is for clocks that differ slightly.
    fn end(&self, claims: &Claims, now: Now) -> Result<f64, &'static str> {
        let leeway = self.settings.leeway.as_secs_f64();
        if claims.nbf.is_some_and(|nbf| nbf - leeway > now.seconds()) {
            return Err(told(&ErrorKind::ImmatureSignature));
        }
        claims.exp.map(|exp| exp + leeway).ok_or("the token has no exp: every token has to say when it ends")
    }

    fn identity(&self, claims: Claims, user: Option<&str>, key: &Key, now: Now) -> Result<Identity, &'static str> {
        let shown = Shown { by: key.verified.clone(), end: self.end(&claims, now)? };
        let until = shown.until(now).ok_or(told(&ErrorKind::ExpiredSignature))?;
        let user = match &self.settings.user_claim {
            None => user,
            Some(claim) => match (claims.others.get(claim).and_then(Value::as_str), user) {
                (None | Some(""), None) => return Err("the token names no user (auth.token_user_claim)"),
                (claimed, Some(_)) if claimed != user => {
                    return Err("the user name is not the one in the token (auth.token_user_claim)");
                }
                (claimed, _) => claimed,
            },
        };
        let narrowed = match claims.acl {
            Some(acl) if acl.is_valid() => Some(Arc::new(acl) as Arc<dyn Rights>),
            Some(_) => return Err("the token's claim acl contains an invalid Topic Filter"),
            None => None,
        };
        let evidence = Some(Arc::new(shown) as Arc<_>);
        Ok(Identity {
            user: user.map(Into::into),
            proof: Proof::Token,
            until,
            narrowed,
            evidence,
            ..Identity::default()
        })
    }
}

impl NeedsKeys for Tokens {
    fn source(&self) -> Option<&Arc<KeySource>> {
        self.source.as_ref()
    }

    fn wants(&self, token: &[u8]) -> Option<Named> {
        self.source.as_ref()?;
        let header = jsonwebtoken::decode_header(token).ok().filter(|header| header.crit.is_none())?;
        let mut local = self.keys.iter().filter(|key| key.fits(&header));
        let is_by = |key: &Key| {
            let named = key.id.is_some() && key.id.as_deref() == header.kid.as_deref();
            named || jsonwebtoken::decode::<Claims>(token, &key.key, &self.validation(header.alg)).is_ok()
        };
        let fetched = jwks::ASYMMETRIC.contains(&header.alg) && !local.any(is_by);
        fetched.then(|| Named { algorithm: header.alg, id: header.kid.map(Into::into) })
    }

    fn use_keys(&self, set: &Arc<Keys>) {
        let mut fetched = self.fetched.lock();
        if fetched.of.as_ref().is_some_and(|of| of.number >= set.number) {
            return;
        }
        let from = self.source.as_ref().map(|source| source.url());
        let keys = set.keys.iter().map(|new| {
            let same = |old: &&Key| old.id == new.id && old.verified.is_of(new);
            // the same key: logins with it are known on
            fetched.keys.iter().find(same).cloned().unwrap_or_else(|| Key::of_set(new, from, &self.settings))
        });
        *fetched = Fetched { keys: keys.collect(), of: Some(set.clone()) };
    }
}

/// A claim that is present; `null` counts as present, because only a token without the claim is unrestricted.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Acl {
    fn is_valid(&self) -> bool {
        self.publish.iter().chain(&self.subscribe).all(|filter| TopicFilter::new(filter).is_ok())
    }
}

fn filters(list: &[String]) -> impl Iterator<Item = &TopicFilter> {
    list.iter().map(|filter| TopicFilter::from_valid(filter))
}

impl Rights for Acl {
    fn may_publish(&self, topic: &TopicName) -> bool {
        filters(&self.publish).any(|filter| filter.matches(topic))
    }

    fn may_subscribe(&self, wanted: &TopicFilter) -> bool {
        filters(&self.subscribe).any(|filter| covers(filter, wanted))
    }

    fn may_receive(&self, topic: &TopicName) -> bool {
        filters(&self.subscribe).any(|filter| filter.matches(topic))
    }

    // a session may have subscriptions from before this token
    fn limits_reading(&self) -> bool {
        true
    }
}

fn of_secret(secret: &[u8], key: &'static str, settings: &TokenSettings) -> Result<Key, AuthError> {
    jwks::long_enough(secret).map_err(|problem| AuthError::Setting { key, problem })?;
    Ok(Key::new(Algorithm::HS256, DecodingKey::from_secret(secret), secret, settings))
}

fn of_pem(pem: &[u8], path: &Path, settings: &TokenSettings) -> Result<Key, AuthError> {
    let pem = without_mark(pem);
    if memchr::memmem::find(pem, b"PRIVATE KEY-----").is_some() {
        let path = path.display();
        let problem = format!(
            "{path} has a private key in it, which is for the issuer of tokens alone; write the public key to a file of its \
             own, with \"openssl pkey -in {path} -pubout -out PUBLIC.pem\", and name that file"
        );
        return Err(AuthError::Setting { key: "auth.token_key_file", problem });
    }
    let rsa = DecodingKey::from_rsa_pem(pem).map(|key| Key::new(Algorithm::RS256, key, pem, settings));
    let any = rsa.or_else(|_| {
        let key = DecodingKey::from_ec_pem(pem)?;
        // an uncompressed point of P-256
        let p256 = key.try_get_as_bytes()?.len() == 65;
        if p256 { Ok(Key::new(Algorithm::ES256, key, pem, settings)) } else { Err(ErrorKind::InvalidEcdsaKey.into()) }
    });
    any.map_err(|_: jsonwebtoken::errors::Error| AuthError::Setting {
        key: "auth.token_key_file",
        problem: format!("{} has no public key in PEM, of RSA or of the curve P-256, in it", path.display()),
    })
}

/// Why the header of a token cannot be read, for the log.
fn why_no_header(token: &[u8], error: &ErrorKind) -> &'static str {
    #[derive(Deserialize)]
    struct Algorithmic {
        alg: Option<String>,
    }
    let first = token.split(|byte| *byte == b'.').next().unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(first).ok();
    let header = json.and_then(|json| serde_json::from_slice::<Algorithmic>(&json).ok());
    match header.and_then(|header| header.alg) {
        Some(alg) if alg.eq_ignore_ascii_case("none") => "the token is not signed (alg none)",
        Some(alg) if alg.parse::<Algorithm>().is_err() => "the token is of an algorithm that is not known (alg)",
        _ => told(error),
    }
}

/// Why a token is not valid, for the log.
fn told(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::InvalidSignature => "the token's signature is not by a configured key (auth.token_…)",
        ErrorKind::ExpiredSignature => "the token has ended (exp, auth.token_leeway)",
        ErrorKind::ImmatureSignature => "the token is not valid yet (nbf, auth.token_leeway)",
        ErrorKind::InvalidIssuer => "the token is by another issuer (iss, auth.token_issuer)",
        ErrorKind::InvalidAudience => "the token is for another audience (aud, auth.token_audience)",
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => {
            "the token names no issuer (iss, auth.token_issuer)"
        }
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => {
            "the token names no audience (aud, auth.token_audience)"
        }
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a required claim",
        ErrorKind::Json(_) => "the token's claims are not as they should be (exp, nbf, acl)",
        _ => "the password is not a readable token",
    }
}
