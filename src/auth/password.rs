//! [`Hash`]: one password in a password file, in the three forms of mosquitto's files and one more. Creates, parses and
//! compares hashes, without files and threads.
//!
//! | form | text | is |
//! |---|---|---|
//! | `$6$` | `$6$salt$hash`, base64 | SHA-512 of password and salt: mosquitto before 2.0 |
//! | `$7$` | `$7$iterations$salt$hash`, base64 | PBKDF2-HMAC-SHA512 (RFC 8018): mosquitto 2.0 |
//! | `$scram$` | `$scram$iterations$salt$stored$server$stored$server`, base64 | the keys of SCRAM-SHA-256, then those of SCRAM-SHA-512 (RFC 5802, RFC 7677): this alone |
//! | argon2id | `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, base64 without padding | RFC 9106, as libargon2 writes it: mosquitto 2.1, and this |

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig,
        general_purpose::{STANDARD as STANDARD_PAD, STANDARD_NO_PAD},
    },
};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

use super::scram::{Cost, Keys, Mechanism};

/// A hash that a password is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    kind: Kind,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sha512,
    Pbkdf2 {
        iterations: u32,
    },
    Argon2id {
        version: u32,
        memory: u32,
        passes: u32,
        lanes: u32,
    },
    /// The hash consists of the four keys.
    Scram {
        iterations: NonZeroU32,
    },
}

impl Hash {
    /// Parses the text behind the colon of a password file's line. The error is half a line with the reason.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.strip_prefix('$').ok_or(NO_HASH)?.split('$');
        let kind = parts.next().unwrap_or_default();
        let mut next = |what: &str| parts.next().ok_or_else(|| format!("the hash ends where its {what} should be"));
        let kind = match kind {
            "6" => Kind::Sha512,
            "7" => Kind::Pbkdf2 { iterations: number(next("number of iterations")?, "iterations", MOST_ITERATIONS)? },
            "scram" => Kind::Scram { iterations: scram_iterations(next("number of iterations")?)? },
            "argon2id" => {
                let version = named(next("version")?, "v", 0x13)?;
                if version != 0x10 && version != 0x13 {
                    return Err(format!("version {version} of argon2 does not exist; v=19 is the usual one"));
                }
                let costs = next("costs m=…,t=…,p=…")?;
                let [memory, passes, lanes] = costs.splitn(3, ',').collect::<Vec<_>>()[..] else {
                    return Err(format!("costs such as m=19456,t=2,p=1 are expected in place of {costs:?}"));
                };
                let kind = Kind::Argon2id {
                    version,
                    memory: named(memory, "m", MOST_MEMORY)?,
                    passes: named(passes, "t", MOST_PASSES)?,
                    lanes: named(lanes, "p", MOST_LANES)?,
                };
                kind.argon2().map_err(|error| format!("no costs of argon2 ({error}): {costs:?}"))?;
                kind
            }
            other => return Err(format!("a hash of an unknown kind, {:?}; {KNOWN}", shortened(other))),
        };
        let salt = bytes(next("salt")?, "salt")?;
        let hash = match kind {
            Kind::Scram { .. } => scram_keys(next)?,
            _ => bytes(next("hash")?, "hash")?,
        };
        if parts.next().is_some() {
            return Err("there is something behind the hash".into());
        }
        let whole = match kind {
            Kind::Argon2id { .. } => (16..=64).contains(&hash.len()),
            Kind::Scram { .. } => true,
            _ => hash.len() == SHA512_BYTES,
        };
        match (whole, (1..=64).contains(&salt.len())) {
            (true, true) => Ok(Self { kind, salt, hash }),
            (false, _) => Err(format!("a hash of {} bytes is not whole", hash.len())),
            (_, false) => Err(format!("a salt of {} bytes: 1 to 64 are taken", salt.len())),
        }
    }

    /// How it is made, in a word.
    pub(super) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Sha512 => "sha512",
            Kind::Pbkdf2 { .. } => "pbkdf2",
            Kind::Argon2id { .. } => "argon2id",
            Kind::Scram { .. } => "scram",
        }
    }

    /// A new argon2id hash of a password, as text.
    pub(super) fn make(password: &[u8]) -> String {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).expect("the system gives random bytes");
        let Kind::Argon2id { version, memory, passes, lanes } = OURS else { unreachable!("ours is argon2id") };
        let Self { hash, .. } = Self::with_salt(password, &salt);
        let [salt, hash] = [&salt[..], &hash].map(|bytes| STANDARD_NO_PAD.encode(bytes));
        format!("$argon2id$v={version}$m={memory},t={passes},p={lanes}${salt}${hash}")
    }

    /// The same with this salt.
    pub(super) fn with_salt(password: &[u8], salt: &[u8; 16]) -> Self {
        Self { kind: OURS, salt: Box::new(*salt), hash: OURS.digest(password, salt, 32).into() }
    }

    /// Hash, salt and iterations as mosquitto's dynamic security has them.
    pub(super) fn make_pbkdf2(password: &[u8]) -> (String, String, u32) {
        let mut salt = [0; 12];
        SystemRandom::new().fill(&mut salt).expect("the system gives random bytes");
        let hash = Kind::Pbkdf2 { iterations: DYNSEC_ITERATIONS }.digest(password, &salt, SHA512_BYTES);
        (STANDARD_PAD.encode(hash), STANDARD_PAD.encode(salt), DYNSEC_ITERATIONS)
    }

    /// The SCRAM keys of a password, as text.
    pub(super) fn make_scram(password: &[u8], iterations: NonZeroU32) -> String {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).expect("the system gives random bytes");
        let keys = [Mechanism::Sha256, Mechanism::Sha512]
            .map(|mechanism| Keys::of_password(mechanism, password, &salt, iterations));
        let mut text = format!("$scram${iterations}${}", STANDARD_PAD.encode(salt));
        for key in keys.iter().flat_map(|keys| [&keys.stored, &keys.server]) {
            text.push('$');
            text.push_str(&STANDARD_PAD.encode(key));
        }
        text
    }

    /// The SCRAM keys in this hash. `from_pbkdf2`: a `$7$` line has keys too, for SCRAM-SHA-512.
    pub(super) fn scram(&self, mechanism: Mechanism, from_pbkdf2: bool) -> Option<Keys> {
        match self.kind {
            Kind::Scram { iterations } => {
                let (sha256, sha512) = self.hash.split_at(2 * Mechanism::Sha256.length());
                let keys = if mechanism == Mechanism::Sha256 { sha256 } else { sha512 };
                let (stored, server) = keys.split_at(mechanism.length());
                let (stored, server) = (stored.into(), server.into());
                Some(Keys { mechanism, salt: self.salt.clone(), iterations, stored, server })
            }
            Kind::Pbkdf2 { iterations } if from_pbkdf2 && mechanism == Mechanism::Sha512 => {
                Some(Keys::of_salted(mechanism, &self.hash, &self.salt, NonZeroU32::new(iterations)?))
            }
            _ => None,
        }
    }

    /// The client's cost of a SCRAM login with it, if that is possible.
    pub(super) fn scram_cost(&self, mechanism: Mechanism, from_pbkdf2: bool) -> Option<Cost> {
        let iterations = match self.kind {
            Kind::Scram { iterations } => iterations,
            Kind::Pbkdf2 { iterations } if from_pbkdf2 && mechanism == Mechanism::Sha512 => {
                NonZeroU32::new(iterations)?
            }
            _ => return None,
        };
        Some(Cost { iterations, salt: self.salt.len() })
    }

    /// The iterations of a `$7$` line.
    pub(super) fn pbkdf2_iterations(&self) -> Option<u32> {
        match self.kind {
            Kind::Pbkdf2 { iterations } => Some(iterations),
            _ => None,
        }
    }

    /// Is it the hash of this password? Takes as long if it is not.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        if let Kind::Scram { iterations } = self.kind {
            // comparing one of its keys is enough
            let keys = Keys::of_password(Mechanism::Sha256, password, &self.salt, iterations);
            return keys.stored.ct_eq(&self.hash[..Mechanism::Sha256.length()]).into();
        }
        self.kind.digest(password, &self.salt, self.hash.len()).ct_eq(&self.hash).into()
    }

    /// A hash with the same cost that no password has.
    pub(super) fn decoy(&self) -> Self {
        Self { hash: vec![0; self.hash.len()].into(), ..self.clone() }
    }

    /// Its cost: hashes with equal costs take equally long.
    pub(super) fn cost(&self) -> impl Eq + std::hash::Hash + use<> {
        match self.kind {
            Kind::Sha512 => [6, 0, 0, 0],
            Kind::Pbkdf2 { iterations } => [7, iterations, 0, 0],
            Kind::Argon2id { memory, passes, lanes, .. } => [8, memory, passes, lanes],
            Kind::Scram { iterations } => [9, iterations.get(), 0, 0],
        }
    }
}

impl Default for Hash {
    /// A decoy with the cost of dunlin's own hashes.
    fn default() -> Self {
        Self { kind: OURS, salt: Box::new([0; 16]), hash: Box::new([0; 32]) }
    }
}

impl Kind {
    fn argon2(self) -> Result<Argon2<'static>, argon2::Error> {
        let Self::Argon2id { version, memory, passes, lanes } = self else { return Ok(Argon2::default()) };
        let version = if version == 0x10 { Version::V0x10 } else { Version::V0x13 };
        Ok(Argon2::new(Algorithm::Argon2id, version, Params::new(memory, passes, lanes, None)?))
    }

    fn digest(self, password: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        match self {
            Self::Sha512 => out.copy_from_slice(&Sha512::new().chain_update(password).chain_update(salt).finalize()),
            Self::Pbkdf2 { iterations } => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out),
            // compared by its keys
            Self::Scram { .. } => out.clear(),
            Self::Argon2id { .. } => {
                let hashed = self.argon2().and_then(|argon2| argon2.hash_password_into(password, salt, &mut out));
                // argon2 does not accept the length of this password or salt: the result never matches
                if hashed.is_err() {
                    out.clear();
                }
            }
        }
        out
    }
}

fn scram_iterations(text: &str) -> Result<NonZeroU32, String> {
    let iterations = text.parse().ok().filter(|number| (LEAST_SCRAM_ITERATIONS..=MOST_ITERATIONS).contains(number));
    iterations.and_then(NonZeroU32::new).ok_or_else(|| {
        format!("iterations: {:?} is not a number from {LEAST_SCRAM_ITERATIONS} to {MOST_ITERATIONS}", shortened(text))
    })
}

/// The four SCRAM keys, concatenated.
fn scram_keys<'a>(mut next: impl FnMut(&str) -> Result<&'a str, String>) -> Result<Box<[u8]>, String> {
    let mut keys = Vec::new();
    for mechanism in [Mechanism::Sha256, Mechanism::Sha512] {
        for what in ["stored key", "server key"] {
            let key = bytes(next(what)?, what)?;
            if key.len() != mechanism.length() {
                return Err(format!("a {what} of {} bytes is not whole", key.len()));
            }
            keys.extend_from_slice(&key);
        }
    }
    Ok(keys.into())
}

/// Decodes base64 with or without padding.
fn bytes(text: &str, what: &str) -> Result<Box<[u8]>, String> {
    const EITHER: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    EITHER.decode(text).map(Into::into).map_err(|error| format!("its {what} is not base64 ({error})"))
}

fn named(text: &str, name: &str, most: u32) -> Result<u32, String> {
    let value = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
    number(value.ok_or_else(|| format!("{name}=… is expected in place of {:?}", shortened(text)))?, name, most)
}

fn number(text: &str, what: &str, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("{what}: {:?} is not a number from 1 to {most}", shortened(text)))
}

/// Only the beginning, because the text may be a plain-text password.
fn shortened(text: &str) -> String {
    text.chars().take(12).collect()
}

/// The parameters of `dunlin passwd`: the second choice of OWASP for argon2id, with 19 MiB, for brokers beside other
/// programs.
const OURS: Kind = Kind::Argon2id { version: 0x13, memory: 19_456, passes: 2, lanes: 1 };
/// mosquitto compares on the thread that serves all clients, and takes some ten milliseconds for so many.
const DYNSEC_ITERATIONS: u32 = 10_000;
const SHA512_BYTES: usize = 64;
/// RFC 7677 section 4.
pub(super) const LEAST_SCRAM_ITERATIONS: u32 = 4096;
pub(super) const MOST_ITERATIONS: u32 = 10_000_000;
/// In KiB. More than this for each login would overload the broker.
const MOST_MEMORY: u32 = 1 << 20;
const MOST_PASSES: u32 = 1_000;
const MOST_LANES: u32 = 64;
const KNOWN: &str = "known are $6$, $7$, $argon2id$ and $scram$, as mosquitto_passwd and \"dunlin passwd\" write them";
const NO_HASH: &str =
    "no hash of a password: it does not begin with \"$\"; \"dunlin passwd\" or \"mosquitto_passwd\" makes one";

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Debian's mosquitto_passwd 2.0.11 and by the reference command of argon2 for the password "secret".
    #[test]
    fn hashes_of_other_programs_are_verified() {
        let table = [
            "$7$101$LLGT7/feVyZegqdF$Yzvq5OFn8Mi3AgahDENE6I0UcvywQcJHgl4vmxJVb1N+Y8J6ViCLb82my4Z+bcbztX/5/DFGJg32jEsxLRIlgA==",
            "$argon2id$v=19$m=12288,t=3,p=1$c2FsdHNhbHRzYWx0$bTecP01c1maY4imWdsR8LbE7Nrz5ontSosjtThXqIbQ",
        ];
        for text in table {
            let hash = Hash::parse(text).unwrap();
            assert!(hash.is_of(b"secret"), "{text}");
            assert!(!hash.is_of(b"Secret") && !hash.is_of(b""), "{text}");
            assert!(!hash.decoy().is_of(b"secret") && hash.decoy().cost() == hash.cost());
        }
    }

    #[test]
    fn a_new_hash_fits_its_password_and_has_a_random_salt() {
        let [one, two] = [(); 2].map(|()| Hash::make("pässword".as_bytes()));
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        let hash = Hash::parse(&one).unwrap();
        assert!(hash.is_of("pässword".as_bytes()) && !hash.is_of(b"password"));
        assert!(hash.cost() == Hash::default().cost());
    }

    #[test]
    fn keys_of_scram_are_those_of_their_password() {
        let iterations = NonZeroU32::new(4096).unwrap();
        let text = Hash::make_scram(b"pencil", iterations);
        assert!(text.starts_with("$scram$4096$") && text != Hash::make_scram(b"pencil", iterations), "{text}");
        let hash = Hash::parse(&text).unwrap();
        assert!(hash.is_of(b"pencil") && !hash.is_of(b"pencil ") && !hash.decoy().is_of(b"pencil"));
        for mechanism in [Mechanism::Sha256, Mechanism::Sha512] {
            let keys = hash.scram(mechanism, false).unwrap();
            assert!(keys == Keys::of_password(mechanism, b"pencil", &keys.salt, iterations));
        }
        // what mosquitto_passwd wrote has those of one mechanism, where that is asked for
        let hash = Hash::parse("$7$101$LLGT7/feVyZegqdF$Yzvq5OFn8Mi3AgahDENE6I0UcvywQcJHgl4vmxJVb1N+Y8J6ViCLb82my4Z+bcbztX/5/DFGJg32jEsxLRIlgA==").unwrap();
        assert!(hash.scram(Mechanism::Sha512, false).is_none() && hash.scram(Mechanism::Sha256, true).is_none());
        let keys = hash.scram(Mechanism::Sha512, true).unwrap();
        assert!(keys == Keys::of_password(Mechanism::Sha512, b"secret", &keys.salt, NonZeroU32::new(101).unwrap()));
    }

    #[test]
    fn an_invalid_hash_is_refused_with_the_reason() {
        let table = [
            ("secret", "no hash of a password"),
            ("", "no hash of a password"),
            ("$", "a hash of an unknown kind, \"\""),
            ("$9$a$b", "a hash of an unknown kind, \"9\""),
            ("$6$AAAA", "the hash ends where its hash should be"),
            ("$6$AAAA$AAAA", "a hash of 3 bytes is not whole"),
            ("$6$A*AA$AAAA", "its salt is not base64"),
            ("$7$0$AAAA$AAAA", "iterations: \"0\" is not a number from 1 to 10000000"),
            ("$7$AAAA$AAAA", "iterations: \"AAAA\" is not a number"),
            ("$argon2id$v=19", "the hash ends where its costs m=…,t=…,p=… should be"),
            ("$argon2id$v=18$m=19456,t=2,p=1$AAAA$AAAA", "version 18 of argon2 does not exist"),
            ("$argon2id$v=19$m=19456,t=2$AAAA$AAAA", "costs such as m=19456,t=2,p=1 are expected"),
            ("$argon2id$v=19$m=1,t=2,p=1$AAAAAAAAAAAA$AAAA", "no costs of argon2"),
            ("$argon2id$v=19$m=9999999,t=2,p=1$AAAA$AAAA", "m: \"9999999\" is not a number from 1 to 1048576"),
            ("$scram$4095$AAAA$AAAA", "iterations: \"4095\" is not a number from 4096 to 10000000"),
            ("$scram$4096$AAAA$AAAA", "a stored key of 3 bytes is not whole"),
            ("$scram$4096$AAAA", "the hash ends where its stored key should be"),
            ("$argon2i$v=19$m=19456,t=2,p=1$AAAA$AAAA", "a hash of an unknown kind, \"argon2i\""),
        ];
        for (text, problem) in table {
            let got = Hash::parse(text).unwrap_err();
            assert!(got.starts_with(problem), "{text}: {got}");
        }
    }
}
