//! The server's side of a SCRAM exchange (RFC 5802 section 7): the client's first message, the challenge, its proof,
//! and the verdict, which waits in the queue like that on a password.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    Policy,
    login::{Logins, Proves},
    password::Hash,
    scram::{Keys, Mechanism},
    scram_proof::Proof,
};
use crate::{
    codec::ReasonCode,
    router::{Credentials, Exchange, Refusal, Verdict},
};

/// The first message of a client.
#[derive(Debug, PartialEq, Eq)]
struct First<'a> {
    /// `gs2-header`, which the client's last message repeats.
    header: &'a str,
    /// `client-first-message-bare`.
    bare: &'a str,
    user: String,
    nonce: &'a str,
}

/// The last message of a client.
struct Last<'a> {
    /// `client-final-message-without-proof`.
    without_proof: &'a str,
    proof: Vec<u8>,
}

/// A client that got the challenge.
struct Challenged {
    logins: Arc<Logins>,
    policy: Arc<Policy>,
    proves: Proves,
    keys: Keys,
    /// The hash of the user; `None`: the user is unknown, or cannot log in this way.
    hash: Option<Arc<Hash>>,
    user: Box<str>,
    header: Box<str>,
    nonce: String,
    /// The beginning of `AuthMessage`.
    said: String,
}

/// Random bytes in the server's part of a nonce.
const NONCE: usize = 18;
/// Most characters of a client's nonce.
const LONGEST_NONCE: usize = 256;

/// Handles the first message of a client.
pub(super) fn begin(
    logins: &Arc<Logins>,
    policy: Arc<Policy>,
    mechanism: Mechanism,
    credentials: &Credentials<'_>,
    data: &[u8],
) -> Verdict {
    match challenge(logins, policy, mechanism, credentials, data) {
        Ok((data, exchange)) => Verdict::Continue { data, exchange },
        Err(why) => refused(why),
    }
}

fn challenge(
    logins: &Arc<Logins>,
    policy: Arc<Policy>,
    mechanism: Mechanism,
    credentials: &Credentials<'_>,
    data: &[u8],
) -> Result<(Vec<u8>, Box<dyn Exchange>), &'static str> {
    let first = First::parse(data)?;
    let user = &*first.user;
    if credentials.username.is_some_and(|said| !said.is_empty() && said != user) {
        return Err("the user name of its CONNECT or its certificate is not the one that it proves by SCRAM");
    }
    let users = policy.users.as_ref().ok_or(NO_LINES)?;
    // computed for known users too, so that the answer takes equally long
    let decoy = logins.secret().decoy(mechanism, user, users.scram_costs(mechanism)).ok_or(NO_LINES)?;
    let (hash, is_known) = users.hash(user);
    let keys = is_known.then(|| hash.scram(mechanism, users.takes_pbkdf2())).flatten();
    let hash = keys.is_some().then_some(hash);
    let keys = keys.unwrap_or(decoy);
    let mut random = [0; NONCE];
    SystemRandom::new().fill(&mut random).map_err(|_| "the system gives no random bytes")?;
    let nonce = format!("{}{}", first.nonce, BASE64.encode(random));
    let challenge = format!("r={nonce},s={},i={}", BASE64.encode(&keys.salt), keys.iterations);
    let challenged = Challenged {
        logins: logins.clone(),
        proves: Proves::of(credentials),
        keys,
        hash,
        user: user.into(),
        header: first.header.into(),
        nonce,
        said: format!("{},{challenge}", first.bare),
        policy,
    };
    Ok((challenge.into(), Box::new(challenged)))
}

impl Exchange for Challenged {
    fn answer(self: Box<Self>, data: &[u8]) -> Verdict {
        let last = match Last::parse(data, &self.header, &self.nonce) {
            Ok(last) => last,
            Err(why) => return refused(why),
        };
        let Self { logins, policy, proves, keys, hash, user, said, .. } = *self;
        let message = format!("{said},{}", last.without_proof);
        let told = format!("v={}", BASE64.encode(keys.signature(message.as_bytes())));
        let proof = Proof { keys, hash, message, proof: last.proof };
        logins.proof(policy, proves, user, proof, told.into())
    }
}

impl<'a> First<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(data).map_err(|_| NOT_UTF8)?;
        let mut parts = text.splitn(3, ',');
        let (binding, authzid, bare) = (parts.next(), parts.next(), parts.next());
        let (Some(binding), Some(authzid), Some(bare)) = (binding, authzid, bare) else { return Err(NO_FIRST) };
        match binding {
            // "y": the client supports channel binding and assumes that the server does not, which is right
            "n" | "y" => {}
            _ if binding.starts_with("p=") => return Err("it asks for channel binding, which is not served"),
            _ => return Err(NO_FIRST),
        }
        let mut fields = bare.split(',');
        let name = fields.next().and_then(|field| field.strip_prefix("n="));
        let name = name.ok_or("the first message of SCRAM names no user, or asks for an extension (m=)")?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).filter(|nonce| is_nonce(nonce));
        let nonce = nonce.ok_or("the first message of SCRAM has no nonce of up to 256 printable characters")?;
        let user = unescaped(name).ok_or("the user name of SCRAM is empty, or has a \"=\" that stands for nothing")?;
        if !authzid.is_empty() && authzid.strip_prefix("a=").and_then(unescaped).as_deref() != Some(&user) {
            return Err("it asks to be let in as another user than the one that it proves to be");
        }
        let header = &text[..text.len() - bare.len()];
        Ok(Self { header, bare, user, nonce })
    }
}

impl<'a> Last<'a> {
    fn parse(data: &'a [u8], header: &str, nonce: &str) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(data).map_err(|_| NOT_UTF8)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(NO_LAST)?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(NO_LAST)?;
        if binding != BASE64.encode(header) {
            return Err("the last message of SCRAM repeats another channel binding than the first one had");
        }
        if fields.next().and_then(|field| field.strip_prefix("r=")) != Some(nonce) {
            return Err("the last message of SCRAM has another nonce: it is of another exchange");
        }
        let proof = BASE64.decode(proof).map_err(|_| NO_LAST)?;
        Ok(Self { without_proof, proof })
    }
}

/// A `saslname`: "=2C" stands for a comma, "=3D" for "=".
fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut user = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = [("2C", ','), ("3D", '=')].into_iter().find_map(|(code, sign)| {
            let rest = part.strip_prefix(code)?;
            Some((sign, rest))
        })?;
        user.push(sign);
        user.push_str(rest);
    }
    (!user.is_empty()).then_some(user)
}

fn is_nonce(nonce: &str) -> bool {
    (1..=LONGEST_NONCE).contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn refused(why: &'static str) -> Verdict {
    Err(Refusal::new(ReasonCode::NotAuthorized, why)).into()
}

const NO_LINES: &str = "no line of the password file serves this mechanism (dunlin passwd --scram)";
const NOT_UTF8: &str = "its Authentication Data is not UTF-8, as messages of SCRAM are";
const NO_FIRST: &str = "its Authentication Data is not the first message of SCRAM (RFC 5802 section 7)";
const NO_LAST: &str = "its Authentication Data is not the last message of SCRAM (RFC 5802 section 7)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages() {
        let first = First::parse(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL").unwrap();
        let (bare, nonce) = ("n=user,r=fyko+d2lbbFgONRv9qkxdawL", "fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(first, First { header: "n,,", bare, user: "user".into(), nonce });
        for (text, user) in [
            ("y,,n=a=2Cb=3Dc,r=x", "a,b=c"),
            ("n,a=user,n=user,r=x", "user"),
            ("n,,n=user,r=x,k=an extension", "user"),
            ("n,,n=b\u{fc}rger,r=x", "b\u{fc}rger"),
        ] {
            assert_eq!(First::parse(text.as_bytes()).unwrap().user, user, "{text}");
        }
        for text in [
            "",
            "n",
            "n,",
            "n,,",
            "x,,n=user,r=x",
            "p=tls-unique,,n=user,r=x",
            "n,,m=ext,n=user,r=x",
            "n,,n=,r=x",
            "n,,n=a=2cb,r=x",
            "n,,n=a=,r=x",
            "n,,n=user",
            "n,,n=user,r=",
            "n,,n=user,r=a b",
            "n,a=eve,n=user,r=x",
            "n,user,n=user,r=x",
            "n,,r=x,n=user",
        ] {
            assert!(First::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(First::parse(b"n,,n=\xFF,r=x").is_err());
        let long = |length| format!("n,,n=user,r={}", "x".repeat(length));
        assert!(First::parse(long(256).as_bytes()).is_ok() && First::parse(long(257).as_bytes()).is_err());
    }

    #[test]
    fn last_messages() {
        let parse = |text: &str| Last::parse(text.as_bytes(), "n,,", "abc").map(|last| last.proof);
        assert_eq!(parse("c=biws,r=abc,p=AAEC"), Ok(vec![0, 1, 2]));
        assert_eq!(parse("c=biws,r=abc,k=an extension,p=AAEC"), Ok(vec![0, 1, 2]));
        for text in [
            "",
            "c=biws",
            "c=biws,r=abc",
            "c=eSws,r=abc,p=AAEC",
            "c=biws,r=abcd,p=AAEC",
            "c=biws,r=ab,p=AAEC",
            "r=abc,c=biws,p=AAEC",
            "c=biws,r=abc,p=AAE",
            "c=biws,r=abc,p=AA=C",
            "c=biws,p=AAEC",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
