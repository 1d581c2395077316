//! [`Secrets`]: signs requests as Standard Webhooks specify: HMAC-SHA-256 of identifier, time and body.

use std::{fs, io, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::hmac::{self, HMAC_SHA256};
use thiserror::Error;

/// The secrets of a webhook.
pub struct Secrets(Vec<hmac::Key>);

/// Why a file of secrets is refused.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It has no lines.
    #[error("it is empty; write whsec_$(openssl rand -base64 32) into it")]
    Empty,
    /// A line of it is not a secret.
    #[error("line {0} is not whsec_ and base64 of 16 bytes or more; write whsec_$(openssl rand -base64 32) into it")]
    Line(usize),
}

/// Least length of a secret in bytes.
const SHORTEST: usize = 16;

impl Secrets {
    /// Reads a file with one secret in each line.
    pub fn read(file: &Path) -> Result<Self, SecretError> {
        let text = fs::read_to_string(file)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let all = lines.map(|(at, line)| key(line.trim()).ok_or(SecretError::Line(at + 1)));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() { Err(SecretError::Empty) } else { Ok(Self(all)) }
    }

    /// The value of the header `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let sign = |key: &hmac::Key| {
            let mut signing = hmac::Context::with_key(key);
            signing.update(format!("{id}.{timestamp}.").as_bytes());
            signing.update(body);
            format!("v1,{}", BASE64_STANDARD.encode(signing.sign()))
        };
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

fn key(line: &str) -> Option<hmac::Key> {
    let bytes = BASE64_STANDARD.decode(line.strip_prefix("whsec_").unwrap_or(line)).ok()?;
    (bytes.len() >= SHORTEST).then(|| hmac::Key::new(HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Result<Secrets, SecretError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Secrets::read(file.path())
    }

    /// The test vector of the specification's libraries.
    #[test]
    fn signatures_match_the_vector_of_standard_webhooks() {
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let sign =
            |secrets: Secrets| secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(sign(secrets(one).unwrap()), expected);
        assert_eq!(sign(secrets(&format!("{one}\n\n")).unwrap()), expected);
        let two = sign(secrets(&format!("{one}\r\nwhsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")).unwrap());
        assert!(two.starts_with(&format!("{expected} v1,")), "{two}");
    }

    #[test]
    fn an_invalid_secret_file_is_refused_with_an_instruction() {
        for (text, expected) in [("", "it is empty"), ("whsec_!", "line 1 is not"), ("\nwhsec_AAAA", "line 2 is not")] {
            let error = secrets(text).err().unwrap().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
