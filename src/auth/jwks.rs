//! JSON Web Key Sets (RFC 7517): the keys of a file, and those that were fetched.

use std::path::Path;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::AuthError;
use crate::types::without_mark;

/// A key of a set.
#[derive(Clone)]
pub(super) struct SetKey {
    /// `kid`
    pub(super) id: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    /// What tells it from others.
    pub(super) material: Box<[u8]>,
}

/// The key that a token names.
pub(super) struct Named {
    pub(super) algorithm: Algorithm,
    pub(super) id: Option<Box<str>>,
}

impl SetKey {
    fn new(jwk: &Jwk, algorithm: Algorithm) -> Result<Self, String> {
        let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
        let material = serde_json::to_vec(&jwk.algorithm).map_err(|error| error.to_string())?;
        Ok(Self { id: jwk.common.key_id.as_deref().map(Into::into), algorithm, key, material: material.into() })
    }

    /// Is it the same key under the same name?
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.id, self.algorithm, &self.material) == (&other.id, other.algorithm, &other.material)
    }
}

/// Algorithms whose keys may be fetched.
pub(super) const ASYMMETRIC: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];
/// Keys of a set that was fetched, at most.
const MOST: usize = 100;

/// The keys of a file.
pub(super) fn of_file(json: &[u8], path: &Path) -> Result<Vec<SetKey>, AuthError> {
    let wrong = |problem: String| AuthError::Setting {
        key: "auth.token_jwks_file",
        problem: format!("{}: {problem}", path.display()),
    };
    let set: JwkSet = serde_json::from_slice(without_mark(json))
        .map_err(|error| wrong(format!("no set of JSON Web Keys: {error}")))?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        // a set may contain keys for other purposes
        let Some(algorithm) = algorithm_of(jwk) else { continue };
        let name = jwk.common.key_id.as_deref().unwrap_or("without a kid");
        let wrong = |problem: String| wrong(format!("the key {name:?}: {problem}"));
        let key = SetKey::new(jwk, algorithm).map_err(wrong)?;
        if algorithm == Algorithm::HS256 {
            let secret = key.key.try_get_as_bytes().map_err(|error| wrong(error.to_string()))?;
            long_enough(secret).map_err(wrong)?;
        }
        keys.push(key);
    }
    match keys.is_empty() {
        true => Err(wrong("it has no key for RS256, ES256 or HS256 in it".into())),
        false => Ok(keys),
    }
}

/// The keys of an answer, and how many secrets were in it. A key that cannot be read is left out: a provider may have
/// keys of a kind that is newer than this program.
pub(super) fn of_answer(json: &[u8]) -> Result<(Vec<SetKey>, usize), String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set =
        serde_json::from_slice(without_mark(json)).map_err(|error| format!("no set of JSON Web Keys: {error}"))?;
    let mut secrets = 0;
    let mut keys = Vec::new();
    for jwk in set.keys.into_iter().filter_map(|one| serde_json::from_value::<Jwk>(one).ok()) {
        secrets += usize::from(matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)));
        let algorithm = algorithm_of(&jwk).filter(|algorithm| ASYMMETRIC.contains(algorithm));
        keys.extend(algorithm.and_then(|algorithm| SetKey::new(&jwk, algorithm).ok()));
    }
    keys.truncate(MOST);
    match keys.is_empty() {
        true => Err("it has no key for RS256 or ES256 in it".into()),
        false => Ok((keys, secrets)),
    }
}

/// The algorithm of a key for signatures.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        _ => return None,
    };
    // a key with an algorithm is for that algorithm only
    jwk.common.key_algorithm.is_none_or(|said| said.to_string() == format!("{algorithm:?}")).then_some(algorithm)
}

/// Is it long enough for HS256 (RFC 7518 section 3.2)?
pub(super) fn long_enough(secret: &[u8]) -> Result<(), String> {
    const LEAST: usize = 32;
    match secret.len() {
        LEAST.. => Ok(()),
        bytes => Err(format!("a secret of {bytes} bytes; HS256 asks for {LEAST} at least, random ones")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_public_keys_for_signatures_are_taken() {
        let rsa = r#"{"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB""#;
        let json = format!(
            r#"{{"keys": [{rsa}}}, {rsa}, "use": "enc"}}, {rsa}, "alg": "RS512"}},
                {{"kty": "oct", "kid": "s", "k": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}},
                {{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}}, 7, {{}},
                {{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}},
                {{"kty": "EC", "crv": "P-256", "kid": "e", "x": "AA", "y": "AA"}}]}}"#
        );
        let (keys, secrets) = of_answer(json.as_bytes()).unwrap();
        let found: Vec<_> = keys.iter().map(|key| (key.id.as_deref(), key.algorithm)).collect();
        assert_eq!(found, [(Some("r"), Algorithm::RS256), (Some("e"), Algorithm::ES256)]);
        assert_eq!(secrets, 1);
        for none in ["", "<html>", "[]", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#] {
            assert!(of_answer(none.as_bytes()).is_err(), "{none}");
        }
    }
}
